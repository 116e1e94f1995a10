//! What happens to a run on a busy thread.

use super::*;

fn with_policy(when_busy: WhenBusy) -> MemoryRunner {
    let mut options = RunOptions::default();
    options.when_busy = when_busy;
    MemoryRunner::with_options(MemoryLimits::default(), options)
}

fn enqueue(max: usize) -> WhenBusy {
    WhenBusy::Enqueue { max, timeout: Duration::from_secs(60) }
}

/// What a thread replays.
async fn replayed(runner: &dyn AgentRunner) -> Vec<Event> {
    all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await
}

fn mentions(events: &[Event], run: &str) -> bool {
    events.iter().any(|event| event.as_str().contains(&format!("\"{run}\"")))
}

/// Starts a run on `t` that has said that it started.
async fn started(runner: &dyn AgentRunner, run: &str, grace: Duration) -> (FrameStream, Strings) {
    let (agent, strings) = puppet_with_grace(grace);
    strings.say(Event::run_started("t", run));
    (runner.run(request(agent, "t", run)).await.expect("it may run or wait"), strings)
}

async fn stop(runner: &dyn AgentRunner, run: &str) -> Stopped {
    runner.stop(StopRequest { thread: "t".into(), run_id: Some(run.to_owned()) }).await.unwrap()
}

/// As the engine shows a `RUN_STARTED` of an empty input.
fn with_input(event: Event) -> Event {
    if event.kind() != EventKind::RunStarted {
        return event;
    }
    let open = event.as_str().strip_suffix('}').unwrap();
    let input = RunAgentInput::new("t", "r1").to_json();
    Event::parse(format!("{open},\"input\":{input}}}")).unwrap()
}

#[tokio::test]
async fn a_run_rolled_back_ends_cleanly_and_leaves_no_history() {
    let runner = with_policy(WhenBusy::Rollback);
    let (first, strings) = started(&runner, "r1", Duration::ZERO).await;
    let second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    assert_eq!(all(first).await, [Event::run_started("t", "r1"), Event::run_finished("t", "r1")].map(with_input));
    assert!(strings.dropped.load(Ordering::SeqCst));
    assert_eq!(one_terminal(&all(second).await), "");
    let replayed = replayed(&runner).await;
    assert!(!mentions(&replayed, "r1") && mentions(&replayed, "r2"), "{replayed:?}");
}

#[tokio::test]
async fn an_interrupted_run_ends_cleanly_and_stays() {
    let runner = with_policy(WhenBusy::Interrupt);
    let (first, strings) = started(&runner, "r1", Duration::ZERO).await;
    let second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    let first = all(first).await;
    assert_eq!(one_terminal(&first), "");
    assert!(strings.dropped.load(Ordering::SeqCst));
    let second = all(second).await;
    assert_eq!(replayed(&runner).await, [first, second].concat());
}

#[tokio::test(start_paused = true)]
async fn an_interrupting_run_waits_for_the_grace_of_the_other_and_its_head_does_not() {
    let runner = with_policy(WhenBusy::Interrupt);
    let (first, strings) = started(&runner, "r1", Duration::from_secs(10)).await;
    let mut second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    assert!(second.next().now_or_never().is_none(), "its turn has not come");
    assert!(!strings.dropped.load(Ordering::SeqCst));
    strings.say(Event::run_finished("t", "r1"));
    drop(strings);
    assert_eq!(one_terminal(&all(first).await), "");
    assert_eq!(one_terminal(&all(second).await), "");
}

#[tokio::test(start_paused = true)]
async fn of_those_who_interrupt_the_last_runs() {
    let runner = with_policy(WhenBusy::Interrupt);
    let (first, _strings) = started(&runner, "r1", Duration::from_secs(1)).await;
    let mut waiting = Vec::new();
    for run in ["r2", "r3", "r4"] {
        waiting.push(runner.run(request(saying(greeting("t", run)), "t", run)).await.unwrap());
    }
    all(first).await;
    for (displaced, run) in waiting.drain(..2).zip(["r2", "r3"]) {
        assert_eq!(all(displaced).await, [Event::run_started("t", run), Event::run_finished("t", run)]);
    }
    assert_eq!(all(waiting.remove(0)).await.len(), 5);
    let replayed = replayed(&runner).await;
    assert!(!mentions(&replayed, "r2") && !mentions(&replayed, "r3") && mentions(&replayed, "r4"), "{replayed:?}");
}

