//! What the service answers fits `openapi.yaml`, and everything told there is answered by something.

mod platform;
mod threads;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, Agents, FunctionAgent, ResolveError};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::http::{Body, CopilotService, Cors, Interrupt, Response};
use copilotkit_runtime::runner::{
    AgentRunner, ConnectRequest, FrameStream, RunRefused, RunRequest, RunnerError, StopRequest, Stopped,
};
use copilotkit_runtime::transcription::{Audio, TranscriptionError, TranscriptionService};
use copilotkit_runtime::{CopilotRuntime, Limits};
use futures_util::future::{BoxFuture, ready};
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::MOUNT;
use super::document::{Answer, Operation, bytes_of, document, examples, text};

const JSON: &str = "application/json";

#[tokio::test]
async fn every_answer_fits_the_document_and_every_told_answer_is_given() {
    let mut seen = Seen::default();
    wrong_methods_and_paths(&mut seen).await;
    hooks_that_fail(&mut seen).await;
    told_requests(&mut seen).await;
    threads::changes(&mut seen).await;
    threads::callers(&mut seen).await;
    runs(&mut seen).await;
    refused_bodies(&mut seen).await;
    failing_parts(&mut seen).await;
    transcriptions(&mut seen).await;
    debug_feed(&mut seen).await;
    cross_origin(&mut seen).await;
    envelopes(&mut seen).await;
    too_many_requests(&mut seen).await;
    platform::memories(&mut seen).await;
    platform::inspector(&mut seen).await;
    platform::runs_and_threads(&mut seen).await;
    platform::envelopes(&mut seen).await;

    assert!(seen.problems.is_empty(), "\n{}", seen.problems.join("\n"));
    let told: BTreeSet<_> = document()
        .operations()
        .flat_map(|operation| {
            let statuses = operation.value["responses"].as_object().unwrap().keys();
            statuses.map(|status| (operation.id.clone(), status.parse::<u16>().unwrap()))
        })
        .collect();
    let missing: Vec<_> = told.difference(&seen.given).collect();
    assert!(missing.is_empty(), "told, but not given: {missing:?}");
}

#[tokio::test]
async fn hooks_see_the_route_that_is_told() {
    let named = Arc::new(Mutex::new(Vec::new()));
    let note = named.clone();
    let service = default_runtime().into_service().on_before_handler(move |cx, _| {
        note.lock().push(cx.route.map(|route| route.name()));
        ready(Err(Response::default().into()))
    });
    for operation in document().operations() {
        let Some(route) = &operation.route else { continue };
        ask(&service, operation.method.clone(), &path(operation), None, "").await;
        assert_eq!(named.lock().pop(), Some(Some(route.as_str())), "{}", operation.id);
    }
}

/// Answers given so far, and what was wrong with them.
#[derive(Default)]
struct Seen {
    given: BTreeSet<(String, u16)>,
    problems: Vec<String>,
}

impl Seen {
    /// Checks an answer and hands back its body's JSON.
    fn check(&mut self, id: &str, answer: &Answer) -> Value {
        let found = document().problems(document().operation(id), answer);
        self.problems.extend(found.into_iter().map(|problem| format!("{id} {}: {problem}", answer.status)));
        self.given.insert((id.to_owned(), answer.status));
        answer.body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default()
    }

    /// The same, and the status.
    fn expect(&mut self, id: &str, status: u16, answer: &Answer) -> Value {
        if answer.status != status {
            self.problems.push(format!("{id}: {status} expected, not {answer:?}"));
        }
        self.check(id, answer)
    }
}

