//! The service where applications put it: nested, as a fallback, as a route, twice, and without a framework.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::http::CopilotService;
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use crate::serve::{
    Answer, Raw, Server, client, events, fetch, greeter, input, one_terminal, puppets, raw_post, service, soon,
};

/// A GET, or a POST of JSON, to an application.
async fn ask(app: &Router, path: &str, body: Option<String>) -> Answer {
    let request = match body {
        Some(body) => {
            http::Request::post(path).header("content-type", "application/json").body(axum::body::Body::from(body))
        }
        None => http::Request::get(path).body(axum::body::Body::empty()),
    };
    let response = soon("the response", app.clone().oneshot(request.unwrap())).await.unwrap();
    let (head, body) = response.into_parts();
    let body = soon("the body", body.collect()).await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

async fn status(app: &Router, path: &str) -> u16 {
    ask(app, path, None).await.status.as_u16()
}

fn envelope(method: &str) -> String {
    let body: Value = serde_json::from_str(&input("t", "r")).unwrap();
    json!({"method": method, "params": {"agentId": "default"}, "body": body}).to_string()
}

#[tokio::test]
async fn a_nested_service_answers_below_its_path_and_leaves_the_rest_to_the_application() {
    let app = Router::new().nest_service("/api/copilotkit", service(greeter())).route("/info", get(async || "mine"));
    for path in
        ["/api/copilotkit/info", "/api/copilotkit/v7/info", "/api/copilotkit//info/", "/api/copilotkit/info?x=1"]
    {
        let answer = ask(&app, path, None).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["mode"]), (200, &json!("sse")), "{path}");
    }
    assert_eq!(ask(&app, "/info", None).await.body, "mine");
    for path in ["/api/copilotkit", "/api/copilotkit/", "/api/copilotkit/nothing"] {
        let answer = ask(&app, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (404, json!({"error": "Not found"})), "{path}");
    }
    // Not ours: the application's own 404 has no body.
    for path in ["/api/copilotkitx/info", "/api", "/"] {
        let answer = ask(&app, path, None).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0), "{path}");
    }
    let run = ask(&app, "/api/copilotkit/agent/default/run", Some(input("t", "r"))).await;
    assert_eq!(one_terminal(&run.events()), "");
}

