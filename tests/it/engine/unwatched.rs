//! What becomes of a run that nobody watches.

use super::*;

fn with_policy(when_unwatched: WhenUnwatched) -> MemoryRunner {
    let mut options = RunOptions::default();
    options.when_unwatched = when_unwatched;
    MemoryRunner::with_options(MemoryLimits::default(), options)
}

async fn started(runner: &MemoryRunner, run: &str) -> (FrameStream, Strings) {
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", run));
    (runner.run(request(agent, "t", run)).await.unwrap(), strings)
}

#[tokio::test]
async fn a_run_ends_with_its_last_watcher_if_that_is_asked_for() {
    let runner = with_policy(WhenUnwatched::Stop);
    let (watching, strings) = started(&runner, "r").await;
    let second = runner.connect(ConnectRequest::new("t")).await.unwrap();
    drop(watching);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(!strings.dropped.load(Ordering::SeqCst), "somebody watches still");
    drop(second);
    strings.say.closed().await;
    let seen = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    assert_eq!(kinds(&seen), [EventKind::RunStarted, EventKind::RunFinished], "as if stopped by a user");
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_some_time_after_its_last_watcher_left() {
    let patience = Duration::from_secs(30);
    let runner = with_policy(WhenUnwatched::StopAfter(patience));
    let (watching, strings) = started(&runner, "r").await;
    // Longer than the patience, but somebody watches.
    tokio::time::sleep(patience * 2).await;
    drop(watching);
    tokio::time::sleep(patience / 2).await;
    // Who comes in time makes it start anew.
    drop(runner.connect(ConnectRequest::new("t")).await.unwrap());
    let left = tokio::time::Instant::now();
    tokio::time::sleep(patience * 3 / 4).await;
    assert!(!strings.dropped.load(Ordering::SeqCst));
    strings.say.closed().await;
    assert_eq!(left.elapsed(), patience);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waited_while_its_client_left_is_unwatched_from_its_start() {
    let patience = Duration::from_secs(30);
    let runner = with_policy(WhenUnwatched::StopAfter(patience));
    let (watching, strings) = started(&runner, "r1").await;
    let (agent, waiting) = puppet();
    let mut second = request(agent, "t", "r2");
    second.when_busy = Some(WhenBusy::Enqueue { max: 1, timeout: patience * 100 });
    drop(runner.run(second).await.unwrap());
    tokio::time::sleep(patience * 10).await;
    assert!(!waiting.dropped.load(Ordering::SeqCst));
    strings.say(Event::run_finished("t", "r1"));
    drop(strings);
    all(watching).await;
    let start = tokio::time::Instant::now();
    waiting.say.closed().await;
    assert_eq!(start.elapsed(), patience);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_is_waited_for_by_nobody() {
    for policy in [WhenUnwatched::Stop, WhenUnwatched::StopAfter(Duration::MAX)] {
        let runner = with_policy(policy);
        let events = all(runner.run(request(saying(greeting("t", "r")), "t", "r")).await.unwrap()).await;
        assert_eq!(one_terminal(&events), "");
        let start = tokio::time::Instant::now();
        runner.shutdown(Duration::from_secs(1000)).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "no task is left");
    }
}