/// A wrong method and, where the path has an id, one that cannot be decoded; hidden memories.
async fn wrong_methods_and_paths(seen: &mut Seen) {
    let (exposed, hidden) = (default_runtime().into_service(), hiding_runtime().into_service());
    for operation in routes() {
        let path = path(operation);
        for method in [Method::PUT, Method::HEAD, Method::OPTIONS] {
            seen.expect(&operation.id, 405, &ask(&exposed, method, &path, None, "").await);
        }
        if operation.path.contains('{') {
            let broken = operation.path.replace("{agentId}", "default").replace("{threadId}", "%zz");
            let broken = broken.replace("{memoryId}", "%E0%A4").replace("agent/default", "agent/%");
            seen.expect(&operation.id, 404, &ask(&exposed, operation.method.clone(), &broken, None, "").await);
        }
        if operation.path.starts_with("/memories") {
            for method in [operation.method.clone(), Method::PUT] {
                seen.expect(&operation.id, 404, &ask(&hidden, method, &path, None, "").await);
            }
        }
    }
    let envelope = json!({"method": "info"});
    let misdirected = post(&exposed, "/", &envelope).await;
    assert_eq!(seen.expect("single_route", 404, &misdirected).as_object().unwrap().len(), 3);
    seen.expect("single_route", 404, &post(&exposed, "/", &json!({})).await);
    seen.expect("cors_preflight", 404, &ask(&exposed, Method::OPTIONS, "/", None, "").await);
    seen.expect("cors_preflight", 405, &ask(&exposed, Method::OPTIONS, "/memories", None, "").await);
}

async fn hooks_that_fail(seen: &mut Seen) {
    let failing = default_runtime().into_service().on_request(|_, _| ready(Err(Interrupt::Error("no luck".into()))));
    for operation in routes() {
        seen.expect(&operation.id, 500, &ask(&failing, operation.method.clone(), &path(operation), None, "").await);
    }
    seen.expect("single_route", 500, &ask(&failing.single_route(), Method::POST, "/", None, "").await);
    // A hook that panics fails like one that says so.
    let panicking = default_runtime().into_service().on_before_handler(|_, request| async move {
        assert!(request.headers().contains_key("x-never"), "on purpose");
        Ok(request)
    });
    seen.expect("info", 500, &ask(&panicking, Method::GET, "/info", None, "").await);
}

/// The requests the document has for examples, to a runtime that has everything and to one that has nothing.
async fn told_requests(seen: &mut Seen) {
    let (full, bare) = (default_runtime().into_service(), bare_runtime().into_service());
    for operation in routes().filter(|operation| operation.id != "cpk_debug_events") {
        let body = operation.value.get("requestBody").map(|body| document().resolve(body));
        let told = body.map(|body| examples(&body["content"][JSON]).map(bytes_of).collect()).unwrap_or_default();
        for body in [told, vec![Bytes::new()]].concat() {
            let is_told = !body.is_empty() || operation.value["requestBody"].is_null();
            for service in [&full, &bare] {
                let content_type = (!body.is_empty()).then_some(JSON);
                let answer = ask(service, operation.method.clone(), &path(operation), content_type, body.clone()).await;
                seen.check(&operation.id, &answer);
                if is_told && answer.status == 400 {
                    seen.problems.push(format!("{}: refuses its own example: {answer:?}", operation.id));
                }
            }
        }
    }
    // A thread that has something to tell; the requests above cleared it.
    seen.expect("agent_run", 200, &post(&full, "/agent/default/run", &input_json("t1")).await);
    for (id, path, place) in [
        ("threads_messages", "messages", "/messages/1/content"),
        ("threads_events", "events", "/events/0/runId"),
        ("threads_state", "state", "/state/count"),
    ] {
        let told = seen.expect(id, 200, &get(&full, &format!("/threads/t1/{path}")).await);
        assert!(told.pointer(place).is_some(), "{id}: {told}");
    }
    let threads = seen.expect("threads_list", 200, &get(&full, "/threads?agentId=default&limit=1").await);
    assert_eq!(threads["threads"][0]["id"], "t1");
    seen.expect("threads_clear", 204, &ask(&full, Method::POST, "/threads/clear", None, "").await);
}

