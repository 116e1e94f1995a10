//! Watchers, however many and however slow.

use super::stores::{Between, Call, PAGE};
use super::*;

#[tokio::test]
async fn watchers_that_come_at_any_moment_see_everything_once() {
    let runner = MemoryRunner::new();
    all(runner.run(request(saying(greeting("t", "r0")), "t", "r0")).await.unwrap()).await;
    let history = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    let (agent, strings) = puppet();
    let first = runner.run(request(agent, "t", "r1")).await.unwrap();
    let mut watchers = tokio::task::JoinSet::new();
    let mut say = |event| {
        strings.say(event);
        let runner = runner.clone();
        watchers.spawn(async move { all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await });
    };
    say(Event::run_started("t", "r1"));
    say(Event::text_start("m"));
    for number in 0..50 {
        say(Event::text_content("m", &number.to_string()));
        tokio::task::yield_now().await;
    }
    say(Event::text_end("m"));
    say(Event::run_finished("t", "r1"));
    drop(strings);
    let live = all(first).await;
    let compacted = {
        let replayed = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
        replayed[history.len()..].to_vec()
    };
    for seen in watchers.join_all().await {
        let (before, after) = seen.split_at(history.len());
        assert_eq!(before, history);
        assert!(after == live || after == compacted, "{after:?}");
    }
}

#[tokio::test]
async fn many_watchers_who_come_and_go_leave_nothing_behind() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let first = runner.run(request(agent, "t", "r")).await.unwrap();
    for _ in 0..1000 {
        let mut watcher = runner.connect(ConnectRequest::new("t")).await.unwrap();
        assert_eq!(next(&mut watcher).await.len(), 1);
    }
    strings.say(Event::run_finished("t", "r"));
    drop(strings);
    assert_eq!(one_terminal(&all(first).await), "");
}

/// An engine whose logs hold this much.
fn with_log(max_log_bytes: usize) -> (Arc<MemoryStore>, LiveRunner) {
    let mut options = RunOptions::default();
    options.max_log_bytes = max_log_bytes;
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    (store.clone(), LiveRunner::new(store, options))
}

const LOG: usize = 64 * 1024;
const EVENT: usize = 8 * 1024;
const EVENTS: usize = 1024;

/// Says many MiB, event by event. The thread is `t`, the run `r`.
async fn flood(strings: &Strings, quick: &mut FrameStream, runner: &LiveRunner) {
    strings.say(Event::run_started("t", "r"));
    strings.say(Event::text_start("m"));
    let text = "x".repeat(EVENT - 100);
    let mut seen = 0;
    for number in 0..EVENTS {
        strings.say(Event::text_content("m", &format!("{number} {text}")));
        strings.say(Event::custom("number", &number.into()));
        while seen < 2 * (number + 2) {
            seen += next(quick).await.len();
        }
        assert!(runner.live_log_bytes() <= LOG + 2 * EVENT, "{}", runner.live_log_bytes());
    }
    assert!(runner.live_log_bytes() > LOG / 2);
}

#[tokio::test]
async fn a_watcher_that_reads_late_gets_every_event_once_and_costs_no_memory() {
    let (_, runner) = with_log(LOG);
    let (agent, strings) = puppet();
    let mut late = runner.run(request(agent, "t", "r")).await.unwrap();
    let mut quick = runner.connect(ConnectRequest::new("t")).await.unwrap();
    flood(&strings, &mut quick, &runner).await;
    let mut seen = Vec::new();
    while seen.len() < 2 * EVENTS + 2 {
        seen.extend(next(&mut late).await);
    }
    let all_at_once = runner.connect(ConnectRequest::new("t")).await.unwrap();
    strings.say(Event::text_end("m"));
    strings.say(Event::run_finished("t", "r"));
    drop(strings);
    seen.extend(all(late).await);
    // What each event is, tells its place.
    for (place, event) in seen[2..2 * EVENTS + 2].iter().enumerate() {
        let number = place / 2;
        let expected = if place % 2 == 0 { format!("\"delta\":\"{number} ") } else { format!("\"value\":{number}}}") };
        assert!(event.as_str().contains(&expected), "{place}: {}", &event.as_str()[..80]);
    }
    assert_eq!(one_terminal(&seen), "");
    assert_eq!(seen.len(), 2 * EVENTS + 4);
    // Sealed before it was read, so it comes as it is kept.
    let kept = all(all_at_once).await;
    assert_eq!(kept.len(), EVENTS + 5, "the text of the message is one event now");
    assert_eq!(resume::told(&kept), resume::told(&seen));
}

