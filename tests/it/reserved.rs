//! Agents that are for some users alone, and what each agent sees of a request.

use std::sync::Arc;

use copilotkit_runtime::agent::{Agent, AgentCall, Agents, FunctionAgent};
use copilotkit_runtime::http::{Body, CopilotService, ForwardPolicy};
use copilotkit_runtime::{A2ui, Allow, BuildError, Builder, CopilotRuntime, IdentifyError, KeptHere, User};
use futures_util::future::{BoxFuture, ready};
use futures_util::stream;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::serve::{Answer, call, greeter, greeting, input, puppets};

fn user_of(head: &Parts) -> Result<User, IdentifyError> {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let id = text("x-user").ok_or(IdentifyError::Unauthenticated)?;
    let claims: Map<String, Value> =
        text("x-role").map(|role| ("roles".to_owned(), json!([role]))).into_iter().collect();
    Ok(User::new(id).with_claims(claims).withhold(HeaderName::from_static("x-secret")))
}

fn builder() -> Builder<KeptHere> {
    CopilotRuntime::builder()
        .agent("default", greeter())
        .agent("lab", greeter())
        .a2ui(A2ui { agents: Some(vec!["default".to_owned(), "lab".to_owned()]) })
        .identify_user(|head| ready(user_of(head)))
        .allow("lab", Allow::nobody().user("ann").claim("roles", "staff"))
}

fn service() -> CopilotService {
    builder().build().expect("a runtime").into_service()
}

/// Somebody: an id and a role.
type Who = (&'static str, &'static str);

const ANN: Who = ("ann", "");
const BEN: Who = ("ben", "");
const STAFF: Who = ("cem", "staff");
const NOBODY: Who = ("", "");

fn request(who: Who, method: Method, path: &str, body: String) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in [("x-user", who.0), ("x-role", who.1)] {
        if !value.is_empty() {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body)).expect("a request")
}

async fn ask(service: &CopilotService, who: Who, method: Method, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(service, request(who, method, path, body)).await
}

/// Every way to name an agent: by path, by query, by body.
fn ways(agent: &str) -> Vec<(Method, String, Value)> {
    let input: Value = serde_json::from_str(&input("t", "r")).unwrap();
    let named = json!({"agentId": agent, "name": "Mine"});
    vec![
        (Method::POST, format!("/agent/{agent}/run"), input.clone()),
        (Method::POST, format!("/agent/{agent}/connect"), input.clone()),
        (Method::POST, format!("/agent/{agent}/suggest"), input),
        (Method::POST, format!("/agent/{agent}/stop/t"), Value::Null),
        (Method::GET, format!("/threads?agentId={agent}"), Value::Null),
        (Method::PATCH, "/threads/t".to_owned(), named.clone()),
        (Method::POST, "/threads/t/archive".to_owned(), named.clone()),
        (Method::DELETE, "/threads/t".to_owned(), named),
    ]
}

