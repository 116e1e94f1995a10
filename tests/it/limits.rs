//! What one client may ask for, and what it is told when it asks for more.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use copilotkit_runtime::agent::{Agent, AgentCall, DemoAgent, FunctionAgent};
use copilotkit_runtime::agui::{Event, EventKind};
use copilotkit_runtime::http::{Body, CopilotService, PeerAddress, TrustedProxies};
use copilotkit_runtime::runner::{MemoryLimits, MemoryRunner, RunOptions, WhenBusy};
use copilotkit_runtime::{Builder, CopilotRuntime, IdentifyError, Limits, User};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::serve::{Answer, call, get, greeter, input, one_terminal, post, puppets, soon};

fn limited(agent: impl Agent, limits: impl FnOnce(&mut Limits)) -> CopilotService {
    built(CopilotRuntime::builder().agent("default", agent), limits)
}

fn built(builder: Builder, limits: impl FnOnce(&mut Limits)) -> CopilotService {
    let mut allowed = Limits::default();
    limits(&mut allowed);
    builder.limits(allowed).build().unwrap().into_service()
}

fn from(peer: &str, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(PeerAddress(SocketAddr::new(peer.parse().unwrap(), 1234)));
    request
}

fn with(header: &'static str, value: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().append(header, value.parse().unwrap());
    request
}

fn run(run: &str) -> Request<Body> {
    run_on(&format!("thread-of-{run}"), run)
}

fn run_on(thread: &str, run: &str) -> Request<Body> {
    post("/agent/default/run", input(thread, run))
}

/// The status, and the code of the answer if it has one.
fn told(answer: &Answer) -> (u16, Option<String>) {
    let code =
        serde_json::from_slice::<Value>(&answer.body).ok().and_then(|body| Some(body["code"].as_str()?.to_owned()));
    (answer.status.as_u16(), code)
}

fn refused(code: &str) -> (u16, Option<String>) {
    (429, Some(code.to_owned()))
}

const FINE: (u16, Option<String>) = (200, None);

#[tokio::test(start_paused = true)]
async fn more_requests_than_a_client_may_send_are_answered_429_in_the_shape_of_a_run_error() {
    let service = limited(greeter(), |limits| (limits.requests_per_second, limits.burst) = (Some(0.25), 2));
    assert_eq!(one_terminal(&call(&service, run("r1")).await.events()), "");
    assert_eq!(call(&service, get("/info")).await.status, StatusCode::OK);
    let answer = call(&service, run("r2")).await;
    assert_eq!(told(&answer), refused("RATE_LIMITED"));
    assert_eq!(answer.headers["retry-after"], "4");
    let event = Event::parse(answer.body.clone()).expect("an event");
    assert_eq!(event.kind(), EventKind::RunError);
    let message = "too many requests in a short time; try again in 4 seconds";
    assert_eq!(
        answer.json(),
        json!({
            "type": "RUN_ERROR",
            "error": "Too many requests",
            "code": "RATE_LIMITED",
            "message": message,
            "retryAfter": 4,
        })
    );
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(told(&call(&service, run("r2")).await), FINE, "who waits as long as that is let in");
    assert_eq!(told(&call(&service, run("r3")).await), refused("RATE_LIMITED"));
}

#[tokio::test(start_paused = true)]
async fn clients_are_counted_by_address_and_proxies_are_believed_only_if_they_are_named() {
    let service = limited(greeter(), |limits| (limits.requests_per_second, limits.burst) = (Some(0.1), 1));
    let service = service.trusted_proxies(TrustedProxies::new(["10.0.0.0/8"]).unwrap());
    let asked = async |peer: &str, said: &str| {
        let request = with("x-forwarded-for", said, from(peer, get("/info")));
        call(&service, request).await.status.as_u16()
    };
    assert_eq!(asked("9.9.9.9", "1.1.1.1").await, 200);
    assert_eq!(asked("9.9.9.9", "2.2.2.2").await, 429, "it may say what it likes");
    assert_eq!(asked("10.0.0.1", "3.3.3.3").await, 200);
    assert_eq!(asked("10.0.0.2", "3.3.3.3").await, 429, "by another proxy");
    assert_eq!(asked("10.0.0.1", "4.4.4.4").await, 200);
    assert_eq!(asked("10.0.0.1", "5.5.5.5, 4.4.4.4").await, 429);
}

