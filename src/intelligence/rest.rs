//! One call to the platform: its headers, its bounds, and what becomes of its answer (intelligence.md chapter 3).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Response, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use super::error::PlatformError;
use super::key::ApiKey;

/// How long a call may take that has no time-out of its own.
const LONGEST_CALL: Duration = Duration::from_secs(60);
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// The most bytes of an answer that are read: a thread with everything that was said on it.
const MAX_ANSWER: usize = 64 << 20;
/// The most bytes of a failure's text.
const MAX_FAILURE: usize = 64 << 10;

/// What `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The platform's REST plane. All calls share its connections.
pub(super) struct Rest {
    client: Client,
    base: String,
    key: ApiKey,
    authorization: HeaderValue,
    /// How many calls were answered as they should, and how many were not.
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// Why there is no [`Rest`].
pub(super) enum Unusable {
    Key,
    Client,
}

impl Rest {
    pub(super) fn new(base: String, key: ApiKey) -> Result<Rest, Unusable> {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
        let mut authorization = bearer.map_err(|_| Unusable::Key)?;
        authorization.set_sensitive(true);
        // A redirect would carry ids and words of users to a host nobody configured.
        let client = Client::builder().connect_timeout(LONGEST_CONNECT).redirect(redirect::Policy::none());
        let client = client.build().map_err(|_| Unusable::Client)?;
        let (succeeded, failed) = Default::default();
        Ok(Rest { client, base, key, authorization, succeeded, failed })
    }

    /// How many calls succeeded, and how many failed.
    pub(super) fn calls(&self) -> (u64, u64) {
        (self.succeeded.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// The key, as it is sent.
    #[cfg(feature = "mcp")]
    pub(super) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    pub(super) fn get(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::GET, path.into())
    }

    pub(super) fn post(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::POST, path.into())
    }

    pub(super) fn put(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PUT, path.into())
    }

    pub(super) fn patch(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PATCH, path.into())
    }

    pub(super) fn delete(&self, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::DELETE, path.into())
    }
}

/// An id as a segment of a path.
pub(super) fn segment(id: &str) -> Result<String, PlatformError> {
    // URL parsers resolve dots, encoded or not, so the call would go elsewhere, and ids come from browsers.
    if matches!(id, "" | "." | "..") {
        return Err(PlatformError::Unaddressable(id.to_owned()));
    }
    Ok(utf8_percent_encode(id, COMPONENT).to_string())
}

/// A query's text from the pairs that are there.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'static str, Option<&'a str>)>) -> String {
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A call under construction.
pub(super) struct Call<'r> {
    rest: &'r Rest,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    bound: Duration,
}

impl<'r> Call<'r> {
    fn new(rest: &'r Rest, method: Method, path: String) -> Call<'r> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, rest.authorization.clone());
        // Of every call, whether it has a body or not.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Call { rest, method, path, headers, body: None, bound: LONGEST_CALL }
    }

    pub(super) fn headers(mut self, headers: HeaderMap) -> Call<'r> {
        self.headers.extend(headers);
        self
    }

    /// The inspector's calls do not say that they are JSON.
    pub(super) fn without_content_type(mut self) -> Call<'r> {
        self.headers.remove(CONTENT_TYPE);
        self
    }

    pub(super) fn body(mut self, body: &impl Serialize) -> Result<Call<'r>, PlatformError> {
        let json = serde_json::to_vec(body);
        self.body = Some(json.map_err(|_| PlatformError::Malformed("cannot be asked for: the request is no JSON"))?);
        Ok(self)
    }

    /// How long the whole call may take, its answer's body included.
    pub(super) fn within(mut self, bound: Duration) -> Call<'r> {
        self.bound = bound;
        self
    }

    /// Sends it and reads the whole answer; an empty one is none. A failure is the caller's to log, who knows what
    /// it means.
    pub(super) async fn send(self) -> Result<Option<Bytes>, PlatformError> {
        let rest = self.rest;
        let answer = self.exchange().await;
        let count = if answer.is_ok() { &rest.succeeded } else { &rest.failed };
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }

    async fn exchange(self) -> Result<Option<Bytes>, PlatformError> {
        let Call { rest, method, path, headers, body, bound } = self;
        let request = rest.client.request(method, format!("{}{path}", rest.base)).headers(headers).timeout(bound);
        let request = if let Some(body) = body { request.body(body) } else { request };
        let transport = |error| PlatformError::of_transport(error, bound);
        let response = request.send().await.map_err(transport)?;
        let status = response.status();
        if status.is_success() {
            let (body, whole) = read(response, MAX_ANSWER).await.map_err(transport)?;
            if !whole {
                return Err(PlatformError::Malformed("is too large"));
            }
            return Ok((!body.is_empty()).then_some(body));
        }
        // The status says enough if the text behind it does not come.
        let body = read(response, MAX_FAILURE).await.map_or(Bytes::new(), |(body, _)| body);
        let text = rest.key.removed_from(String::from_utf8_lossy(&body).into_owned());
        let text = if text.is_empty() { reason(status) } else { text };
        Err(PlatformError::Status { status: status.as_u16(), text })
    }

    /// Sends it and reads what its answer must hold.
    pub(super) async fn answer<T: DeserializeOwned>(self, otherwise: &'static str) -> Result<T, PlatformError> {
        let body = self.send().await?.ok_or(PlatformError::Malformed(otherwise))?;
        serde_json::from_slice(&body).map_err(|_| PlatformError::Malformed(otherwise))
    }

    /// Sends it and gives its answer as it is, which must be JSON.
    pub(super) async fn json(self) -> Result<Bytes, PlatformError> {
        let body = self.send().await?.ok_or(PlatformError::Malformed("is empty"))?;
        let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
        parsed.map(|_| body).map_err(|_| PlatformError::Malformed("is no JSON"))
    }
}

/// What a status is called. An answer over HTTP/2 has no words for it.
fn reason(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or_default().to_owned()
}

/// The body up to a number of bytes, and whether that was all of it.
async fn read(mut response: Response, most: usize) -> Result<(Bytes, bool), reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok((body.freeze(), false));
        }
    }
    Ok((body.freeze(), true))
}

#[cfg(test)]
mod tests;
