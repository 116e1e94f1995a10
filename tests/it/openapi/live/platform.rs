//! Intelligence mode: what is answered before a platform that says what the test wants.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use copilotkit_runtime::http::CopilotService;
use copilotkit_runtime::intelligence::{Intelligence, IntelligenceBuilder, MemoryAccess, MemoryGrant};
use copilotkit_runtime::{CopilotRuntime, User};
use futures_util::future::ready;
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::document::document;
use super::{JSON, Seen, ask, get, greeter, input_json, post};

/// A platform that answers a call, such as `GET /api/threads/t`, with a status and a body.
struct Platform {
    url: String,
    _tasks: JoinSet<()>,
}

impl Platform {
    async fn answering(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Platform {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(answer);
        let app = axum::Router::new().fallback(move |request: Request| {
            let (status, body) = answer(&format!("{} {}", request.method(), request.uri().path()));
            let body = if body.is_null() { String::new() } else { body.to_string() };
            ready((StatusCode::from_u16(status).unwrap(), body))
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Platform { url, _tasks: tasks }
    }

    /// One that has the same for every call.
    async fn always(status: u16, body: Value) -> Platform {
        Platform::answering(move |_| (status, body.clone())).await
    }

    fn service(&self) -> CopilotService {
        self.with(|builder| {
            builder.memory(|_| ready(Ok(MemoryGrant::new(MemoryAccess::ReadWrite, MemoryAccess::Read))))
        })
    }

    fn with(&self, set: impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder) -> CopilotService {
        let builder = Intelligence::builder().api_key("cpk").api_url(&self.url).ws_url("ws://127.0.0.1:9");
        let intelligence = set(builder.learning_container("sales")).build().unwrap();
        let runtime = CopilotRuntime::on_intelligence(intelligence, |_| ready(Ok(User::new("ada").named("Ada"))));
        runtime.agent("default", greeter()).build().unwrap().into_service()
    }
}

/// The routes that ask the platform one thing, and what it answers when all is well.
const ASKING: &[(&str, Method, &str, u16, &str)] = &[
    ("memories_list", Method::GET, "/memories", 200, "MemoryList"),
    ("memories_list_post", Method::POST, "/memories", 201, "MemoryCreated"),
    ("memories_recall", Method::POST, "/memories/recall", 200, "MemoryList"),
    ("memories_subscribe", Method::POST, "/memories/subscribe", 200, "MemoryChannels"),
    ("memories_mutate", Method::PATCH, "/memories/m1", 200, "MemoryReplaced"),
    ("memories_mutate_delete", Method::DELETE, "/memories/m1", 204, ""),
    ("annotate", Method::POST, "/annotate", 200, "Annotated"),
];

fn told(response: &str) -> Value {
    document().root["components"]["responses"][response]["content"][JSON]["example"].clone()
}

fn body_of(id: &str) -> String {
    match id {
        "memories_list_post" | "memories_mutate" => json!({"content": "likes blue", "kind": "topical"}).to_string(),
        "memories_recall" => json!({"query": "colour"}).to_string(),
        "annotate" => json!({"type": "user_action", "threadId": "t1"}).to_string(),
        _ => String::new(),
    }
}

/// Memories and notes.
pub(super) async fn memories(seen: &mut Seen) {
    for (id, method, path, status, response) in ASKING {
        let body = body_of(id);
        let answer = if response.is_empty() { Value::Null } else { told(response) };
        let fine = Platform::always(*status, answer.clone()).await;
        assert_eq!(
            seen.expect(id, *status, &ask(&fine.service(), method.clone(), path, Some(JSON), body.clone()).await),
            answer
        );
        for (status, becomes) in [(403, 403), (404, 404), (409, 409), (422, 422), (503, 502)] {
            let refusing = Platform::always(status, json!({"error": "no"})).await;
            let refused = ask(&refusing.service(), method.clone(), path, Some(JSON), body.clone()).await;
            seen.expect(id, becomes, &refused);
        }
        if !body.is_empty() {
            let service = fine.service();
            seen.expect(id, 400, &ask(&service, method.clone(), path, Some(JSON), "{").await);
            seen.expect(id, 413, &ask(&service.body_limit(4), method.clone(), path, Some(JSON), body).await);
        }
    }
    let fine = Platform::always(200, told("MemoryList")).await;
    let denying = fine.with(|builder| builder.memory(|_| ready(Ok(MemoryGrant::default()))));
    assert_eq!(seen.expect("memories_list", 403, &get(&denying, "/memories").await), told("MemoriesDenied"));
    let failing = fine.with(|builder| builder.memory(|_| ready(Err("no directory".into()))));
    assert_eq!(seen.expect("memories_list", 500, &get(&failing, "/memories").await), told("MemoryFailed"));
}

/// What the platform tells the inspector.
pub(super) async fn inspector(seen: &mut Seen) {
    let platform = Platform::answering(|call| match call {
        "GET /api/inspector/metadata" => (200, told("InspectorMetadata")),
        _ => (200, told("InspectorLearning")),
    })
    .await;
    let service = platform.service();
    let metadata = seen.expect("inspector_metadata", 200, &get(&service, "/inspector-metadata").await);
    assert_eq!(metadata, told("InspectorMetadata"));
    let learned = seen.expect("inspector_learning", 200, &get(&service, "/inspector-learning?skillsPage=1").await);
    assert_eq!(learned, told("InspectorLearning"));
    let other = seen.expect("inspector_learning", 400, &get(&service, "/inspector-learning?page=1").await);
    assert_eq!(other, told("InspectorLearningRefused"));
    let down = Platform::always(503, Value::Null).await;
    let failing = down.service();
    seen.expect("inspector_metadata", 204, &get(&failing, "/inspector-metadata").await);
    let missing = seen.expect("inspector_learning", 503, &get(&failing, "/inspector-learning").await);
    assert_eq!(missing, told("InspectorLearningUnavailable"));
}

/// Runs and threads a platform refuses, or has nothing of.
pub(super) async fn runs_and_threads(seen: &mut Seen) {
    let refusing = Platform::always(403, Value::Null).await;
    let refused = refusing.service();
    let input = input_json("t1");
    seen.expect("agent_run", 403, &post(&refused, "/agent/default/run", &input).await);
    seen.expect("agent_connect", 403, &post(&refused, "/agent/default/connect", &input).await);
    seen.expect("agent_stop", 403, &post(&refused, "/agent/default/stop/t1", &json!({})).await);
    let busy = Platform::answering(|call| match call {
        "GET /api/threads/t1" => (200, json!({"thread": {"id": "t1", "agentId": "default"}})),
        _ => (409, Value::Null),
    })
    .await;
    let held_by_others = busy.service();
    let held = seen.expect("agent_run", 409, &post(&held_by_others, "/agent/default/run", &input).await);
    assert_eq!(held, told("PlatformRefused"));
    seen.expect("agent_connect", 409, &post(&held_by_others, "/agent/default/connect", &input).await);
    let nothing = Platform::always(204, Value::Null).await;
    seen.expect("agent_connect", 204, &post(&nothing.service(), "/agent/default/connect", &input).await);
    let token = json!({"joinToken": "opaque"});
    let open = Platform::always(200, token.clone()).await;
    let subscribed = post(&open.service(), "/threads/subscribe", &json!({})).await;
    assert_eq!(seen.expect("threads_subscribe", 200, &subscribed), token);

    let failing = Platform::always(502, Value::Null).await;
    let down = failing.service();
    for how in ["run", "connect"] {
        seen.expect(&format!("agent_{how}"), 502, &post(&down, &format!("/agent/default/{how}"), &input).await);
    }
    seen.expect("agent_stop", 502, &post(&down, "/agent/default/stop/t1", &json!({})).await);
    let agent = json!({"agentId": "default"}).to_string();
    for (id, method, path) in [
        ("threads_list", Method::GET, "/threads?agentId=default"),
        ("threads_subscribe", Method::POST, "/threads/subscribe"),
        ("threads_update", Method::PATCH, "/threads/t1"),
        ("threads_archive", Method::POST, "/threads/t1/archive"),
        ("threads_update_delete", Method::DELETE, "/threads/t1"),
        ("threads_messages", Method::GET, "/threads/t1/messages"),
        ("threads_events", Method::GET, "/threads/t1/events"),
        ("threads_state", Method::GET, "/threads/t1/state"),
    ] {
        seen.expect(id, 500, &ask(&down, method, path, Some(JSON), agent.clone()).await);
    }
}

/// The same by way of envelopes.
pub(super) async fn envelopes(seen: &mut Seen) {
    let inner = |method: &str, path: &str, body: &str| json!({"method": "resource/request", "params": {"path": path, "httpMethod": method}, "body": body});
    let create = inner("POST", "/memories", &body_of("memories_list_post"));
    for (platform, status, envelope) in [
        (Platform::always(201, told("MemoryCreated")).await, 201, create.clone()),
        (Platform::always(204, Value::Null).await, 204, inner("DELETE", "/memories/m1", "")),
        (Platform::always(200, Value::Null).await, 400, inner("POST", "/annotate", "{}")),
        (Platform::always(403, Value::Null).await, 403, create.clone()),
        (Platform::always(409, Value::Null).await, 409, create.clone()),
        (Platform::always(503, Value::Null).await, 502, create),
        (Platform::always(503, Value::Null).await, 503, json!({"method": "inspector/learning"})),
        (Platform::always(200, told("InspectorLearning")).await, 200, json!({"method": "inspector/learning"})),
        (Platform::always(200, told("InspectorMetadata")).await, 200, json!({"method": "inspector/metadata"})),
    ] {
        let service = platform.service().single_route();
        seen.expect("single_route", status, &post(&service, "/", &envelope).await);
    }
}
