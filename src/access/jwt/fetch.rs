//! One question for a key set over HTTP.

use std::time::Duration;

use futures_util::FutureExt;
use reqwest::header::ACCEPT;
use reqwest::{Client, redirect};
use url::{Host, Url};

use super::algorithm::Algorithm;
use super::builder::BuildError;
use super::jwks;
use super::keys::KeySet;
use super::remote::Fetch;

/// How long a question may take. Whoever waits for a new key waits so long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What asks a URL for its keys of these algorithms.
///
/// # Errors
/// [`BuildError`] for an address whose answers anybody on the way could change.
pub(super) fn fetch(url: &str, taken: Vec<Algorithm>) -> Result<Box<Fetch>, BuildError> {
    let url = Url::parse(url).ok().filter(is_safe).ok_or(BuildError::JwksUrl)?;
    // Who may say which keys are good is who was named, and nobody they point at.
    let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).build();
    let client = client.map_err(|error| BuildError::Client(error.without_url().to_string()))?;
    Ok(Box::new(move || asked(client.clone(), url.clone(), taken.clone()).boxed()))
}

/// Whether nobody on the way can change what is answered.
fn is_safe(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

async fn asked(client: Client, url: Url, taken: Vec<Algorithm>) -> Result<KeySet, String> {
    let failed = |error: reqwest::Error| error.without_url().to_string();
    let request = client.get(url).header(ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(format!("the answer is HTTP {}", response.status().as_u16()));
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if text.len() + chunk.len() > jwks::LONGEST {
            return Err(format!("the answer has more than {} bytes", jwks::LONGEST));
        }
        text.extend_from_slice(&chunk);
    }
    jwks::parse(&text, &taken).map_err(|error| error.to_string())
}
