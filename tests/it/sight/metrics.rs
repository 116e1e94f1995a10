//! What is counted, as Prometheus reads it.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use copilotkit_runtime::agent::{AgentCall, AgentError, Agents, FunctionAgent};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::{CopilotRuntime, METRICS_CONTENT_TYPE};
use futures_util::stream;
use serde_json::json;

use crate::exposition::Exposition;
use crate::serve::{call, get, greeter, input, post, puppets, until};

fn exposed(runtime: &CopilotRuntime) -> Exposition {
    Exposition::read(&runtime.metrics())
}

fn ended(exposed: &Exposition, agent: &str, outcome: &str, code: &str) -> f64 {
    exposed.value("copilotkit_runs_total", &[("agent", agent), ("outcome", outcome), ("code", code)])
}

async fn run(runtime: &CopilotRuntime, agent: &str, thread: &str) {
    let service = runtime.clone().into_service();
    call(&service, post(&format!("/agent/{agent}/run"), input(thread, "r"))).await;
}

#[tokio::test]
async fn runs_are_counted_by_agent_and_outcome() {
    let broken = FunctionAgent::new(|_: AgentCall| stream::iter([Err(AgentError::new("broken"))]));
    let timid = FunctionAgent::new(|call: AgentCall| {
        let error = json!({"type": "RUN_ERROR", "message": "no", "code": "MADE_UP_BY_THE_AGENT"}).to_string();
        let error = Event::parse(Bytes::from(error)).expect("an event");
        stream::iter([Ok(Event::run_started(&call.input.thread_id, &call.input.run_id)), Ok(error)])
    });
    let asking = FunctionAgent::new(|call: AgentCall| {
        let finished = json!({"type": "RUN_FINISHED", "threadId": call.input.thread_id, "runId": call.input.run_id,
            "outcome": {"type": "interrupt", "interrupts": [{"id": "i", "reason": "r"}]}});
        let finished = Event::parse(Bytes::from(finished.to_string())).expect("an event");
        stream::iter([Ok(Event::run_started(&call.input.thread_id, &call.input.run_id)), Ok(finished)])
    });
    let runtime = CopilotRuntime::builder()
        .agent("greeter", greeter())
        .agent("broken", broken)
        .agent("timid", timid)
        .agent("asking", asking)
        .build()
        .expect("a runtime");
    for (agent, times) in [("greeter", 3), ("broken", 1), ("timid", 2), ("asking", 1)] {
        for n in 0..times {
            run(&runtime, agent, &format!("{agent}-{n}")).await;
        }
    }
    let exposed = exposed(&runtime);
    assert_eq!(ended(&exposed, "greeter", "finished", ""), 3.0);
    assert_eq!(ended(&exposed, "broken", "failed", "INCOMPLETE_STREAM"), 1.0);
    assert_eq!(ended(&exposed, "timid", "failed", "AGENT_ERROR"), 2.0);
    assert_eq!(ended(&exposed, "asking", "interrupted", ""), 1.0);
    let of = [("agent", "greeter")];
    assert_eq!(exposed.value("copilotkit_events_total", &of), 15.0);
    assert!(exposed.value("copilotkit_event_bytes_total", &of) > 15.0 * 20.0);
    assert_eq!(exposed.value("copilotkit_run_first_event_seconds_count", &of), 3.0);
    assert_eq!(exposed.value("copilotkit_run_seconds_count", &of), 3.0);
    assert_eq!(exposed.value("copilotkit_store_seconds_count", &[("call", "begin")]), 7.0);
    assert_eq!(exposed.value("copilotkit_store_seconds_count", &[("call", "seal")]), 7.0);
    assert_eq!(exposed.value("copilotkit_http_responses_total", &[("status", "200")]), 7.0);
    assert_eq!(exposed.value("copilotkit_store_waiting_writes", &[]), 0.0);
}