/// A run that goes on: another on its thread, a watcher, and stops.
async fn runs(seen: &mut Seen) {
    let service = default_runtime().into_service();
    let running = send(&service, Method::POST, "/agent/stuck/run", Some(JSON), input("busy")).await;

    let refused = seen.expect_stream(&post(&service, "/agent/stuck/run", &input_json("busy")).await);
    let told = document().example("EventStream", "text/event-stream", "busy");
    assert_eq!(refused, text(told), "a busy thread is told as it is");

    let other = json!({"runId": "another"});
    let stop = "/agent/stuck/stop/busy";
    assert_eq!(seen.expect("agent_stop", 200, &post(&service, stop, &other).await)["stopped"], false);
    let stopped = seen.expect("agent_stop", 200, &ask(&service, Method::POST, stop, None, "").await);
    assert_eq!(stopped, *document().example("StopResult", JSON, "stopped"));
    let whole = seen.expect_stream(&answer(running).await);
    assert!(whole.contains("RUN_FINISHED"), "{whole}");
    seen.expect("agent_connect", 200, &post(&service, "/agent/stuck/connect", &input_json("busy")).await);

    let idle = seen.expect("agent_stop", 200, &ask(&service, Method::POST, "/agent/stuck/stop/t1", None, "").await);
    assert_eq!(idle, *document().example("StopResult", JSON, "idle"));
    let nothing = post(&service, "/agent/default/connect", &input_json("nobody-knows")).await;
    seen.expect("agent_connect", 200, &nothing);
    assert_eq!(nothing.body.unwrap(), text(document().example("EventStream", "text/event-stream", "nothing")));

    for agent in ["failing", "silent", "panicking"] {
        for (id, how) in [("agent_run", "run"), ("agent_suggest", "suggest")] {
            let failed = post(&service, &format!("/agent/{agent}/{how}"), &input_json(agent)).await;
            seen.expect(id, 200, &failed);
            let body = String::from_utf8_lossy(failed.body.as_deref().unwrap());
            assert!(body.contains("RUN_ERROR"), "{agent}: {body}");
        }
    }
}

impl Seen {
    /// Checks the stream of a run.
    fn expect_stream(&mut self, answer: &Answer) -> String {
        self.expect("agent_run", 200, answer);
        String::from_utf8(answer.body.clone().unwrap().into()).unwrap()
    }
}

async fn refused_bodies(seen: &mut Seen) {
    let service = default_runtime().into_service();
    let small = default_runtime().into_service().body_limit(16);
    for (id, how) in [("agent_run", "run"), ("agent_connect", "connect"), ("agent_suggest", "suggest")] {
        let path = format!("/agent/default/{how}");
        for body in ["", "{", "null", "[]", "{}", r#"{"threadId":"t","runId":"r","messages":[{"role":"user"}]}"#] {
            seen.expect(id, 400, &ask(&service, Method::POST, &path, Some(JSON), body).await);
        }
        seen.expect(id, 404, &post(&service, &format!("/agent/ghost/{how}"), &json!({})).await);
        seen.expect(id, 413, &post(&small, &path, &input_json("t")).await);
    }
    let stop = "/agent/default/stop/t1";
    for body in ["{", "null", "[]", r#"{"else":1}"#, r#"{"runId":" "}"#, r#"{"runId":1}"#] {
        seen.expect("agent_stop", 400, &ask(&service, Method::POST, stop, Some(JSON), body).await);
    }
    seen.expect("agent_stop", 404, &post(&service, "/agent/ghost/stop/t1", &json!({})).await);
    let long = json!({"runId": "longer than sixteen"});
    seen.expect("agent_stop", 413, &post(&small, stop, &long).await);
    seen.expect("transcribe", 413, &post(&small, "/transcribe", &long).await);
    for (id, method, path) in [
        ("threads_update", Method::PATCH, "/threads/t1"),
        ("threads_update_delete", Method::DELETE, "/threads/t1"),
        ("threads_archive", Method::POST, "/threads/t1/archive"),
    ] {
        seen.expect(id, 413, &ask(&small, method, path, Some(JSON), long.to_string()).await);
    }
    seen.expect("single_route", 413, &post(&small.clone().single_route(), "/", &long).await);
    // A body nobody looks at is not measured.
    seen.expect("annotate", 422, &post(&small, "/annotate", &long).await);
}