#[tokio::test]
async fn a_watcher_that_is_behind_when_the_run_ends_gets_the_rest() {
    for with_ids in [false, true] {
        let (_, runner) = with_log(LOG);
        let (agent, strings) = puppet();
        let first = runner.run(request(agent, "t", "r")).await.unwrap();
        let connect = ConnectRequest::new("t");
        let mut late = runner.connect(if with_ids { connect.after("") } else { connect }).await.unwrap();
        let mut quick = runner.connect(ConnectRequest::new("t")).await.unwrap();
        flood(&strings, &mut quick, &runner).await;
        let mut frames = Vec::new();
        while frames.iter().map(Frames::count).sum::<usize>() < EVENTS {
            frames.push(late.next().await.unwrap());
        }
        strings.say(Event::text_end("m"));
        strings.say(Event::run_finished("t", "r"));
        drop(strings);
        let live = all(quick).await;
        assert_eq!(one_terminal(&live), "");
        frames.extend(late.collect::<Vec<_>>().await);
        let seen: Vec<_> = frames.iter().flat_map(parse).collect();
        resume::assert_in_order(&seen);
        let whole = all(first).await;
        assert_eq!(resume::told(&seen), resume::told(&whole));
        if with_ids {
            let ids: Vec<_> = frames.iter().flat_map(resume::identified).map(|(id, _)| id).collect();
            let last_live = ids.iter().rfind(|id| !id.contains('.')).unwrap();
            let rest: Vec<_> = ids.iter().filter(|id| id.contains('.')).cloned().collect();
            assert!(rest[0].starts_with(&format!("{last_live}.")), "{last_live} {rest:?}");
            assert_eq!(resume::ids_after(&runner, last_live).await, rest);
        }
    }
}

#[tokio::test]
async fn a_watcher_that_is_behind_on_a_deleted_thread_is_told_so() {
    let (store, runner) = with_log(LOG);
    let (agent, strings) = puppet();
    let late = runner.run(request(agent, "t", "r")).await.unwrap();
    let mut quick = runner.connect(ConnectRequest::new("t")).await.unwrap();
    flood(&strings, &mut quick, &runner).await;
    assert!(store.delete(&"t".into()).await.unwrap());
    let seen = all(late).await;
    assert_eq!((seen.len(), one_terminal(&seen).as_str()), (1, codes::RUN_INTERRUPTED));
    // Who keeps up sees it go on.
    strings.say(Event::run_error("the agent's own", "OWN"));
    drop(strings);
    assert_eq!(one_terminal(&all(quick).await), "OWN");
}

#[tokio::test]
async fn history_is_read_page_by_page_as_it_is_taken() {
    const RUNS: usize = 7;
    let broken = Arc::new(AtomicBool::new(false));
    let fails = broken.clone();
    let store = Between::new(move |call, _| {
        let fails = call == Call::History && fails.load(Ordering::SeqCst);
        async move { if fails { Err(stores::full()) } else { Ok(()) } }
    });
    let runner = LiveRunner::new(store.clone(), RunOptions::default());
    let mut expected = Vec::new();
    for run in 0..RUNS {
        let run = run.to_string();
        expected.extend(all(runner.run(request(saying(greeting("t", &run)), "t", &run)).await.unwrap()).await);
    }
    let mut watching = runner.connect(ConnectRequest::new("t")).await.unwrap();
    for taken in 0..RUNS {
        assert_eq!(store.count(Call::History), 1 + taken.saturating_sub(1) / PAGE, "after {taken} runs");
        assert_eq!(next(&mut watching).await, expected[taken * 5..][..5]);
    }
    assert!(watching.next().await.is_none());
    // Joined with a live run.
    let (agent, strings) = puppet();
    let first = runner.run(request(agent, "t", "live")).await.unwrap();
    greeting("t", "live").into_iter().for_each(|event| strings.say(event.unwrap()));
    let mut watching = runner.connect(ConnectRequest::new("t")).await.unwrap();
    let cut_off = runner.connect(ConnectRequest::new("t")).await.unwrap();
    drop(strings);
    expected.extend(all(first).await);
    let mut seen = next(&mut watching).await;
    seen.extend(all(watching).await);
    assert_eq!(seen, expected);
    broken.store(true, Ordering::SeqCst);
    let seen = all(cut_off).await;
    assert_eq!(seen[..5 * PAGE], expected[..5 * PAGE]);
    assert_eq!(seen.len(), 5 * PAGE + 1);
    assert_eq!(one_terminal(&seen[5 * PAGE..]), codes::RUNNER_FAILED, "and nothing follows the gap");
}
