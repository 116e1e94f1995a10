//! Plausible arguments for a tool, from the JSON Schema of its parameters.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves; deeper than this they get `null`.
const MAX_DEPTH: usize = 8;

/// Optional properties are filled in only when there are no required ones, and no more than this many.
const MAX_OPTIONAL: usize = 4;

/// An object that fits the schema of a tool's parameters, as far as the schema is ordinary.
pub(super) fn arguments(schema: &Value) -> Value {
    match example(schema, schema, "", 0) {
        object @ Value::Object(_) => object,
        _ => json!({}),
    }
}

fn example(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    let given = ["const", "default"].iter().find_map(|key| schema.get(key));
    let listed = ["enum", "examples"].iter().find_map(|key| schema.get(key)?.get(0));
    if let Some(value) = given.or(listed) {
        return value.clone();
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| example(target, root, name, depth + 1));
    }
    let choice = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
    if let Some(choice) = choice {
        let chosen = choice.iter().find(|option| type_of(option) != Some("null"));
        return chosen.map_or(Value::Null, |option| example(option, root, name, depth + 1));
    }
    match type_of(schema) {
        Some("string") => json!(string(schema, name)),
        Some("integer") => number(schema, name, true),
        Some("number") => number(schema, name, false),
        Some("boolean") => json!(true),
        Some("array") => array(schema, root, name, depth),
        Some("object") => object(schema, root, depth),
        _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => object(schema, root, depth),
        _ => Value::Null,
    }
}

/// `type`, the first that is not `null` if there are several.
fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let mut made = Map::new();
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        if let Value::Object(part) = example(part, root, "", depth + 1) {
            made.extend(part);
        }
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return made.into();
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |names| names.iter().filter_map(Value::as_str).collect());
    let optional = if required.is_empty() { MAX_OPTIONAL } else { 0 };
    let wanted =
        properties.iter().filter(|(name, _)| required.contains(&name.as_str())).chain(properties.iter().take(optional));
    for (name, property) in wanted {
        made.insert(name.clone(), example(property, root, name, depth + 1));
    }
    made.into()
}

fn array(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    // A list is more telling with two entries; no schema makes a demo long.
    let at_least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).min(5);
    let at_most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(2);
    let count = at_most.min(2).max(at_least);
    let Some(items) = schema.get("items").filter(|items| items.is_object()) else {
        return json!([]);
    };
    (0..count).map(|_| example(items, root, name, depth + 1)).collect()
}

fn number(schema: &Value, name: &str, whole: bool) -> Value {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let name = name.to_ascii_lowercase();
    let usual: f64 = match &*name {
        name if name.contains("year") => 2026.0,
        name if name.contains("lat") => 48.86,
        name if name.contains("lon") || name.contains("lng") => 2.35,
        _ => 3.0,
    };
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + 1.0)).unwrap_or(f64::MIN);
    let most = bound("maximum").or(bound("exclusiveMaximum").map(|most| most - 1.0)).unwrap_or(f64::MAX);
    let fitting = usual.max(least).min(most);
    if whole { json!(fitting.round() as i64) } else { json!(fitting) }
}

fn string(schema: &Value, name: &str) -> String {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    let text = match format {
        "date-time" => "2026-12-24T18:00:00Z",
        "date" => "2026-12-24",
        "time" => "18:00:00Z",
        "email" => "ada@example.com",
        "uri" | "url" => "https://example.com/",
        "uuid" => "7f8d1c1e-5a0b-4c39-9a53-0f4b9d6a2c11",
        _ => by_name(&name.to_ascii_lowercase()),
    };
    let longest = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let shortest = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(200);
    let mut text: String = text.chars().take(usize::try_from(longest).unwrap_or(usize::MAX)).collect();
    while (text.chars().count() as u64) < shortest {
        text.push('.');
    }
    text
}

/// People judge a demo by its arguments, so the usual names get usual values.
fn by_name(name: &str) -> &'static str {
    const USUAL: &[(&str, &str)] = &[
        ("color", "teal"),
        ("colour", "teal"),
        ("background", "teal"),
        ("theme", "dark"),
        ("city", "Paris"),
        ("location", "Paris"),
        ("place", "Paris"),
        ("country", "France"),
        ("email", "ada@example.com"),
        ("url", "https://example.com/"),
        ("date", "2026-12-24"),
        ("time", "18:00"),
        ("title", "A task from the demo agent"),
        ("task", "A task from the demo agent"),
        ("subject", "Hello from the demo agent"),
        ("query", "CopilotKit"),
        ("search", "CopilotKit"),
        ("name", "Ada"),
        ("id", "1"),
    ];
    let usual = USUAL.iter().find(|(part, _)| name.contains(part));
    usual.map_or("Hello from the demo agent", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_properties_are_filled_and_others_left_out() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "maximum": 2},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "note": {"type": "string"},
            },
            "required": ["city", "days", "unit"],
        });
        assert_eq!(arguments(&schema), json!({"city": "Paris", "days": 2, "unit": "celsius"}));
    }

    #[test]
    fn without_required_properties_some_are_filled() {
        let schema = json!({"properties": {"color": {"type": "string"}, "bold": {"type": "boolean"}}});
        assert_eq!(arguments(&schema), json!({"color": "teal", "bold": true}));
    }

    #[test]
    fn schemas_as_zod_writes_them() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 1,
                    "items": {"$ref": "#/definitions/item"},
                },
                "when": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]},
            },
            "required": ["items", "when"],
            "additionalProperties": false,
            "definitions": {"item": {
                "type": "object",
                "properties": {"name": {"type": ["null", "string"], "maxLength": 2}},
                "required": ["name"],
            }},
        });
        assert_eq!(arguments(&schema), json!({"items": [{"name": "Ad"}], "when": "2026-12-24"}));
    }

    #[test]
    fn endless_and_odd_schemas_end() {
        let endless = json!({"$ref": "#"});
        assert_eq!(arguments(&endless), json!({}));
        let tree = json!({
            "type": "object",
            "properties": {"children": {"type": "array", "minItems": 1000, "items": {"$ref": "#"}}},
            "required": ["children"],
        });
        assert!(arguments(&tree).to_string().len() < 10_000);
        for odd in [json!(null), json!(7), json!([]), json!({"type": 7, "properties": 3}), json!({"enum": []})] {
            assert_eq!(arguments(&odd), json!({}));
        }
    }
}
