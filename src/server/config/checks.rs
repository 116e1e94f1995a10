//! What settings must be, where several are alike. Each check says what is wrong and shows no value that may be secret.

use std::time::Duration;

use http::HeaderName;
use url::Url;

pub(super) fn not_zero(number: &usize) -> Result<(), String> {
    if *number == 0 { Err("must not be zero".to_owned()) } else { Ok(()) }
}

pub(super) fn not_zero_time(time: &Duration) -> Result<(), String> {
    if time.is_zero() { Err("must not be zero".to_owned()) } else { Ok(()) }
}

/// The text is not shown: an address may hold a password.
pub(super) fn is_http_url(url: &str) -> Result<(), String> {
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(()),
        Ok(parsed) => Err(format!("expected an http or https URL, found the scheme `{}`", parsed.scheme())),
        Err(error) => Err(format!("expected an http or https URL: {error}")),
    }
}

pub(super) fn is_header_value(value: &str) -> Result<(), String> {
    match http::HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => Err("holds characters that cannot be sent in a header (line breaks?)".to_owned()),
    }
}

#[expect(clippy::ptr_arg, reason = "the shape of a check")]
pub(super) fn are_header_names(names: &Vec<String>) -> Result<(), String> {
    let wrong = names.iter().find(|name| *name != "*" && HeaderName::try_from(name.as_str()).is_err());
    wrong.map_or(Ok(()), |name| Err(format!("`{name}` is no header name")))
}