/// Agents that cannot be resolved, and a runner that cannot do anything.
/// A client that has sent as many requests as it may.
async fn too_many_requests(seen: &mut Seen) {
    let mut limits = Limits::default();
    (limits.requests_per_second, limits.burst) = (Some(0.001), 1);
    let builder = CopilotRuntime::builder().agent("default", greeter()).expose_memory_routes(true).limits(limits);
    let service = builder.build().unwrap().into_service();
    assert_eq!(get(&service, "/info").await.status, 200);
    for operation in routes() {
        seen.expect(&operation.id, 429, &ask(&service, operation.method.clone(), &path(operation), None, "").await);
    }
    seen.expect("single_route", 429, &post(&service.single_route(), "/", &json!({"method": "info"})).await);
}

async fn failing_parts(seen: &mut Seen) {
    let unresolved = CopilotRuntime::builder()
        .agents_per_request(|_| ready(Err::<Agents, ResolveError>("factory failed".into())))
        .build()
        .unwrap()
        .into_service();
    let broken = CopilotRuntime::builder().agent("default", greeter()).runner(Broken).build().unwrap();
    let broken = broken.into_service();

    let told = &document().root["components"]["responses"];
    let told = |response: &str| told[response]["content"][JSON]["example"].clone();
    assert_eq!(seen.expect("info", 500, &get(&unresolved, "/info").await), told("InfoFailed"));
    let run = post(&unresolved, "/agent/default/run", &input_json("t")).await;
    assert_eq!(seen.expect("agent_run", 500, &run), told("RunFailed"));
    seen.expect("agent_connect", 500, &post(&unresolved, "/agent/default/connect", &input_json("t")).await);
    let suggest = post(&unresolved, "/agent/default/suggest", &input_json("t")).await;
    assert_eq!(seen.expect("agent_suggest", 500, &suggest), json!({"error": "internal_error"}));
    seen.expect("agent_stop", 500, &post(&unresolved, "/agent/default/stop/t", &json!({})).await);
    let stop = post(&broken, "/agent/default/stop/t", &json!({})).await;
    assert_eq!(seen.expect("agent_stop", 500, &stop), told("StopFailed"));
    for (id, how) in [("agent_run", "run"), ("agent_connect", "connect")] {
        let answer = post(&broken, &format!("/agent/default/{how}"), &input_json("t")).await;
        seen.expect(id, 200, &answer);
        assert!(String::from_utf8_lossy(&answer.body.unwrap()).contains("RUNNER_FAILED"));
    }

    let unresolved = unresolved.single_route();
    let body = input_json("t");
    for envelope in [
        json!({"method": "info"}),
        json!({"method": "agent/run", "params": {"agentId": "a"}, "body": body}),
        json!({"method": "agent/suggest", "params": {"agentId": "a"}, "body": body}),
        json!({"method": "agent/stop", "params": {"agentId": "a", "threadId": "t"}}),
    ] {
        seen.expect("single_route", 500, &post(&unresolved, "/", &envelope).await);
    }
}

