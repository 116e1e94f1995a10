//! Whether a page of another origin makes a browser send a request. Pure.
//!
//! Browsers say so themselves in `Sec-Fetch-Site`, which no page can set; those that do not send `Origin`. A request with
//! neither comes from no browser, or from one so old that nothing helps.

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::request::Parts;
use http::{Method, Uri};

use crate::runtime::IdentifyError;

/// What a browser says about the page that asks.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what may change something and comes from another origin, unless that is trusted.
pub(super) fn check(head: &Parts, trusts: &dyn Fn(&str) -> bool) -> Result<(), IdentifyError> {
    let origin = text(&head.headers, &ORIGIN);
    let is_own = match (text(&head.headers, &SEC_FETCH_SITE), origin) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => own_host(head).is_some_and(|host| host_of(origin) == Some(host)),
        (None, None) => true,
    };
    // What only reads tells other origins nothing: CORS keeps the answer from them.
    let only_reads = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if only_reads || is_own || origin.is_some_and(trusts) {
        return Ok(());
    }
    Err(IdentifyError::Forbidden("the request comes from a page of another origin, which may not use the cookie"))
}

fn text<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r str> {
    // What is no text is no browser's, and is nobody's own.
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The host the request was sent to: HTTP/2 has it in the address.
fn own_host(head: &Parts) -> Option<&str> {
    head.uri.authority().map(http::uri::Authority::as_str).or_else(|| text(&head.headers, &HOST))
}

/// Host and port of an origin, as `Host` writes them.
fn host_of(origin: &str) -> Option<&str> {
    let (_, host) = origin.split_once("://")?;
    host.parse::<Uri>().is_ok().then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(method: Method, given: &[(&'static str, &'static str)]) -> bool {
        let mut request = http::Request::builder().method(method).uri("/threads/clear");
        for (name, value) in given {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, &|origin| origin == "https://app.example.com").is_ok()
    }

    const HERE: (&str, &str) = ("host", "chat.example.com");

    #[test]
    fn pages_of_other_origins_change_nothing() {
        for given in [
            &[HERE, ("origin", "https://evil.test"), ("sec-fetch-site", "cross-site")][..],
            &[HERE, ("origin", "https://other.example.com"), ("sec-fetch-site", "same-site")],
            &[HERE, ("sec-fetch-site", "cross-site")],
            &[HERE, ("origin", "https://evil.test")],
            &[HERE, ("origin", "null")],
            &[HERE, ("origin", "")],
            // What the browser says counts more than what looks right.
            &[HERE, ("origin", "https://chat.example.com"), ("sec-fetch-site", "cross-site")],
            &[("origin", "https://chat.example.com")],
        ] {
            assert!(!passes(Method::POST, given), "{given:?}");
            assert!(!passes(Method::DELETE, given) && !passes(Method::PATCH, given), "{given:?}");
            assert!(passes(Method::GET, given), "{given:?}");
        }
    }

    #[test]
    fn own_pages_trusted_ones_and_other_programs_may() {
        for given in [
            &[HERE, ("origin", "https://chat.example.com"), ("sec-fetch-site", "same-origin")][..],
            &[HERE, ("sec-fetch-site", "none")],
            &[HERE, ("origin", "https://chat.example.com")],
            &[HERE, ("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")],
            &[HERE, ("origin", "https://app.example.com")],
            &[HERE],
            &[],
        ] {
            assert!(passes(Method::POST, given), "{given:?}");
        }
    }
}
