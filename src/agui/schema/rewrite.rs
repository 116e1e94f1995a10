//! Makes the changes a checked event needs; every value that stays keeps its text.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::event::write_json_str;
use super::check::{Key, record_of};
use super::rules::{Need, Record, Rule};

/// The text of an object that [`super::check::check`] let pass, with defaults added and what must go left out.
pub(super) fn rewrite(json: &str, rules: &Record) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(json.len() + 32);
    record(&mut out, json, rules)?;
    Ok(out)
}

fn record(out: &mut Vec<u8>, json: &str, rules: &Record) -> Result<(), String> {
    let entries = serde_json::Deserializer::from_str(json).deserialize_map(Entries).map_err(|e| e.to_string())?;
    let mut separator = b'{';
    let mut name = |out: &mut Vec<u8>, name: &str| {
        out.push(std::mem::replace(&mut separator, b','));
        write_json_str(out, name);
        out.push(b':');
    };
    for (key, raw) in &entries {
        let field = rules.fields.iter().find(|field| key.is(field.name));
        match field {
            None if rules.closed => {}
            Some(field) if field.need == Need::NullVanishes && raw.get() == "null" => {}
            _ => {
                name(out, key.text());
                value(out, raw.get(), field.map_or(&Rule::Any, |field| &field.rule))?;
            }
        }
    }
    for field in rules.fields {
        if let Need::Default(json) = field.need
            && !entries.iter().any(|(key, _)| key.is(field.name))
        {
            name(out, field.name);
            out.extend_from_slice(json.as_bytes());
        }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn value(out: &mut Vec<u8>, json: &str, rule: &Rule) -> Result<(), String> {
    match rule {
        Rule::Record(rules) => record(out, json, rules),
        Rule::ByTag(tag, records) => record(out, json, record_of(json, tag, records)?),
        Rule::Each(rule) | Rule::TextOr(Rule::Each(rule)) if json.starts_with('[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| e.to_string())?;
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                value(out, item.get(), rule)?;
            }
            out.push(b']');
            Ok(())
        }
        _ => {
            out.extend_from_slice(json.as_bytes());
            Ok(())
        }
    }
}

/// The keys and values of an object, in order.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(Key<'de>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