async fn transcriptions(seen: &mut Seen) {
    let service = default_runtime().into_service();
    let single = service.clone().single_route();
    for (filename, status) in [
        ("fine", 200),
        ("AuthFailed", 401),
        ("RateLimited", 429),
        ("AudioTooLong", 400),
        ("AudioTooShort", 400),
        ("Network", 502),
        ("Provider", 500),
    ] {
        let body = json!({"audio": "AAECAwQ=", "mimeType": "audio/webm;codecs=opus", "filename": filename});
        seen.expect("transcribe", status, &post(&service, "/transcribe", &body).await);
        let envelope = json!({"method": "transcribe", "body": body});
        seen.expect("single_route", status, &post(&single, "/", &envelope).await);
    }
    for body in [json!([]), json!({}), json!({"audio": "?", "mimeType": "audio/webm"}), json!({"audio": "AA=="})] {
        seen.expect("transcribe", 400, &post(&service, "/transcribe", &body).await);
    }
    let video = json!({"audio": "AA==", "mimeType": "video/mp4"});
    let refused = seen.expect("transcribe", 400, &post(&service, "/transcribe", &video).await);
    assert_eq!(refused, *document().example("TranscriptionRefused", JSON, "format"));
    seen.expect("transcribe", 400, &ask(&service, Method::POST, "/transcribe", Some("text/plain"), "hello").await);
    let form = "--b\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"fine\"\r\n\
                Content-Type: audio/webm\r\n\r\n\0\u{1}\u{2}\r\n--b--\r\n";
    let form_type = Some("multipart/form-data; boundary=b");
    let heard = seen.expect("transcribe", 200, &ask(&service, Method::POST, "/transcribe", form_type, form).await);
    assert_eq!(heard["size"], 3);
    let bare = bare_runtime().into_service();
    seen.expect("transcribe", 503, &post(&bare, "/transcribe", &video).await);
    let envelope = json!({"method": "transcribe", "body": video});
    seen.expect("single_route", 503, &post(&bare.single_route(), "/", &envelope).await);
}

async fn debug_feed(seen: &mut Seen) {
    let runtime = default_runtime();
    let service = runtime.clone().into_service();
    let watching = send(&service, Method::GET, "/cpk-debug-events", None, "").await;
    seen.expect("agent_run", 200, &post(&service, "/agent/default/run", &input_json("watched")).await);
    runtime.shutdown(std::time::Duration::from_secs(1)).await;
    let feed = answer(watching).await;
    seen.expect("cpk_debug_events", 200, &feed);
    let feed = String::from_utf8_lossy(feed.body.as_deref().unwrap());
    assert!(feed.starts_with(": connected\n\ndata: ") && feed.contains("watched"), "{feed}");
    seen.expect("cpk_debug_events", 404, &get(&bare_runtime().into_service(), "/cpk-debug-events").await);
}

async fn cross_origin(seen: &mut Seen) {
    const ORIGIN: &str = "https://app.example.com";
    let expect = |answer: &Answer, allowed: Option<&str>| {
        let given = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(given, allowed, "{answer:?}");
    };
    let asked = |method: Method, path: &str| {
        Request::builder().method(method).uri(path).header("origin", ORIGIN).body(Body::empty()).unwrap()
    };
    let age = std::time::Duration::from_secs(600);
    let strict = Cors::any().origins([ORIGIN]).credentials(true).expose_headers(["X-A", "X-B"]).max_age(age);
    for (cors, allowed) in [
        (Cors::any(), Some("*")),
        (Cors::any().dangerously_allow_credentials_from_any_origin(), Some(ORIGIN)),
        (strict, Some(ORIGIN)),
        (Cors::any().origins(["https://other.example.com"]), None),
        (Cors::any().origin_fn(|origin| Some(origin.to_owned())), Some(ORIGIN)),
    ] {
        let service = default_runtime().into_service().cors(cors).expect("origins that may be");
        for path in ["/", "/info", "/nowhere"] {
            let preflight = answer(call(&service, asked(Method::OPTIONS, path)).await).await;
            seen.expect("cors_preflight", 204, &preflight);
            expect(&preflight, allowed);
        }
        let info = answer(call(&service, asked(Method::GET, "/info")).await).await;
        seen.expect("info", 200, &info);
        expect(&info, allowed);
        let refused = answer(call(&service, asked(Method::DELETE, "/threads")).await).await;
        seen.expect("threads_list", 405, &refused);
        expect(&refused, allowed);
    }
}

