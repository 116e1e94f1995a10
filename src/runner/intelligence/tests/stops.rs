//! Runs that are stopped.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::platform::{Act, Got, Platform, hello, led, saying};
use crate::agent::{Agent, AgentCall, EventStream};
use crate::agui::Event;
use crate::runner::RunPass;
use crate::runner::intelligence::{PlatformRun, PlatformStop, StartError};

#[tokio::test(start_paused = true)]
async fn a_stop_answers_when_the_terminal_event_is_acknowledged() {
    let platform = Platform::doing(Got::Events, [Act::Serve, Act::Late(Duration::from_secs(3))]);
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    for event in [Event::run_started("t", "r"), Event::text_start("m"), Event::tool_start("c", "search", None)] {
        lead.send(Ok(event)).unwrap();
    }
    platform.until(|platform| platform.types("r").len() == 3).await;
    assert_eq!(runner.stop("other", None).await, PlatformStop::NoActiveRun);
    assert_eq!(runner.stop("t", Some("not-this-run")).await, PlatformStop::OtherRun);
    let begun = Instant::now();
    let second = async {
        sleep(Duration::from_secs(1)).await;
        (runner.stop("t", None).await, begun.elapsed().as_secs())
    };
    let (first, second) = tokio::join!(runner.stop("t", Some("r")), second);
    assert_eq!((first, begun.elapsed().as_secs()), (PlatformStop::Stopped, 3));
    assert_eq!(second, (PlatformStop::NoActiveRun, 1), "a second stop does not wait");
    // As recorded in stop-from-http, and what was open is closed.
    let owed = ["TEXT_MESSAGE_END", "TOOL_CALL_END", "TOOL_CALL_RESULT", "RUN_FINISHED"];
    assert_eq!(platform.types("r")[3..], owed);
    let content: Value = serde_json::from_str(platform.events("r")[5]["content"].as_str().unwrap()).unwrap();
    assert_eq!(content, json!({"status": "stopped", "reason": "stop_requested", "message": "Run stopped by user"}));
    assert_eq!(platform.releases("r"), 0);
    assert_eq!(runner.stop("t", None).await, PlatformStop::NoActiveRun);
    assert!(lead.is_closed(), "the agent was stopped");
}

#[tokio::test(start_paused = true)]
async fn the_platform_stops_a_run_like_a_request_does() {
    let platform = Platform::new();
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    lead.send(Ok(Event::run_started("t", "r"))).unwrap();
    platform.until(|platform| platform.types("r").len() == 1).await;
    for (event, payload) in [
        ("ag-ui", json!({"type": "CUSTOM", "name": "other"})),
        ("ag-ui", json!({"type": "RAW", "name": "stop"})),
        ("ag-ui", json!("stop")),
        ("other", json!({"type": "CUSTOM", "name": "stop"})),
    ] {
        platform.say("r", event, &payload);
    }
    sleep(Duration::from_secs(1)).await;
    assert!(!lead.is_closed());
    // As recorded in stop-from-client.
    platform.say("r", "ag-ui", &json!({"type": "CUSTOM", "name": "stop", "value": null}));
    platform.until(|platform| platform.has_terminal("r")).await;
    assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_FINISHED"]);
    assert_eq!(platform.releases("r"), 0);
}

/// Winds down by saying things.
struct Graceful;

impl Agent for Graceful {
    fn run(&self, call: AgentCall) -> EventStream {
        let stopped = Arc::new(call.stopped);
        let begin = stream::iter([Ok(Event::run_started("t", "r"))]);
        let last = stream::once(async move {
            stopped.cancelled().await;
            sleep(Duration::from_secs(1)).await;
            stream::iter([Ok(Event::text_start("last")), Ok(Event::text_end("last"))])
        });
        begin.chain(last.flatten()).boxed()
    }

    fn stop_grace(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_agent_says_while_it_winds_down_does_not_count() {
    let platform = Platform::new();
    let runner = platform.runner();
    runner.start(platform.run("t", "r", Graceful)).await.unwrap();
    platform.until(|platform| platform.types("r").len() == 1).await;
    let begun = Instant::now();
    assert_eq!(runner.stop("t", None).await, PlatformStop::Stopped);
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits for it");
    assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_FINISHED"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_says_that_winds_down_after_a_lost_lock_counts() {
    let platform = Platform::new();
    let runner = platform.runner();
    let mut run = platform.run("t", "r", Graceful);
    run.lock.lost_after = Some(Duration::from_secs(15));
    runner.start(run).await.unwrap();
    platform.until(|platform| platform.has_terminal("r")).await;
    assert_eq!(platform.types("r"), ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_ERROR"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_before_it_is_let_in_ends_without_its_agent() {
    let platform = Platform::doing(Got::Join, [Act::Refuse(json!({"reason": "gateway_draining"}))]);
    let runner = platform.runner();
    let stop = async {
        sleep(Duration::from_millis(500)).await;
        runner.stop("t", None).await
    };
    let (started, stopped) = tokio::join!(runner.start(platform.run("t", "r", saying(hello()))), stop);
    assert_eq!((started, stopped), (Ok(()), PlatformStop::Stopped));
    assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_FINISHED"]);
    assert_eq!(platform.events("r")[0]["input"]["messages"][0]["id"], "new");
}

#[tokio::test(start_paused = true)]
async fn a_stop_whose_terminal_event_is_not_acknowledged_within_a_minute_says_so() {
    let platform = Platform::scripted(|got| if got == Got::Events { Act::Ignore } else { Act::Serve });
    let runner = platform.runner();
    let (_lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(runner.stop("t", None).await, PlatformStop::Unacknowledged);
    assert_eq!(begun.elapsed().as_secs(), 60);
    platform.until(|platform| platform.releases("r") == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_anyway_is_not_stopped() {
    let platform = Platform::doing(Got::Events, [Act::Ignore]);
    let runner = platform.runner();
    runner.start(platform.run("t", "r", saying(hello()))).await.unwrap();
    platform.until(|platform| !platform.times("events").is_empty()).await;
    assert_eq!(runner.stop("t", None).await, PlatformStop::NoActiveRun);
    platform.until(|platform| platform.has_terminal("r")).await;
    assert_eq!(platform.types("r").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_lasts_as_long_as_a_run_goes_when_its_end_is_known() {
    let platform = Platform::new();
    let runner = platform.runner();
    let lasting = Arc::new(());
    let (_lead, agent) = led();
    let pass = || RunPass::holding(lasting.clone());
    runner.start(PlatformRun { pass: pass(), ..platform.run("t", "r", agent) }).await.unwrap();
    let refused = PlatformRun { pass: pass(), ..platform.run("t", "r2", saying(hello())) };
    assert_eq!(runner.start(refused).await, Err(StartError::AlreadyRunning));
    assert_eq!(Arc::strong_count(&lasting), 2, "held by the test and by the run that lasts");
    assert_eq!(runner.stop("t", None).await, PlatformStop::Stopped);
    assert_eq!(Arc::strong_count(&lasting), 1);
}
