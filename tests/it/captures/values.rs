//! Comparing JSON by value, with the placeholders of a recording.

use std::fmt;

use serde_json::Value;

/// Two values that should have been alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unlike {
    /// Where, as a path.
    pub(crate) at: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Unlike {
    pub(crate) fn new(at: &str, expected: impl fmt::Display, got: impl fmt::Display) -> Unlike {
        Unlike { at: at.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }
}

/// Which texts of a recording are a library's own words, not the runtime's.
pub(crate) trait FreeText {
    /// Whether the message of this `RUN_ERROR` may read differently.
    fn is_free(&self, error: &Value) -> bool;
}

/// Lists where `got` is unlike `expected`.
pub(crate) fn unlike(expected: &Value, got: &Value, at: &str, texts: &dyn FreeText, found: &mut Vec<Unlike>) {
    match (expected, got) {
        (Value::Object(wanted), Value::Object(has)) => {
            let free = expected["type"] == "RUN_ERROR" && texts.is_free(expected);
            for (name, value) in wanted {
                let at = format!("{at}.{name}");
                match has.get(name) {
                    None => found.push(Unlike::new(&at, value, "nothing")),
                    Some(Value::String(text)) if free && name == "message" => {
                        if text.is_empty() {
                            found.push(Unlike::new(&at, "some text", "an empty one"));
                        }
                    }
                    Some(has) => unlike(value, has, &at, texts, found),
                }
            }
            for (name, value) in has.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                found.push(Unlike::new(&format!("{at}.{name}"), "nothing", value));
            }
        }
        (Value::Array(wanted), Value::Array(has)) => {
            let before = found.len();
            for (index, pair) in wanted.iter().zip(has).enumerate() {
                unlike(pair.0, pair.1, &format!("{at}[{index}]"), texts, found);
                if found.len() > before {
                    break; // what follows is most likely shifted
                }
            }
            if wanted.len() != has.len() {
                found.push(Unlike::new(&format!("{at} as a whole"), outline(wanted), outline(has)));
            }
        }
        (Value::String(wanted), _) if wanted == "<EPOCH_MS>" => {
            if got.as_u64().is_none_or(|ms| ms < 1_500_000_000_000) {
                found.push(Unlike::new(at, wanted, got));
            }
        }
        (Value::String(wanted), Value::String(has)) => {
            if !text_matches(wanted, has) {
                found.push(Unlike::new(at, expected, got));
            }
        }
        (Value::Number(wanted), Value::Number(has)) if wanted.as_f64() == has.as_f64() => {}
        _ if expected == got => {}
        _ => found.push(Unlike::new(at, expected, got)),
    }
}

/// A list, its events by type.
fn outline(items: &[Value]) -> String {
    let name = |item: &Value| item["type"].as_str().map_or_else(|| item.to_string(), str::to_owned);
    format!("{}: {}", items.len(), items.iter().map(name).collect::<Vec<_>>().join(", "))
}

/// Whether a text is what a recorded text with placeholders stands for.
pub(crate) fn text_matches(wanted: &str, has: &str) -> bool {
    if matches!(wanted, "<RUNTIME_VERSION>" | "<CLASS_NAME>") {
        return !has.is_empty();
    }
    let (plain, mask) = match (wanted.find("<UUID>"), wanted.find("<ISO8601>")) {
        (None, None) => return wanted == has,
        (Some(uuid), iso) if iso.is_none_or(|iso| uuid < iso) => (uuid, Mask::Uuid),
        (_, iso) => (iso.unwrap_or_default(), Mask::Iso8601),
    };
    let (before, rest) = wanted.split_at(plain);
    let Some(has) = has.strip_prefix(before) else { return false };
    let (name, length) = mask.shape();
    has.get(..length).is_some_and(|value| mask.admits(value)) && text_matches(&rest[name.len()..], &has[length..])
}

/// Whether a text holds placeholders.
pub(crate) fn is_masked(text: &str) -> bool {
    ["<UUID>", "<ISO8601>", "<EPOCH_MS>", "<RUNTIME_VERSION>", "<CLASS_NAME>"].iter().any(|mask| text.contains(mask))
}

#[derive(Clone, Copy)]
enum Mask {
    Uuid,
    Iso8601,
}

impl Mask {
    fn shape(self) -> (&'static str, usize) {
        match self {
            Mask::Uuid => ("<UUID>", "xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx".len()),
            Mask::Iso8601 => ("<ISO8601>", "0000-00-00T00:00:00.000Z".len()),
        }
    }

    fn admits(self, value: &str) -> bool {
        let pattern = match self {
            Mask::Uuid => "xxxxxxxx-xxxx-4xxx-xxxx-xxxxxxxxxxxx",
            Mask::Iso8601 => "0000-00-00T00:00:00.000Z",
        };
        value.bytes().zip(pattern.bytes()).all(|(byte, pattern)| match pattern {
            b'x' => byte.is_ascii_hexdigit(),
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Fixed;
    impl FreeText for Fixed {
        fn is_free(&self, _: &Value) -> bool {
            false
        }
    }

    fn alike(expected: &Value, got: &Value) -> bool {
        let mut found = Vec::new();
        unlike(expected, got, "", &Fixed, &mut found);
        found.is_empty()
    }

    #[test]
    fn placeholders_stand_for_what_they_name() {
        assert!(text_matches("<UUID>-m1", "0b0e7d9c-3f43-4a4e-8f6c-2f1f0d9f2b11-m1"));
        assert!(!text_matches("<UUID>-m1", "0b0e7d9c-3f43-1a4e-8f6c-2f1f0d9f2b11-m1"));
        assert!(text_matches("<ISO8601>", "2026-01-02T03:04:05.006Z"));
        assert!(!text_matches("<ISO8601>", "2026-01-02T03:04:05Z"));
        assert!(alike(&json!("<EPOCH_MS>"), &json!(1_760_000_000_000_u64)));
        assert!(!alike(&json!("<EPOCH_MS>"), &json!("1760000000000")));
    }

    #[test]
    fn keys_have_no_order_but_none_may_be_missing_or_new() {
        assert!(alike(&json!({"a": 1, "b": null}), &json!({"b": null, "a": 1.0})));
        assert!(!alike(&json!({"a": 1}), &json!({"a": 1, "b": null})));
        assert!(!alike(&json!({"a": 1, "b": null}), &json!({"a": 1})));
        assert!(!alike(&json!([1, 2]), &json!([2, 1])));
    }
}
