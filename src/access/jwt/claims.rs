//! What a token's claims must be, and who they make of whoever sent it. Pure: the time is an argument.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::token::Rejected;
use crate::runtime::{Claims, User, is_identifier};

/// What is asked of a token's claims.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// One of these; none for any.
    pub(super) issuers: Vec<String>,
    /// One of these; none for tokens that name no audience.
    pub(super) audiences: Vec<String>,
    /// How far the clocks may be apart.
    pub(super) leeway: Duration,
    /// Each with one of its texts, or with any if there are none.
    pub(super) required: Vec<(String, Vec<String>)>,
    /// Where the user's id and name stand.
    pub(super) id_claim: String,
    pub(super) name_claim: String,
}

impl Expected {
    /// Whose claims they are, now.
    pub(super) fn user(&self, claims: Map<String, Value>, now: SystemTime) -> Result<User, Rejected> {
        self.check_times(&claims, now)?;
        self.check_parties(&claims)?;
        let claims = Claims::from(claims);
        let id = match claims.get(&self.id_claim) {
            Some(Value::String(id)) => user_id(id),
            Some(Value::Number(id)) => user_id(&id.to_string()),
            _ => None,
        };
        let id = id.ok_or(Rejected::NoUser)?;
        let suffices = |(name, wanted): &(String, Vec<String>)| match wanted.as_slice() {
            [] => claims.get(name).is_some_and(|value| !value.is_null()),
            texts => texts.iter().any(|text| claims.holds(name, text)),
        };
        if !self.required.iter().all(suffices) {
            return Err(Rejected::Insufficient);
        }
        let name = claims.get(&self.name_claim).and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
        let name = name.map(str::to_owned);
        Ok(User { name, ..User::new(id).with_claims(claims) })
    }

    fn check_times(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<(), Rejected> {
        // Before 1970 no token is valid.
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Rejected::Malformed),
        };
        if now >= time("exp")?.ok_or(Rejected::Endless)? + leeway {
            return Err(Rejected::Expired);
        }
        match time("nbf")? {
            Some(begin) if now + leeway < begin => Err(Rejected::TooEarly),
            _ => Ok(()),
        }
    }

    fn check_parties(&self, claims: &Map<String, Value>) -> Result<(), Rejected> {
        let issuer = claims.get("iss").and_then(Value::as_str);
        if !self.issuers.is_empty() && !issuer.is_some_and(|issuer| self.issuers.iter().any(|known| known == issuer)) {
            return Err(Rejected::Issuer);
        }
        let is_meant =
            |audience: &Value| audience.as_str().is_some_and(|one| self.audiences.iter().any(|we| we == one));
        let is_ours = match claims.get("aud") {
            // Who names no audience means everybody; but whoever has a name here wants to be called by it.
            None => self.audiences.is_empty(),
            Some(Value::Array(audiences)) => audiences.iter().any(is_meant),
            Some(audience) => is_meant(audience),
        };
        if is_ours { Ok(()) } else { Err(Rejected::Audience) }
    }
}