#[tokio::test]
async fn a_nested_single_route_answers_at_the_mount_itself_and_below() {
    let app = Router::new().nest_service("/api/copilotkit", service(greeter()).single_route());
    for path in ["/api/copilotkit", "/api/copilotkit/", "/api/copilotkit/below/it"] {
        let info = ask(&app, path, Some(envelope("info"))).await;
        assert_eq!((info.status.as_u16(), &info.json()["suggestions"]), (200, &json!(true)), "{path}");
        assert_eq!(one_terminal(&ask(&app, path, Some(envelope("agent/run"))).await.events()), "", "{path}");
        let answer = ask(&app, path, None).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &HeaderValue::from_static("POST")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_nested_service_can_be_told_the_whole_path_as_well() {
    // The router takes the prefix off: a base path that repeats it matches nothing.
    let app = Router::new().nest_service("/api", service(greeter()).base_path("/copilotkit"));
    assert_eq!(status(&app, "/api/copilotkit/info").await, 200);
    assert_eq!(status(&app, "/api/info").await, 404);
}

#[tokio::test]
async fn a_fallback_service_answers_what_no_route_does() {
    let app = |service: CopilotService| Router::new().route("/info", get(async || "mine")).fallback_service(service);
    // Without a base path every path counts from its end.
    let anywhere = app(service(greeter()));
    for path in ["/x/info", "/a/b/c/info", "/threads"] {
        assert_eq!(status(&anywhere, path).await, 200, "{path}");
    }
    assert_eq!(ask(&anywhere, "/info", None).await.body, "mine");
    for base in ["/api/copilotkit", "/api/copilotkit/", "/deep/er/path"] {
        let below = app(service(greeter()).base_path(base));
        let base = base.trim_end_matches('/');
        for (path, expected) in
            [("/info", 200), ("/v7/info", 200), ("/nothing", 404), ("", 404), ("/", 404), ("x/info", 404)]
        {
            assert_eq!(status(&below, &format!("{base}{path}")).await, expected, "{base}{path}");
        }
        assert_eq!(status(&below, "/x/info").await, 404);
        let single = app(service(greeter()).base_path(base).single_route());
        for path in ["", "/", "/below"] {
            let answer = ask(&single, &format!("{base}{path}"), Some(envelope("info"))).await;
            assert_eq!(answer.status, StatusCode::OK, "{base}{path}");
        }
        assert_eq!(ask(&single, "/elsewhere", Some(envelope("info"))).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_route_service_answers_at_its_route() {
    let single = service(greeter()).single_route();
    let multi = service(greeter()).base_path("/kit");
    let app = Router::new().route_service("/copilot", single).route_service("/kit/{*rest}", multi);
    assert_eq!(one_terminal(&ask(&app, "/copilot", Some(envelope("agent/run"))).await.events()), "");
    assert_eq!(ask(&app, "/copilot/", Some(envelope("info"))).await.status, StatusCode::NOT_FOUND);
    assert_eq!(status(&app, "/kit/info").await, 200);
    assert_eq!(one_terminal(&ask(&app, "/kit/agent/default/run", Some(input("t", "r"))).await.events()), "");
}

struct Shop {
    requests: AtomicUsize,
}

async fn counted(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    shop.requests.fetch_add(1, Ordering::SeqCst);
    let mut response = next.run(request).await;
    response.headers_mut().insert("x-shop", HeaderValue::from_static("open"));
    response
}

async fn guarded(request: Request, next: Next) -> Response {
    if request.headers().contains_key("x-forbidden") {
        return Response::builder().status(StatusCode::FORBIDDEN).body(axum::body::Body::empty()).unwrap();
    }
    next.run(request).await
}

#[tokio::test]
async fn layers_state_and_routes_of_the_application_work_around_the_service() {
    let shop = Arc::new(Shop { requests: AtomicUsize::new(0) });
    let (agent, mut begun) = puppets();
    let app = Router::new()
        .route("/count", get(async |State(shop): State<Arc<Shop>>| shop.requests.load(Ordering::SeqCst).to_string()))
        .nest_service("/api/copilotkit", service(agent))
        .layer(from_fn(guarded))
        .layer(from_fn_with_state(shop.clone(), counted))
        .with_state(shop);
    assert_eq!(ask(&app, "/api/copilotkit/info", None).await.headers["x-shop"], "open");
    assert_eq!(ask(&app, "/count", None).await.body, "2");
    let server = Server::start(app).await;
    let mut refused = server.connect().await;
    refused.send(b"GET /api/copilotkit/info HTTP/1.1\r\nhost: t\r\nx-forbidden: 1\r\n\r\n").await;
    assert!(refused.until("\r\n\r\n").await.starts_with("HTTP/1.1 403 "));
    // Through all of it, events are still seen one by one.
    let mut raw = server.posted("/api/copilotkit/agent/default/run", &input("t", "r")).await;
    seen_one_by_one(&mut raw, &mut begun).await;
}

/// The head comes while the agent is silent, each event while the next is not said, and the stream ends.
async fn seen_one_by_one(raw: &mut Raw, begun: &mut tokio::sync::mpsc::UnboundedReceiver<crate::serve::Puppet>) {
    let puppet = soon("the run", begun.recv()).await.unwrap();
    let head = raw.until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("connection: keep-alive") && !head.contains("data:"), "{head}");
    puppet.start();
    assert!(!raw.until("RUN_STARTED").await.contains("RUN_FINISHED"));
    puppet.finish();
    raw.until("RUN_FINISHED").await;
    raw.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn two_mounts_of_one_runtime_share_its_threads_and_runs() {
    let (agent, mut begun) = puppets();
    let runtime = CopilotRuntime::builder().agent("default", agent).build().unwrap();
    let app = Router::new()
        .nest_service("/multi", runtime.clone().into_service())
        .nest_service("/single", runtime.into_service().single_route());
    let server = Server::start(app.clone()).await;
    let mut running = server.posted("/multi/agent/default/run", &input("t", "r")).await;
    let puppet = soon("the run", begun.recv()).await.unwrap();
    puppet.start();
    running.until("RUN_STARTED").await;
    let mut watching = server.posted("/single", &envelope("agent/connect")).await;
    watching.until("RUN_STARTED").await;
    let busy = ask(&app, "/single", Some(envelope("agent/run"))).await;
    assert_eq!(one_terminal(&busy.events()), "THREAD_BUSY");
    let stop = json!({"method": "agent/stop", "params": {"agentId": "default", "threadId": "t"}}).to_string();
    assert_eq!(ask(&app, "/single", Some(stop)).await.json()["stopped"], true);
    running.until("RUN_FINISHED").await;
    watching.until("RUN_FINISHED").await;
    let listed = json!({"method": "resource/request", "params": {"path": "/threads", "httpMethod": "GET"}}).to_string();
    let (there, here) =
        (ask(&app, "/single", Some(listed)).await.json(), ask(&app, "/multi/threads", None).await.json());
    assert_eq!((&there, &there["threads"][0]["id"]), (&here, &json!("t")));
}

#[tokio::test]
async fn the_service_is_a_tower_service_of_any_body_and_always_ready() {
    let mut service = service(greeter());
    let body = http_body_util::Full::<bytes::Bytes>::from(input("t", "r"));
    let request = http::Request::post("/agent/default/run").body(body).unwrap();
    let ready =
        std::future::poll_fn(|cx| Service::<http::Request<http_body_util::Empty<&[u8]>>>::poll_ready(&mut service, cx))
            .await;
    assert!(ready.is_ok());
    let response: Result<_, Infallible> = service.call(request).await;
    let body = response.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(one_terminal(&events(&body)), "");
    let empty = http_body_util::Empty::<&[u8]>::new();
    let info = service.oneshot(http::Request::get("/info").body(empty).unwrap()).await.unwrap();
    assert_eq!(info.status(), StatusCode::OK);
}

#[tokio::test]
async fn bare_hyper_sends_the_head_at_once_and_events_as_they_come() {
    let (agent, mut begun) = puppets();
    let service = service(agent).base_path("/kit");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        // One connection through the adapter, one through a function.
        let (first, _) = listener.accept().await.unwrap();
        let adapted = TowerToHyperService::new(service.clone());
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(first), adapted));
        let (second, _) = listener.accept().await.unwrap();
        let function = hyper::service::service_fn(move |request| service.clone().oneshot(request));
        connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(second), function));
        while let Some(ended) = connections.join_next().await {
            ended.unwrap().unwrap();
        }
    });
    for thread in ["a", "b"] {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut raw = Raw { stream, read: Vec::new() };
        for run in ["1", "2"] {
            raw.send(raw_post("/kit/agent/default/run", &input(thread, run)).as_bytes()).await;
            seen_one_by_one(&mut raw, &mut begun).await;
            raw.read.clear();
        }
        raw.send(b"GET /kit/nothing HTTP/1.1\r\nhost: t\r\n\r\n").await;
        assert!(raw.until("Not found").await.starts_with("HTTP/1.1 404 "));
    }
    soon("the connections end", serving.join_all()).await;
}