#[tokio::test]
async fn a_reserved_agent_answers_those_it_is_for() {
    for who in [ANN, STAFF] {
        let service = service();
        for (method, path, body) in ways("lab") {
            let answer = ask(&service, who, method.clone(), &path, body).await;
            assert!(answer.status.is_success(), "{who:?} {method} {path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_reserved_agent_refuses_others_wherever_it_is_named() {
    let (lab, mut begun) = puppets();
    let runtime = CopilotRuntime::builder().agent("lab", lab).identify_user(|head| ready(user_of(head)));
    let service = runtime.allow("lab", Allow::nobody().user("ann")).build().unwrap().into_service();
    for who in [BEN, ("ben", "student"), ("ann2", "")] {
        for (method, path, body) in ways("lab") {
            let answer = ask(&service, who, method.clone(), &path, body).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: {answer:?}");
            assert_eq!(answer.json(), json!({"error": "Forbidden", "message": "Agent 'lab' is not for you"}), "{path}");
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert_eq!(challenge, r#"Bearer realm="copilotkit", error="insufficient_scope""#);
        }
    }
    assert!(begun.try_recv().is_err(), "the agent was never called");
}

#[tokio::test]
async fn single_route_mode_refuses_others_too() {
    let service = service().single_route();
    let input: Value = serde_json::from_str(&input("t", "r")).unwrap();
    let params = json!({"agentId": "lab", "threadId": "t"});
    for method in ["agent/run", "agent/connect", "agent/suggest", "agent/stop"] {
        let envelope = json!({"method": method, "params": params, "body": input});
        let envelope = if method == "agent/stop" { json!({"method": method, "params": params}) } else { envelope };
        let refused = ask(&service, BEN, Method::POST, "/", envelope.clone()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{method}");
        assert_eq!(ask(&service, ANN, Method::POST, "/", envelope).await.status, StatusCode::OK, "{method}");
    }
    let threads =
        json!({"method": "resource/request", "params": {"path": "/threads?agentId=lab", "httpMethod": "GET"}});
    assert_eq!(ask(&service, BEN, Method::POST, "/", threads.clone()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&service, ANN, Method::POST, "/", threads).await.status, StatusCode::OK);
}

#[tokio::test]
async fn info_tells_of_a_reserved_agent_only_those_it_is_for() {
    let public = builder().public_info(true).build().unwrap().into_service();
    let both = json!(["default", "lab"]);
    for (service, who, names) in [
        (&service(), ANN, both.clone()),
        (&service(), STAFF, both.clone()),
        (&service(), BEN, json!(["default"])),
        (&public, ANN, both),
        (&public, BEN, json!(["default"])),
        (&public, NOBODY, json!(["default"])),
    ] {
        let answer = ask(service, who, Method::GET, "/info", Value::Null).await;
        let info = answer.json();
        let shown: Vec<&String> = info["agents"].as_object().unwrap().keys().collect();
        assert_eq!(json!(shown), names, "{who:?}");
        assert_eq!(info["a2ui"]["agents"], names, "{who:?}");
        assert_eq!(String::from_utf8_lossy(&answer.body).contains("lab"), names.as_array().unwrap().len() == 2);
        let enveloped = ask(&service.clone().single_route(), who, Method::POST, "/", json!({"method": "info"})).await;
        assert_eq!(enveloped.json()["agents"], info["agents"], "{who:?}");
    }
}

#[tokio::test]
async fn their_own_threads_stay_theirs_when_an_agent_is_taken_away() {
    let roles: Arc<Mutex<&'static str>> = Arc::new(Mutex::new("staff"));
    let role = roles.clone();
    let runtime = CopilotRuntime::builder().agent("lab", greeter()).identify_user(move |_| {
        let claims: Map<String, Value> = [("roles".to_owned(), json!(*role.lock()))].into_iter().collect();
        ready(Ok(User::new("ben").with_claims(claims)))
    });
    let service = runtime.allow("lab", Allow::nobody().claim("roles", "staff")).build().unwrap().into_service();
    let input: Value = serde_json::from_str(&input("t", "r")).unwrap();
    assert!(ask(&service, BEN, Method::POST, "/agent/lab/run", input).await.status.is_success());
    *roles.lock() = "none";
    assert!(
        String::from_utf8_lossy(&ask(&service, BEN, Method::GET, "/threads", Value::Null).await.body)
            .contains(r#""id":"t""#)
    );
    let messages = ask(&service, BEN, Method::GET, "/threads/t/messages", Value::Null).await;
    assert!(String::from_utf8_lossy(&messages.body).contains("Hello"), "{messages:?}");
    assert_eq!(ask(&service, BEN, Method::POST, "/threads/clear", Value::Null).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_agent_resolved_per_request_can_be_reserved() {
    let runtime = CopilotRuntime::builder()
        .agents_per_request(|_| ready(Ok(Agents::new().with("default", greeter()).with("lab", greeter()))))
        .identify_user(|head| ready(user_of(head)))
        .allow("lab", Allow::nobody().user("ann"));
    let service = runtime.build().unwrap().into_service();
    let input: Value = serde_json::from_str(&input("t", "r")).unwrap();
    assert_eq!(ask(&service, BEN, Method::POST, "/agent/lab/run", input.clone()).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&service, ANN, Method::POST, "/agent/lab/run", input).await.status, StatusCode::OK);
}

#[test]
fn a_reservation_that_cannot_hold_is_refused() {
    let unknown = builder().allow("lba", Allow::nobody().user("ann")).build().map(drop);
    assert_eq!(unknown, Err(BuildError::UnknownAgent("lba".into())));
    let nobody = CopilotRuntime::builder().agent("lab", greeter()).allow("lab", Allow::nobody().user("ann")).build();
    assert_eq!(nobody.map(drop), Err(BuildError::NobodyIsKnown("lab".into())));
}

/// An agent that notes the headers it sees.
fn noting(seen: &Arc<Mutex<HeaderMap>>) -> impl Agent + use<> {
    let seen = seen.clone();
    FunctionAgent::new(move |call: AgentCall| {
        *seen.lock() = call.headers.clone();
        stream::iter(greeting(&call.input.thread_id, &call.input.run_id).into_iter().map(Ok))
    })
}

#[tokio::test]
async fn each_agent_sees_the_headers_it_is_meant_to_see() {
    let seen: Arc<Mutex<HeaderMap>> = Arc::default();
    let runtime = ["default", "cookies", "blind", "most"]
        .into_iter()
        .fold(CopilotRuntime::builder(), |builder, name| builder.agent(name, noting(&seen)))
        .identify_user(|head| -> BoxFuture<'static, _> { Box::pin(ready(user_of(head))) });
    let service = runtime
        .build()
        .unwrap()
        .into_service()
        .forward_headers(&ForwardPolicy::new().deny(["x-user"]))
        .forward_headers_to("cookies", &ForwardPolicy::nothing().allow(["cookie", "x-secret"]))
        .forward_headers_to("blind", &ForwardPolicy::nothing())
        .forward_headers_to("most", &ForwardPolicy::new().deny(["authorization"]).deny_prefixes(["x-tenant-"]));
    for (agent, wanted) in [
        ("default", &["authorization", "x-tenant-a"][..]),
        ("cookies", &["cookie"]),
        ("blind", &[]),
        ("most", &["x-user"]),
    ] {
        for route in ["run", "suggest"] {
            let mut request = request(ANN, Method::POST, &format!("/agent/{agent}/{route}"), input("t", agent));
            for (name, value) in
                [("authorization", "Bearer t"), ("cookie", "a=b"), ("x-tenant-a", "1"), ("x-secret", "never")]
            {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            assert_eq!(call(&service, request).await.status, StatusCode::OK);
            let mut names: Vec<String> = seen.lock().keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            assert_eq!(names, wanted, "{agent} {route}");
        }
    }
}
