//! The bytes of an event: equal to the recorded ones but for the order of keys and the text of numbers.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::values::{Unlike, is_masked};

/// The difference between the spellings of two JSON texts, if they are equal as values.
pub(crate) fn difference(recorded: &[u8], ours: &[u8]) -> Option<Unlike> {
    let (recorded, ours) = (std::str::from_utf8(recorded).ok()?, std::str::from_utf8(ours).ok()?);
    let value = |text| serde_json::from_str::<Value>(text).ok();
    if is_masked(recorded) || value(recorded) != value(ours) {
        return None;
    }
    let (wanted, has) = (spelled(recorded), spelled(ours));
    (wanted != has).then(|| Unlike::new("bytes of an event", wanted, has))
}

/// JSON with its keys sorted, its strings as they were spelled and its numbers as values. White space between
/// tokens stays, so that it shows.
fn spelled(json: &str) -> String {
    if let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) {
        let length: usize = fields.values().map(|value| value.get().len()).sum();
        let names: usize = fields.keys().map(|name| serde_json::to_string(name).map_or(0, |name| name.len())).sum();
        let packed = length + names + 2 * fields.len() + 1 + usize::from(fields.is_empty());
        let fields = fields.iter().map(|(name, value)| format!("{name:?}:{}", spelled(value.get())));
        let space = if packed == json.len() { "" } else { " " };
        return format!("{{{space}{}}}", fields.collect::<Vec<_>>().join(","));
    }
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) {
        return format!("[{}]", items.iter().map(|item| spelled(item.get())).collect::<Vec<_>>().join(","));
    }
    match json.parse::<f64>() {
        Ok(number) => number.to_string(),
        Err(_) => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_white_space_are_seen_and_the_order_of_keys_is_not() {
        let differ = |a: &str, b: &str| difference(a.as_bytes(), b.as_bytes()).is_some();
        assert!(!differ(r#"{"a":[1,{}],"b":"x"}"#, r#"{"b":"x","a":[1,{}]}"#));
        assert!(differ(r#"{"a":"\u2028"}"#, "{\"a\":\"\u{2028}\"}"));
        assert!(differ(r#"{"a":1}"#, r#"{"a": 1}"#));
        assert!(differ(r#"{"a":"/"}"#, r#"{"a":"\/"}"#));
    }
}
