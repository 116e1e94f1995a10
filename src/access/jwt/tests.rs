//! Tokens with real signatures, and the keys of a URL in paused time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::tests::signer::{Signer, hmac_sha};
use super::*;

const NOW: u64 = 1_800_000_000;

const EVERY: [&str; 12] =
    ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

fn claims() -> Value {
    json!({"sub": "ada", "exp": NOW + 600})
}

fn key_of(signer: &Signer, algorithm: &str) -> Key {
    let algorithm: Algorithm = algorithm.parse().unwrap();
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Key::secret(algorithm, signer.secret()).unwrap(),
        _ => Key::public_pem(algorithm, &signer.pem()).unwrap(),
    }
}

/// The id of a token's user, or why there is none.
async fn asked(jwt: &Jwt, token: &str) -> Result<String, String> {
    let user = jwt.user_at(token, UNIX_EPOCH + Duration::from_secs(NOW)).await;
    user.map(|user| user.id).map_err(|error| error.to_string())
}

fn with_key(key: Key) -> Jwt {
    Jwt::builder().key(key).build().unwrap()
}

#[tokio::test]
async fn every_algorithm_is_verified_by_its_own_key_and_no_other() {
    for algorithm in EVERY {
        let (signer, other) = (Signer::new(algorithm), Signer::new(algorithm));
        let jwt = with_key(key_of(&signer, algorithm));
        let token = signer.token(&claims());
        assert_eq!(asked(&jwt, &token).await.as_deref(), Ok("ada"), "{algorithm}");
        if !algorithm.starts_with("HS") {
            let wrong = Err("the token's signature is wrong".to_owned());
            assert_eq!(asked(&jwt, &other.token(&claims())).await, wrong, "{algorithm}");
        }
    }
}

#[tokio::test]
async fn every_public_key_of_a_set_verifies_its_tokens() {
    for algorithm in EVERY.into_iter().filter(|algorithm| !algorithm.starts_with("HS")) {
        let signer = Signer::new(algorithm).named("k");
        let set = json!({"keys": [signer.jwk()]}).to_string();
        let keys = jwks::parse(set.as_bytes(), &[algorithm.parse().unwrap()]).unwrap();
        let token = signer.token(&claims());
        let read = Unverified::read(&token).unwrap();
        assert_eq!(read.verified_by(&keys).map(Value::Object), Ok(claims()), "{algorithm}");
    }
}

#[tokio::test]
async fn what_was_changed_after_signing_is_refused() {
    let signer = Signer::new("ES256");
    let jwt = with_key(key_of(&signer, "ES256"));
    let token = signer.token(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let of_eve = URL_SAFE_NO_PAD.encode(json!({"sub": "eve", "exp": NOW + 600}).to_string());
    let wrong = "the token's signature is wrong";
    let malformed = "the token is no JWT";
    for (token, reason) in [
        (format!("{}.{of_eve}.{}", parts[0], parts[2]), wrong),
        (format!("{}.{}.", parts[0], parts[1]), wrong),
        (format!("{}.{}.{}", parts[0], parts[1], &parts[2][..40]), wrong),
        (format!("{}.{}", parts[0], parts[1]), malformed),
        (format!("{token}."), malformed),
        (format!("{token}="), malformed),
        (format!(" {token}"), malformed),
        (String::new(), malformed),
        ("..".to_owned(), malformed),
        ("a.b.c".to_owned(), malformed),
        (format!("{}.x", parts.join(".")), malformed),
    ] {
        assert_eq!(asked(&jwt, &token).await, Err(reason.to_owned()), "{token}");
    }
}

#[tokio::test]
async fn no_token_chooses_how_it_is_checked() {
    let signer = Signer::new("RS256");
    let jwt = with_key(key_of(&signer, "RS256"));
    let body = URL_SAFE_NO_PAD.encode(claims().to_string());
    // The public key taken for a secret.
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256"}).to_string());
    let signed = format!("{header}.{body}");
    for secret in [signer.pem().as_bytes(), signer.pem().trim().as_bytes()] {
        let signature = URL_SAFE_NO_PAD.encode(hmac_sha("HS256", secret, signed.as_bytes()));
        let refused = asked(&jwt, &format!("{signed}.{signature}")).await;
        assert_eq!(refused, Err("the token is signed with a key that is not known here".to_owned()));
    }
    // No signature at all, in every spelling.
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let token = signer.token_with(&json!({"alg": none}), &claims());
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        for token in [&token, &format!("{unsigned}.")] {
            let refused = asked(&jwt, token).await;
            assert_eq!(refused, Err("the token names an algorithm that is not taken here".to_owned()), "{none}");
        }
    }
    // The right key under another of its family's algorithms.
    let token = signer.token_with(&json!({"alg": "PS256"}), &claims());
    assert_eq!(asked(&jwt, &token).await, Err("the token is signed with a key that is not known here".to_owned()));
    // A key the token brings itself.
    let eve = Signer::new("RS256");
    for header in [json!({"alg": "RS256", "jwk": eve.jwk()}), json!({"alg": "RS256", "jku": "https://evil.test/keys"})]
    {
        let refused = asked(&jwt, &eve.token_with(&header, &claims())).await;
        assert_eq!(refused, Err("the token's signature is wrong".to_owned()), "{header}");
    }
    let critical = signer.token_with(&json!({"alg": "RS256", "crit": ["b64"], "b64": false}), &claims());
    assert_eq!(asked(&jwt, &critical).await, Err("the token demands extensions that are not known here".to_owned()));
}