#[tokio::test]
async fn runs_wait_in_the_order_they_came_also_without_their_clients() {
    let runner = with_policy(enqueue(100));
    let (first, strings) = started(&runner, "r0", Duration::ZERO).await;
    let names: Vec<String> = (1..=20).map(|run| format!("r{run}")).collect();
    for run in &names {
        // The client leaves at once.
        drop(runner.run(request(saying(greeting("t", run)), "t", run)).await.unwrap());
    }
    let last = runner.run(request(saying(greeting("t", "last")), "t", "last")).await.unwrap();
    strings.say(Event::run_finished("t", "r0"));
    drop(strings);
    all(first).await;
    assert_eq!(one_terminal(&all(last).await), "");
    let finished = replayed(&runner).await.into_iter().filter(|event| event.kind() == EventKind::RunFinished);
    let expected: Vec<_> = ["r0"].into_iter().chain(names.iter().map(String::as_str)).chain(["last"]).collect();
    assert_eq!(
        finished.collect::<Vec<_>>(),
        expected.iter().map(|run| Event::run_finished("t", run)).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_has_an_end_and_so_has_waiting() {
    let runner = with_policy(enqueue(2));
    let (first, _strings) = started(&runner, "r1", Duration::ZERO).await;
    let second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    let third = runner.run(request(saying(greeting("t", "r3")), "t", "r3")).await.unwrap();
    let fourth = runner.run(request(saying(greeting("t", "r4")), "t", "r4")).await.err().expect("the queue is full");
    assert_eq!(fourth.code(), "QUEUE_FULL");
    let began = tokio::time::Instant::now();
    for waited in [second, third] {
        let events = all(waited).await;
        assert_eq!((events.len(), one_terminal(&events).as_str()), (1, "QUEUE_TIMEOUT"));
    }
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    assert!(runner.run(request(saying(vec![]), "t", "r5")).await.is_ok(), "there is room again");
    assert_eq!(stop(&runner, "r1").await, Stopped::Stopping, "who waited in vain harmed nobody");
    assert_eq!(one_terminal(&all(first).await), "");
}

#[tokio::test]
async fn a_stop_takes_a_run_out_of_the_queue_and_touches_no_other() {
    let runner = with_policy(enqueue(10));
    let (first, strings) = started(&runner, "r1", Duration::ZERO).await;
    let (second, waiting) = started(&runner, "r2", Duration::ZERO).await;
    let third = runner.run(request(saying(greeting("t", "r3")), "t", "r3")).await.unwrap();
    assert_eq!(stop(&runner, "r9").await, Stopped::OtherRun);
    assert_eq!(stop(&runner, "r2").await, Stopped::Stopping);
    assert_eq!(all(second).await, [Event::run_started("t", "r2"), Event::run_finished("t", "r2")]);
    assert!(waiting.say.is_closed(), "its agent is gone, and never ran");
    assert!(!strings.dropped.load(Ordering::SeqCst));
    // Without a name it means what runs.
    let stopped = runner.stop(StopRequest { thread: "t".into(), run_id: None }).await.unwrap();
    assert_eq!(stopped, Stopped::Stopping);
    assert_eq!(one_terminal(&all(first).await), "");
    assert_eq!(all(third).await.len(), 5);
    assert_eq!(stop(&runner, "r1").await, Stopped::NoActiveRun);
    assert!(!mentions(&replayed(&runner).await, "r2"));
}

#[tokio::test]
async fn who_interrupts_goes_before_those_who_wait() {
    let runner = with_policy(enqueue(10));
    let (first, _strings) = started(&runner, "r1", Duration::ZERO).await;
    let second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    let mut urgent = request(saying(greeting("t", "r3")), "t", "r3");
    urgent.when_busy = Some(WhenBusy::Interrupt);
    let third = runner.run(urgent).await.unwrap();
    let mut refused = request(saying(vec![]), "t", "r4");
    refused.when_busy = Some(WhenBusy::Reject);
    assert!(matches!(runner.run(refused).await.err(), Some(RunRefused::Busy)), "the request has its own policy");
    let seen = [all(first).await, all(third).await, all(second).await].concat();
    assert_eq!(replayed(&runner).await, seen);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_those_who_wait() {
    let runner = with_policy(enqueue(10));
    let (first, _strings) = started(&runner, "r1", Duration::ZERO).await;
    let (second, _waiting) = started(&runner, "r2", Duration::ZERO).await;
    runner.shutdown(Duration::from_secs(5)).await;
    assert_eq!(one_terminal(&all(first).await), "RUNTIME_SHUTDOWN");
    assert_eq!(one_terminal(&all(second).await), "RUNTIME_SHUTDOWN");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fits_the_deadline_of_a_shutdown_ends_by_itself() {
    let runner = with_policy(enqueue(1));
    let (first, strings) = started(&runner, "r1", Duration::ZERO).await;
    let waiting = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    let watching = runner.connect(ConnectRequest::new("t")).await.unwrap();
    let began = tokio::time::Instant::now();
    let speak = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let refused = runner.run(request(saying(vec![]), "t2", "r3")).await;
        assert!(matches!(refused.err(), Some(RunRefused::ShuttingDown)), "but no other begins");
        strings.say(Event::run_finished("t", "r1"));
        drop(strings);
    };
    tokio::join!(runner.shutdown(Duration::from_secs(30)), speak);
    assert!(began.elapsed() < Duration::from_secs(21), "nobody waits longer than the runs last");
    for stream in [first, waiting, watching] {
        assert_eq!(one_terminal(&all(stream).await), "");
    }
}
