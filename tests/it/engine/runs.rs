//! A run from its first event to its last.

use super::*;

#[tokio::test]
async fn a_client_that_leaves_does_not_end_the_run() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let mut watching = runner.run(request(agent, "t", "r")).await.unwrap();
    assert_eq!(kinds(&next(&mut watching).await), [EventKind::RunStarted]);
    drop(watching);
    strings.say(Event::text_start("m"));
    strings.say(Event::text_content("m", "still here"));
    let mut later = runner.connect(ConnectRequest::new("t")).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(next(&mut later).await);
    }
    assert!(!strings.dropped.load(Ordering::SeqCst));
    strings.say(Event::text_end("m"));
    strings.say(Event::run_finished("t", "r"));
    drop(strings);
    seen.extend(all(later).await);
    assert_eq!(one_terminal(&seen), "");
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn every_failure_has_one_terminal_event() {
    let started = || Ok(Event::run_started("t", "r"));
    let open = || Ok(Event::text_start("m"));
    let panics_at_once: Arc<dyn Agent> = Arc::new(FunctionAgent::new(|_| -> EventStream { panic!("on purpose") }));
    let panics_later: Arc<dyn Agent> = Arc::new(FunctionAgent::new(move |_| {
        let mut said = false;
        stream::poll_fn(move |_| {
            assert!(!said, "on purpose");
            said = true;
            std::task::Poll::Ready(Some(started()))
        })
    }));
    let flood = FunctionAgent::new(|_| {
        stream::iter([Ok(Event::run_started("t", "r"))])
            .chain(stream::repeat_with(|| Ok(Event::custom("flood", &serde_json::json!("x".repeat(1000))))))
    });
    let chatter = FunctionAgent::new(|_| {
        stream::iter([Ok(Event::run_started("t", "r"))])
            .chain(stream::repeat_with(|| Ok(Event::custom("x", &serde_json::json!(1)))))
    });
    let own_code = AgentError::new("no").with_code("MY_CODE");
    let cases: Vec<(&str, Arc<dyn Agent>, &str)> = vec![
        ("refuses", saying(vec![Err(AgentError::new("no"))]), "INCOMPLETE_STREAM"),
        ("fails midway", saying(vec![started(), open(), Err(AgentError::new("no"))]), "INCOMPLETE_STREAM"),
        ("fails with a code", saying(vec![started(), Err(own_code)]), "MY_CODE"),
        ("just ends", saying(vec![started(), open()]), "INCOMPLETE_STREAM"),
        ("says nothing", saying(vec![]), "INCOMPLETE_STREAM"),
        ("breaks the rules", saying(vec![started(), Ok(Event::text_end("never opened"))]), "INCOMPLETE_STREAM"),
        ("panics at once", panics_at_once, "AGENT_PANICKED"),
        ("panics later", panics_later, "AGENT_PANICKED"),
        ("floods", Arc::new(flood), "RUN_TOO_LARGE"),
        ("chatters", Arc::new(chatter), "RUN_TOO_LONG"),
    ];
    let options = {
        let mut options = RunOptions::default();
        options.max_run_bytes = 1_000_000;
        options.max_run_events = 5_000;
        options
    };
    let runner = MemoryRunner::with_options(MemoryLimits::default(), options);
    for (name, agent, code) in cases {
        let events = all(runner.run(request(agent, "t", "r")).await.unwrap()).await;
        assert_eq!(one_terminal(&events), code, "an agent that {name}");
        let again = runner.run(request(saying(greeting("t", "r")), "t", "r")).await;
        assert_eq!(one_terminal(&all(again.expect("the thread is free")).await), "", "after an agent that {name}");
    }
}

#[tokio::test]
async fn the_thread_is_free_when_the_terminal_event_is_seen() {
    let runner = MemoryRunner::new();
    for run in 0..200 {
        let id = format!("r{run}");
        // Some yield before their end, so that the engine's own task finishes them.
        let agent: Arc<dyn Agent> = if run % 2 == 0 {
            saying(greeting("t", &id))
        } else {
            let events = greeting("t", &id);
            Arc::new(FunctionAgent::new(move |_| {
                stream::iter(events.clone()).then(|event| async {
                    tokio::task::yield_now().await;
                    event
                })
            }))
        };
        let mut watching = runner.run(request(agent, "t", &id)).await.expect("the thread is free");
        while !next(&mut watching).await.iter().any(|event| event.kind().is_terminal()) {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stays_open_after_its_terminal_event_does_not_hold_the_thread() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    greeting("t", "r").into_iter().for_each(|event| strings.say(event.unwrap()));
    let events = all(runner.run(request(agent, "t", "r")).await.unwrap()).await;
    assert_eq!(one_terminal(&events), "");
    assert!(strings.dropped.load(Ordering::SeqCst));
    assert!(runner.run(request(saying(vec![]), "t", "r2")).await.is_ok());
}

#[tokio::test]
async fn a_second_run_in_the_same_stream_is_followed() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    greeting("t", "r").into_iter().for_each(|event| strings.say(event.unwrap()));
    let mut watching = runner.run(request(agent, "t", "r")).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.extend(next(&mut watching).await);
    }
    strings.say(Event::run_started("t", "r"));
    strings.say(Event::run_finished("t", "r"));
    drop(strings);
    seen.extend(all(watching).await);
    assert_eq!(kinds(&seen)[4..], [EventKind::RunFinished, EventKind::RunStarted, EventKind::RunFinished]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_every_run_and_takes_no_new_one() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let watching = runner.run(request(agent, "t", "r")).await.unwrap();
    let began = tokio::time::Instant::now();
    runner.shutdown(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "stopping has its share of the time");
    assert_eq!(one_terminal(&all(watching).await), "RUNTIME_SHUTDOWN");
    assert!(strings.dropped.load(Ordering::SeqCst));
    let refused = runner.run(request(saying(vec![]), "t", "r2")).await;
    assert!(matches!(refused.err(), Some(RunRefused::ShuttingDown)));
}

#[tokio::test]
async fn messages_the_thread_knows_are_not_said_twice() {
    let runner = MemoryRunner::new();
    let mut first = request(saying(greeting("t", "r1")), "t", "r1");
    first.input.messages = vec![Message::user("u1", "one")];
    all(runner.run(first).await.unwrap()).await;
    let mut second = request(saying(greeting("t", "r2")), "t", "r2");
    second.input.messages = vec![Message::user("u1", "one"), Message::user("m", "answer"), Message::user("u2", "two")];
    let events = all(runner.run(second).await.unwrap()).await;
    let started = events[0].as_str();
    assert!(started.contains("\"u2\"") && !started.contains("\"u1\"") && !started.contains("answer"), "{started}");
}
