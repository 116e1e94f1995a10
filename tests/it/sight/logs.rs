//! Every line that is logged about a run or a request says which.

use std::collections::BTreeSet;
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, FunctionAgent};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::intelligence::Intelligence;
use copilotkit_runtime::runner::{LiveRunner, MemoryLimits, MemoryStore, RunOptions, WhenBusy, WhenUnwatched};
use copilotkit_runtime::{CopilotRuntime, User};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use crate::platform::{API_KEY, Deed, Fault, Occasion, Options, Platform};
use crate::serve::{call, input, post, puppets, soon, until};

/// The log as the program writes it for machines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Of this thread, on which a test's runtime does all its work.
    fn listen() -> (Lines, DefaultGuard) {
        let lines = Lines::default();
        let writer = lines.clone();
        let json = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).json().flatten_event(true);
        (lines, tracing::subscriber::set_default(tracing_subscriber::registry().with(json)))
    }

    /// The runtime's own lines that somebody reads.
    fn read(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().clone()).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let ours = |line: &Value| line["target"].as_str().is_some_and(|at| at.starts_with("copilotkit_runtime"));
        lines.filter(|line| ours(line) && !matches!(line["level"].as_str(), Some("TRACE" | "DEBUG"))).collect()
    }

    fn has(&self, message: &str) -> bool {
        self.read().iter().any(|line| line["message"].as_str().is_some_and(|said| said.contains(message)))
    }

    /// Every line names the agent, the thread, a run and the user; and these messages are among them.
    fn are_all_of(&self, thread: &str, user: &str, messages: &[&str]) {
        for message in messages {
            assert!(self.has(message), "{message}: {:#?}", self.read());
        }
        for line in self.read() {
            assert_eq!(told(&line, "agent.id"), ["default"].into(), "{line:#}");
            assert_eq!(told(&line, "thread.id"), [thread].into(), "{line:#}");
            assert_eq!(told(&line, "user.id"), [user].into(), "{line:#}");
            assert_eq!(told(&line, "run.id").len(), 1, "{line:#}");
        }
    }
}

/// All that a line and the spans it is in say of a field.
fn told<'l>(line: &'l Value, field: &str) -> BTreeSet<&'l str> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.chain([line]).filter_map(|part| part[field].as_str()).collect()
}

fn broken() -> impl Agent {
    FunctionAgent::new(|call: AgentCall| {
        let started = Event::run_started(&call.input.thread_id, &call.input.run_id);
        stream::iter([Ok(started), Err(AgentError::new("broken"))])
    })
}

#[tokio::test]
async fn lines_about_runs_kept_here_name_agent_thread_run_and_user() {
    let (lines, _listening) = Lines::listen();
    let ada = |_: &http::request::Parts| ready(Ok(User::new("ada")));
    let runtime = CopilotRuntime::builder().agent("default", broken()).identify_user(ada).build().expect("a runtime");
    let service = runtime.into_service();
    call(&service, post("/agent/default/run", input("t", "r"))).await;
    call(&service, post("/agent/default/suggest", input("t", "r"))).await;
    lines.are_all_of("t", "ada", &["the agent failed"]);
    assert_eq!(lines.read().len(), 2, "{:#?}", lines.read());
}

#[tokio::test]
async fn lines_about_runs_that_wait_or_are_left_alone_say_which_they_are() {
    let (lines, _listening) = Lines::listen();
    let (agent, mut begun) = puppets();
    let mut options = RunOptions::default();
    options.when_busy = WhenBusy::Enqueue { max: 1, timeout: Duration::from_secs(60) };
    options.when_unwatched = WhenUnwatched::Stop;
    let runner = LiveRunner::new(Arc::new(MemoryStore::new(MemoryLimits::default())), options);
    let ada = |_: &http::request::Parts| ready(Ok(User::new("ada")));
    let runtime = CopilotRuntime::builder().agent("default", agent).runner(runner).identify_user(ada).build();
    let service = runtime.expect("a runtime").into_service();
    {
        let first = call(&service, post("/agent/default/run", input("t", "r1")));
        let second = call(&service, post("/agent/default/run", input("t", "r2")));
        let third = async {
            let puppet = begun.recv().await.expect("a run");
            puppet.start();
            until("the second waits", || lines.has("waits")).await;
            // No room is left for this one.
            call(&service, post("/agent/default/run", input("t", "r3"))).await;
            puppet
        };
        // Then the clients leave.
        tokio::select! {
            _ = first => panic!("the first run ended"),
            _ = second => panic!("the second run ended"),
            _ = third => {}
        }
    }
    until("the runs are stopped", || lines.has("nobody watched it")).await;
    lines.are_all_of("t", "ada", &["The run waits for its thread", "the run was refused", "nobody watched it"]);
}

