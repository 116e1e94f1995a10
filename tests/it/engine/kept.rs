//! Kept before shown, and what happens when the store fails.

use super::stores::{Between, Call, full, slow_store};
use super::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_shown_that_is_not_kept() {
    let (store, runner) = slow_store(usize::MAX);
    let (agent, strings) = puppet();
    let mut watching = runner.run(request(agent, "t", "r")).await.unwrap();
    strings.say(Event::run_started("t", "r"));
    strings.say(Event::text_start("m"));
    let mut seen = 0;
    for number in 0..100 {
        strings.say(Event::text_content("m", &number.to_string()));
        seen += next(&mut watching).await.len();
        assert!(seen <= store.kept());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_at_once_leaves_with_the_head_however_it_is_kept() {
    for (takes, with_the_head) in [(Duration::ZERO, true), (Duration::from_millis(1), true), (Duration::MAX, false)] {
        let store = Between::new(move |_, _| tokio::time::sleep(takes).map(Ok));
        let runner = LiveRunner::new(store, RunOptions::default());
        let mut shown = runner.run(request(saying(greeting("t", "r")), "t", "r")).await.unwrap();
        assert_eq!(shown.next().now_or_never().is_some(), with_the_head, "{takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_the_run_and_shows_nothing_unkept() {
    let (store, runner) = slow_store(3);
    let (agent, strings) = puppet();
    let mut watching = runner.run(request(agent, "t", "r")).await.unwrap();
    strings.say(Event::run_started("t", "r"));
    let mut seen = next(&mut watching).await;
    strings.say(Event::text_start("m"));
    seen.extend(next(&mut watching).await);
    strings.say(Event::text_content("m", "kept"));
    seen.extend(next(&mut watching).await);
    strings.say(Event::text_content("m", "lost"));
    seen.extend(all(watching).await);
    assert_eq!(store.kept(), 3);
    assert_eq!(one_terminal(&seen), "STORE_FAILED");
    assert_eq!(seen.len(), 4, "what was kept, and the failure: {seen:?}");
    assert!(runner.run(request(saying(vec![]), "t", "r2")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_sealed_says_so_and_is_sealed_when_it_can_be() {
    let is_full = Arc::new(AtomicBool::new(true));
    let disk = is_full.clone();
    let store = Between::new(move |call, _| {
        let fails = call == Call::Seal && disk.load(Ordering::SeqCst);
        async move { if fails { Err(full()) } else { Ok(()) } }
    });
    let runner = LiveRunner::new(store.clone(), RunOptions::default());
    let events = all(runner.run(request(saying(greeting("t", "r")), "t", "r")).await.unwrap()).await;
    assert_eq!(one_terminal(&events), "STORE_FAILED");
    let refused = all(runner.run(request(saying(vec![]), "t", "r2")).await.unwrap()).await;
    assert_eq!(one_terminal(&refused), "THREAD_BUSY", "for every process");
    assert!(runner.run(request(saying(greeting("other", "r")), "other", "r")).await.is_ok());
    // Who connects meanwhile waits for the end, as it is kept.
    let watching = runner.connect(ConnectRequest::new("t")).await.unwrap();
    is_full.store(false, Ordering::SeqCst);
    let seen = all(watching).await;
    assert_eq!(one_terminal(&seen), "");
    assert_eq!(seen, all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await);
    let next = all(runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap()).await;
    assert_eq!(one_terminal(&next), "");
}

/// Closes the open run of thread `t`, as a process that found its lease expired.
async fn recover(store: &MemoryStore) {
    let active = store.active(&"t".into()).await.unwrap().expect("a run is open");
    let said = store.said(&active.run, 0).await.unwrap();
    let mut compactor = Compactor::new(None);
    let raw = said.frames.events().map(|json| Event::parse(json).unwrap());
    let events: Vec<_> = raw.chain([Event::text_end("m"), Event::run_error("gone", codes::RUN_INTERRUPTED)]).collect();
    events.iter().for_each(|event| compactor.push(event));
    let compacted = compactor.finish();
    let sealed = SealedRun {
        frames: Frames::of(&compacted.events),
        said: events.len() as u64,
        cuts: compacted.cuts.bytes().clone(),
        ..SealedRun::default()
    };
    store.seal(&active.run, sealed).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_lease_ends_as_it_was_closed() {
    for is_closed in [true, false] {
        let lost = Arc::new(AtomicBool::new(false));
        let lease = lost.clone();
        let store = Between::new(move |call, _| {
            let held = !lease.load(Ordering::SeqCst) || !matches!(call, Call::Append(_) | Call::Seal | Call::Discard);
            async move { if held { Ok(()) } else { Err(StoreError::LeaseLost) } }
        });
        let runner = LiveRunner::new(store.clone(), RunOptions::default());
        let (agent, strings) = puppet();
        let mut watching = runner.run(request(agent, "t", "r")).await.unwrap();
        let mut other = runner.connect(ConnectRequest::new("t").after("")).await.unwrap();
        strings.say(Event::run_started("t", "r"));
        strings.say(Event::text_start("m"));
        let mut seen = next(&mut watching).await;
        lost.store(true, Ordering::SeqCst);
        if is_closed {
            recover(&store.inner).await;
        }
        strings.say(Event::text_content("m", "too late"));
        seen.extend(all(watching).await);
        assert_eq!(one_terminal(&seen), codes::RUN_INTERRUPTED);
        assert!(!seen.iter().any(|event| event.as_str().contains("too late")));
        assert!(strings.dropped.load(Ordering::SeqCst));
        let mut frames = vec![other.next().await.unwrap()];
        frames.extend(other.collect::<Vec<_>>().await);
        assert_eq!(frames.iter().flat_map(parse).collect::<Vec<_>>(), seen, "for all who watch");
        assert_eq!(runner.live_runs(), 0, "the thread is free here");
        if is_closed {
            let replayed = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
            assert_eq!(replayed, seen, "and as it is kept");
        }
    }
}

#[tokio::test]
async fn a_silent_run_the_store_knows_no_more_keeps_its_thread_from_nobody() {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let runner = LiveRunner::new(store.clone(), RunOptions::default());
    let mut policies = [WhenBusy::Reject, WhenBusy::Enqueue { max: 1, timeout: Duration::MAX }].into_iter().cycle();
    for is_deleted in [false, false, true, true] {
        let (agent, strings) = puppet();
        strings.say(Event::run_started("t", "lost"));
        let lost = runner.run(request(agent, "t", "lost")).await.unwrap();
        assert!(matches!(runner.run(request(saying(vec![]), "t", "r")).await.err(), Some(RunRefused::Busy)));
        if is_deleted {
            store.delete(&"t".into()).await.unwrap();
        } else {
            recover(&store).await;
        }
        let mut next = request(saying(greeting("t", "r")), "t", "r");
        next.when_busy = policies.next();
        assert_eq!(one_terminal(&all(runner.run(next).await.unwrap()).await), "");
        assert!(strings.say.is_closed());
        one_terminal(&all(lost).await);
    }
}

#[tokio::test]
async fn a_failed_start_is_kept_if_that_is_asked_for() {
    for (keep, kept) in [(false, vec![]), (true, vec![EventKind::RunStarted, EventKind::RunError])] {
        let mut options = RunOptions::default();
        options.keep_failed_starts = keep;
        let runner = MemoryRunner::with_options(MemoryLimits::default(), options);
        let failing = saying(vec![Err(AgentError::new("no"))]);
        assert_eq!(
            one_terminal(&all(runner.run(request(failing, "t", "r")).await.unwrap()).await),
            "INCOMPLETE_STREAM"
        );
        assert_eq!(kinds(&all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await), kept);
    }
}

#[tokio::test]
async fn runs_that_only_failed_are_replayed_as_clients_accept_them() {
    let runner = MemoryRunner::new();
    let mut ids = Vec::new();
    for (run, agent) in [("r1", vec![]), ("r2", vec![Ok(Event::run_error("no", "NO"))]), ("r3", vec![])] {
        let mut asking = request(saying(agent), "t", run);
        asking.input.messages = vec![Message::user(&format!("u-{run}"), "hello?")];
        let response = runner.run(asking).await.unwrap();
        // Alone they are what they are.
        assert_eq!(kinds(&all(response).await), [EventKind::RunError]);
        ids.push(resume::ids_after(&runner, "").await);
    }
    let replayed = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    assert_eq!(kinds(&replayed), [EventKind::RunStarted, EventKind::RunError].repeat(3));
    resume::assert_in_order(&replayed);
    for (run, started) in ["r1", "r2", "r3"].iter().zip(replayed.iter().step_by(2)) {
        assert_eq!(started.as_str().matches("u-r").count(), 1, "the message that was asked: {started:?}");
        assert!(started.as_str().contains(&format!("u-{run}")), "{started:?}");
    }
    // Who saw a failure live has seen all of its run.
    let first = ids[0][0].split_once('.').unwrap().0;
    assert_eq!(resume::ids_after(&runner, &format!("{first}-1")).await, ids[2][2..]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_closes_the_store_last_and_once() {
    let (store, runner) = slow_store(usize::MAX);
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let watching = runner.run(request(agent, "t", "r")).await.unwrap();
    let twice =
        futures_util::future::join(runner.shutdown(Duration::from_secs(5)), runner.shutdown(Duration::from_secs(5)));
    twice.await;
    assert_eq!(store.count(Call::Close), 1);
    assert_eq!(store.done.lock().last(), Some(&Call::Close));
    assert_eq!(one_terminal(&all(watching).await), "RUNTIME_SHUTDOWN");
}

#[tokio::test]
async fn who_connects_when_the_store_is_closed_is_told_of_the_shutdown() {
    let store = Between::new(|call, _| async move {
        let closed = StoreError::Failed("the store is closed".to_owned());
        if call == Call::Active { Err(closed) } else { Ok(()) }
    });
    let runner = LiveRunner::new(store, RunOptions::default());
    assert!(runner.connect(ConnectRequest::new("t")).await.is_err(), "a failure before is one");
    runner.shutdown(Duration::from_secs(5)).await;
    let told = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    assert_eq!(one_terminal(&told), "RUNTIME_SHUTDOWN");
}