#[tokio::test]
async fn live_runs_watchers_stops_and_refusals_are_counted() {
    let (agent, mut begun) = puppets();
    let runtime = CopilotRuntime::builder().agent("default", agent).build().expect("a runtime");
    let service = runtime.clone().into_service();
    let watching = call(&service, post("/agent/default/run", input("t", "r")));
    let leading = async {
        let puppet = begun.recv().await.expect("a run");
        puppet.start();
        let live = || exposed(&runtime).value("copilotkit_live_runs", &[("agent", "default")]);
        until("the run is counted", || live() == 1.0).await;
        let said = || exposed(&runtime).value("copilotkit_events_total", &[("agent", "default")]);
        until("what it says is counted", || said() == 1.0).await;
        until("its watcher is counted", || exposed(&runtime).value("copilotkit_watchers", &[]) == 1.0).await;
        let status = runtime.status().await;
        assert_eq!((status.live_runs, status.queued_runs, status.watchers), (1, 0, 1));
        let shown = &status.oldest_runs[0];
        assert_eq!((&*shown.agent, &*shown.thread, &*shown.run, shown.waits), ("default", "t", "r", false));
        // A second one is refused.
        call(&service, post("/agent/default/run", input("t", "r2"))).await;
        call(&service, post("/agent/default/stop/t", "{}")).await;
    };
    tokio::join!(watching, leading);
    let exposed = exposed(&runtime);
    assert_eq!(ended(&exposed, "default", "stopped", ""), 1.0);
    assert_eq!(ended(&exposed, "default", "refused", "THREAD_BUSY"), 1.0);
    assert_eq!(exposed.value("copilotkit_store_seconds_count", &[("call", "append")]), 1.0);
    assert_eq!(exposed.value("copilotkit_live_runs", &[("agent", "default")]), 0.0);
    assert_eq!(exposed.value("copilotkit_watchers", &[]), 0.0);
    assert!(runtime.status().await.oldest_runs.is_empty());
}

#[tokio::test]
async fn what_clients_make_up_becomes_no_label() {
    let resolve = |head: &http::request::Parts| {
        // An application with an agent for every customer.
        let name = head.uri.path().split('/').nth(2).unwrap_or_default().to_owned();
        std::future::ready(Ok(Agents::new().with(name, greeter())))
    };
    let runtime = CopilotRuntime::builder().agents_per_request(resolve).build().expect("a runtime");
    for n in 0..130 {
        run(&runtime, &format!("agent-{n}"), &format!("t-{n}")).await;
    }
    let exposed = exposed(&runtime);
    let agents: BTreeSet<&str> =
        exposed.samples.keys().filter_map(|(_, labels)| labels.get("agent")).map(String::as_str).collect();
    assert_eq!(agents.len(), 101);
    assert_eq!(ended(&exposed, "(others)", "finished", ""), 30.0);

    let runtime = CopilotRuntime::builder().agent("default", greeter()).build().expect("a runtime");
    run(&runtime, "nobody-knows-this", "t").await;
    call(&runtime.clone().into_service(), get("/made/up/path")).await;
    let text = runtime.metrics();
    assert!(!text.contains("nobody") && !text.contains("made"), "{text}");
    assert_eq!(Exposition::read(&text).value("copilotkit_http_responses_total", &[("status", "404")]), 2.0);
}

#[tokio::test]
async fn names_of_agents_cannot_break_the_format() {
    let odd = "a\"} 1\n# EOF\\";
    let runtime = CopilotRuntime::builder().agent(odd, greeter()).build().expect("a runtime");
    let path = percent_encoding::utf8_percent_encode(odd, percent_encoding::NON_ALPHANUMERIC).to_string();
    run(&runtime, &path, "t").await;
    assert_eq!(ended(&exposed(&runtime), odd, "finished", ""), 1.0);
}

#[tokio::test]
async fn a_runtime_that_did_nothing_tells_of_itself() {
    let runtime = CopilotRuntime::builder().agent("default", greeter()).build().expect("a runtime");
    let exposed = exposed(&runtime);
    assert_eq!(exposed.value("copilotkit_build_info", &[("version", CopilotRuntime::version())]), 1.0);
    assert!(exposed.value("process_start_time_seconds", &[]) > 1.7e9);
    if cfg!(target_os = "linux") {
        assert!(exposed.value("process_resident_memory_bytes", &[]) > 1e6);
    }
    assert!(METRICS_CONTENT_TYPE.starts_with("application/openmetrics-text"));
    assert!(runtime.readiness().await.ready);
    runtime.shutdown(Duration::from_secs(1)).await;
    assert!(!runtime.readiness().await.ready);
}

#[tokio::test]
async fn every_metric_is_in_the_documents() {
    let runtime = CopilotRuntime::builder().agent("default", greeter()).build().expect("a runtime");
    run(&runtime, "default", "t").await;
    drop(runtime.connection_meter().opened());
    let documents = include_str!("../../../docs/operating.md");
    for name in exposed(&runtime).names() {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(documents.contains(&format!("`{family}`")), "{family}");
    }
}
