//! Memories, notes and the inspector over HTTP, before a scripted platform: what each answer becomes.

use std::future::ready;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tower::Service;

use crate::agent::DemoAgent;
use crate::http::{Body, CopilotService};
use crate::intelligence::platform::Platform;
use crate::intelligence::{CallbackError, Intelligence, MemoryAccess, MemoryGrant};
use crate::runtime::{Builder, CopilotRuntime, IdentifyError, KeptByPlatform, User};

const LIST: &str = r#"{"memories":[{"id":"m"}]}"#;
const MEMORY: &str = r#"{"content":"likes blue","kind":"topical"}"#;

/// A service on a platform; the header `x-user` says who asks.
fn service(intelligence: Intelligence) -> CopilotService {
    runtime(intelligence).build().unwrap().into_service()
}

fn runtime(intelligence: Intelligence) -> Builder<KeptByPlatform> {
    let identify = |head: &http::request::Parts| {
        let user = head.headers.get("x-user").and_then(|user| user.to_str().ok());
        ready(user.map(User::new).ok_or(IdentifyError::Unauthenticated))
    };
    CopilotRuntime::on_intelligence(intelligence, identify).agent("default", DemoAgent::new())
}

fn granting(platform: &Platform, decide: fn() -> Result<MemoryGrant, CallbackError>) -> CopilotService {
    service(platform.configured(|builder| builder.memory(move |_| ready(decide()))))
}

fn everything() -> Result<MemoryGrant, CallbackError> {
    Ok(MemoryGrant::new(MemoryAccess::ReadWrite, MemoryAccess::Read))
}

struct Answer {
    status: StatusCode,
    cache_control: Option<String>,
    body: String,
}

impl Answer {
    fn is(&self, status: u16, body: &str) {
        assert_eq!((self.status.as_u16(), self.body.as_str()), (status, body));
    }

    fn fails(&self, status: u16, error: &str) {
        self.is(status, &json!({"error": error}).to_string());
    }
}

async fn ask(service: &CopilotService, method: Method, path: &str, body: &str) -> Answer {
    ask_as(service, Some("ada"), method, path, body).await
}

async fn ask_as(service: &CopilotService, user: Option<&str>, method: Method, path: &str, body: &str) -> Answer {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (head, body) = service.clone().call(request).await.unwrap().into_parts();
    let cache_control = head.headers.get("cache-control").map(|value| value.to_str().unwrap().to_owned());
    let body = crate::http::body::read(body, usize::MAX).await.unwrap();
    Answer { status: head.status, cache_control, body: String::from_utf8(body.to_vec()).unwrap() }
}

#[tokio::test]
async fn memory_routes_are_hidden_without_a_policy_whatever_the_method() {
    let platform = Platform::answering([]).await;
    let service = service(platform.intelligence());
    for (method, path) in [
        (Method::GET, "/memories"),
        (Method::PUT, "/memories"),
        (Method::POST, "/memories/recall"),
        (Method::POST, "/memories/subscribe"),
        (Method::DELETE, "/memories/m"),
    ] {
        ask(&service, method, path, "{}").await.fails(404, "Not found");
    }
    let shown = granting(&platform, everything);
    ask(&shown, Method::PUT, "/memories", "{}").await.fails(405, "Method not allowed");
}

