//! Reads JSON text by the rules, without building anything.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::rules::{Field, Need, Record, Rule};

/// What is wrong, and where.
#[derive(Debug, Default)]
pub(super) struct Problem {
    pub(super) path: String,
    pub(super) reason: String,
}

/// Checks an object by `rules`. The answer: whether something must be changed.
pub(super) fn check(json: &str, rules: &Record) -> Result<bool, Problem> {
    let findings = Findings::default();
    findings.read(json, Walk::Record(rules)).map_err(|error| {
        // Without a finding the text itself is no JSON object.
        findings.problem.take().unwrap_or_else(|| Problem { path: String::new(), reason: error.to_string() })
    })?;
    Ok(findings.change.get())
}

#[derive(Default)]
struct Findings {
    change: Cell<bool>,
    problem: RefCell<Option<Problem>>,
}

/// What the value to come is read as.
#[derive(Clone, Copy)]
enum Walk<'r> {
    Rule(&'r Rule),
    Record(&'r Record),
    /// Null is welcome and means a change, else the rule counts.
    NullOr(&'r Rule),
    /// An array by the rule, and not an empty one.
    NotEmpty(&'r Rule),
}

struct Seed<'a, 'r> {
    walk: Walk<'r>,
    findings: &'a Findings,
}

impl Findings {
    fn read(&self, json: &str, walk: Walk<'_>) -> Result<(), serde_json::Error> {
        Seed { walk, findings: self }.deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    /// Notes a problem; the path grows on the way out.
    fn fail<E: serde::de::Error>(&self, reason: impl Into<String>) -> E {
        *self.problem.borrow_mut() = Some(Problem { path: String::new(), reason: reason.into() });
        E::custom("invalid event")
    }

    fn inside(&self, step: fmt::Arguments<'_>) {
        if let Some(problem) = self.problem.borrow_mut().as_mut() {
            let dot = if problem.path.is_empty() || problem.path.starts_with('[') { "" } else { "." };
            problem.path = format!("{step}{dot}{}", problem.path);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.walk {
            Walk::Rule(Rule::Any) => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
            Walk::Rule(Rule::ByTag(tag, records)) => {
                // The field that decides may stand anywhere, so the text is read twice.
                let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
                let record = record_of(raw.get(), tag, records).map_err(|reason| self.findings.fail(reason))?;
                self.findings.read(raw.get(), Walk::Record(record)).map_err(D::Error::custom)
            }
            Walk::NullOr(rule @ Rule::ByTag(..)) => {
                let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
                if raw.get() == "null" {
                    self.findings.change.set(true);
                    return Ok(());
                }
                self.findings.read(raw.get(), Walk::Rule(rule)).map_err(D::Error::custom)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// The record that the text of the field `tag` picks.
pub(super) fn record_of(
    json: &str,
    tag: &str,
    records: &'static [(&'static str, &'static Record)],
) -> Result<&'static Record, String> {
    struct Tag<'t>(&'t str);
    impl<'de> Visitor<'de> for Tag<'_> {
        type Value = Option<Option<String>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Key<'de>>()? {
                if key.is(self.0) {
                    found = Some(map.next_value::<serde_json::Value>()?.as_str().map(str::to_owned));
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    if !json.starts_with('{') {
        return Err("must be an object".to_owned());
    }
    let found = serde_json::Deserializer::from_str(json).deserialize_map(Tag(tag)).map_err(|e| e.to_string())?;
    let Some(found) = found else {
        return Err(format!("has no `{tag}`"));
    };
    found.and_then(|found| records.iter().find(|(name, _)| *name == found)).map(|(_, record)| *record).ok_or_else(
        || {
            let names: Vec<&str> = records.iter().map(|(name, _)| *name).collect();
            format!("has an unknown `{tag}`: it must be one of {}", names.join(", "))
        },
    )
}

impl Seed<'_, '_> {
    fn fail<E: serde::de::Error>(&self) -> E {
        let expected = match self.walk {
            Walk::Record(_) => "an object".to_owned(),
            Walk::Rule(rule) | Walk::NullOr(rule) | Walk::NotEmpty(rule) => match rule {
                Rule::Any => "JSON".to_owned(),
                Rule::Text => "a string".to_owned(),
                Rule::OneOf(texts) => match texts {
                    [text] => format!("\"{text}\""),
                    texts => format!("one of {}", texts.join(", ")),
                },
                Rule::Number => "a number".to_owned(),
                Rule::Count => "a whole number, zero or more".to_owned(),
                Rule::Flag => "true or false".to_owned(),
                Rule::List | Rule::Each(_) => "an array".to_owned(),
                Rule::TextOr(_) => "a string or an array".to_owned(),
                Rule::Object | Rule::Record(_) | Rule::ByTag(..) => "an object".to_owned(),
            },
        };
        self.findings.fail(format!("must be {expected}"))
    }

    fn rule(&self) -> Option<&Rule> {
        match self.walk {
            Walk::Rule(rule) | Walk::NullOr(rule) | Walk::NotEmpty(rule) => Some(rule),
            Walk::Record(_) => None,
        }
    }

    fn scalar<E: serde::de::Error>(self, fits: impl Fn(&Rule) -> bool) -> Result<(), E> {
        if self.rule().is_some_and(|rule| matches!(rule, Rule::Any) || fits(rule)) { Ok(()) } else { Err(self.fail()) }
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(|rule| match rule {
            Rule::Text | Rule::TextOr(_) => true,
            Rule::OneOf(texts) => texts.contains(&text),
            _ => false,
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if let Walk::NullOr(_) = self.walk {
            self.findings.change.set(true);
            return Ok(());
        }
        self.scalar(|_| false)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar(|rule| matches!(rule, Rule::Flag))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        // Only negative numbers come this way.
        self.scalar(|rule| matches!(rule, Rule::Number))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar(|rule| matches!(rule, Rule::Number | Rule::Count))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.scalar(|rule| match rule {
            Rule::Number => true,
            // In JavaScript 1.0 and 1e3 are whole.
            Rule::Count => number >= 0.0 && number.fract() == 0.0,
            _ => false,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let not_empty = matches!(self.walk, Walk::NotEmpty(_));
        let rule = match self.rule() {
            Some(Rule::Each(rule)) => rule,
            Some(Rule::TextOr(Rule::Each(rule))) => rule,
            Some(Rule::Any | Rule::List) => &Rule::Any,
            _ => return Err(self.fail()),
        };
        let mut at = 0;
        loop {
            match seq.next_element_seed(Seed { walk: Walk::Rule(rule), findings: self.findings }) {
                Ok(Some(())) => at += 1,
                Ok(None) if at == 0 && not_empty => return Err(self.findings.fail("must not be empty")),
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.findings.inside(format_args!("[{at}]"));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let record = match self.walk {
            Walk::Record(record) => record,
            _ => match self.rule() {
                Some(Rule::Record(record)) => record,
                Some(Rule::Any | Rule::Object) => {
                    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    return Ok(());
                }
                _ => return Err(self.fail()),
            },
        };
        let mut seen = 0_u32;
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let Some(at) = record.fields.iter().position(|field| key.is(field.name)) else {
                if record.closed {
                    self.findings.change.set(true);
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &record.fields[at];
            seen |= 1 << at;
            let seed = Seed { walk: field.walk(), findings: self.findings };
            map.next_value_seed(seed).inspect_err(|_| self.findings.inside(format_args!("{}", field.name)))?;
        }
        for (_, field) in record.fields.iter().enumerate().filter(|(at, _)| seen & (1 << at) == 0) {
            match field.need {
                Need::Required | Need::NotEmpty => {
                    let error = self.findings.fail("is required");
                    self.findings.inside(format_args!("{}", field.name));
                    return Err(error);
                }
                Need::Default(_) => self.findings.change.set(true),
                Need::Optional | Need::NullVanishes => {}
            }
        }
        Ok(())
    }
}

impl Field {
    fn walk(&self) -> Walk<'_> {
        match self.need {
            Need::NullVanishes => Walk::NullOr(&self.rule),
            Need::NotEmpty => Walk::NotEmpty(&self.rule),
            Need::Required | Need::Optional | Need::Default(_) => Walk::Rule(&self.rule),
        }
    }
}

/// A key of an object, borrowed unless it holds escapes.
pub(super) enum Key<'a> {
    Plain(&'a str),
    Decoded(String),
}

impl Key<'_> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.text() == name
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Key::Plain(text) => text,
            Key::Decoded(text) => text,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key::Plain(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key::Decoded(text.to_owned()))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
