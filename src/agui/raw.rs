//! JSON as text: the fields of an object and the inside of a string, found without reading what is
//! in them. So numbers, nulls, unknown keys and lone surrogates come through as they came.
//!
//! Everything here expects text that a JSON parser has accepted. Other text gives fewer fields or an
//! empty string, never a panic.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::event::write_json_str;

/// The fields of a JSON object in order, each with its name and the text of its value.
pub(crate) struct Fields<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of `object`; none if it is no object.
    pub(crate) fn of(object: &'a str) -> Fields<'a> {
        let at = skip_space(object.as_bytes(), 0);
        Fields { text: object, at: if object.as_bytes().get(at) == Some(&b'{') { at + 1 } else { object.len() } }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let mut at = skip_space(bytes, self.at);
        if bytes.get(at) == Some(&b',') {
            at = skip_space(bytes, at + 1);
        }
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let name_end = end_of_string(bytes, at);
        let colon = skip_space(bytes, name_end);
        let start = skip_space(bytes, colon + 1);
        let end = end_of_value(bytes, start);
        let name = self.text.get(at + 1..name_end.checked_sub(1)?)?;
        let value = self.text.get(start..end)?;
        self.at = end;
        let name = if name.bytes().any(|b| b == b'\\') { Cow::Owned(decode(name)) } else { Cow::Borrowed(name) };
        Some((name, value))
    }
}

/// The elements of a JSON array as text; none if it is no array.
pub(super) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let bytes = array.as_bytes();
    let open = skip_space(bytes, 0);
    let mut at = if bytes.get(open) == Some(&b'[') { open + 1 } else { bytes.len() };
    std::iter::from_fn(move || {
        at = skip_space(bytes, at);
        if bytes.get(at) == Some(&b',') {
            at = skip_space(bytes, at + 1);
        }
        if matches!(bytes.get(at), None | Some(b']')) {
            return None;
        }
        let start = at;
        at = end_of_value(bytes, start);
        array.get(start..at).filter(|element| !element.is_empty())
    })
}

/// The value of a field as text. Of a repeated field the last counts, as in JavaScript.
pub(super) fn field<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    Fields::of(object).filter(|(found, _)| found == name).last().map(|(_, value)| value)
}

/// What stands between the quotes, if the value is a string.
pub(super) fn string_body(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// The decoded text of a string field.
pub(super) fn string_field(object: &str, name: &str) -> Option<String> {
    field(object, name).and_then(string_body).map(decode)
}

/// A string as JSON text.
pub(super) fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_str(&mut out, text);
    // Writing JSON gives UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

/// Decodes what stands between the quotes of a JSON string. Half a surrogate pair, which a string in
/// Rust cannot hold, becomes U+FFFD.
pub(super) fn decode(body: &str) -> String {
    if !body.contains('\\') {
        return body.to_owned();
    }
    match value(&format!("\"{body}\"")) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Reads JSON text as a value, as [`decode`] reads strings. `None` if it nests too deeply.
pub(super) fn value(json: &str) -> Option<Value> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(&without_lone_surrogates(json))).ok()
}

/// Replaces each `\uD800`…`\uDFFF` that is not part of a pair.
fn without_lone_surrogates(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // An escape is `\u` with four hex digits or `\` with one ASCII character.
        let taken = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
        let (escape, after) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        out.push_str(escape);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The UTF-16 code unit of a `\uXXXX` at the start of `text`.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Where the string that opens at `at` is over: after its closing quote.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(rest) = bytes.get(at..) {
        let Some(found) = rest.iter().position(|b| matches!(b, b'"' | b'\\')) else {
            break;
        };
        if rest[found] == b'"' {
            return at + found + 1;
        }
        at += found + 2;
    }
    bytes.len()
}

/// Where the value that starts at `at` is over.
fn end_of_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    loop {
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => {
                at = end_of_string(bytes, at);
                if depth == 0 {
                    return at;
                }
            }
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') if depth <= 1 => return if depth == 1 { at + 1 } else { at },
            Some(b'}' | b']') => {
                depth -= 1;
                at += 1;
            }
            Some(b',' | b' ' | b'\t' | b'\n' | b'\r') if depth == 0 => return at,
            Some(_) => at += 1,
        }
    }
}

/// An object under construction: fields in the order they came first, of each the last value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawMap {
    fields: Vec<(Box<str>, Box<str>)>,
    places: HashMap<Box<str>, usize>,
}

impl RawMap {
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Sets one field to JSON text.
    pub(super) fn set(&mut self, name: &str, json: &str) {
        match self.places.get(name) {
            Some(place) => self.fields[*place].1 = json.into(),
            None => {
                self.places.insert(name.into(), self.fields.len());
                self.fields.push((name.into(), json.into()));
            }
        }
    }

    /// Sets every field of an object; what is no object changes nothing.
    pub(super) fn merge(&mut self, object: &str) {
        Fields::of(object).for_each(|(name, json)| self.set(&name, json));
    }

    /// The fields in order, each with the text of its value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, json)| (name.as_ref(), json.as_ref()))
    }

    /// The object as JSON text.
    pub(super) fn to_json(&self) -> String {
        object(self.iter())
    }
}

/// Writes an object from fields whose values are JSON text.
pub(super) fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (name, json) in fields {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&quoted(name));
        out.push(':');
        out.push_str(json);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(object: &str) -> Vec<(String, String)> {
        Fields::of(object).map(|(name, value)| (name.into_owned(), value.to_owned())).collect()
    }

    #[test]
    fn fields_keep_the_text_of_their_values() {
        let object = r#" { "a" : 1.0 , "b":{"x":[1,"}\""]}, "c\u0041":"q\"," ,"d":null}"#;
        let expected = [("a", "1.0"), ("b", r#"{"x":[1,"}\""]}"#), ("cA", r#""q\",""#), ("d", "null")];
        assert_eq!(fields(object), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn text_that_is_no_object_has_no_fields() {
        for text in ["", "[]", "{}", "7", "{", "{\"", "{\"a", "{\"a\"", "null"] {
            assert!(fields(text).iter().all(|(_, value)| value.is_empty()), "{text}");
        }
    }

    #[test]
    fn elements_keep_their_text() {
        let found: Vec<_> = elements(r#" [ 1.0 , "a]" ,{"b":[]}, [] ]"#).collect();
        assert_eq!(found, ["1.0", "\"a]\"", r#"{"b":[]}"#, "[]"]);
        assert_eq!(elements("[]").count() + elements("{}").count() + elements("[").count(), 0);
    }

    #[test]
    fn halves_of_a_pair_become_one_character_when_joined() {
        assert_eq!(decode(r"\ud83d\ude00"), "😀");
        assert_eq!(decode(r"a\ud83d"), "a\u{fffd}");
        assert_eq!(decode(r"\ude00\n\\ud83d"), "\u{fffd}\n\\ud83d");
        assert_eq!(decode(r"\ud83d\u0041"), "\u{fffd}A");
        assert_eq!(decode(r"\ud83dé"), "\u{fffd}é");
    }

    #[test]
    fn merging_keeps_the_last_value_in_the_first_place() {
        let mut map = RawMap::default();
        map.merge(r#"{"b":2,"a":1}"#);
        map.merge("null");
        map.merge(r#"{"b":9.0,"c":null}"#);
        assert_eq!(map.to_json(), r#"{"b":9.0,"a":1,"c":null}"#);
    }
}