async fn envelopes(seen: &mut Seen) {
    let service = default_runtime().into_service().base_path("/api").single_route();
    let asks = async |envelope: &Value| post(&service, "/api", envelope).await;
    let inner = |method: &str, path: &str| json!({"method": "resource/request", "params": {"path": path, "httpMethod": method}});
    let told = &document().root["components"]["schemas"]["Envelope"]["discriminator"]["mapping"];
    for method in told.as_object().unwrap().keys() {
        let answer = seen.check("single_route", &asks(&json!({"method": method})).await);
        assert!(!answer.to_string().contains("Unsupported method"), "{method}");
    }
    let body = document().resolve(&document().operation("single_route").value["requestBody"]);
    for example in examples(&body["content"][JSON]) {
        let answer = asks(example).await;
        seen.check("single_route", &answer);
        assert!(matches!(answer.status, 200 | 204), "{example}: {answer:?}");
    }
    for (status, envelope) in [
        (204, json!({"method": "inspector/metadata"})),
        (404, json!({"method": "inspector/learning", "params": {"agentId": "default"}})),
        (404, json!({"method": "agent/run", "params": {"agentId": "ghost"}, "body": input_json("t")})),
        (400, json!({"method": "agent/run", "params": {"agentId": "default"}})),
        (400, json!({"method": "agent/run", "params": {"agentId": "default"}, "body": {}})),
        (400, json!({"method": "agent/stop", "params": {"agentId": "a", "threadId": "t"}, "body": []})),
        (400, json!({"method": "agent/dance"})),
        (400, json!({"method": "transcribe", "body": {}})),
        (400, json!({})),
        (200, inner("get", "/threads/t1/messages")),
        (200, inner("GET", "/threads/t1/events")),
        (200, inner("GET", "/threads/t1/state")),
        (400, inner("GET", "//elsewhere/threads")),
        (404, inner("GET", "/info")),
        (405, inner("GET", "/threads/clear")),
        (400, inner("PATCH", "/threads/t1")),
        (400, inner("GET", "/threads?limit=0")),
        (422, inner("POST", "/threads/subscribe")),
        (422, inner("GET", "/memories")),
        (422, inner("POST", "/annotate")),
    ] {
        let answer = asks(&envelope).await;
        if answer.status != status {
            seen.problems.push(format!("{status} expected for {envelope}"));
        }
        seen.check("single_route", &answer);
    }
    seen.expect("single_route", 400, &ask(&service, Method::POST, "/api", Some(JSON), "{").await);
    seen.expect("single_route", 405, &get(&service, "/api/info").await);
    seen.expect("single_route", 404, &post(&service, "/elsewhere", &json!({"method": "info"})).await);
    let untyped =
        seen.expect("single_route", 415, &ask(&service, Method::POST, "/api", Some("text/plain"), "{}").await);
    assert_eq!(untyped, document().root["components"]["responses"]["NotJson"]["content"][JSON]["example"]);
}

fn started(call: &AgentCall) -> Event {
    Event::run_started(&call.input.thread_id, &call.input.run_id)
}

/// Says hello and sets a state.
fn greeter() -> impl Agent {
    FunctionAgent::new(|call| {
        let events = [
            started(&call),
            Event::state_snapshot(&json!({"count": 1})),
            Event::text_start("m"),
            Event::text_content("m", "Hello"),
            Event::text_end("m"),
            Event::run_finished(&call.input.thread_id, &call.input.run_id),
        ];
        stream::iter(events.map(Ok))
    })
}

