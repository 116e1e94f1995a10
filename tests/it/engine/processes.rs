//! Engines over one store, as processes over one file: a run of one is seen, stopped and waited for by the other.

use super::leases::Disk;
use super::stores::{Between, Call};
use super::*;

/// Two processes; what the second asks of the store is counted.
fn processes() -> (Arc<MemoryStore>, LiveRunner, Arc<Between>, LiveRunner) {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let second = Between::over(store.clone(), |_, _| std::future::ready(Ok(())));
    let here = LiveRunner::new(store.clone(), RunOptions::default());
    let there = LiveRunner::new(second.clone(), RunOptions::default());
    (store, here, second, there)
}

/// Starts a run on `t` that has said that it started.
async fn started(runner: &dyn AgentRunner, run: &str) -> (FrameStream, Strings) {
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", run));
    (runner.run(request(agent, "t", run)).await.unwrap(), strings)
}

async fn connect(runner: &dyn AgentRunner) -> FrameStream {
    runner.connect(ConnectRequest::new("t")).await.unwrap()
}

async fn stop(runner: &dyn AgentRunner, run: Option<&str>) -> Stopped {
    runner.stop(StopRequest { thread: "t".into(), run_id: run.map(str::to_owned) }).await.unwrap()
}

fn with(when_busy: WhenBusy, run: &str) -> RunRequest {
    let mut request = request(saying(greeting("t", run)), "t", run);
    request.when_busy = Some(when_busy);
    request
}