#[tokio::test]
async fn memories_are_the_callers_and_told_with_the_grant() {
    let script = [(200, LIST), (200, LIST), (201, r#"{"id":"m"}"#), (200, r#"{"id":"n"}"#), (204, "")];
    let subscribed = r#"{"joinToken":"t","joinCode":"c"}"#;
    let mut platform = Platform::answering(script.into_iter().chain([(200, subscribed)])).await;
    let service = granting(&platform, everything);
    ask(&service, Method::GET, "/memories?includeInvalidated=true&userId=eve", "").await.is(200, LIST);
    let recall = r#"{"query":" blue ","limit":3,"userId":"eve"}"#;
    ask(&service, Method::POST, "/memories/recall", recall).await.is(200, LIST);
    ask(&service, Method::POST, "/memories", MEMORY).await.is(201, r#"{"id":"m"}"#);
    ask(&service, Method::PATCH, "/memories/m%2F1", MEMORY).await.is(200, r#"{"id":"n"}"#);
    ask(&service, Method::DELETE, "/memories/m%2F1", "").await.is(204, "");
    ask(&service, Method::POST, "/memories/subscribe", "{}").await.is(200, subscribed);
    let new = json!({"content": "likes blue", "kind": "topical", "sourceThreadIds": []});
    for (call, body) in [
        ("GET /api/memories?includeInvalidated=true", Value::Null),
        ("POST /api/memories/recall", json!({"query": "blue", "limit": 3})),
        ("POST /api/memories", new.clone()),
        ("PATCH /api/memories/m%2F1", new),
        ("DELETE /api/memories/m%2F1", Value::Null),
        ("POST /api/memories/subscribe", Value::Null),
    ] {
        let asked = platform.asked().await;
        assert_eq!((asked.call.as_str(), &asked.body), (call, &body));
        assert!(asked.headers.contains(&"x-cpki-user-id: ada".to_owned()), "{asked:?}");
        let grant = r#"x-cpki-memory-grant: {"user":"read-write","project":"read"}"#;
        assert!(asked.headers.contains(&grant.to_owned()), "{asked:?}");
    }
}

#[tokio::test]
async fn exposed_without_a_policy_memories_are_told_without_a_grant() {
    let mut platform = Platform::answering([(200, LIST)]).await;
    let runtime = runtime(platform.intelligence()).expose_memory_routes(true);
    ask(&runtime.build().unwrap().into_service(), Method::GET, "/memories", "").await.is(200, LIST);
    let asked = platform.asked().await;
    assert!(asked.headers.contains(&"x-cpki-user-id: ada".to_owned()), "{asked:?}");
    assert!(!asked.headers.iter().any(|header| header.starts_with("x-cpki-memory-grant")), "{asked:?}");
}

#[tokio::test]
async fn fields_are_checked_before_the_grant_and_the_caller_before_both() {
    let mut platform = Platform::answering([]).await;
    let nothing = granting(&platform, || Ok(MemoryGrant::default()));
    let body = r#"{"content":"c","kind":"x"}"#;
    assert_eq!(ask_as(&nothing, None, Method::POST, "/memories", body).await.status, StatusCode::UNAUTHORIZED);
    let kind = "Memory `kind` must be one of: topical, episodic, operational";
    ask(&nothing, Method::POST, "/memories", body).await.fails(400, kind);
    ask(&nothing, Method::PATCH, "/memories/m", "{").await.fails(400, "Invalid request body");
    let query = "Recall requires a non-empty string `query`";
    ask(&nothing, Method::POST, "/memories/recall", "{}").await.fails(400, query);
    for (method, path, body) in [
        (Method::GET, "/memories", ""),
        (Method::POST, "/memories", MEMORY),
        (Method::PATCH, "/memories/m", MEMORY),
        (Method::DELETE, "/memories/m", ""),
        (Method::POST, "/memories/recall", r#"{"query":"a"}"#),
        (Method::POST, "/memories/subscribe", ""),
    ] {
        ask(&nothing, method, path, body).await.fails(403, "Memory access denied");
    }
    let failing = granting(&platform, || Err("no directory".into()));
    ask(&failing, Method::GET, "/memories", "").await.fails(500, "Memory policy failed");
    assert!(!platform.was_asked_more());
}

#[tokio::test]
async fn failures_of_memories_keep_what_the_client_can_mend() {
    for (method, path, body, failure) in [
        (Method::GET, "/memories", "", "Failed to list memories"),
        (Method::POST, "/memories", MEMORY, "Failed to create memory"),
        (Method::PATCH, "/memories/m", MEMORY, "Failed to update memory"),
        (Method::DELETE, "/memories/m", "", "Failed to remove memory"),
        (Method::POST, "/memories/recall", r#"{"query":"a"}"#, "Failed to recall memories"),
        (Method::POST, "/memories/subscribe", "", "Failed to subscribe to memories"),
    ] {
        let platform = Platform::answering([(422, "no"), (503, "no"), (302, "")]).await;
        let service = granting(&platform, everything);
        for status in [422, 502, 502] {
            ask(&service, method.clone(), path, body).await.fails(status, failure);
        }
    }
    let platform = Platform::answering([(200, "{}"), (200, "[]"), (201, "")]).await;
    let service = granting(&platform, everything);
    let no_list = "Memory platform returned an invalid list response";
    ask(&service, Method::GET, "/memories", "").await.fails(502, no_list);
    let no_recall = "Memory platform returned an invalid recall response";
    ask(&service, Method::POST, "/memories/recall", r#"{"query":"a"}"#).await.fails(502, no_recall);
    ask(&service, Method::POST, "/memories", MEMORY).await.fails(500, "Failed to create memory");
}

#[tokio::test]
async fn notes_are_the_callers() {
    let kept = r#"{"id":"1","duplicate":false}"#;
    let script = [(200, kept), (422, r#"{"error":"unknown type"}"#), (503, "down"), (200, "")];
    let mut platform = Platform::answering(script).await;
    let service = service(platform.intelligence());
    let note = r#"{"type":"user_action","threadId":"t","clientEventId":"e","userId":"eve"}"#;
    ask(&service, Method::POST, "/annotate", note).await.is(200, kept);
    let asked = platform.asked().await;
    assert_eq!(asked.call, "PUT /connector/annotate/e");
    assert_eq!(asked.body, json!({"type": "user_action", "userId": "ada", "threadId": "t"}));
    let refused = r#"Intelligence platform error 422: {"error":"unknown type"}"#;
    ask(&service, Method::POST, "/annotate", note).await.fails(422, refused);
    ask(&service, Method::POST, "/annotate", note).await.fails(502, "Failed to annotate");
    ask(&service, Method::POST, "/annotate", note).await.fails(502, "Failed to annotate");
    ask(&service, Method::POST, "/annotate", r#"{"type":"a"}"#).await.fails(400, "Valid threadId is required");
    assert_eq!(ask_as(&service, None, Method::POST, "/annotate", note).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_cache_keeps_what_the_inspector_is_told() {
    let metadata = r#"{"schemaVersion":1,"license":{"state":"valid"}}"#;
    let script = [(200, metadata), (500, "{}"), (404, "{}"), (503, "{}"), (200, "{}")];
    let platform = Platform::answering(script).await;
    let learning = service(platform.configured(|builder| builder.learning_container("sales-emea")));
    let get = async |service: &CopilotService, path: &str| {
        let answer = ask(service, Method::GET, path, "").await;
        assert_eq!(answer.cache_control.as_deref(), Some("no-store, private"), "{path}");
        answer
    };
    get(&learning, "/inspector-metadata").await.is(200, metadata);
    get(&learning, "/inspector-metadata").await.is(204, "");
    let path = "/inspector-learning?skillsPage=1";
    get(&learning, path).await.fails(404, "Not found");
    for _ in 0..2 {
        get(&learning, path).await.fails(503, "Inspector Learning is temporarily unavailable");
    }
    let invalid = "Invalid Inspector Learning request";
    get(&learning, "/inspector-learning?runtimeContainerId=other").await.fails(400, invalid);
    get(&service(platform.intelligence()), path).await.fails(404, "Not found");
}