/// The id of a user as the runtime can take it: ids are letters, digits and `_ . @ : = -`, at most 128. Other bytes become
/// `=` and two hexadecimal digits, as in `auth0=7Cada` for `auth0|ada`, so that no two users become one. Nothing comes of
/// an id that is empty or too long.
#[must_use]
pub fn user_id(claimed: &str) -> Option<String> {
    let bytes = claimed.as_bytes();
    let mut id = String::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        let is_code = || bytes.get(at + 1..at + 3).is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit));
        let is_plain = byte.is_ascii_alphanumeric() || b"_.@:-".contains(byte) || (*byte == b'=' && !is_code());
        if is_plain {
            id.push(char::from(*byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(id, "={byte:02X}");
        }
    }
    is_identifier(&id).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn expected() -> Expected {
        Expected {
            issuers: vec!["https://id.example".to_owned()],
            audiences: vec!["chat".to_owned(), "beta".to_owned()],
            leeway: Duration::from_secs(60),
            required: Vec::new(),
            id_claim: "sub".to_owned(),
            name_claim: "name".to_owned(),
        }
    }

    fn good() -> Value {
        json!({"iss": "https://id.example", "aud": "chat", "sub": "ada", "exp": NOW + 60})
    }

    /// What becomes of the good claims with some of them changed; `null` takes one away.
    fn judged(expected: &Expected, changes: Value) -> Result<User, Rejected> {
        let (Value::Object(mut claims), Value::Object(changes)) = (good(), changes) else { panic!("objects") };
        for (name, value) in changes {
            match value {
                Value::Null => drop(claims.remove(&name)),
                value => drop(claims.insert(name, value)),
            }
        }
        expected.user(claims, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn a_token_lives_from_its_begin_to_its_end_give_or_take_the_leeway() {
        let expected = expected();
        for (exp, result) in
            [(NOW + 1, Ok(())), (NOW - 59, Ok(())), (NOW - 60, Err(Rejected::Expired)), (0, Err(Rejected::Expired))]
        {
            assert_eq!(judged(&expected, json!({"exp": exp})).map(drop), result, "exp {exp}");
        }
        for (nbf, result) in [(0, Ok(())), (NOW, Ok(())), (NOW + 60, Ok(())), (NOW + 61, Err(Rejected::TooEarly))] {
            assert_eq!(judged(&expected, json!({"nbf": nbf})).map(drop), result, "nbf {nbf}");
        }
        assert_eq!(judged(&expected, json!({"exp": null})), Err(Rejected::Endless));
        assert_eq!(judged(&expected, json!({"exp": "tomorrow"})), Err(Rejected::Malformed));
        assert_eq!(judged(&expected, json!({"nbf": true})), Err(Rejected::Malformed));
        assert!(judged(&expected, json!({"exp": (NOW as f64) + 0.5})).is_ok());
    }

    #[test]
    fn a_token_is_from_a_known_issuer_and_meant_for_us() {
        let expected = expected();
        for issuer in
            [json!(null), json!("https://id.example/"), json!("https://evil.test"), json!(["https://id.example"])]
        {
            assert_eq!(judged(&expected, json!({"iss": issuer})), Err(Rejected::Issuer), "{issuer}");
        }
        for audience in [json!("chat"), json!("beta"), json!(["other", "chat"])] {
            assert!(judged(&expected, json!({"aud": audience})).is_ok(), "{audience}");
        }
        for audience in
            [json!(null), json!("other"), json!(["other"]), json!([]), json!({"chat": 1}), json!("chat beta")]
        {
            assert_eq!(judged(&expected, json!({"aud": audience})), Err(Rejected::Audience), "{audience}");
        }
    }

    #[test]
    fn without_an_audience_of_ours_a_token_may_have_none() {
        let expected = Expected { audiences: Vec::new(), ..expected() };
        assert!(judged(&expected, json!({"aud": null})).is_ok());
        assert_eq!(judged(&expected, json!({"aud": "somebody else"})), Err(Rejected::Audience));
    }

    #[test]
    fn a_required_claim_that_is_missing_is_not_enough() {
        let required = vec![
            ("email_verified".to_owned(), vec!["true".to_owned()]),
            ("realm_access.roles".to_owned(), vec!["chat".to_owned(), "admin".to_owned()]),
            ("org".to_owned(), Vec::new()),
        ];
        let expected = Expected { required, ..expected() };
        let enough = json!({"email_verified": true, "realm_access": {"roles": ["x", "admin"]}, "org": "acme"});
        assert!(judged(&expected, enough.clone()).is_ok());
        for (name, value) in
            [("email_verified", json!(false)), ("realm_access", json!({"roles": ["x"]})), ("org", json!(null))]
        {
            let mut lacking = enough.clone();
            lacking[name] = value;
            assert_eq!(judged(&expected, lacking), Err(Rejected::Insufficient), "{name}");
        }
    }

    #[test]
    fn the_user_is_who_the_claims_name() {
        let named = judged(&expected(), json!({"sub": "auth0|ada", "name": " Ada "})).unwrap();
        assert_eq!((named.id.as_str(), named.name.as_deref()), ("auth0=7Cada", Some("Ada")));
        assert!(named.claims.holds("sub", "auth0|ada"));
        for name in [json!(null), json!(" "), json!(7)] {
            assert_eq!(judged(&expected(), json!({"name": name})).unwrap().name, None, "{name}");
        }
        let by_number = Expected { id_claim: "account.id".to_owned(), ..expected() };
        assert_eq!(judged(&by_number, json!({"account": {"id": 42}})).unwrap().id, "42");
        for id in [json!(null), json!(""), json!(["ada"]), json!(true), json!("x".repeat(129)), json!("|".repeat(43))] {
            assert_eq!(judged(&expected(), json!({"sub": id})), Err(Rejected::NoUser), "{id}");
        }
    }

    #[test]
    fn ids_stay_as_they_are_where_that_can_be() {
        for id in ["ada", "a.b@c:d_e-f", "YWRh=", "YWRhMQ=="] {
            assert_eq!(user_id(id).as_deref(), Some(id));
        }
        for (claimed, id) in [("auth0|x", "auth0=7Cx"), ("a b", "a=20b"), ("é", "=C3=A9"), ("a=7Cb", "a=3D7Cb")] {
            assert_eq!(user_id(claimed).as_deref(), Some(id));
        }
    }

    proptest! {
        #[test]
        fn no_two_users_become_one(ids in prop::collection::vec("[=|7Ccad ]{1,6}", 2..40)) {
            let mut seen = HashMap::new();
            for id in ids {
                let made = user_id(&id).expect("short enough");
                let before = seen.insert(made.clone(), id.clone());
                prop_assert!(before.as_ref().is_none_or(|before| *before == id), "{before:?} and {id} are {made}");
            }
        }
    }
}
