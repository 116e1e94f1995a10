//! Comparing JSON with the placeholders of a recording.

use std::fmt;

use serde_json::Value;

use super::ids::Ids;
use crate::report::WIDTH;

/// Something that should have been alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unlike {
    /// Where, as a path.
    pub(crate) at: String,
    pub(crate) recorded: String,
    pub(crate) ours: String,
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nrecorded {:.WIDTH$}\nours     {:.WIDTH$}", self.at, self.recorded, self.ours)
    }
}

impl Unlike {
    pub(crate) fn new(at: &str, recorded: impl fmt::Display, ours: impl fmt::Display) -> Unlike {
        Unlike { at: at.to_owned(), recorded: recorded.to_string(), ours: ours.to_string() }
    }
}

/// Lists where ours is unlike the recorded value. Fields named in `free` may be anything that is not empty.
pub(crate) fn unlike(recorded: &Value, ours: &Value, at: &str, free: &[&str], ids: &mut Ids, found: &mut Vec<Unlike>) {
    match (recorded, ours) {
        (Value::Object(wanted), Value::Object(has)) => {
            for (name, value) in wanted {
                let at = format!("{at}.{name}");
                match has.get(name) {
                    None => found.push(Unlike::new(&at, value, "nothing")),
                    Some(has) if free.contains(&name.as_str()) => {
                        if has.is_null() || has == "" {
                            found.push(Unlike::new(&at, "something", has));
                        }
                    }
                    Some(has) => unlike(value, has, &at, free, ids, found),
                }
            }
            for (name, value) in has.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                found.push(Unlike::new(&format!("{at}.{name}"), "nothing", value));
            }
        }
        (Value::Array(wanted), Value::Array(has)) if wanted.len() == has.len() => {
            for (index, (wanted, has)) in wanted.iter().zip(has).enumerate() {
                unlike(wanted, has, &format!("{at}[{index}]"), free, ids, found);
            }
        }
        (Value::String(wanted), Value::String(has)) => {
            if !ids.matches(wanted, has) && !same_json(wanted, has, ids) {
                found.push(Unlike::new(at, recorded, ours));
            }
        }
        (Value::Number(wanted), Value::Number(has)) if wanted.as_f64() == has.as_f64() => {}
        _ if recorded == ours => {}
        _ => found.push(Unlike::new(at, recorded, ours)),
    }
}

/// Whether two texts are the same JSON object or list, written differently.
fn same_json(recorded: &str, ours: &str, ids: &mut Ids) -> bool {
    let value =
        |text: &str| serde_json::from_str::<Value>(text).ok().filter(|value| value.is_object() || value.is_array());
    let (Some(recorded), Some(ours)) = (value(recorded), value(ours)) else { return false };
    let mut found = Vec::new();
    unlike(&recorded, &ours, "", &[], ids, &mut found);
    found.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn count(recorded: &Value, ours: &Value, free: &[&str]) -> usize {
        let mut found = Vec::new();
        unlike(recorded, ours, "", free, &mut Ids::default(), &mut found);
        found.len()
    }

    #[test]
    fn no_field_may_be_missing_or_new() {
        assert_eq!(count(&json!({"a": 1, "b": "<uuid:1>"}), &json!({"b": "x", "c": 1}), &[]), 3);
        assert_eq!(count(&json!([1, 2]), &json!([2, 1]), &[]), 2);
        assert_eq!(count(&json!([1]), &json!([1, 2]), &[]), 1);
        assert_eq!(count(&json!({"a": null}), &json!({}), &[]), 1);
    }

    #[test]
    fn free_fields_must_say_something() {
        assert_eq!(count(&json!({"details": "x"}), &json!({"details": "y"}), &["details"]), 0);
        assert_eq!(count(&json!({"details": "x"}), &json!({"details": ""}), &["details"]), 1);
    }

    #[test]
    fn json_in_a_text_is_compared_as_json() {
        assert_eq!(count(&json!("{\"a\":1,\"b\":2}"), &json!("{\"b\": 2, \"a\": 1}"), &[]), 0);
        assert_eq!(count(&json!("[1]"), &json!("[2]"), &[]), 1);
    }
}
