//! How users are told apart: `[users]`.

use http::HeaderName;

use super::{Place, Reader};

/// A proxy says who the user is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) struct Users {
    /// The header that holds the user's id.
    pub(in crate::server) header: HeaderName,
    /// The header that holds the user's name, if there is one.
    pub(in crate::server) name_header: Option<HeaderName>,
}

/// Headers that hold a secret: it would become the owner of threads, and stand in lists and logs.
const SECRETS: &[&str] = &["authorization", "proxy-authorization", "cookie"];

/// Whether users are meant to be told apart, and how, if that is right.
pub(super) fn read(reader: &Reader) -> (bool, Option<Users>) {
    let mut section = reader.section("users");
    let header = section.get_placed::<String>("header");
    let name_header = section.get_placed::<String>("name_header");
    let is_wanted = header.is_some() || name_header.is_some() || section.is_present();
    let is_missing = header.is_none() && is_wanted;
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
        section.report(section.place(), "header", "missing; it names the header in which a proxy says who the user is");
    }
    section.finish();
    (is_wanted, header.map(|header| Users { header, name_header }))
}
