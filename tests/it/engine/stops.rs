//! Stop means stop.

use super::stores::{Between, Call};
use super::*;

#[tokio::test]
async fn stop_means_stop() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    let (other, others) = puppet();
    for (strings, thread) in [(&strings, "t"), (&others, "other")] {
        strings.say(Event::run_started(thread, "r"));
        strings.say(Event::text_start("m"));
    }
    let stopping = runner.run(request(agent, "t", "r")).await.unwrap();
    let _going_on = runner.run(request(other, "other", "r")).await.unwrap();
    let stop = |thread: &str, run: Option<&str>| {
        runner.stop(StopRequest { thread: thread.into(), run_id: run.map(str::to_owned) })
    };
    assert_eq!(stop("t", Some("another")).await, Ok(Stopped::OtherRun));
    assert_eq!(stop("never", None).await, Ok(Stopped::NoActiveRun));
    assert_eq!(stop("t", Some("r")).await, Ok(Stopped::Stopping));
    let events = all(stopping).await;
    assert_eq!(one_terminal(&events), "");
    let expected =
        [EventKind::RunStarted, EventKind::TextMessageStart, EventKind::TextMessageEnd, EventKind::RunFinished];
    assert_eq!(kinds(&events), expected);
    assert_eq!(events[3], Event::run_finished("t", "r"), "chapter 14, row 1: with its ids");
    assert!(strings.dropped.load(Ordering::SeqCst), "the agent is gone");
    assert!(!others.dropped.load(Ordering::SeqCst), "only the named run is touched");
    assert_eq!(
        kinds(&all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await),
        expected,
        "and so it is replayed"
    );
}

#[tokio::test]
async fn who_stops_a_run_before_its_agent_speaks_finds_the_question_in_the_replay() {
    let runner = MemoryRunner::new();
    let (agent, _strings) = puppet();
    let mut asking = request(agent, "t", "r");
    asking.input.messages = vec![Message::user("u", "hello?")];
    let stopping = runner.run(asking).await.unwrap();
    assert_eq!(runner.stop(StopRequest { thread: "t".into(), run_id: None }).await, Ok(Stopped::Stopping));
    let shown = all(stopping).await;
    assert_eq!(kinds(&shown), [EventKind::RunStarted, EventKind::RunFinished]);
    assert_eq!(shown[0].as_str().matches("hello?").count(), 1, "{shown:?}");
    assert_eq!(all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await, shown);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_keeps_its_thread_busy_until_it_has_ended() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet_with_grace(Duration::from_secs(10));
    strings.say(Event::run_started("t", "r"));
    let stopping = runner.run(request(agent, "t", "r")).await.unwrap();
    let stop = || runner.stop(StopRequest { thread: "t".into(), run_id: None });
    assert_eq!(stop().await, Ok(Stopped::Stopping));
    assert_eq!(stop().await, Ok(Stopped::NoActiveRun));
    let refused = runner.run(request(saying(vec![]), "t", "r2")).await;
    assert!(matches!(refused.err(), Some(RunRefused::Busy)));
    strings.say(Event::text_start("m"));
    // The agent does not end by itself: its grace time does it.
    let events = all(stopping).await;
    assert_eq!(kinds(&events)[1..3], [EventKind::TextMessageStart, EventKind::TextMessageEnd]);
    assert_eq!(one_terminal(&events), "");
    assert!(runner.run(request(saying(vec![]), "t", "r2")).await.is_ok());
}

#[tokio::test]
async fn a_slow_store_keeps_no_agent_connected() {
    let (open, gate) = tokio::sync::watch::channel(false);
    let store = Between::new(move |call, _| {
        let mut gate = gate.clone();
        async move {
            if matches!(call, Call::Append(_)) {
                gate.wait_for(|open| *open).await.unwrap();
            }
            Ok(())
        }
    });
    let runner = LiveRunner::new(store, RunOptions::default());
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let watching = runner.run(request(agent, "t", "r")).await.unwrap();
    let stopped = runner.stop(StopRequest { thread: "t".into(), run_id: Some("r".into()) }).await;
    assert_eq!(stopped, Ok(Stopped::Stopping));
    // Nothing was kept yet, and the agent is gone.
    strings.say.closed().await;
    open.send_replace(true);
    assert_eq!(kinds(&all(watching).await), [EventKind::RunStarted, EventKind::RunFinished]);
}