#[tokio::test]
async fn lines_about_requests_that_fail_say_what_they_were_about() {
    let (lines, _listening) = Lines::listen();
    let resolve = |_: &http::request::Parts| ready(Err("no agents today".into()));
    let ada = |_: &http::request::Parts| ready(Ok(User::new("ada")));
    let runtime = CopilotRuntime::builder().agents_per_request(resolve).identify_user(ada).build().expect("a runtime");
    call(&runtime.into_service(), post("/agent/default/stop/t", "{}")).await;
    let all = lines.read();
    assert!(!all.is_empty());
    for line in all {
        let of = |field| told(&line, field);
        assert_eq!(
            (of("agent.id"), of("thread.id"), of("user.id")),
            (["default"].into(), ["t"].into(), ["ada"].into())
        );
        assert_eq!((of("http.route"), of("http.method")), (["agent/stop"].into(), ["POST"].into()));
    }
}

#[tokio::test]
async fn lines_about_runs_on_the_platform_name_agent_thread_run_and_user() {
    let platform = Platform::start(Options::default()).await;
    platform.fail(Fault { at: Occasion::Push { run: None, seq: Some(1) }, deed: Deed::Drop, skip: 0, times: 1 });
    let intelligence = Intelligence::builder().api_key(API_KEY).api_url(platform.api_url()).ws_url(platform.ws_url());
    let intelligence = intelligence.generate_thread_names(false).build().expect("a platform");
    let ada = |_: &http::request::Parts| ready(Ok(User::new("ada").named("Ada")));
    let (agent, mut begun) = puppets();
    let runtime = CopilotRuntime::on_intelligence(intelligence, ada).agent("default", agent).build();
    let runtime = runtime.expect("a runtime");
    let service = runtime.clone().into_service();

    let (lines, _listening) = Lines::listen();
    let (_, puppet) = tokio::join!(call(&service, post("/agent/default/run", input("t", "r"))), begun.recv());
    let puppet = puppet.expect("a run");
    puppet.start();
    // Its lock is held.
    call(&service, post("/agent/default/run", input("t", "r2"))).await;
    // It ends without a terminal event, and the events before are delivered again.
    puppet.say(Event::text_start("m"));
    puppet.fail("broken");
    let mut grown = platform.grown();
    soon("the run ends", async {
        while platform.events_of("r").last().is_none_or(|event| event["type"] != "RUN_ERROR") {
            grown.changed().await.expect("a platform");
        }
    })
    .await;
    let readiness = runtime.readiness().await;
    assert!(readiness.ready, "{readiness:?}");
    lines.are_all_of("t", "ada", &["the agent failed", "holds the lock"]);
    runtime.shutdown(Duration::from_secs(5)).await;

    let exposed = crate::exposition::Exposition::read(&runtime.metrics());
    let ended = |outcome, code| {
        let labels = [("agent", "default"), ("outcome", outcome), ("code", code)];
        exposed.value("copilotkit_runs_total", &labels)
    };
    assert_eq!((ended("failed", "INCOMPLETE_STREAM"), ended("refused", "THREAD_BUSY")), (1.0, 1.0));
    assert_eq!(exposed.value("copilotkit_platform_retries_total", &[("what", "socket")]), 1.0);
    assert!(exposed.value("copilotkit_platform_calls_total", &[("outcome", "succeeded")]) > 0.0);
    assert!(exposed.value("copilotkit_platform_calls_total", &[("outcome", "failed")]) > 0.0);
}