#[tokio::test]
async fn a_token_names_its_key() {
    let (old, new) = (Signer::new("ES256").named("old"), Signer::new("ES256").named("new"));
    let jwt = Jwt::builder().key(key_of(&old, "ES256").with_id("old")).key(key_of(&new, "ES256").with_id("new"));
    let jwt = jwt.build().unwrap();
    for signer in [&old, &new] {
        assert!(asked(&jwt, &signer.token(&claims())).await.is_ok());
        // Without a name every key may be the one.
        assert!(asked(&jwt, &signer.token_with(&json!({"alg": "ES256"}), &claims())).await.is_ok());
    }
    let lying = old.token_with(&json!({"alg": "ES256", "kid": "new"}), &claims());
    assert_eq!(asked(&jwt, &lying).await, Err("the token's signature is wrong".to_owned()));
    let unknown = old.token_with(&json!({"alg": "ES256", "kid": "older"}), &claims());
    assert_eq!(asked(&jwt, &unknown).await, Err("the token is signed with a key that is not known here".to_owned()));
}

#[tokio::test]
async fn what_the_claims_lack_is_told() {
    let signer = Signer::new("HS256");
    let jwt = Jwt::builder().key(key_of(&signer, "HS256")).issuer("https://id.example").require("org", ["acme"]);
    let jwt = jwt.build().unwrap();
    let mut claims = json!({"sub": "ada", "iss": "https://id.example", "org": "acme", "exp": NOW - 60});
    assert_eq!(asked(&jwt, &signer.token(&claims)).await, Err("the token has expired".to_owned()));
    claims["exp"] = json!(NOW);
    claims["org"] = json!("other");
    let refused = jwt.user_at(&signer.token(&claims), UNIX_EPOCH + Duration::from_secs(NOW)).await;
    assert!(
        matches!(refused, Err(IdentifyError::Forbidden("the token lacks a claim that is required"))),
        "{refused:?}"
    );
    claims["org"] = json!("acme");
    assert_eq!(asked(&jwt, &signer.token(&claims)).await.as_deref(), Ok("ada"));
    let no_object = signer.token(&json!(["ada"]));
    assert_eq!(asked(&jwt, &no_object).await, Err("the token is no JWT".to_owned()));
}

#[test]
fn keys_fit_their_algorithms_or_are_none() {
    let (rsa, ec, ed) = (Signer::new("RS256").pem(), Signer::new("ES256").pem(), Signer::new("EdDSA").pem());
    for (algorithm, pem) in [
        (Algorithm::ES256, &rsa),
        (Algorithm::RS256, &ec),
        (Algorithm::ES384, &ec),
        (Algorithm::PS256, &ed),
        (Algorithm::EdDSA, &rsa),
    ] {
        assert_eq!(Key::public_pem(algorithm, pem).unwrap_err(), KeyError::Unfit(algorithm));
    }
    assert_eq!(Key::public_pem(Algorithm::HS256, &rsa).unwrap_err(), KeyError::WantsSecret(Algorithm::HS256));
    assert_eq!(Key::secret(Algorithm::RS256, rsa.as_bytes()).unwrap_err(), KeyError::WantsPublicKey(Algorithm::RS256));
    for (algorithm, shortest) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        assert_eq!(Key::secret(algorithm, &vec![7; shortest - 1]).unwrap_err(), KeyError::ShortSecret(algorithm));
        assert!(Key::secret(algorithm, &vec![7; shortest]).is_ok());
    }
    let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    assert_eq!(Key::public_pem(Algorithm::RS256, private).unwrap_err(), KeyError::Private);
    for nothing in ["", "AAAA", "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----"]
    {
        assert_eq!(Key::public_pem(Algorithm::RS256, nothing).unwrap_err(), KeyError::NotPem, "{nothing}");
    }
}

