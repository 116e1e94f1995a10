//! Reads a few fields of a JSON object and leaves the rest as the text it is.
//!
//! The text may be nested as deep as a client likes: values are skipped, not parsed, and skipping does not
//! recurse.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// The JSON text of some fields, absent ones being `None`; of a field that is there twice, the last counts.
pub(super) type Fields<'t, const N: usize> = [Option<&'t str>; N];

/// A body as text, read as browsers and Node read it: without a byte order mark, and with `U+FFFD` for what
/// is no UTF-8.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
}

/// Reads fields of the object `json` is. JSON that is no object has none.
///
/// # Errors
/// [`NotJson`].
pub(super) fn read<'t, const N: usize>(json: &'t str, names: [&str; N]) -> Result<Fields<'t, N>, NotJson> {
    if !json.trim_start().starts_with('{') {
        return serde_json::from_str::<IgnoredAny>(json).map(|_| [None; N]).map_err(|_| NotJson);
    }
    let mut parser = serde_json::Deserializer::from_str(json);
    let fields = Wanted(names).deserialize(&mut parser).map_err(|_| NotJson)?;
    parser.end().map_err(|_| NotJson)?;
    Ok(fields)
}

/// The text of a JSON string; `None` if the JSON is anything else.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    #[derive(serde::Deserialize)]
    struct Text<'t>(#[serde(borrow)] Cow<'t, str>);
    serde_json::from_str::<Text<'_>>(json).ok().map(|text| text.0)
}

/// A number that JavaScript takes for a positive integer, `3.0` included.
pub(super) fn positive_integer(number: f64) -> Option<u64> {
    // Beyond, numbers are no longer exact.
    const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
    (number.fract() == 0.0 && (1.0..=MAX_SAFE).contains(&number)).then_some(number as u64)
}

/// A part of `text` as bytes: shared with `body` where `text` was read from it as it is.
pub(super) fn share(body: &Bytes, text: &str) -> Bytes {
    let within = body.as_ptr_range();
    let part = text.as_bytes().as_ptr_range();
    if within.start <= part.start && part.end <= within.end {
        body.slice_ref(text.as_bytes())
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    }
}

struct Wanted<'n, const N: usize>([&'n str; N]);

impl<'t, const N: usize> DeserializeSeed<'t> for Wanted<'_, N> {
    type Value = Fields<'t, N>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t, const N: usize> Visitor<'t> for Wanted<'_, N> {
    type Value = Fields<'t, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [None; N];
        // Keys are compared as text, undecoded where they can be: an odd key is no reason to refuse the rest.
        while let Some(key) = map.next_key::<&RawValue>()? {
            let key = string(key.get());
            let at = key.and_then(|key| self.0.iter().position(|name| *name == key));
            match at {
                Some(at) => fields[at] = Some(map.next_value::<&RawValue>()?.get()),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_their_exact_text_and_the_last_counts() {
        let json = r#" {"a":1, "b" : { "x": 1.0 } ,"a":"\u0041","c":null} "#;
        assert_eq!(
            read(json, ["a", "b", "c", "d"]),
            Ok([Some(r#""\u0041""#), Some(r#"{ "x": 1.0 }"#), Some("null"), None])
        );
        assert_eq!(string(r#""\u0041""#).as_deref(), Some("A"));
        assert_eq!(string("1"), None);
    }

    #[test]
    fn escaped_keys_are_the_keys_they_mean() {
        assert_eq!(read(r#"{"\u0061":1,"\ud800":2}"#, ["a"]), Ok([Some("1")]));
    }

    #[test]
    fn other_json_has_no_fields_and_other_text_is_an_error() {
        for json in ["null", "[{\"a\":1}]", "\"a\"", " 1e999 ", "true"] {
            assert_eq!(read(json, ["a"]), Ok([None]), "{json}");
        }
        for text in ["", "{", "{\"a\":1}x", "{\"a\"}", "{a:1}", "{\"a\":1,}", "nul", "{1:2}"] {
            assert_eq!(read(text, ["a"]), Err(NotJson), "{text}");
        }
    }

    #[test]
    fn any_depth_is_read_without_recursion() {
        let depth = 200_000;
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&format!("{{\"b\":{deep},\"a\":{deep}}}"), ["a"]), Ok([Some(deep.as_str())]));
        assert_eq!(read(&deep, ["a"]), Ok([None]));
        assert_eq!(read(&"[".repeat(depth), ["a"]), Err(NotJson));
    }

    #[test]
    fn bodies_are_read_as_browsers_do() {
        assert_eq!(text(b"\xEF\xBB\xBF{}"), "{}");
        assert_eq!(text(b"\"\xff\""), "\"\u{fffd}\"");
    }
}
