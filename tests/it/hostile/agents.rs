//! Agents nobody should have: each fails its own run, in a way a client understands, and the thread is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, EventStream, FunctionAgent, HttpAgent};
use copilotkit_runtime::agui::{Event, EventKind};
use copilotkit_runtime::runner::{MemoryLimits, MemoryRunner, RunOptions};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::serve::{
    Upstream, call, get, greeter, greeting, input, kinds, one_terminal, post, puppets, service, service_over, soon,
    until,
};

const RUN: &str = "/agent/default/run";
const SUGGEST: &str = "/agent/default/suggest";

/// Where an agent panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Run,
    FirstPoll,
    MidStream,
    AfterTerminal,
    /// As its stream is let go, after a whole run.
    Drop,
    /// As its stream is let go, which has failed.
    DropAfterFailure,
    StopGrace,
}

struct Panics(At);

struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0, "in drop");
    }
}

impl Agent for Panics {
    fn run(&self, call: AgentCall) -> EventStream {
        let at = self.0;
        if call.input.run_id == "good" {
            return greeter().run(call);
        }
        assert_ne!(at, At::Run, "at once");
        let bomb = Bomb(matches!(at, At::Drop | At::DropAfterFailure));
        let mut said = 0;
        let mut events = greeting(&call.input.thread_id, &call.input.run_id).into_iter();
        stream::poll_fn(move |_| {
            let _ = &bomb;
            let failing = match at {
                At::FirstPoll => said == 0,
                At::MidStream => said == 3,
                At::AfterTerminal => said == 5,
                _ => false,
            };
            assert!(!failing, "while polled");
            if at == At::DropAfterFailure && said == 3 {
                said += 1;
                return std::task::Poll::Ready(Some(Err(AgentError::new("failed"))));
            }
            said += 1;
            std::task::Poll::Ready(events.next().map(Ok))
        })
        .boxed()
    }

    fn stop_grace(&self) -> Duration {
        assert_ne!(self.0, At::StopGrace, "asked for its grace");
        Duration::ZERO
    }
}

#[tokio::test]
async fn an_agent_that_panics_anywhere_fails_its_own_run_and_frees_the_thread() {
    for (at, code) in [
        (At::Run, "AGENT_PANICKED"),
        (At::FirstPoll, "AGENT_PANICKED"),
        (At::MidStream, "AGENT_PANICKED"),
        (At::AfterTerminal, ""),
        (At::Drop, ""),
        (At::DropAfterFailure, "INCOMPLETE_STREAM"),
        (At::StopGrace, ""),
    ] {
        let service = service(Panics(at));
        for path in [RUN, SUGGEST] {
            let answer = call(&service, post(path, input("t", "bad"))).await;
            assert_eq!(one_terminal(&answer.events()), code, "{at:?} {path}");
        }
        let again = call(&service, post(RUN, input("t", "good"))).await;
        assert_eq!(one_terminal(&again.events()), "", "{at:?}: the thread is free");
        let replay = call(&service, post("/agent/default/connect", input("t", "x"))).await;
        assert!(replay.events().len() >= 5, "{at:?}: the thread can be replayed");
    }
}