fn enqueue(max: usize) -> WhenBusy {
    WhenBusy::Enqueue { max, timeout: Duration::from_secs(60) }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_another_process_is_followed_live() {
    let (_, here, second, there) = processes();
    let history = all(here.run(request(saying(greeting("t", "r0")), "t", "r0")).await.unwrap()).await;
    let (mut first, strings) = started(&here, "r1").await;
    next(&mut first).await;
    let mut watching = connect(&there).await;
    assert_eq!(next(&mut watching).await, history);
    assert_eq!(kinds(&next(&mut watching).await), [EventKind::RunStarted]);
    for event in [Event::text_start("m"), Event::text_content("m", "a"), Event::text_content("m", "b")] {
        let said = tokio::time::Instant::now();
        strings.say(event.clone());
        assert_eq!(next(&mut watching).await, [event]);
        assert!(said.elapsed() <= Duration::from_millis(100), "{:?}", said.elapsed());
    }
    strings.say(Event::text_content("m", "c"));
    strings.say(Event::text_content("m", "d"));
    strings.say(Event::text_end("m"));
    strings.say(Event::run_finished("t", "r1"));
    drop(strings);
    all(first).await;
    // It was sealed before the rest was read, so that comes as it is kept.
    let rest = [Event::text_content("m", "cd"), Event::text_end("m"), Event::run_finished("t", "r1")];
    assert_eq!(all(watching).await, rest);
    let before = second.done.lock().len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(second.done.lock().len(), before, "nobody reads any more");
}

#[tokio::test(start_paused = true)]
async fn however_many_watch_a_run_of_another_process_it_is_read_once() {
    let (_, here, second, there) = processes();
    let (first, strings) = started(&here, "r").await;
    let mut watchers = Vec::new();
    for _ in 0..50 {
        let mut watching = connect(&there).await;
        assert_eq!(next(&mut watching).await.len(), 1);
        watchers.push(watching);
    }
    let before = second.count(Call::Said);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let reads = second.count(Call::Said) - before;
    assert!((10..=50).contains(&reads), "{reads} times in a second");
    watchers.truncate(1);
    strings.say(Event::text_start("m"));
    assert_eq!(next(&mut watchers[0]).await, [Event::text_start("m")]);
    watchers.clear();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = second.count(Call::Said);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(second.count(Call::Said), before, "nobody watches");
    let mut again = connect(&there).await;
    drop(strings);
    let seen = [next(&mut again).await, all(again).await].concat();
    assert_eq!(seen, all(first).await, "who comes later sees everything");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_changes_the_process_and_goes_on_where_it_was() {
    let (_, here, _, there) = processes();
    let (_first, strings) = started(&here, "r").await;
    let mut client = resume::Client::default();
    let mut turn = [&here, &there].into_iter().cycle();
    let mut say = greeting("t", "r").into_iter().map(Result::unwrap).skip(1);
    let mut expected = 1;
    loop {
        let mut watching = client.connect(turn.next().unwrap()).await;
        // A terminal event is held back for a moment.
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.take(&mut watching, 100).await;
        assert_eq!(client.events.len(), expected);
        let Some(event) = say.next() else { break };
        strings.say(event);
        expected += 1;
    }
    drop(strings);
    for runner in [&here, &there] {
        let mut rest = client.connect(runner).await;
        assert!(rest.next().await.is_none());
    }
    assert!(client.ids.iter().zip(1..).all(|(id, place)| id.ends_with(&format!("-{place}"))), "{:?}", client.ids);
}

#[tokio::test(start_paused = true)]
async fn a_thread_is_busy_for_every_process() {
    let (_, here, _, there) = processes();
    let (first, strings) = started(&here, "r1").await;
    let refused = there.run(with(WhenBusy::Reject, "r2")).await.unwrap();
    let refused = all(refused).await;
    assert_eq!((refused.len(), one_terminal(&refused).as_str()), (1, "THREAD_BUSY"));
    assert_eq!(there.live_runs(), 0);
    let full = all(there.run(with(enqueue(0), "r3")).await.unwrap()).await;
    assert_eq!((full.len(), one_terminal(&full).as_str()), (1, "QUEUE_FULL"));
    drop(strings);
    all(first).await;
    assert_eq!(one_terminal(&all(there.run(with(WhenBusy::Reject, "r4")).await.unwrap()).await), "");
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_the_run_of_another_process_and_no_later_one() {
    let (_, here, _, there) = processes();
    assert_eq!(stop(&there, None).await, Stopped::NoActiveRun);
    let (first, strings) = started(&here, "r1").await;
    assert_eq!(stop(&there, Some("r2")).await, Stopped::OtherRun);
    let asked = tokio::time::Instant::now();
    assert_eq!(stop(&there, Some("r1")).await, Stopped::Stopping);
    assert_eq!(stop(&there, None).await, Stopped::NoActiveRun, "it is stopping already");
    strings.say.closed().await;
    assert!(asked.elapsed() <= Duration::from_millis(250));
    assert_eq!(kinds(&all(first).await), [EventKind::RunStarted, EventKind::RunFinished]);
    let (_second, strings) = started(&here, "r1").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!strings.dropped.load(Ordering::SeqCst), "it has the same id, and is another run");
}

#[tokio::test(start_paused = true)]
async fn a_stop_reaches_a_run_that_does_not_know_yet_that_it_has_begun() {
    // Each call takes its time, and so does its answer.
    let disk = Disk::new(vec![5]);
    let runner = LiveRunner::new(Arc::new(disk.handle(0).0), RunOptions::default());
    let (agent, strings) = puppet();
    let beginning = tokio::time::Instant::now();
    let watching = runner.run(request(agent, "t", "r")).await.unwrap();
    tokio::time::sleep_until(beginning + Duration::from_millis(7)).await;
    let active = disk.store.active(&"t".into()).await.unwrap().expect("it has begun");
    assert!(disk.store.ask_to_stop(AskedStop { run: active.run, how: StopKind::End }).await.unwrap());
    assert_eq!(kinds(&all(watching).await), [EventKind::RunStarted, EventKind::RunFinished]);
    assert!(strings.say.is_closed() && !strings.dropped.load(Ordering::SeqCst), "its agent never ran");
}

#[tokio::test(start_paused = true)]
async fn a_run_interrupts_the_run_of_another_process_or_rolls_it_back() {
    for (policy, is_kept) in [(WhenBusy::Interrupt, true), (WhenBusy::Rollback, false)] {
        let (_, here, _, there) = processes();
        let (first, strings) = started(&here, "r1").await;
        let second = all(there.run(with(policy, "r2")).await.unwrap()).await;
        assert!(strings.say.is_closed());
        let first = all(first).await;
        assert_eq!(kinds(&first), [EventKind::RunStarted, EventKind::RunFinished]);
        assert_eq!(one_terminal(&second), "");
        let kept = if is_kept { [first, second].concat() } else { second };
        for runner in [&here, &there] {
            assert_eq!(all(connect(runner).await).await, kept, "{policy:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_the_run_of_another_process() {
    let (_, here, _, there) = processes();
    let (first, strings) = started(&here, "r1").await;
    let second = there.run(with(enqueue(2), "r2")).await.unwrap();
    let third = there.run(with(enqueue(2), "r3")).await.unwrap();
    assert!(matches!(there.run(with(enqueue(2), "r4")).await.err(), Some(RunRefused::QueueFull)));
    assert!(matches!(there.run(with(WhenBusy::Reject, "r5")).await.err(), Some(RunRefused::Busy)));
    // Who connects sees the run that runs, and a stop without a name means it.
    let watching = connect(&there).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stop(&there, Some("r9")).await, Stopped::OtherRun);
    assert_eq!(stop(&there, Some("r2")).await, Stopped::Stopping);
    assert_eq!(all(second).await, [Event::run_started("t", "r2"), Event::run_finished("t", "r2")]);
    assert!(!strings.dropped.load(Ordering::SeqCst));
    assert_eq!(stop(&there, None).await, Stopped::Stopping);
    assert_eq!(all(watching).await, all(first).await);
    assert_eq!(one_terminal(&all(third).await), "");
    // It gives up as one that waits for its own process.
    let (_first, _strings) = started(&here, "r6").await;
    let began = tokio::time::Instant::now();
    let late = all(there.run(with(enqueue(2), "r7")).await.unwrap()).await;
    assert_eq!(one_terminal(&late), "QUEUE_TIMEOUT");
    assert_eq!(began.elapsed(), Duration::from_secs(60));
    assert_eq!(there.live_runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watched_run_of_another_process_that_is_withdrawn_ends_with_a_reason() {
    let (_, here, _, there) = processes();
    let (first, _strings) = started(&here, "r1").await;
    let mut watching = connect(&there).await;
    assert_eq!(next(&mut watching).await.len(), 1);
    let second = here.run(with(WhenBusy::Rollback, "r2")).await.unwrap();
    all(first).await;
    assert_eq!(one_terminal(&all(watching).await), codes::RUN_INTERRUPTED);
    assert_eq!(one_terminal(&all(second).await), "");
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_go_of_runs_of_other_processes() {
    let (_, here, _, there) = processes();
    let (_first, strings) = started(&here, "r1").await;
    let mut watching = connect(&there).await;
    assert_eq!(next(&mut watching).await.len(), 1);
    let waiting = there.run(with(enqueue(1), "r2")).await.unwrap();
    let began = tokio::time::Instant::now();
    there.shutdown(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(one_terminal(&all(watching).await), "RUNTIME_SHUTDOWN");
    assert_eq!(one_terminal(&all(waiting).await), "RUNTIME_SHUTDOWN");
    assert!(!strings.dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_engine_nobody_has_any_more_is_gone() {
    let (store, here, _, _) = processes();
    all(here.run(request(saying(greeting("t", "r")), "t", "r")).await.unwrap()).await;
    assert_eq!(Arc::strong_count(&store), 2, "held here, and by the engine");
    drop(here);
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&store), 1, "no task holds it");
}