/// Agents, a transcription service and all features.
fn default_runtime() -> CopilotRuntime {
    CopilotRuntime::builder()
        .agent("default", greeter())
        .agent("stuck", FunctionAgent::new(|call| stream::iter([Ok(started(&call))]).chain(stream::pending())))
        .agent("silent", FunctionAgent::new(|_| stream::empty()))
        .agent(
            "failing",
            FunctionAgent::new(|call| {
                let failure = AgentError::new("no luck");
                stream::iter([Ok(started(&call)), Ok(Event::tool_start("c", "search", None)), Err(failure)])
            }),
        )
        .agent("panicking", FunctionAgent::new(|_| stream::poll_fn(|_| panic!("on purpose"))))
        .transcription(Named)
        .expose_memory_routes(true)
        .debug_feed(true)
        .build()
        .unwrap()
}

/// The default: memory routes are hidden.
fn hiding_runtime() -> CopilotRuntime {
    CopilotRuntime::builder().agent("default", greeter()).build().unwrap()
}

/// No transcription, no debug feed, and a runner that does nothing.
fn bare_runtime() -> CopilotRuntime {
    CopilotRuntime::builder().agent("default", greeter()).runner(Broken).build().unwrap()
}

/// A runner that can do nothing and keeps nothing.
struct Broken;

impl Broken {
    fn failure(what: &str) -> RunnerError {
        RunnerError(what.to_owned())
    }
}

impl AgentRunner for Broken {
    fn run(&self, _: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        Box::pin(ready(Err(Broken::failure("runner unavailable").into())))
    }

    fn connect(&self, _: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        Box::pin(ready(Err(Broken::failure("runner unavailable"))))
    }

    fn stop(&self, _: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        Box::pin(ready(Err(Broken::failure("stop failed"))))
    }
}

/// Fails as the file is named.
struct Named;

impl TranscriptionService for Named {
    fn transcribe(&self, audio: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>> {
        Box::pin(ready(match audio.filename.as_str() {
            "AuthFailed" => Err(TranscriptionError::AuthFailed),
            "RateLimited" => Err(TranscriptionError::RateLimited),
            "AudioTooLong" => Err(TranscriptionError::AudioTooLong),
            "AudioTooShort" => Err(TranscriptionError::AudioTooShort),
            "Network" => Err(TranscriptionError::Network("connection refused".to_owned())),
            "Provider" => Err(TranscriptionError::Provider("model crashed".to_owned())),
            _ => Ok("hello there".to_owned()),
        }))
    }
}

/// The operations of the route table.
fn routes() -> impl Iterator<Item = &'static Operation> {
    document().operations().filter(|operation| operation.path != MOUNT)
}

/// The path of an operation, with the ids the document has for examples.
fn path(operation: &Operation) -> String {
    let ids = document().parameters(operation).filter(|parameter| parameter["in"] == "path");
    ids.fold(operation.path.clone(), |path, id| {
        path.replace(&format!("{{{}}}", text(&id["name"])), text(&id["example"]))
    })
}

fn input_json(thread: &str) -> Value {
    json!({"threadId": thread, "runId": format!("run-{thread}"), "messages": [{"id": "u", "role": "user", "content": "Hi"}]})
}

fn input(thread: &str) -> String {
    input_json(thread).to_string()
}

async fn call(service: &CopilotService, request: Request<Body>) -> Response {
    service.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// The answer's head; its body is still to come.
async fn send(
    service: &CopilotService,
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: impl Into<Bytes>,
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    call(service, request.body(Body::from(body.into())).unwrap()).await
}

async fn answer(response: Response) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body: Some(body) }
}

async fn ask(
    service: &CopilotService,
    method: Method,
    path: &str,
    content_type: Option<&str>,
    body: impl Into<Bytes>,
) -> Answer {
    answer(send(service, method, path, content_type, body).await).await
}

async fn get(service: &CopilotService, path: &str) -> Answer {
    ask(service, Method::GET, path, None, "").await
}

async fn post(service: &CopilotService, path: &str, body: &Value) -> Answer {
    ask(service, Method::POST, path, Some(JSON), body.to_string()).await
}