#[tokio::test]
async fn http2_streams_events_without_the_header_it_forbids() {
    let (agent, mut begun) = puppets();
    let server = Server::start(Router::new().nest_service("/kit", service(agent))).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let post = |path: &str, body: String| client.post(server.url(path)).body(body).send();
    // Two streams on one connection, both silent at first.
    let first = soon("the head", post("/kit/agent/default/run", input("a", "r"))).await.unwrap();
    let one = soon("the run", begun.recv()).await.unwrap();
    let second = soon("the head", post("/kit/agent/default/run", input("b", "r"))).await.unwrap();
    let other = soon("the run", begun.recv()).await.unwrap();
    for response in [&first, &second] {
        assert_eq!((response.version(), response.status()), (http::Version::HTTP_2, StatusCode::OK));
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("connection"));
    }
    let mut second = second;
    other.start();
    let chunk = soon("an event", second.chunk()).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&chunk).contains("RUN_STARTED"));
    // Whoever gives up one stream keeps the other.
    drop(first);
    one.start();
    one.finish();
    other.finish();
    let rest = soon("the rest", second.bytes()).await.unwrap();
    assert_eq!(one_terminal(&events(&rest)), "");
    let replay = soon("the replay", post("/kit/agent/default/connect", input("a", "x"))).await.unwrap();
    assert_eq!(events(&replay.bytes().await.unwrap()).len(), 2);
    let refused = soon("the answer", post("/kit/agent/nobody/run", input("a", "x"))).await.unwrap();
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn one_service_serves_both_versions_of_http() {
    let server = Server::of(service(greeter())).await;
    let newer = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let bodies = [
        fetch(&client(), &server.url("/agent/default/suggest"), input("t", "r")).await.body,
        fetch(&newer, &server.url("/agent/default/suggest"), input("t", "r")).await.body,
    ];
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(one_terminal(&events(&bodies[0])), "");
}