#[tokio::test]
async fn an_agent_that_panics_when_it_is_stopped_is_stopped() {
    struct Silent;
    impl Agent for Silent {
        fn run(&self, call: AgentCall) -> EventStream {
            let bomb = Bomb(true);
            let start = Event::run_started(&call.input.thread_id, &call.input.run_id);
            stream::iter([Ok(start)])
                .chain(stream::poll_fn(move |_| {
                    let _ = &bomb;
                    std::task::Poll::Pending
                }))
                .boxed()
        }
    }
    let service = service(Silent);
    for run in ["1", "2"] {
        let answer = soon("the head", service.clone().oneshot(post(RUN, input("t", run)))).await.unwrap();
        let stop = call(&service, post("/agent/default/stop/t", "{}")).await;
        assert_eq!(stop.json()["stopped"], true);
        let body = soon("the run ends", answer.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(one_terminal(&crate::serve::events(&body)), "");
    }
}

#[tokio::test]
async fn an_agent_that_never_answers_is_kept_for_those_who_watch_and_ended_by_a_stop() {
    let (agent, mut begun) = puppets();
    let alive = agent.alive.clone();
    let service = service(agent);
    for path in [RUN, SUGGEST] {
        // The head comes at once, and the client leaves.
        let answer = soon("the head", service.clone().oneshot(post(path, input("t", "r")))).await.unwrap();
        assert_eq!(answer.status(), http::StatusCode::OK);
        if path == SUGGEST {
            drop(answer);
            assert_eq!(alive.load(Ordering::SeqCst), 0, "nobody else would see what it suggests");
            continue;
        }
        let puppet = begun.recv().await.unwrap();
        drop(answer);
        puppet.start();
        let watching =
            soon("the head", service.clone().oneshot(post("/agent/default/connect", input("t", "x")))).await.unwrap();
        assert_eq!(alive.load(Ordering::SeqCst), 1);
        let busy = call(&service, post(RUN, input("t", "r2"))).await;
        assert_eq!(one_terminal(&busy.events()), "THREAD_BUSY");
        let stop = call(&service, post("/agent/default/stop/t", "{}")).await;
        assert_eq!(stop.json()["stopped"], true);
        let body = soon("the run ends", watching.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(one_terminal(&crate::serve::events(&body)), "");
        until("the agent is let go", || alive.load(Ordering::SeqCst) == 0).await;
    }
}

fn remote(url: &str) -> HttpAgent {
    HttpAgent::new(url).unwrap().idle_timeout(Duration::from_millis(150)).max_event_bytes(100_000)
}

#[tokio::test]
async fn whatever_a_remote_agent_answers_is_one_run_error_and_a_free_thread() {
    let head = Upstream::head;
    let noise: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let event = |json: &str| format!("data: {json}\n\n").into_bytes();
    let started = event(r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#);
    let with = |parts: &[&[u8]]| parts.concat();
    let proto =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.ag-ui.event+proto\r\nconnection: close\r\n\r\n".to_vec();
    // What is sent, what is sent again and again, how often, and whether the connection stays open.
    type Case = (&'static str, Vec<u8>, Vec<u8>, usize, bool);
    let cases: Vec<Case> = vec![
        ("closes at once", vec![], vec![], 0, false),
        ("says nothing", vec![], vec![], 0, true),
        ("noise for a head", noise.clone(), vec![], 0, false),
        ("a head without end", b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-more: and more\r\n".to_vec(), 20_000, false),
        ("half a head", b"HTTP/1.1 200 OK\r\ncontent-ty".to_vec(), vec![], 0, true),
        ("no head but events", started.clone(), vec![], 0, false),
        ("nothing behind the head", head(""), vec![], 0, true),
        ("noise for a body", with(&[&head(""), b"data: ", &noise, b"\n\n"]), vec![], 0, false),
        ("a line without end", with(&[&head(""), b"data: "]), vec![b'x'; 10_000], 20, true),
        ("an event without end", head(""), b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n".to_vec(), 5_000, true),
        ("an event too large", with(&[&head(""), &event(&"x".repeat(200_000))]), vec![], 0, true),
        ("JSON that is no event", with(&[&head(""), &started, &event("[1,2]")]), vec![], 0, false),
        ("an event without type", with(&[&head(""), &started, &event("{\"a\":1}")]), vec![], 0, false),
        (
            "an event of wrong types",
            with(&[&head(""), &event("{\"type\":\"TEXT_MESSAGE_START\",\"messageId\":7}")]),
            vec![],
            0,
            false,
        ),
        ("deep JSON", with(&[&head(""), &started, &event(&"[".repeat(90_000))]), vec![], 0, false),
        ("half an event", with(&[&head(""), &started, b"data: {\"type\":\"RUN_FIN"]), vec![], 0, false),
        ("a shorter body than promised", with(&[&head("content-length: 5000\r\n"), &started]), vec![], 0, false),
        ("a broken chunk", with(&[&head("transfer-encoding: chunked\r\n"), b"zz\r\n"]), vec![], 0, false),
        ("compressed", with(&[&head("content-encoding: gzip\r\n"), &noise]), vec![], 0, false),
        ("no content", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), vec![], 0, false),
        (
            "a web page",
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html><p>Welcome</p></html>"
                .to_vec(),
            vec![],
            0,
            false,
        ),
        ("an error", b"HTTP/1.1 500 Oh\r\nconnection: close\r\n\r\n\xff\xfe\0".to_vec(), vec![], 0, false),
        (
            "an error without end",
            b"HTTP/1.1 500 Oh\r\nconnection: close\r\n\r\n".to_vec(),
            vec![b'x'; 10_000],
            100,
            false,
        ),
        ("odd status", b"HTTP/1.1 999 Oh\r\nconnection: close\r\n\r\n".to_vec(), vec![], 0, false),
        (
            "to itself",
            b"HTTP/1.1 307 Go\r\nlocation: /agent\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec(),
            vec![],
            0,
            false,
        ),
        (
            "to nowhere",
            b"HTTP/1.1 307 Go\r\nlocation: ::::\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_vec(),
            vec![],
            0,
            false,
        ),
        (
            "to a file",
            b"HTTP/1.1 307 Go\r\nlocation: file:///etc/passwd\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                .to_vec(),
            vec![],
            0,
            false,
        ),
        ("binary noise", with(&[&proto, &noise]), vec![], 0, false),
        ("binary of 4 GiB", with(&[&proto, b"\xff\xff\xff\xff"]), vec![b'x'; 10_000], 20, false),
        ("binary cut off", with(&[&proto, b"\0\0\0\x10ab"]), vec![], 0, false),
        (
            "events after the end",
            with(&[&head(""), &event(r#"{"type":"TEXT_MESSAGE_END","messageId":"m"}"#)]),
            vec![],
            0,
            false,
        ),
    ];
    let mut checks = JoinSet::new();
    for (what, first, repeated, repeats, stays) in cases {
        checks.spawn(async move {
            let upstream = Upstream::start(&first, &repeated, repeats, stays).await;
            let service = service(remote(&upstream.url));
            for (path, run) in [(RUN, "r"), (RUN, "again"), (SUGGEST, "r")] {
                let events = call(&service, post(path, input("t", run))).await.events();
                let code = one_terminal(&events);
                let codes = ["INCOMPLETE_STREAM", "AGENT_IDLE_TIMEOUT", "AGENT_EVENT_TOO_LARGE"];
                assert!(codes.contains(&code.as_str()), "{what}: {events:?}");
                assert!(events.len() <= 2, "{what}: {events:?}");
            }
            assert!(upstream.requests.load(Ordering::SeqCst) <= 3 * 6, "{what}");
        });
    }
    soon("all agents", checks.join_all()).await;
}

/// A runner whose runs may say this much.
fn capped(bytes: usize) -> MemoryRunner {
    let mut options = RunOptions::default();
    options.max_run_bytes = bytes;
    MemoryRunner::with_options(MemoryLimits::default(), options)
}

/// An agent that never stops and never waits, and how much was taken from it.
fn flood(event: impl Fn(usize) -> Event + Send + Sync + 'static) -> (impl Agent, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let (count, event) = (taken.clone(), Arc::new(event));
    let agent = FunctionAgent::new(move |call: AgentCall| {
        let (count, event) = (count.clone(), event.clone());
        let start = stream::iter([Event::run_started(&call.input.thread_id, &call.input.run_id)]);
        start.chain(stream::iter(0..).map(move |n| event(n))).map(Ok).inspect(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })
    });
    (agent, taken)
}

fn custom(payload: &str) -> Event {
    Event::from_value(&json!({"type": "CUSTOM", "name": "flood", "value": payload})).unwrap()
}

#[tokio::test]
async fn a_flood_ends_at_the_cap_and_is_not_taken_in_much_further() {
    const CAP: usize = 2 * 1024 * 1024;
    for size in [10, 10_000, 1024 * 1024] {
        let event = custom(&"x".repeat(size));
        let bytes = event.json().len();
        let (agent, taken) = flood(move |_| event.clone());
        let service = service_over(capped(CAP), agent);
        let answer = call(&service, post(RUN, input("t", "r"))).await;
        assert_eq!(one_terminal(&answer.events()), "RUN_TOO_LARGE");
        assert!(answer.body.len() < 2 * CAP + 2 * bytes, "{size}: {}", answer.body.len());
        // However large its events are, no great pile of them was ever held.
        let in_hand = taken.load(Ordering::SeqCst) * bytes;
        assert!(in_hand < 2 * CAP + 2 * bytes, "{size}: {in_hand}");
        let next = call(&service, post(RUN, input("t2", "r"))).await;
        assert_eq!(one_terminal(&next.events()), "RUN_TOO_LARGE");
    }
}

#[tokio::test]
async fn an_agent_that_has_the_input_repeated_reaches_the_cap() {
    const CAP: usize = 2 * 1024 * 1024;
    // Each start of a run is given the input, which is large.
    let (agent, taken) = flood(|n| match n % 2 {
        0 => Event::run_finished("t", "r"),
        _ => Event::run_started("t", "r"),
    });
    let service = service_over(capped(CAP), agent);
    let state = "x".repeat(CAP / 4);
    let body = json!({"threadId": "t", "runId": "r", "messages": [], "state": state}).to_string();
    let answer = call(&service, post(RUN, body)).await;
    assert!(answer.body.len() < 2 * CAP, "{}", answer.body.len());
    assert!(answer.body.len() > CAP / 2);
    assert!(taken.load(Ordering::SeqCst) <= 256, "one batch at most");
    let next = call(&service, post(RUN, input("t", "r"))).await;
    assert!(next.body.len() > CAP / 2, "the thread is free");
}

#[tokio::test]
async fn an_endless_suggestion_ends_as_well() {
    let event = custom(&"x".repeat(1024 * 1024));
    let (agent, taken) = flood(move |_| event.clone());
    let service = service(agent);
    let mut body = soon("the head", service.oneshot(post(SUGGEST, input("t", "r")))).await.unwrap().into_body();
    let mut last = Bytes::new();
    let mut total = 0;
    while let Some(frame) = soon("more", body.frame()).await {
        last = frame.unwrap().into_data().unwrap();
        total += last.len();
        assert!(total < 80 * 1024 * 1024, "it does not end");
    }
    assert!(String::from_utf8_lossy(&last).contains("RUN_TOO_LARGE"));
    assert!(taken.load(Ordering::SeqCst) < 80);
}

/// Chunks that begin nothing new, so that nothing ever leaves.
fn unheard(n: usize) -> Event {
    let event = match n {
        0 => json!({"type": "TEXT_MESSAGE_CHUNK", "messageId": "m", "delta": "x"}),
        _ => json!({"type": "TEXT_MESSAGE_CHUNK", "messageId": "m"}),
    };
    Event::from_value(&event).unwrap()
}

#[tokio::test]
async fn an_agent_always_ready_with_nothing_to_say_leaves_the_worker_to_others() {
    // One thread for everything: whoever does not let go of it stops the test.
    let (agent, _) = flood(unheard);
    let runtime = CopilotRuntime::builder().agent("flood", agent).agent("default", greeter()).build().unwrap();
    let service = runtime.into_service();
    for path in ["/agent/flood/run", "/agent/flood/suggest"] {
        let flooding = soon("the head", service.clone().oneshot(post(path, input("f", "r")))).await.unwrap();
        let mut reading = JoinSet::new();
        reading.spawn(flooding.into_body().collect());
        for run in 0..5 {
            let answer = call(&service, post(RUN, input("t", &run.to_string()))).await;
            assert_eq!(one_terminal(&answer.events()), "");
            tokio::task::yield_now().await;
        }
        if path.ends_with("run") {
            assert_eq!(call(&service, post("/agent/flood/stop/f", "{}")).await.json()["stopped"], true);
            let body = soon("the run ends", reading.join_next()).await.unwrap().unwrap().unwrap().to_bytes();
            assert_eq!(one_terminal(&crate::serve::events(&body)), "");
        }
    }
}

#[tokio::test]
async fn ids_of_a_megabyte_are_relayed_and_closed() {
    let id = "i".repeat(1024 * 1024);
    let big = id.clone();
    let agent = FunctionAgent::new(move |call: AgentCall| {
        let start = Event::run_started(&call.input.thread_id, &call.input.run_id);
        // Left open, so that the runtime must name them again.
        let said = [start, Event::text_start(&big), Event::tool_start("c", &big, Some(&big))];
        stream::iter(said.into_iter().map(Ok))
    });
    let service = service(agent);
    let events = call(&service, post(RUN, input("t", "r"))).await.events();
    assert_eq!(
        kinds(&events)[1..],
        [
            EventKind::TextMessageStart,
            EventKind::ToolCallStart,
            EventKind::TextMessageEnd,
            EventKind::ToolCallEnd,
            EventKind::ToolCallResult,
            EventKind::RunError
        ]
    );
    assert_eq!(events[3].message_id(), Some(id.as_str()));
    assert_eq!(call(&service, get("/threads/t/messages")).await.json()["messages"][0]["id"], id);
}

fn copy(from: &str, path: &str) -> Value {
    json!({"op": "copy", "from": from, "path": path})
}

/// What becomes of a state whose agent sends these operations, in one patch and in many, in two runs.
async fn assert_bounded(snapshot: Value, operations: Vec<Value>) {
    let many: Vec<Value> = operations.iter().map(|operation| json!([operation])).collect();
    for deltas in [vec![json!(operations)], many] {
        let snapshot = snapshot.clone();
        let service = service(FunctionAgent::new(move |call: AgentCall| {
            let (thread, run) = (&call.input.thread_id, &call.input.run_id);
            let mut said = vec![Event::run_started(thread, run)];
            if run == "0" {
                said.push(Event::state_snapshot(&snapshot));
            }
            said.extend(deltas.iter().map(Event::state_delta));
            said.push(Event::run_finished(thread, run));
            stream::iter(said.into_iter().map(Ok))
        }));
        for run in 0..2 {
            let answer = call(&service, post(RUN, input("t", &run.to_string()))).await;
            assert_eq!(one_terminal(&answer.events()), "");
        }
        let size = call(&service, get("/threads/t/state")).await.body.len();
        assert!(size < 32 * 1024 * 1024, "{size}");
    }
}

#[tokio::test]
async fn state_with_a_large_part_copied_over_and_over_stays_bounded() {
    let operations = (0..400).map(|n| copy("/a", &format!("/b{n}"))).collect();
    assert_bounded(json!({"a": "x".repeat(256 * 1024)}), operations).await;
}

#[tokio::test]
async fn state_copied_into_itself_stays_bounded() {
    let operations = (0..60).map(|n| copy("", &format!("/d{n}"))).collect();
    assert_bounded(json!({"a": "x".repeat(1024)}), operations).await;
}