#[test]
fn of_a_set_only_keys_for_signatures_are_taken() {
    let taken = [Algorithm::RS256, Algorithm::ES256];
    let good = || Signer::new("ES256").named("good").jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = good();
        jwk[name] = value;
        jwk
    };
    let kept =
        |keys: Value| jwks::parse(json!({ "keys": keys }).to_string().as_bytes(), &taken).map(|set| format!("{set:?}"));
    let one = Ok(r#"[Key { id: Some("good"), algorithms: [ES256], .. }]"#.to_owned());
    assert_eq!(kept(json!([good()])), one);
    assert_eq!(kept(json!([with("alg", json!("ES256")), with("use", json!("enc"))])), one);
    assert_eq!(kept(json!([with("use", json!("sig")), {"kty": "new"}, 7, {"kty": "RSA", "n": "!", "e": "AQAB"}])), one);
    for none in [
        json!([]),
        json!([with("use", json!("enc"))]),
        json!([with("key_ops", json!(["encrypt"]))]),
        json!([with("alg", json!("RS256"))]),
        // A secret, which is none where everybody can read it.
        json!([Signer::new("HS256").jwk()]),
        json!([Signer::new("ES384").jwk()]),
        json!([Signer::new("EdDSA").jwk()]),
    ] {
        assert_eq!(kept(none.clone()), Err(jwks::NotKeys::Empty), "{none}");
    }
    for nothing in ["", "[]", "{}", "{\"keys\":7}", "<html>"] {
        assert_eq!(jwks::parse(nothing.as_bytes(), &taken).map(drop), Err(jwks::NotKeys::Malformed), "{nothing}");
    }
    let many: Vec<Value> = (0..keys::MOST_KEYS + 1).map(|_| good()).collect();
    assert_eq!(kept(json!(many)).unwrap().matches("Key {").count(), keys::MOST_KEYS);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let fails = |builder: JwtBuilder| builder.build().map(drop).unwrap_err();
    assert_eq!(fails(Jwt::builder()), BuildError::NoKeys);
    for url in ["", "nowhere", "http://id.example/keys", "ftp://id.example/keys", "http://localhost.example/"] {
        assert_eq!(fails(Jwt::builder().jwks_url(url)), BuildError::JwksUrl, "{url}");
    }
    let set = || Jwt::builder().jwks_url("https://id.example/keys");
    assert_eq!(fails(set().algorithms([Algorithm::HS256])), BuildError::SecretAlgorithm(Algorithm::HS256));
    assert_eq!(fails(set().algorithms([])), BuildError::NoAlgorithm);
    let secret = Key::secret(Algorithm::HS256, &[7; 32]).unwrap();
    let many = (0..=keys::MOST_KEYS).fold(Jwt::builder(), |builder, _| builder.key(secret.clone()));
    assert_eq!(fails(many), BuildError::TooManyKeys);
}

/// A URL that answers with what it holds, after a second, and counts how often it was asked.
struct Url {
    holds: Mutex<Option<Vec<Value>>>,
    asked: AtomicUsize,
}

impl Url {
    fn new(signers: &[&Signer]) -> Arc<Url> {
        let url = Arc::new(Url { holds: Mutex::default(), asked: AtomicUsize::new(0) });
        url.hold(signers);
        url
    }

    fn hold(&self, signers: &[&Signer]) {
        *self.holds.lock() = Some(signers.iter().map(|signer| signer.jwk()).collect());
    }

