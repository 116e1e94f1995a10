//! Who gets in by a token or a key, through the whole service: the answers, the order, and both keepers of threads.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get as on_get;
use copilotkit_runtime::access::{Access, Algorithm, ApiKeys, Jwt, Key, KeyHash};
use copilotkit_runtime::http::{Body, CopilotService, Cors, CorsError};
use copilotkit_runtime::intelligence::Intelligence;
use copilotkit_runtime::{CopilotRuntime, User};
use http::{Method, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::serve::{Answer, Server, call, greeter, input};
use crate::signer::Signer;

const KEY: &str = "ckr_0123456789abcdef0123456789abcdef";

fn token(signer: &Signer, user: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    signer.token(&json!({"sub": user, "exp": now + 3600}))
}

fn access(signer: &Signer) -> Access {
    let key = Key::secret(Algorithm::HS256, signer.secret()).unwrap();
    let jwt = Jwt::builder().key(key).require("sub", [] as [&str; 0]).build().unwrap();
    Access::new().jwt(jwt).api_keys(ApiKeys::new().with(KeyHash::of(KEY), User::new("bot")))
}

fn service(access: Access) -> CopilotService {
    let runtime =
        CopilotRuntime::builder().agent("default", greeter()).identify_user(move |head| access.identify(head));
    runtime.build().unwrap().into_service()
}

async fn ask(service: &CopilotService, method: Method, path: &str, shown: &[(&str, &str)], body: String) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = shown.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    call(service, request.body(Body::from(body)).unwrap()).await
}

/// What is asked for: routes that are there, that are not, agents that are there and that are not, wrong methods.
fn everything() -> Vec<(Method, &'static str, String)> {
    let run = input("t", "r");
    vec![
        (Method::GET, "/info", String::new()),
        (Method::GET, "/inspector-metadata", String::new()),
        (Method::POST, "/agent/default/run", run.clone()),
        (Method::POST, "/agent/nobody/run", run.clone()),
        (Method::POST, "/agent/default/connect", run.clone()),
        (Method::POST, "/agent/default/stop/t", String::new()),
        (Method::POST, "/agent/default/run", "no JSON".to_owned()),
        (Method::GET, "/agent/default/run", String::new()),
        (Method::GET, "/threads", String::new()),
        (Method::GET, "/memories", String::new()),
        (Method::GET, "/no/such/route", String::new()),
        (Method::POST, "/", json!({"method": "info"}).to_string()),
        (Method::DELETE, "/", String::new()),
        (Method::OPTIONS, "/info", String::new()),
    ]
}

