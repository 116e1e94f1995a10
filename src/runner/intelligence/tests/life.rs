//! How runs begin, deliver and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::platform::{Act, Got, Platform, hello, led, over, saying};
use crate::agent::{Agent, AgentError, FunctionAgent};
use crate::agui::Event;
use crate::runner::AgentBounds;
use crate::runner::intelligence::{PlatformRun, StartError};

fn draining() -> Act {
    Act::Refuse(json!({"reason": "gateway_draining", "retryable": true}))
}

fn refused(message: &str) -> Result<(), StartError> {
    Err(StartError::Refused(message.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_is_delivered_in_one_batch_and_left_and_keeps_its_lock() {
    let platform = Platform::new();
    let runner = platform.runner();
    runner.start(platform.run("t", "r", saying(hello()))).await.unwrap();
    over(&runner).await;
    platform.until(|platform| platform.log().contains(&"leave r".to_owned())).await;
    assert_eq!(platform.log(), ["dial", "join r", "events r", "leave r"]);
    let types = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"];
    assert_eq!(platform.types("r"), types);
    let input = &platform.events("r")[0]["input"];
    assert_eq!((&input["threadId"], &input["runId"]), (&json!("t"), &json!("r")));
    assert_eq!(input["messages"], json!([{"id": "new", "role": "user", "content": "now"}]));
    assert_eq!((platform.releases("r"), platform.violations()), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_agent_starts_after_the_first_join_and_never_twice() {
    let joins = [Act::Late(Duration::from_secs(4)), Act::Serve, draining(), Act::Break { kept: true }];
    let platform = Platform::doing(Got::Join, joins);
    let runner = platform.runner();
    let starts = Arc::new(AtomicUsize::new(0));
    let (count, begun) = (starts.clone(), Instant::now());
    let agent = FunctionAgent::new(move |_| {
        assert_eq!(begun.elapsed(), Duration::from_secs(4));
        count.fetch_add(1, Ordering::SeqCst);
        stream::iter([Ok(Event::run_started("t", "r"))]).chain(stream::pending())
    });
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    for _ in 0..3 {
        platform.hang_up(None);
        sleep(Duration::from_secs(5)).await;
    }
    assert!(platform.times("join").len() > 3);
    assert_eq!(starts.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_throws_ends_with_its_message_and_the_lock_is_released_before() {
    let platform = Platform::new();
    let runner = platform.runner();
    let throws = FunctionAgent::new(|_| stream::iter([Err(AgentError::new("agent exploded"))]));
    let mut run = platform.run("t", "r", throws);
    run.lock.slow = Duration::from_millis(500);
    runner.start(run).await.unwrap();
    over(&runner).await;
    // As recorded in agent-throws.
    assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_ERROR"]);
    let error = &platform.events("r")[1];
    assert_eq!((&error["message"], error.get("code")), (&json!("agent exploded"), None));
    assert_eq!((platform.releases("r"), platform.violations()), (1, vec![]));
    assert_eq!(platform.log()[2..5], ["release r", "released r", "events r"]);
}

/// Upstream releases at once, and is not let in again.
#[tokio::test(start_paused = true)]
async fn a_run_that_fails_while_its_socket_is_lost_keeps_its_lock_until_it_is_let_in_again() {
    for intake in [true, false] {
        let platform = Platform::doing(Got::Join, [Act::Serve, draining()]).batches(move || intake);
        let runner = platform.runner();
        let (lead, agent) = led();
        runner.start(platform.run("t", "r", agent)).await.unwrap();
        lead.send(Ok(Event::run_started("t", "r"))).unwrap();
        platform.until(|platform| !platform.events("r").is_empty()).await;
        platform.hang_up(None);
        sleep(Duration::from_millis(50)).await;
        for n in 0..40 {
            lead.send(Ok(Event::custom("n", &json!(n)))).unwrap();
        }
        lead.send(Err(AgentError::new("too late"))).unwrap();
        over(&runner).await;
        assert_eq!(platform.types("r").pop().unwrap(), "RUN_ERROR");
        assert_eq!((platform.types("r").len(), platform.releases("r"), platform.violations()), (42, 1, vec![]));
        assert!(platform.times("release r")[0] >= 1_100);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agents_own_error_releases_the_lock_before_it_is_pushed() {
    let platform = Platform::new();
    let runner = platform.runner();
    runner.start(platform.run("t", "r", saying([Event::run_error("model refused", "MODEL")]))).await.unwrap();
    over(&runner).await;
    assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_ERROR"]);
    assert_eq!(platform.events("r")[1]["code"], "MODEL");
    assert_eq!((platform.releases("r"), platform.violations()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_is_open_when_the_agent_just_ends_is_closed() {
    let platform = Platform::new();
    let runner = platform.runner();
    let events = [Event::run_started("t", "r"), Event::text_start("m"), Event::tool_start("c", "search", None)];
    runner.start(platform.run("t", "r", saying(events))).await.unwrap();
    over(&runner).await;
    let expected = ["TEXT_MESSAGE_END", "TOOL_CALL_END", "TOOL_CALL_RESULT", "RUN_ERROR"];
    assert_eq!(platform.types("r")[3..], expected);
    let events = platform.events("r");
    let content: Value = serde_json::from_str(events[5]["content"].as_str().unwrap()).unwrap();
    let message = "Run ended without emitting a terminal event";
    assert_eq!(content, json!({"status": "error", "reason": "missing_terminal_event", "message": message}));
    assert_eq!((&events[5]["messageId"], &events[6]["code"]), (&json!("c-result"), &json!("INCOMPLETE_STREAM")));
}

/// Upstream pushes what an agent says or throws after its terminal event, and the platform refuses it for good.
#[tokio::test(start_paused = true)]
async fn nothing_follows_a_terminal_event_and_a_lingering_agent_keeps_no_thread() {
    let platform = Platform::new();
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    for event in hello().into_iter().chain(hello()) {
        lead.send(Ok(event)).unwrap();
    }
    platform.until(|platform| platform.has_terminal("r")).await;
    sleep(Duration::from_millis(1)).await;
    assert!(!lead.is_closed(), "the agent may still have something to do");
    runner.start(platform.run("t", "next", saying(hello()))).await.unwrap();
    over(&runner).await;
    assert_eq!(platform.types("r").len(), 5);
    assert_eq!(platform.violations(), [""; 0]);
    lead.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_agent_fails_its_own_run_only() {
    let platform = Platform::new();
    let runner = platform.runner();
    let agent = FunctionAgent::new(|_| stream::poll_fn(|_| panic!("on purpose")));
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    over(&runner).await;
    assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_ERROR"]);
    assert_eq!(platform.events("r")[1]["code"], "AGENT_PANICKED");
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_held_to_its_bounds() {
    let silent = FunctionAgent::new(|_| stream::pending());
    let wordy = FunctionAgent::new(|_| stream::iter([Ok(Event::text_content("m", &"x".repeat(100)))]));
    let agents: [(Arc<dyn Agent>, &str); 2] =
        [(Arc::new(silent), "AGENT_TOTAL_TIMEOUT"), (Arc::new(wordy), "AGENT_EVENT_TOO_LARGE")];
    for (agent, code) in agents {
        let platform = Platform::new();
        let runner = platform.runner();
        let bounds = AgentBounds { run_time: Some(Duration::from_secs(10)), event_bytes: 100 };
        runner.start(PlatformRun { agent, bounds, ..platform.run("t", "r", saying(hello())) }).await.unwrap();
        over(&runner).await;
        assert_eq!(platform.types("r"), ["RUN_STARTED", "RUN_ERROR"]);
        assert_eq!((&platform.events("r")[1]["code"], platform.releases("r")), (&json!(code), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_gateway_delays_the_start() {
    let platform = Platform::doing(Got::Join, [draining(), draining()]);
    let runner = platform.runner();
    runner.start(platform.run("t", "r", saying(hello()))).await.unwrap();
    // As recorded in fault-join-draining.
    assert_eq!(platform.times("join"), [0, 1_000, 3_000]);
    over(&runner).await;
    assert!(platform.has_terminal("r"));
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_refused_for_good_refuses_the_run_and_releases_its_lock() {
    let last = r#"{"reason":"invalid_lock","retryable":false}"#;
    for (response, message) in [(last, last), ("{}", "{}")] {
        let platform = Platform::doing(Got::Join, [Act::Refuse(serde_json::from_str(response).unwrap())]);
        let runner = platform.runner();
        let answer = runner.start(platform.run("t", "r", saying(hello()))).await;
        // As recorded in fault-join-permanent.
        assert_eq!(answer, refused(&format!("Failed to join channel: {message}")));
        assert!(platform.log().contains(&"leave r".to_owned()));
        assert_eq!((platform.releases("r"), platform.events("r").len()), (1, 0));
        assert_eq!(runner.start(platform.run("t", "next", saying(hello()))).await, Ok(()), "the thread is free");
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_not_answered_for_ten_seconds_refuses_the_run() {
    let platform = Platform::doing(Got::Join, [Act::Ignore]);
    let answer = platform.runner().start(platform.run("t", "r", saying(hello()))).await;
    assert_eq!(answer, refused("Timed out joining channel"));
    // Once for the join that was given up, once to go.
    assert_eq!(platform.times("leave"), [10_000, 10_000]);
    assert_eq!(platform.releases("r"), 1);
}

#[tokio::test(start_paused = true)]
async fn five_refused_connects_before_the_first_join_neither_end_nor_start_a_run() {
    let platform = Platform::doing(Got::Dial, vec![Act::Break { kept: false }; 6]);
    let runner = platform.runner();
    runner.start(platform.run("t", "r", saying(hello()))).await.unwrap();
    // As recorded in fault-runner-refused.
    assert_eq!(platform.times("dial"), [0, 100, 300, 700, 1_000, 1_100, 1_300]);
    over(&runner).await;
    assert!(platform.has_terminal("r"));
}

/// Upstream holds the request as long as its client waits.
#[tokio::test(start_paused = true)]
async fn a_platform_that_cannot_be_reached_for_a_minute_refuses_the_run() {
    let platform = Platform::scripted(|_| Act::Break { kept: false });
    let begun = Instant::now();
    let answer = platform.runner().start(platform.run("t", "r", saying(hello()))).await;
    assert_eq!(answer, refused("Timed out joining channel"));
    assert_eq!((begun.elapsed().as_secs(), platform.releases("r")), (60, 1));
}

/// Upstream goes on to join, which the platform refuses then.
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_before_the_first_join_refuses_the_run() {
    let platform = Platform::scripted(|got| if got == Got::Join { draining() } else { Act::Serve });
    let mut run = platform.run("t", "r", saying(hello()));
    run.lock.lost_after = Some(Duration::from_secs(15));
    let answer = platform.runner().start(run).await;
    assert_eq!(answer, refused("The thread's lock was lost: not the holder"));
    assert_eq!(platform.releases("r"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_if_nobody_waits_for_it_to_start() {
    let platform = Platform::doing(Got::Join, [draining()]);
    let runner = platform.runner();
    let impatient = runner.start(platform.run("t", "r", saying(hello())));
    assert!(tokio::time::timeout(Duration::from_millis(500), impatient).await.is_err());
    platform.until(|platform| platform.has_terminal("r")).await;
}

#[tokio::test(start_paused = true)]
async fn a_thread_whose_last_events_are_not_acknowledged_is_busy_and_the_next_lock_is_released() {
    let platform = Platform::doing(Got::Events, [Act::Swallow]);
    let runner = platform.runner();
    runner.start(platform.run("t", "r", saying(hello()))).await.unwrap();
    platform.until(|platform| platform.has_terminal("r")).await;
    // As recorded in fault-next-run-while-tail-unacked.
    let next = runner.start(platform.run("t", "next", saying(hello()))).await;
    assert_eq!(next, Err(StartError::AlreadyRunning));
    assert_eq!(next.unwrap_err().to_string(), "Thread already running");
    assert_eq!(platform.releases("next"), 1);
    assert_eq!(runner.start(platform.run("other", "o", saying(hello()))).await, Ok(()));
    over(&runner).await;
    // As recorded in fault-ack-lost: the same again, ten seconds and a tenth later.
    let pushes = platform.times("events r");
    assert_eq!(pushes.len(), 2);
    assert_eq!(pushes[1] - pushes[0], 10_100);
    assert_eq!(runner.start(platform.run("t", "later", saying(hello()))).await, Ok(()));
    assert_eq!(platform.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_ends_the_run_with_what_it_owes() {
    let platform = Platform::new();
    let runner = platform.runner();
    let (lead, agent) = led();
    let mut run = platform.run("t", "r", agent);
    run.lock.lost_after = Some(Duration::from_secs(15));
    runner.start(run).await.unwrap();
    hello().into_iter().take(3).for_each(|event| lead.send(Ok(event)).unwrap());
    over(&runner).await;
    // As recorded in fault-renew-fails.
    assert_eq!(platform.types("r")[3..], ["TEXT_MESSAGE_END", "RUN_ERROR"]);
    assert_eq!(platform.events("r")[4]["code"], "INCOMPLETE_STREAM");
    assert_eq!((platform.times("lost"), platform.releases("r")), (vec![15_000], 1));
    assert!(lead.is_closed(), "the agent was stopped");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_after_the_terminal_event_changes_nothing() {
    let platform = Platform::doing(Got::Events, [Act::Ignore, Act::Ignore]);
    let runner = platform.runner();
    let mut run = platform.run("t", "r", saying(hello()));
    run.lock.lost_after = Some(Duration::from_secs(15));
    runner.start(run).await.unwrap();
    over(&runner).await;
    assert_eq!((platform.types("r").pop().unwrap().as_str(), platform.releases("r")), ("RUN_FINISHED", 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_for_good_fails_the_run_without_a_terminal_event() {
    let platform = Platform::doing(Got::Events, [Act::Serve, Act::Refuse(json!({"reason": "no", "retryable": false}))]);
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    for event in hello().into_iter().take(3) {
        lead.send(Ok(event)).ok();
        sleep(Duration::from_millis(50)).await;
    }
    over(&runner).await;
    // As recorded in fault-event-permanent.
    assert_eq!(platform.types("r"), ["RUN_STARTED"]);
    assert!(platform.log().contains(&"leave r".to_owned()));
    assert_eq!(platform.releases("r"), 1);
    assert!(lead.is_closed(), "the agent was stopped");
}

#[tokio::test(start_paused = true)]
async fn a_rejoin_that_is_refused_for_good_fails_the_run() {
    let last = Act::Refuse(json!({"reason": "no", "retryable": false}));
    let platform = Platform::doing(Got::Join, [Act::Serve, Act::Refuse(json!({})), last]);
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    platform.hang_up(Some(1012));
    over(&runner).await;
    assert_eq!(platform.times("join"), [0, 100, 1_100]);
    assert_eq!(platform.releases("r"), 1);
    assert!(lead.is_closed(), "the agent was stopped");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_for_a_minute_fails_the_run() {
    let platform = Platform::scripted(|got| match got {
        Got::Events => Act::Refuse(json!({"reason": "busy"})),
        _ => Act::Serve,
    });
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    lead.send(Ok(Event::run_started("t", "r"))).unwrap();
    over(&runner).await;
    assert_eq!((platform.times("released"), platform.releases("r")), (vec![60_000], 1));
    assert!(lead.is_closed(), "the agent was stopped");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_be_delivered_for_a_minute_fails_the_run_too() {
    let mut dials = 0;
    let platform = Platform::scripted(move |got| {
        dials += u32::from(got == Got::Dial);
        if dials > 1 { Act::Break { kept: false } } else { Act::Serve }
    });
    let runner = platform.runner();
    let (lead, agent) = led();
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    lead.send(Ok(Event::run_started("t", "r"))).unwrap();
    platform.until(|platform| !platform.events("r").is_empty()).await;
    platform.hang_up(None);
    sleep(Duration::from_secs(10)).await;
    lead.send(Err(AgentError::new("alone"))).unwrap();
    over(&runner).await;
    assert_eq!((platform.types("r"), platform.releases("r")), (vec!["RUN_STARTED".to_owned()], 1));
    assert_eq!(platform.times("release r")[0] / 1_000, 70);
}

#[tokio::test(start_paused = true)]
async fn an_agent_waits_while_much_is_undelivered_and_nothing_is_lost() {
    let platform = Platform::doing(Got::Events, [Act::Ignore, Act::Ignore]);
    let runner = platform.runner();
    let said = Arc::new(AtomicUsize::new(0));
    let count = said.clone();
    let agent = FunctionAgent::new(move |_| {
        let count = count.clone();
        let start = stream::iter([Event::run_started("t", "r")]);
        let flood = stream::iter(0..2_000).map(move |n| {
            count.store(n, Ordering::SeqCst);
            Event::custom("n", &json!(n))
        });
        start.chain(flood).chain(stream::iter([Event::run_finished("t", "r")])).map(Ok)
    });
    runner.start(platform.run("t", "r", agent)).await.unwrap();
    sleep(Duration::from_secs(9)).await;
    assert!(said.load(Ordering::SeqCst) < 600, "{said:?} events were taken");
    over(&runner).await;
    assert_eq!(platform.violations(), [""; 0]);
    let numbers = platform.events("r").into_iter().filter_map(|event| event["value"].as_u64());
    assert!(numbers.eq(0..2_000));
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_runs_returns_at_once_and_no_run_starts_after_it() {
    let platform = Platform::new();
    let runner = platform.runner();
    let begun = Instant::now();
    runner.shutdown(Duration::from_secs(8)).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let late = runner.start(platform.run("t", "r", saying(hello()))).await;
    assert_eq!((late, platform.releases("r")), (Err(StartError::ShuttingDown), 1));
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_runs_finish_then_stops_them_and_gives_up_in_time() {
    let platform = Platform::new();
    let deaf = Platform::scripted(|got| if got == Got::Events { Act::Ignore } else { Act::Serve });
    let draining = Platform::scripted(|got| if got == Got::Join { draining() } else { Act::Serve });
    let runner = platform.runner();
    let (finishes, agent) = led();
    runner.start(platform.run("finishes", "f", agent)).await.unwrap();
    let (_hangs, agent) = led();
    runner.start(platform.run("hangs", "h", agent)).await.unwrap();
    let (unheard, waiting) = (deaf.runner(), draining.runner());
    unheard.start(deaf.run("t", "r", saying(hello()))).await.unwrap();

    let begun = Instant::now();
    let finish = async {
        sleep(Duration::from_secs(3)).await;
        hello().into_iter().for_each(|event| finishes.send(Ok(event)).unwrap());
    };
    let within = Duration::from_secs(8);
    let start = waiting.start(draining.run("t", "r", saying(hello())));
    let shut = async {
        sleep(Duration::from_millis(1)).await;
        waiting.shutdown(within).await;
    };
    let (.., refused, ()) = tokio::join!(runner.shutdown(within), unheard.shutdown(within), finish, start, shut);
    assert!(begun.elapsed() <= within);
    assert_eq!(refused, Err(StartError::ShuttingDown));
    assert_eq!(platform.types("f").pop().unwrap(), "RUN_FINISHED");
    assert_eq!(platform.types("h"), ["RUN_STARTED", "RUN_ERROR"]);
    assert_eq!(platform.events("h")[1]["code"], "RUNTIME_SHUTDOWN");
    assert_eq!((platform.releases("f"), platform.releases("h")), (0, 1));
    assert_eq!((deaf.releases("r"), draining.releases("r")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_runs_share_a_process() {
    let platform = Platform::new();
    let runner = platform.runner();
    let starts = (0..1_000).map(|n| runner.start(platform.run(&format!("t{n}"), &format!("r{n}"), saying(hello()))));
    let started = futures_util::future::join_all(starts).await;
    assert!(started.iter().all(Result::is_ok));
    over(&runner).await;
    assert!((0..1_000).all(|n| platform.types(&format!("r{n}")).len() == 5));
    assert_eq!(platform.violations(), [""; 0]);
}
