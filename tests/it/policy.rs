//! A run may choose what happens if its thread is busy, where the runtime lets it.

use std::time::Duration;

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::http::{CopilotService, Response};
use copilotkit_runtime::runner::WhenBusy;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tower::ServiceExt;

use crate::serve::{Puppet, call, events, get, one_terminal, post, puppets, soon};

fn runtime(allow: bool) -> (CopilotService, UnboundedReceiver<Puppet>) {
    let (agent, begun) = puppets();
    let queue = WhenBusy::Enqueue { max: 8, timeout: Duration::from_secs(60) };
    let all = [WhenBusy::Reject, WhenBusy::Interrupt, WhenBusy::Rollback, queue];
    let allowed = all.into_iter().filter(|_| allow);
    let runtime = CopilotRuntime::builder().agent("default", agent).allow_request_policies(allowed).build().unwrap();
    (runtime.into_service(), begun)
}

async fn start(service: &CopilotService, run: &str, when_busy: &str) -> Response {
    let input = json!({"threadId": "t", "runId": run, "messages": [], "forwardedProps": {"whenBusy": when_busy}});
    soon("the head", service.clone().oneshot(post("/agent/default/run", input.to_string()))).await.unwrap()
}

/// The code of the error a run ends with; none if it finishes.
async fn end(response: Response) -> String {
    let body = soon("the end", response.into_body().collect()).await.unwrap().to_bytes();
    one_terminal(&events(&body))
}

/// How many runs the thread's history has.
async fn runs(service: &CopilotService) -> usize {
    let events = call(service, get("/threads/t/events")).await.json();
    events["events"].as_array().unwrap().iter().filter(|event| event["type"] == "RUN_STARTED").count()
}

/// A first run that goes on, and a second with a choice.
async fn two_runs(
    allow: bool,
    when_busy: &str,
) -> (CopilotService, UnboundedReceiver<Puppet>, Response, Puppet, Response) {
    let (service, mut begun) = runtime(allow);
    let first = start(&service, "first", "reject").await;
    let puppet = soon("the first run", begun.recv()).await.unwrap();
    puppet.start();
    let second = start(&service, "second", when_busy).await;
    (service, begun, first, puppet, second)
}

#[tokio::test]
async fn a_run_may_be_refused() {
    let (_, _, first, puppet, second) = two_runs(true, "reject").await;
    assert_eq!(end(second).await, "THREAD_BUSY");
    puppet.finish();
    assert_eq!(end(first).await, "");
}

#[tokio::test]
async fn a_run_may_interrupt_another() {
    let (service, mut begun, first, _puppet, second) = two_runs(true, "interrupt").await;
    assert_eq!(end(first).await, "");
    let puppet = soon("the second run", begun.recv()).await.unwrap();
    puppet.start();
    puppet.finish();
    assert_eq!(end(second).await, "");
    assert_eq!(runs(&service).await, 2);
}

#[tokio::test]
async fn a_run_may_take_the_place_of_another() {
    let (service, mut begun, first, _puppet, second) = two_runs(true, "rollback").await;
    assert_eq!(end(first).await, "");
    let puppet = soon("the second run", begun.recv()).await.unwrap();
    puppet.start();
    puppet.finish();
    assert_eq!(end(second).await, "");
    assert_eq!(runs(&service).await, 1);
}

#[tokio::test]
async fn a_run_may_wait_for_another() {
    let (service, mut begun, first, puppet, second) = two_runs(true, "enqueue").await;
    assert!(begun.try_recv().is_err(), "its turn has not come");
    puppet.finish();
    assert_eq!(end(first).await, "");
    let puppet = soon("the second run", begun.recv()).await.unwrap();
    assert_eq!(puppet.call.input.run_id, "second");
    puppet.start();
    puppet.finish();
    assert_eq!(end(second).await, "");
    assert_eq!(runs(&service).await, 2);
}

#[tokio::test]
async fn without_leave_a_choice_is_none() {
    for when_busy in ["interrupt", "enqueue", "rollback"] {
        let (_, _, first, puppet, second) = two_runs(false, when_busy).await;
        assert_eq!(end(second).await, "THREAD_BUSY", "{when_busy}");
        puppet.finish();
        assert_eq!(end(first).await, "");
    }
}
