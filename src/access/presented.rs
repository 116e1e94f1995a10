//! What a request presents to show who sends it. Pure.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName};

use crate::runtime::IdentifyError;

/// The header that holds an API key and nothing else.
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest token or key that is looked at.
const LONGEST: usize = 16 * 1024;

/// A token or key, unchecked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'r> {
    Nothing,
    ApiKey(&'r str),
    Bearer(&'r str),
    Cookie(&'r str),
}

/// What is presented. Two of a kind are refused: one of them may be somebody else's.
pub(super) fn of<'r>(
    headers: &'r HeaderMap,
    takes_api_keys: bool,
    cookie: Option<&str>,
) -> Result<Presented<'r>, IdentifyError> {
    if takes_api_keys && let Some(key) = only(headers, &X_API_KEY)? {
        return Ok(Presented::ApiKey(bounded(key.trim())?));
    }
    if let Some(token) = only(headers, &AUTHORIZATION)?.and_then(bearer) {
        return Ok(Presented::Bearer(bounded(token)?));
    }
    match cookie {
        Some(name) => Ok(match cookie_of(headers, name)? {
            Some(token) => Presented::Cookie(bounded(token)?),
            None => Presented::Nothing,
        }),
        None => Ok(Presented::Nothing),
    }
}

/// The one value of a header.
fn only<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r str>, IdentifyError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        (Ok(_), Some(_)) => Err(IdentifyError::Invalid("the request has two credentials of one kind")),
        (Err(_), _) => Err(IdentifyError::Invalid("the credentials hold characters that none has")),
    }
}

/// The token behind the scheme, whose case does not matter. Other schemes are somebody else's.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The one cookie of a name that is not empty. A page of a neighbouring domain can add another, but not take away the
/// first.
fn cookie_of<'r>(headers: &'r HeaderMap, name: &str) -> Result<Option<&'r str>, IdentifyError> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| unquoted(value));
    match (values.next().filter(|value| !value.is_empty()), values.next()) {
        (_, Some(_)) => Err(IdentifyError::Invalid("the request has two cookies of one name")),
        (value, None) => Ok(value),
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

fn bounded(text: &str) -> Result<&str, IdentifyError> {
    if text.len() <= LONGEST { Ok(text) } else { Err(IdentifyError::Invalid("the token is too long")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found with API keys and the cookie `session`; `Err` holds the reason.
    fn found(given: &[(&'static str, &str)]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        of(&headers, true, Some("session")).map(|found| format!("{found:?}")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_key_comes_before_a_bearer_token_and_that_before_a_cookie() {
        let all = [("x-api-key", "k"), ("authorization", "Bearer t"), ("cookie", "a=b; session=c")];
        for (given, wanted) in [
            (&all[..], "ApiKey(\"k\")"),
            (&all[1..], "Bearer(\"t\")"),
            (&all[2..], "Cookie(\"c\")"),
            (&[], "Nothing"),
            (&[("authorization", "Basic YTpi"), ("cookie", "session=c")], "Cookie(\"c\")"),
            (&[("authorization", "bEARER  t ")], "Bearer(\"t\")"),
            (&[("authorization", "Bearer")], "Nothing"),
            (&[("cookie", "xsession=c; session=")], "Nothing"),
            (&[("cookie", "a=1"), ("cookie", "session=\"c\"")], "Cookie(\"c\")"),
        ] {
            assert_eq!(found(given).as_deref(), Ok(wanted), "{given:?}");
        }
    }

    #[test]
    fn two_of_a_kind_are_refused() {
        for name in ["x-api-key", "authorization"] {
            let reason = found(&[(name, "Bearer a"), (name, "Bearer a")]).unwrap_err();
            assert_eq!(reason, "the request has two credentials of one kind");
        }
        for cookies in [&[("cookie", "session=a; session=b")][..], &[("cookie", "session="), ("cookie", "session=b")]] {
            assert_eq!(found(cookies).unwrap_err(), "the request has two cookies of one name");
        }
    }

    #[test]
    fn what_is_too_long_is_not_looked_at() {
        let fits = "t".repeat(LONGEST);
        assert!(found(&[("authorization", &format!("Bearer {fits}"))]).is_ok());
        for (name, value) in [
            ("x-api-key", format!("{fits}t")),
            ("authorization", format!("Bearer {fits}t")),
            ("cookie", format!("session={fits}t")),
        ] {
            assert_eq!(found(&[(name, &value)]).unwrap_err(), "the token is too long", "{name}");
        }
    }
}
