//! The inspector's metadata, version 1: each part that is malformed is left out alone. Pure.

use serde_json::{Map, Value, json};
use url::Url;

use super::{integer, is_loopback};

/// What of an answer is shown; nothing of another version.
pub(super) fn sanitised(answer: &Value) -> Option<Value> {
    answer.as_object().filter(|answer| answer.get("schemaVersion").and_then(integer) == Some(1))?;
    let parts: [(&str, fn(&Value) -> Option<Value>); 5] =
        [("identity", identity), ("plan", plan), ("license", license), ("action", action), ("usage", usage)];
    let mut shown = Map::new();
    shown.insert("schemaVersion".to_owned(), json!(1));
    for (name, read) in parts {
        if let Some(part) = answer.get(name).and_then(read) {
            shown.insert(name.to_owned(), part);
        }
    }
    Some(Value::Object(shown))
}

fn identity(part: &Value) -> Option<Value> {
    Some(json!({"organizationName": text(part, "organizationName")?, "projectName": text(part, "projectName")?}))
}

fn plan(part: &Value) -> Option<Value> {
    Some(json!({"code": text(part, "code")?, "label": text(part, "label")?}))
}

fn license(part: &Value) -> Option<Value> {
    Some(json!({"state": word(part, "state", &["valid", "none", "expired", "unknown"])?}))
}

fn action(part: &Value) -> Option<Value> {
    let kind = word(part, "kind", &["manage_plan", "renew", "enable_intelligence"])?;
    Some(json!({"kind": kind, "url": link(text(part, "url")?)?}))
}

fn usage(part: &Value) -> Option<Value> {
    let limit = part.get("limit")?;
    let limit = match word(limit, "kind", &["finite", "unlimited", "unknown"])? {
        "finite" => json!({"kind": "finite", "value": integer(limit.get("value")?).filter(|value| *value >= 1)?}),
        kind => json!({"kind": kind}),
    };
    let mut usage = json!({"used": integer(part.get("used")?)?, "limit": limit});
    if let Some(count) = part.get("expiringSoonCount").and_then(integer) {
        usage["expiringSoonCount"] = json!(count);
    }
    Some(usage)
}

/// Text that is not blank, without the space around it.
fn text<'a>(part: &'a Value, name: &str) -> Option<&'a str> {
    part.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn word<'a>(part: &'a Value, name: &str, known: &[&str]) -> Option<&'a str> {
    part.get(name)?.as_str().filter(|word| known.contains(word))
}

/// A link that carries nothing and leads where it seems to lead.
fn link(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    if scheme.is_empty() || url.contains(['?', '#']) || authority.contains('@') {
        return None;
    }
    let parsed = Url::parse(url).ok()?;
    let carries_nobody = parsed.username().is_empty() && parsed.password().is_none();
    let is_trusted = match parsed.scheme() {
        "https" => parsed.has_host(),
        "http" => is_loopback(&parsed),
        _ => false,
    };
    (carries_nobody && is_trusted).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, value: Value) -> Option<Value> {
        sanitised(&json!({"schemaVersion": 1, name: value})).unwrap().get(name).cloned()
    }

    #[test]
    fn whole_metadata_come_through() {
        let whole = json!({
            "schemaVersion": 1,
            "identity": {"organizationName": "Org", "projectName": "Project"},
            "plan": {"code": "self", "label": "Self-hosted"},
            "license": {"state": "valid"},
            "action": {"kind": "renew", "url": "https://x.example/plan"},
            "usage": {"used": 4, "limit": {"kind": "finite", "value": 10}, "expiringSoonCount": 1},
        });
        assert_eq!(sanitised(&whole), Some(whole));
    }

    #[test]
    fn other_versions_are_nothing() {
        for answer in [json!({}), json!({"schemaVersion": 2}), json!({"schemaVersion": "1"}), json!([]), json!(null)] {
            assert_eq!(sanitised(&answer), None, "{answer}");
        }
        assert_eq!(sanitised(&json!({"schemaVersion": 1.0, "later": 1})), Some(json!({"schemaVersion": 1})));
    }

    #[test]
    fn malformed_part_is_left_out_alone() {
        let mixed = json!({
            "schemaVersion": 1,
            "identity": {"organizationName": " ", "projectName": "p"},
            "plan": {"code": " a ", "label": "b", "extra": 1},
            "license": {"state": "new"},
            "action": {"kind": "renew", "url": "https://x.example/?q=1"},
            "usage": {"used": -1, "limit": {"kind": "unlimited"}},
        });
        let left = json!({"schemaVersion": 1, "plan": {"code": "a", "label": "b"}});
        assert_eq!(sanitised(&mixed), Some(left));
        for usage in [
            json!({"used": 1}),
            json!({"used": 1.5, "limit": {"kind": "unknown"}}),
            json!({"used": 1, "limit": {"kind": "finite", "value": 0}}),
            json!({"used": 9_007_199_254_740_992_u64, "limit": {"kind": "unknown"}}),
        ] {
            assert_eq!(part("usage", usage.clone()), None, "{usage}");
        }
        let usage = json!({"used": 2.0, "limit": {"kind": "unlimited", "x": 1}, "expiringSoonCount": -1});
        assert_eq!(part("usage", usage), Some(json!({"used": 2, "limit": {"kind": "unlimited"}})));
    }

    #[test]
    fn links_are_safe_or_absent() {
        let link = |url: &str| part("action", json!({"kind": "manage_plan", "url": url})).is_some();
        for url in
            ["https://x.example", "https://x.example/a@b", "http://localhost:1/a", "http://127.0.0.1", "http://[::1]/"]
        {
            assert!(link(url), "{url}");
        }
        for url in [
            "http://x.example/",
            "https://x.example/#f",
            "https://me@x.example/",
            "https://me:pw@x.example/",
            "javascript://x/%0aalert(1)",
            "javascript:alert(1)",
            "//x.example/",
            "https://",
            "",
        ] {
            assert!(!link(url), "{url}");
        }
        assert_eq!(part("action", json!({"kind": "open", "url": "https://x.example"})), None);
    }
}