#[tokio::test]
async fn strangers_get_one_answer_whatever_they_ask_for() {
    let signer = Signer::new("HS256");
    for service in [service(access(&signer)), service(access(&signer)).single_route()] {
        for (method, path, body) in everything() {
            let answer = ask(&service, method.clone(), path, &[], body).await;
            let at = format!("{method} {path}");
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{at}");
            let message = "The request does not say who sends it; sign in first";
            assert_eq!(answer.json(), json!({"error": "Unauthorized", "message": message}), "{at}");
            assert_eq!(answer.headers["www-authenticate"], r#"Bearer realm="copilotkit""#, "{at}");
            assert_eq!(answer.headers.len(), 2, "{at}: {:?}", answer.headers);
        }
    }
}

#[tokio::test]
async fn a_token_that_is_no_good_is_told_why() {
    let signer = Signer::new("HS256");
    let service = service(access(&signer));
    let old = signer.token(&json!({"sub": "ada", "exp": 1}));
    let refused =
        ask(&service, Method::GET, "/nowhere", &[("authorization", &format!("Bearer {old}"))], String::new()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json(), json!({"error": "Unauthorized", "message": "the token has expired"}));
    let challenge = r#"Bearer realm="copilotkit", error="invalid_token", error_description="the token has expired""#;
    assert_eq!(refused.headers["www-authenticate"], challenge);
    // A bad token is not as good as none where strangers are told something.
    let access = access(&signer);
    let open = CopilotRuntime::builder().agent("default", greeter()).identify_user(move |head| access.identify(head));
    let open = open.public_info(true).build().unwrap().into_service();
    assert_eq!(ask(&open, Method::GET, "/info", &[], String::new()).await.status, StatusCode::OK);
    let refused = ask(&open, Method::GET, "/info", &[("x-api-key", "wrong")], String::new()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    for (method, path, body) in everything()
        .into_iter()
        .filter(|(method, path, _)| !(*method == Method::GET && ["/info", "/inspector-metadata"].contains(path)))
    {
        assert_eq!(ask(&open, method, path, &[], body).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_suffice_is_forbidden() {
    let signer = Signer::new("HS256");
    let key = Key::secret(Algorithm::HS256, signer.secret()).unwrap();
    let jwt = Jwt::builder().key(key).require("roles", ["staff"]).build().unwrap();
    let service = service(Access::new().jwt(jwt));
    let bearer = format!("Bearer {}", token(&signer, "ada"));
    let refused = ask(&service, Method::GET, "/info", &[("authorization", &bearer)], String::new()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json(), json!({"error": "Forbidden", "message": "the token lacks a claim that is required"}));
    assert!(refused.headers["www-authenticate"].to_str().unwrap().contains("insufficient_scope"));
}

#[tokio::test]
async fn users_of_tokens_and_keys_have_threads_of_their_own() {
    let signer = Signer::new("HS256");
    let service = service(access(&signer));
    let (ada, bob) = (format!("Bearer {}", token(&signer, "auth0|ada")), format!("Bearer {}", token(&signer, "bob")));
    let all: [(&[(&str, &str)], &str); 3] = [
        (&[("authorization", &ada)], "auth0=7Cada"),
        (&[("authorization", &bob)], "bob"),
        (&[("x-api-key", KEY)], "bot"),
    ];
    for (shown, _) in all {
        assert_eq!(ask(&service, Method::POST, "/agent/default/run", shown, input("t", "r")).await.events().len(), 5);
    }
    for (shown, id) in all {
        let listed = ask(&service, Method::GET, "/threads", shown, String::new()).await.json();
        let owners: Vec<&Value> =
            listed["threads"].as_array().unwrap().iter().map(|thread| &thread["createdById"]).collect();
        assert_eq!(owners, [id]);
    }
}

#[tokio::test]
async fn preflights_are_answered_and_refusals_readable_by_the_page() {
    let signer = Signer::new("HS256");
    let cors = Cors::any().origins(["https://app.example.com"]).credentials(true);
    let service = service(access(&signer)).cors(cors).unwrap();
    let origin = [("origin", "https://app.example.com")];
    // A browser sends no credentials with a preflight.
    assert_eq!(ask(&service, Method::OPTIONS, "/info", &origin, String::new()).await.status, StatusCode::NO_CONTENT);
    let refused = ask(&service, Method::GET, "/info", &origin, String::new()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers["access-control-allow-origin"], "https://app.example.com");
}

#[tokio::test]
async fn credentials_for_every_origin_are_refused_at_start() {
    let signer = Signer::new("HS256");
    let refused = service(access(&signer)).cors(Cors::any().credentials(true)).map(drop);
    assert_eq!(refused, Err(CorsError::CredentialsFromAnyOrigin));
    let forced = Cors::any().dangerously_allow_credentials_from_any_origin();
    assert!(service(access(&signer)).cors(forced).is_ok());
}

/// An identity provider with a set of keys that changes, or with none.
async fn provider() -> (Server, Arc<Mutex<Option<Vec<Value>>>>) {
    let keys: Arc<Mutex<Option<Vec<Value>>>> = Arc::default();
    let held = keys.clone();
    let app = Router::new().route(
        "/keys",
        on_get(move || {
            let held = held.lock().clone();
            async move { held.map(|keys| json!({ "keys": keys }).to_string()).ok_or(StatusCode::BAD_GATEWAY) }
        }),
    );
    (Server::start(app).await, keys)
}

#[tokio::test]
async fn keys_of_a_url_come_go_and_hold() {
    let (provider, keys) = provider().await;
    let (old, new) = (Signer::new("RS256").named("old"), Signer::new("EdDSA").named("new"));
    let jwt = Jwt::builder().jwks_url(provider.url("/keys")).refresh_interval(Duration::ZERO).build().unwrap();
    let service = service(Access::new().jwt(jwt));
    let asked = async |signer: &Signer| {
        let bearer = format!("Bearer {}", token(signer, "ada"));
        ask(&service, Method::GET, "/info", &[("authorization", &bearer)], String::new()).await
    };
    let without = asked(&old).await;
    assert_eq!(without.status, StatusCode::SERVICE_UNAVAILABLE, "{without:?}");
    assert!(without.headers.contains_key("retry-after"));
    *keys.lock() = Some(vec![old.jwk()]);
    assert_eq!(asked(&old).await.status, StatusCode::OK);
    assert_eq!(asked(&new).await.status, StatusCode::UNAUTHORIZED);
    *keys.lock() = None;
    assert_eq!(asked(&new).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(asked(&old).await.status, StatusCode::OK, "the last good key holds");
    *keys.lock() = Some(vec![old.jwk(), new.jwk()]);
    assert_eq!(asked(&new).await.status, StatusCode::OK);
    assert_eq!(asked(&old).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_set_of_keys_that_is_too_large_is_none() {
    let endless = Router::new().route("/keys", on_get(|| async { " ".repeat(300 * 1024) }));
    let server = Server::start(endless).await;
    let jwt = Jwt::builder().jwks_url(server.url("/keys")).build().unwrap();
    let refused = jwt.user(&token(&Signer::new("ES256"), "ada")).await;
    assert!(matches!(refused, Err(copilotkit_runtime::IdentifyError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn the_platform_knows_users_by_the_same_ids() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = asked.clone();
    let app = Router::new().fallback(move |request: axum::extract::Request| {
        noted.lock().push(request.uri().to_string());
        async { (StatusCode::OK, [("content-type", "application/json")], r#"{"threads":[],"nextCursor":null}"#) }
    });
    let platform = Server::start(app).await;
    let intelligence = Intelligence::builder().api_key("cpk-s3cret").api_url(platform.url(""));
    let intelligence = intelligence.ws_url(platform.url("").replace("http", "ws")).build().unwrap();
    let signer = Signer::new("HS256");
    let access = access(&signer);
    let runtime = CopilotRuntime::on_intelligence(intelligence, move |head| access.identify(head));
    let service = runtime.agent("default", greeter()).build().unwrap().into_service();
    for (method, path, body) in everything() {
        assert_eq!(ask(&service, method, path, &[], body).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert!(asked.lock().is_empty(), "nothing is asked for strangers");
    let bearer = format!("Bearer {}", token(&signer, "auth0|ada"));
    for (shown, id) in [(("authorization", bearer.as_str()), "auth0%3D7Cada"), (("x-api-key", KEY), "bot")] {
        let listed = ask(&service, Method::GET, "/threads?agentId=default", &[shown], String::new()).await;
        assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
        let last = asked.lock().last().cloned().unwrap_or_default();
        assert!(last.contains(id), "{last}");
    }
}