    fn fail(&self) {
        *self.holds.lock() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Asks again after an hour, and no more often than every ten seconds.
    fn jwt(self: &Arc<Url>) -> Jwt {
        let url = self.clone();
        let fetch: Box<remote::Fetch> = Box::new(move || {
            let url = url.clone();
            async move {
                url.asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                let held = url.holds.lock().clone().ok_or("the answer is HTTP 500")?;
                jwks::parse(json!({ "keys": held }).to_string().as_bytes(), &Algorithm::ALL)
                    .map_err(|error| error.to_string())
            }
            .boxed()
        });
        let remote = Remote::new(fetch, Duration::from_secs(3600), Duration::from_secs(10));
        let Jwt { checks } = with_key(Key::secret(Algorithm::HS512, &[7; 64]).unwrap());
        let expected = checks.expected.clone();
        Jwt { checks: Arc::new(Checks { expected, own: KeySet::default(), remote: Some(remote) }) }
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const ADA: Result<&str, &str> = Ok("ada");
const UNKNOWN: Result<&str, &str> = Err("the token is signed with a key that is not known here");
const NO_KEYS: Result<&str, &str> = Err("the keys of tokens are not known yet");

/// As [`asked`], in a form that reads well.
macro_rules! assert_asked {
    ($jwt:expr, $token:expr, $wanted:expr) => {
        assert_eq!(asked(&$jwt, &$token).await.as_deref().map_err(String::as_str), $wanted)
    };
}

#[tokio::test(start_paused = true)]
async fn many_tokens_at_once_are_one_question() {
    let signer = Signer::new("ES256").named("a");
    let (url, token) = (Url::new(&[&signer]), signer.token(&claims()));
    let jwt = url.jwt();
    let all = futures_util::future::join_all((0..50).map(|_| asked(&jwt, &token))).await;
    assert!(all.iter().all(|one| one.as_deref() == Ok("ada")), "{all:?}");
    assert_eq!(url.asked(), 1);
    pass(3000).await;
    assert_asked!(jwt, token, ADA);
    assert_eq!(url.asked(), 1, "keys are kept");
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_when_a_token_names_it() {
    let (old, new) = (Signer::new("ES256").named("old"), Signer::new("ES256").named("new"));
    let url = Url::new(&[&old]);
    let jwt = url.jwt();
    assert_asked!(jwt, old.token(&claims()), ADA);
    url.hold(&[&old, &new]);
    pass(10).await;
    assert_asked!(jwt, new.token(&claims()), ADA);
    assert_asked!(jwt, old.token(&claims()), ADA);
    assert_eq!(url.asked(), 2);
    // And a key that is gone is gone when the set was asked for again.
    url.hold(&[&new]);
    pass(3601).await;
    assert_asked!(jwt, old.token(&claims()), ADA);
    pass(2).await;
    assert_asked!(jwt, old.token(&claims()), UNKNOWN);
}

#[tokio::test(start_paused = true)]
async fn tokens_with_unknown_keys_cause_one_question_an_interval() {
    let (good, eve) = (Signer::new("ES256").named("good"), Signer::new("ES256").named("eve"));
    let url = Url::new(&[&good]);
    let jwt = url.jwt();
    assert_asked!(jwt, good.token(&claims()), ADA);
    for round in 0..5 {
        pass(10).await;
        let before = url.asked();
        let mut all = Vec::new();
        for n in 0..40 {
            all.push(eve.token_with(&json!({"alg": "ES256", "kid": format!("eve-{round}-{n}")}), &claims()));
        }
        let refused = futures_util::future::join_all(all.iter().map(|token| asked(&jwt, token))).await;
        assert!(refused.iter().all(Result::is_err), "{refused:?}");
        assert_eq!(url.asked() - before, 1);
        // Who has a good token waits for none of it.
        let began = tokio::time::Instant::now();
        assert_asked!(jwt, good.token(&claims()), ADA);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_hold_while_the_url_fails() {
    let (good, new) = (Signer::new("ES256").named("good"), Signer::new("ES256").named("new"));
    let url = Url::new(&[&good]);
    let jwt = url.jwt();
    assert_asked!(jwt, good.token(&claims()), ADA);
    url.fail();
    for _ in 0..48 {
        pass(3600).await;
        assert_asked!(jwt, good.token(&claims()), ADA);
    }
    assert_asked!(jwt, new.token(&claims()), UNKNOWN);
    // An answer without keys is as bad as none.
    url.hold(&[]);
    pass(20).await;
    assert_asked!(jwt, good.token(&claims()), ADA);
    url.hold(&[&new]);
    pass(20).await;
    assert_asked!(jwt, new.token(&claims()), ADA);
}

#[tokio::test(start_paused = true)]
async fn without_keys_it_is_not_the_token_that_is_wrong() {
    let good = Signer::new("ES256").named("good");
    let url = Url::new(&[&good]);
    let jwt = url.jwt();
    url.fail();
    assert_asked!(jwt, good.token(&claims()), NO_KEYS);
    let refused = jwt.user_at(&good.token(&claims()), UNIX_EPOCH + Duration::from_secs(NOW)).await;
    assert!(matches!(refused, Err(IdentifyError::Unavailable(_))), "{refused:?}");
    assert_eq!(url.asked(), 1, "within the interval");
    url.hold(&[&good]);
    pass(10).await;
    assert_asked!(jwt, good.token(&claims()), ADA);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_nobodys_question() {
    let good = Signer::new("ES256").named("good");
    let (url, token) = (Url::new(&[&good]), good.token(&claims()));
    let jwt = url.jwt();
    let leaves = tokio::time::timeout(Duration::from_millis(500), asked(&jwt, &token)).await;
    assert!(leaves.is_err());
    assert_asked!(jwt, token, ADA);
    assert_eq!(url.asked(), 1);
}

#[tokio::test]
async fn neither_debug_nor_errors_show_keys_or_tokens() {
    let signer = Signer::new("HS256");
    let jwt = with_key(key_of(&signer, "HS256").with_id("mine"));
    let shown = format!("{jwt:?} {:?}", Jwt::builder().key(key_of(&signer, "HS256")));
    assert!(shown.contains("mine") && !shown.contains("kkkk") && !shown.contains("107, 107"), "{shown}");
    let token = signer.token(&json!({"sub": "ada", "exp": 1, "email": "ada@example.com"}));
    let error = jwt.user(&token).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(token.split('.').all(|part| !said.contains(part)) && !said.contains("ada"), "{said}");
}