#[tokio::test(start_paused = true)]
async fn users_are_counted_wherever_they_are_and_strangers_by_address() {
    let user = |head: &Parts| {
        let user = head.headers.get("x-user").and_then(|user| user.to_str().ok()).map(User::new);
        std::future::ready(user.ok_or(IdentifyError::Unauthenticated))
    };
    let builder = CopilotRuntime::builder().agent("default", greeter()).identify_user(user);
    let service = built(builder, |limits| (limits.requests_per_second, limits.burst) = (Some(0.1), 1));
    let asked = async |user: &str, peer: &str| {
        let request = from(peer, get("/threads?agentId=default"));
        let request = if user.is_empty() { request } else { with("x-user", user, request) };
        call(&service, request).await.status.as_u16()
    };
    assert_eq!(asked("ada", "1.1.1.1").await, 200);
    assert_eq!(asked("ada", "2.2.2.2").await, 429);
    assert_eq!(asked("bob", "1.1.1.1").await, 200);
    assert_eq!(asked("", "1.1.1.1").await, 401);
    assert_eq!(asked("", "1.1.1.1").await, 429, "who guesses is slowed down");
    assert_eq!(asked("", "3.3.3.3").await, 401);
    assert_eq!(asked("eve", "3.3.3.3").await, 200);
}

