//! How users are told apart: `[users]`.

use http::HeaderName;

use super::credentials::{self, Credentials};
use super::{Place, Reader};

/// How the program knows who sends a request.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Users {
    pub(in crate::server) known_by: KnownBy,
    /// Whether strangers are told what the runtime is.
    pub(in crate::server) public_info: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) enum KnownBy {
    /// A proxy says who the user is.
    Proxy(Proxy),
    /// They show a token or a key.
    Credentials(Box<Credentials>),
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Proxy {
    /// The header that holds the user's id.
    pub(in crate::server) header: HeaderName,
    /// The header that holds the user's name, if there is one.
    pub(in crate::server) name_header: Option<HeaderName>,
}

/// Headers that hold a secret: it would become the owner of threads, and stand in lists and logs.
const SECRETS: &[&str] = &["authorization", "proxy-authorization", "cookie", "x-api-key"];

/// Whether users are meant to be told apart, and how, if that is right.
pub(super) fn read(reader: &Reader) -> (bool, Option<Users>) {
    let mut section = reader.section("users");
    let header = section.get_placed::<String>("header");
    let name_header = section.get_placed::<String>("name_header");
    let public_info = section.get("public_info").unwrap_or(false);
    let (wants_credentials, credentials) = credentials::read(&mut section);
    let is_wanted = header.is_some() || name_header.is_some() || section.is_present();
    let is_missing = header.is_none() && is_wanted && !wants_credentials;
    let by_proxy = [("header", &header), ("name_header", &name_header)];
    for (key, place) in by_proxy.iter().filter_map(|(key, given)| Some((*key, given.as_ref()?.1.clone()))) {
        if wants_credentials {
            let reason = "tokens and keys come from whoever reaches the server, who could set this header as well; drop \
                          it, or `users.jwt` and `users.api_keys`";
            section.report(place, key, reason);
        }
    }
    let checked = |key: &str, given: Option<(String, Place)>| {
        let (text, place) = given?;
        let reason = match HeaderName::try_from(text.as_str()) {
            Ok(name) if !SECRETS.contains(&name.as_str()) => return Some(name),
            Ok(name) => format!("`{name}` holds a secret, not who the user is; let the proxy set a header of its own"),
            Err(_) => format!("`{text}` is no header name"),
        };
        section.report(place, key, reason);
        None
    };
    let header = checked("header", header);
    let name_header = checked("name_header", name_header);
    if is_missing {
        let reason = "missing; it names the header in which a proxy says who the user is. Or let users show tokens \
                      (`[users.jwt]`) or keys (`[users.api_keys.NAME]`)";
        section.report(section.place(), "header", reason);
    }
    section.finish();
    let known_by = match credentials {
        Some(credentials) => Some(KnownBy::Credentials(Box::new(credentials))),
        None => header.map(|header| KnownBy::Proxy(Proxy { header, name_header })),
    };
    (is_wanted, known_by.map(|known_by| Users { known_by, public_info }))
}
