//! What is known of a user besides their id and name.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The claim whose text is a list of words (RFC 8693, 4.2).
const WORDS: &str = "scope";

/// What is known of a user: the claims of their token, or what the application has to say. Agents may be reserved for
/// who has certain ones ([`Allow`](crate::Allow)). `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Claims(Option<Arc<Map<String, Value>>>);

impl Claims {
    /// The claim of a name. Dots lead into objects, as in `realm_access.roles`; a claim whose whole name has dots comes
    /// first.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let claims = self.0.as_deref()?;
        claims.get(name).or_else(|| {
            let (first, rest) = name.split_once('.')?;
            rest.split('.').try_fold(claims.get(first)?, |value, step| value.get(step))
        })
    }

    /// Whether a claim is this text, or a list that holds it. Numbers and switches are compared as JSON writes them;
    /// of `scope` every word counts.
    #[must_use]
    pub fn holds(&self, name: &str, wanted: &str) -> bool {
        match self.get(name) {
            Some(Value::Array(values)) => values.iter().any(|value| is(value, wanted)),
            Some(Value::String(words)) if name == WORDS => words.split(' ').any(|word| word == wanted),
            Some(value) => is(value, wanted),
            None => false,
        }
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Bool(on) => on.to_string() == wanted,
        Value::Number(number) => number.to_string() == wanted,
        _ => false,
    }
}

impl From<Map<String, Value>> for Claims {
    fn from(claims: Map<String, Value>) -> Claims {
        Claims((!claims.is_empty()).then(|| Arc::new(claims)))
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().flat_map(|claims| claims.keys())).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else { panic!("no object") };
        claims.into()
    }

    #[test]
    fn a_claim_holds_its_text_or_an_item_of_its_list() {
        let claims = claims(json!({
            "org": "acme", "verified": true, "level": 3, "roles": ["staff", "admin"], "scope": "chat read",
            "realm_access": {"roles": ["realm-admin"]}, "https://x.example/role.name": "boss", "none": null,
        }));
        for (name, wanted) in [
            ("org", "acme"),
            ("verified", "true"),
            ("level", "3"),
            ("roles", "admin"),
            ("scope", "read"),
            ("realm_access.roles", "realm-admin"),
            ("https://x.example/role.name", "boss"),
        ] {
            assert!(claims.holds(name, wanted), "{name} {wanted}");
        }
        for (name, wanted) in [
            ("org", "acm"),
            ("org", ""),
            ("roles", "staff,admin"),
            ("scope", "chat read"),
            ("scope", "rea"),
            ("realm_access", "roles"),
            ("realm_access.roles.0", "realm-admin"),
            ("none", "null"),
            ("missing", ""),
        ] {
            assert!(!claims.holds(name, wanted), "{name} {wanted}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        assert_eq!(format!("{:?}", claims(json!({"email": "ada@example.com"}))), r#"{"email"}"#);
    }
}