#[tokio::test(start_paused = true)]
async fn requests_that_find_nothing_count_as_those_that_do() {
    let envelope = json!({"method": "no/such", "params": {}}).to_string();
    for (request, status) in [
        (post("/threads/guessed/archive", r#"{"agentId":"default"}"#), 404),
        (get("/no/such/route"), 404),
        (get("/agent/default/run"), 405),
        (post("/agent/nobody/run", input("t", "r")), 404),
        (post("/agent/default/run", "{}".to_owned()), 400),
        (post("/", envelope), 404),
    ] {
        let service = limited(greeter(), |limits| (limits.requests_per_second, limits.burst) = (Some(0.1), 1));
        let (path, stranger) = (request.uri().path().to_owned(), get("/info"));
        assert_eq!(call(&service, from("1.1.1.1", request)).await.status.as_u16(), status, "{path}");
        assert_eq!(told(&call(&service, from("1.1.1.1", get("/no/such"))).await), refused("RATE_LIMITED"), "{path}");
        assert_eq!(call(&service, from("2.2.2.2", stranger)).await.status, StatusCode::OK, "others ask as before");
    }
}

#[tokio::test]
async fn a_run_counts_until_it_ends_and_not_until_its_client_leaves() {
    let (agent, mut begun) = puppets();
    let service = limited(agent, |limits| limits.concurrent_runs = Some(1));
    let response = service.clone().oneshot(run("r1")).await.unwrap();
    let puppet = soon("the run", begun.recv()).await.unwrap();
    drop(response);
    let answer = call(&service, run("r2")).await;
    assert_eq!(told(&answer), refused("TOO_MANY_RUNS"));
    assert_eq!(answer.headers["retry-after"], "1");
    let suggest = post("/agent/default/suggest", input("s", "s"));
    assert_eq!(told(&call(&service, suggest).await), refused("TOO_MANY_RUNS"), "it costs as much");
    assert_eq!(told(&call(&service, get("/threads?agentId=default")).await).0, 200, "all else is free");
    puppet.start();
    let watching = post("/agent/default/connect", input("thread-of-r1", "c"));
    let watching = service.clone().oneshot(watching).await.unwrap();
    assert_eq!(watching.status(), StatusCode::OK);
    puppet.finish();
    soon("the end", watching.into_body().collect()).await.unwrap();
    let next = service.clone().oneshot(run("r2")).await.unwrap();
    assert_eq!(next.status(), StatusCode::OK, "whoever sees the end may begin another run");
}

#[tokio::test]
async fn runs_that_wait_for_their_thread_count() {
    let (agent, mut begun) = puppets();
    let mut options = RunOptions::default();
    options.when_busy = WhenBusy::Enqueue { max: 10, timeout: Duration::from_secs(60) };
    let runner = MemoryRunner::with_options(MemoryLimits::default(), options);
    let builder = CopilotRuntime::builder().agent("default", agent).runner(runner);
    let service = built(builder, |limits| limits.concurrent_runs = Some(2));
    let first = service.clone().oneshot(run_on("t", "r1")).await.unwrap();
    let puppet = soon("the run", begun.recv()).await.unwrap();
    let waiting = service.clone().oneshot(run_on("t", "r2")).await.unwrap();
    assert_eq!((first.status(), waiting.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(told(&call(&service, run_on("t", "r3")).await), refused("TOO_MANY_RUNS"));
    puppet.start();
    puppet.finish();
    soon("its end", first.into_body().collect()).await.unwrap();
    let third = service.clone().oneshot(run_on("t", "r3")).await.unwrap();
    assert_eq!(third.status(), StatusCode::OK);
}

#[tokio::test]
async fn refused_requests_hold_no_place() {
    let service = limited(greeter(), |limits| limits.concurrent_runs = Some(1));
    for (path, body) in [("/agent/nobody/run", input("t", "r")), ("/agent/default/run", "{}".to_owned())] {
        assert!(call(&service, post(path, body)).await.status.is_client_error());
    }
    for id in ["r1", "r2", "r3"] {
        assert_eq!(one_terminal(&call(&service, run(id)).await.events()), "");
        let suggest = post("/agent/default/suggest", input("s", id));
        assert_eq!(one_terminal(&call(&service, suggest).await.events()), "");
    }
}

#[tokio::test]
async fn a_thread_has_so_many_watchers() {
    let (agent, mut begun) = puppets();
    let service = limited(agent, |limits| limits.watchers_per_thread = 1);
    let _run = service.clone().oneshot(run_on("t", "r")).await.unwrap();
    soon("the run", begun.recv()).await.unwrap().start();
    let connect = |thread: &str| post("/agent/default/connect", input(thread, "c"));
    let watching = service.clone().oneshot(connect("t")).await.unwrap();
    assert_eq!(watching.status(), StatusCode::OK);
    assert_eq!(told(&call(&service, connect("t")).await), refused("TOO_MANY_WATCHERS"));
    assert_eq!(told(&call(&service, connect("another")).await), FINE);
    drop(watching);
    let watching = service.clone().oneshot(connect("t")).await.unwrap();
    assert_eq!(watching.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_holds_so_many_messages_and_tools_and_ids_so_many_bytes() {
    let service = limited(greeter(), |limits| (limits.messages, limits.tools, limits.id_bytes) = (2, 1, 8));
    let message = |id: &str| json!({"id": id, "role": "user", "content": "hi"});
    let tool = json!({"name": "t", "description": "", "parameters": {}});
    let fine = || json!({"threadId": "t", "runId": "r", "messages": [message("a"), message("b")], "tools": [tool]});
    let asked = async |route: &str, change: &dyn Fn(&mut Value)| {
        let mut body = fine();
        change(&mut body);
        let answer = call(&service, post(&format!("/agent/default/{route}"), body.to_string())).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        (answer.status.as_u16(), said)
    };
    for route in ["run", "suggest", "connect"] {
        assert_eq!(asked(route, &|_| {}).await.0, 200);
        let (status, said) =
            asked(route, &|body| body["messages"] = json!([message("a"), message("b"), message("c")])).await;
        assert!(
            status == 413 && said.contains("The request holds 3 messages; this server takes at most 2"),
            "{status} {said}"
        );
        let (status, said) = asked(route, &|body| body["tools"] = json!([tool, tool])).await;
        assert!(status == 413 && said.contains("2 tools; this server takes at most 1"), "{status} {said}");
        let (status, said) = asked(route, &|body| body["threadId"] = json!("123456789")).await;
        assert!(status == 400 && said.contains("threadId: the id has 9 bytes"), "{status} {said}");
        let (status, said) = asked(route, &|body| body["messages"][1]["id"] = json!("123456789")).await;
        assert!(status == 400 && said.contains("messages[1].id: the id has 9 bytes"), "{status} {said}");
    }
}

/// The code of the end of a run of a service's agent, and of suggestions of it.
async fn ends(service: &CopilotService) -> [String; 2] {
    let run = one_terminal(&call(service, run("r")).await.events());
    let suggest = post("/agent/default/suggest", input("s", "s"));
    [run, one_terminal(&call(service, suggest).await.events())]
}

#[tokio::test(start_paused = true)]
async fn a_run_has_its_time_whatever_its_agent_is() {
    let silent = FunctionAgent::new(|_| stream::pending());
    let talking = FunctionAgent::new(|call: AgentCall| {
        let started = Event::run_started(&call.input.thread_id, &call.input.run_id);
        let more = stream::repeat_with(|| Ok(Event::custom("tick", &json!(1)))).then(async |event| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            event
        });
        stream::iter([Ok(started)]).chain(more).boxed()
    });
    let demo = DemoAgent::new().pace(Duration::from_secs(60));
    let agents: [(&str, Arc<dyn Agent>); 3] =
        [("silent", Arc::new(silent)), ("talking", Arc::new(talking)), ("demo", Arc::new(demo))];
    for (name, agent) in agents {
        let builder = CopilotRuntime::builder().agent_arc("default", agent);
        let service = built(builder, |limits| limits.run_time = Some(Duration::from_secs(10)));
        assert_eq!(ends(&service).await, ["AGENT_TOTAL_TIMEOUT"; 2], "{name}");
    }
    let service = limited(greeter(), |limits| limits.run_time = Some(Duration::from_secs(10)));
    assert_eq!(ends(&service).await, ["", ""]);
}

#[tokio::test]
async fn an_agent_that_never_waits_is_out_of_time_as_well() {
    let flood = FunctionAgent::new(|call: AgentCall| {
        let started = Event::run_started(&call.input.thread_id, &call.input.run_id);
        stream::iter([Ok(started)]).chain(stream::repeat_with(|| Ok(Event::custom("x", &json!(1)))))
    });
    let mut options = RunOptions::default();
    (options.max_run_bytes, options.max_run_events) = (usize::MAX, usize::MAX);
    let runner = MemoryRunner::with_options(MemoryLimits::default(), options);
    let builder = CopilotRuntime::builder().agent("default", flood).runner(runner);
    let service = built(builder, |limits| limits.run_time = Some(Duration::from_millis(1)));
    assert_eq!(one_terminal(&call(&service, run("r")).await.events()), "AGENT_TOTAL_TIMEOUT");
}

#[tokio::test]
async fn an_event_is_so_large_whatever_its_agent_is() {
    let wordy = || {
        FunctionAgent::new(|call: AgentCall| {
            let (thread, run) = (call.input.thread_id.clone(), call.input.run_id.clone());
            let started = Event::run_started(&thread, &run);
            let large = Event::custom("large", &json!("x".repeat(1000)));
            stream::iter([Ok(started), Ok(large), Ok(Event::run_finished(&thread, &run))])
        })
    };
    let service = limited(wordy(), |limits| limits.event_bytes = 1000);
    assert_eq!(ends(&service).await, ["AGENT_EVENT_TOO_LARGE"; 2]);
    let kinds: Vec<_> = call(&service, run("r2")).await.events().iter().map(Event::kind).collect();
    assert_eq!(kinds, [EventKind::RunStarted, EventKind::RunError], "what came before is shown");
    let service = limited(wordy(), |limits| limits.event_bytes = 1100);
    assert_eq!(ends(&service).await, ["", ""]);
}

#[test]
fn a_rate_that_lets_nobody_in_is_refused() {
    for (rate, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (1.0, 0)] {
        let mut limits = Limits::default();
        (limits.requests_per_second, limits.burst) = (Some(rate), burst);
        let refused = CopilotRuntime::builder().limits(limits).build().expect_err("nobody could ask");
        assert!(refused.to_string().contains("requests_per_second"), "{refused}");
    }
}
