//! Placeholders of a recording, and what they stand for in ours: `<uuid:3>`, `<iso:1>`, `<platform>`.

use std::collections::HashMap;

use serde_json::Value;

/// What every placeholder seen so far stands for. The same one always stands for the same, and no two for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    bound: HashMap<String, String>,
    taken: HashMap<String, String>,
}

/// A part of a recorded text.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Plain(&'a str),
    Placeholder(&'a str),
}

const UUID: usize = "00000000-0000-4000-8000-000000000000".len();
const ISO: usize = "2026-01-01T00:00:00.000Z".len();

impl Ids {
    /// Says what a placeholder stands for.
    pub(crate) fn bind(&mut self, placeholder: &str, value: &str) {
        self.bound.insert(placeholder.to_owned(), value.to_owned());
        self.taken.insert(value.to_owned(), placeholder.to_owned());
    }

    /// A recorded text with something in place of its placeholders, made up where need be.
    pub(crate) fn text(&mut self, recorded: &str) -> String {
        let mut text = String::new();
        for part in parts(recorded) {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Placeholder(name) => text.push_str(&self.value(name)),
            }
        }
        text
    }

    /// A recorded value, likewise.
    pub(crate) fn fill(&mut self, recorded: &Value) -> Value {
        match recorded {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (self.text(name), self.fill(value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    fn value(&mut self, placeholder: &str) -> String {
        if let Some(value) = self.bound.get(placeholder) {
            return value.clone();
        }
        let number = placeholder.trim_matches(['<', '>']).split_once(':').map_or("0", |(_, number)| number);
        let value = match placeholder.starts_with("<uuid:") {
            true => format!("00000000-0000-4000-8000-{number:0>12}"),
            false => format!("2026-01-01T00:00:00.{number:0>3}Z"),
        };
        self.bind(placeholder, &value);
        value
    }

    /// Whether a text is what a recorded one stands for. What is not known yet is known from then on.
    pub(crate) fn matches(&mut self, recorded: &str, text: &str) -> bool {
        let before = self.clone();
        let mut rest = text;
        let parts = parts(recorded);
        let matched = parts.iter().all(|part| match part {
            Part::Plain(plain) => rest.strip_prefix(plain).map(|after| rest = after).is_some(),
            Part::Placeholder(name) => self.takes(name, &mut rest),
        });
        if matched && rest.is_empty() {
            return true;
        }
        *self = before;
        false
    }

    fn takes(&mut self, name: &str, rest: &mut &str) -> bool {
        if let Some(value) = self.bound.get(name) {
            return rest.strip_prefix(value.as_str()).map(|after| *rest = after).is_some();
        }
        let (length, is_alike) = match name.split(':').next() {
            Some("<uuid") => (UUID, is_uuid as fn(&str) -> bool),
            Some("<iso") => (ISO, is_iso as fn(&str) -> bool),
            _ => return false,
        };
        let Some(value) = rest.get(..length).filter(|value| is_alike(value)) else { return false };
        if name.starts_with("<uuid:") && self.taken.contains_key(value) {
            return false;
        }
        self.bind(name, value);
        *rest = &rest[length..];
        true
    }
}

fn is_uuid(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok()
}

fn is_iso(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

/// Takes a recorded text apart.
fn parts(recorded: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = recorded;
    while let Some((start, end)) = placeholder(rest) {
        if start > 0 {
            parts.push(Part::Plain(&rest[..start]));
        }
        parts.push(Part::Placeholder(&rest[start..end]));
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        parts.push(Part::Plain(rest));
    }
    parts
}

/// Where the first placeholder of a text is.
fn placeholder(text: &str) -> Option<(usize, usize)> {
    text.match_indices('<').find_map(|(start, _)| {
        let length = text[start..].find('>')? + 1;
        let inside = &text[start + 1..start + length - 1];
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let known = matches!(inside, "platform" | "runtime")
            || inside.split_once(':').is_some_and(|(kind, number)| matches!(kind, "uuid" | "iso") && is_number(number));
        known.then_some((start, start + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0b0e7d9c-3f43-4a4e-8f6c-2f1f0d9f2b11";
    const TWO: &str = "1b0e7d9c-3f43-4a4e-8f6c-2f1f0d9f2b11";

    #[test]
    fn a_placeholder_stands_for_one_thing_and_no_two_for_the_same() {
        let mut ids = Ids::default();
        assert!(ids.matches("m-<uuid:1>", &format!("m-{ONE}")));
        assert!(ids.matches("<uuid:1>", ONE));
        assert!(!ids.matches("<uuid:1>", TWO));
        assert!(!ids.matches("<uuid:2>", ONE), "that is number 1");
        assert!(ids.matches("a <uuid:2> b <uuid:1>", &format!("a {TWO} b {ONE}")));
        assert!(!ids.matches("<iso:1>", "yesterday"));
        assert!(ids.matches("<iso:1>", "2026-01-02T03:04:05.006Z"));
    }

    #[test]
    fn a_failed_match_binds_nothing() {
        let mut ids = Ids::default();
        assert!(!ids.matches("<uuid:1>!", ONE));
        assert!(ids.matches("<uuid:1>", TWO));
    }

    #[test]
    fn what_is_made_up_is_found_again() {
        let mut ids = Ids::default();
        let made = ids.text("thread:<uuid:12>");
        assert_eq!(made, "thread:00000000-0000-4000-8000-000000000012");
        assert!(ids.matches("<uuid:12>", &made["thread:".len()..]));
        assert_eq!(ids.text("<b> a < b"), "<b> a < b", "no placeholders");
    }
}
