//! Who gets in, from the head of a request.

#[path = "../../tests/support/signer.rs"]
pub(super) mod signer;

use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use http::header::AUTHORIZATION;
use serde_json::json;

use self::signer::Signer;
use super::*;

const KEY: &str = "ckr_0123456789abcdef0123456789abcdef";

struct Door {
    access: Access,
    signer: Signer,
}

impl Door {
    /// Takes keys, tokens, and tokens in the cookie `session`.
    fn new() -> Door {
        let signer = Signer::new("HS256");
        let key = Key::secret(Algorithm::HS256, signer.secret()).unwrap();
        let keys = ApiKeys::new().with(KeyHash::of(KEY), User::new("bot").named("Bot"));
        let access = Access::new().jwt(Jwt::builder().key(key).build().unwrap()).api_keys(keys);
        Door { access: access.cookie("session", |origin| origin == "https://app.example.com"), signer }
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        self.signer.token(&json!({"sub": "ada", "exp": now + 3600}))
    }

    async fn asked(&self, method: Method, given: &[(&str, &str)]) -> Result<User, IdentifyError> {
        let request = given
            .iter()
            .fold(http::Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.uri("/threads").body(()).unwrap().into_parts();
        self.access.identify(&head).await
    }

    /// The id of the user, or the variant and the reason.
    async fn told(&self, given: &[(&str, &str)]) -> String {
        match self.asked(Method::POST, given).await {
            Ok(user) => user.id,
            Err(error) => format!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn keys_and_tokens_say_who_it_is() {
    let door = Door::new();
    let token = door.token();
    let (bearer, cookie) = (format!("Bearer {token}"), format!("a=b; session={token}"));
    for (given, wanted) in [
        (&[("x-api-key", KEY)][..], "bot"),
        (&[("authorization", &format!("Bearer {KEY}"))], "bot"),
        (&[("authorization", &bearer)], "ada"),
        (&[("cookie", &cookie)], "ada"),
        (&[("x-api-key", KEY), ("authorization", &bearer)], "bot"),
        (&[], "Unauthenticated"),
        (&[("authorization", "Basic YTpi")], "Unauthenticated"),
        // The first that is there counts, and no other.
        (&[("x-api-key", "wrong"), ("authorization", &bearer)], "Invalid(\"the API key is not known\")"),
        (&[("authorization", "Bearer a.b.c"), ("cookie", &cookie)], "Invalid(\"the token is no JWT\")"),
    ] {
        assert_eq!(door.told(given).await, wanted, "{given:?}");
    }
}

#[tokio::test]
async fn a_key_is_kept_from_agents_and_a_token_is_not() {
    let door = Door::new();
    let withheld = async |given: &[(&str, &str)]| door.asked(Method::POST, given).await.unwrap().withheld;
    assert_eq!(withheld(&[("x-api-key", KEY)]).await, [presented::X_API_KEY]);
    assert_eq!(withheld(&[("authorization", &format!("Bearer {KEY}"))]).await, [AUTHORIZATION]);
    assert!(withheld(&[("authorization", &format!("Bearer {}", door.token()))]).await.is_empty());
}

#[tokio::test]
async fn a_cookie_changes_nothing_for_a_page_of_another_origin() {
    let door = Door::new();
    let (cookie, bearer) = (format!("session={}", door.token()), format!("Bearer {}", door.token()));
    let evil = [("origin", "https://evil.test"), ("host", "chat.example.com")];
    let with = |shown: (&'static str, &str)| -> Vec<(&'static str, String)> {
        evil.iter().map(|(name, value)| (*name, (*value).to_owned())).chain([(shown.0, shown.1.to_owned())]).collect()
    };
    for (given, method, is_in) in [
        (with(("cookie", &cookie)), Method::POST, false),
        (with(("cookie", &cookie)), Method::DELETE, false),
        (with(("cookie", &cookie)), Method::GET, true),
        // No page can make a browser add these.
        (with(("authorization", &bearer)), Method::POST, true),
    ] {
        let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let asked = door.asked(method.clone(), &given).await;
        assert_eq!(asked.is_ok(), is_in, "{method} {asked:?}");
        assert!(is_in || matches!(asked, Err(IdentifyError::Forbidden(_))), "{asked:?}");
    }
    assert_eq!(door.told(&[("cookie", &cookie), ("origin", "https://app.example.com")]).await, "ada");
}

#[tokio::test]
async fn what_is_not_configured_lets_nobody_in() {
    let token = Door::new().token();
    let only_keys = Access::new().api_keys(ApiKeys::new().with(KeyHash::of(KEY), User::new("bot")));
    let only_keys = Door { access: only_keys.cookie("session", |_| true), signer: Signer::new("HS256") };
    assert_eq!(
        only_keys.told(&[("authorization", &format!("Bearer {token}"))]).await,
        "Invalid(\"the API key is not known\")"
    );
    assert_eq!(only_keys.told(&[("cookie", &format!("session={token}"))]).await, "Unauthenticated");
    let nothing = Door { access: Access::new(), signer: Signer::new("HS256") };
    assert_eq!(nothing.told(&[("x-api-key", KEY)]).await, "Unauthenticated");
}
