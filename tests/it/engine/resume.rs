//! Watchers that come back go on exactly behind the last event they saw.

use std::collections::BTreeMap;

use copilotkit_runtime::agui::{MessageList, StateFold, Verifier};
use serde_json::json;

use super::*;

/// A client that remembers what it saw, as an `EventSource` does.
#[derive(Default)]
pub(super) struct Client {
    pub(super) ids: Vec<String>,
    pub(super) events: Vec<Event>,
}

impl Client {
    pub(super) async fn connect(&self, runner: &dyn AgentRunner) -> FrameStream {
        let last_seen = self.ids.last().cloned().unwrap_or_default();
        runner.connect(ConnectRequest::new("t").after(last_seen)).await.unwrap()
    }

    /// Takes events that are there, at most so many. Then the connection breaks, maybe within a batch.
    pub(super) async fn take(&mut self, watching: &mut FrameStream, most: usize) {
        let until = self.ids.len() + most;
        while self.ids.len() < until {
            settle().await;
            let Some(Some(frames)) = watching.next().now_or_never() else { return };
            self.see(identified(&frames).into_iter().take(until - self.ids.len()));
        }
    }

    /// Takes everything, to the end of the stream.
    pub(super) async fn finish(&mut self, runner: &dyn AgentRunner) {
        let mut watching = self.connect(runner).await;
        while let Some(frames) = watching.next().await {
            self.see(identified(&frames));
        }
    }

    fn see(&mut self, events: impl IntoIterator<Item = (String, Event)>) {
        for (id, event) in events {
            self.ids.push(id);
            self.events.push(event);
        }
    }
}

/// Lets the engine do what it can.
pub(super) async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// The events of some frames with their ids.
pub(super) fn identified(frames: &Frames) -> Vec<(String, Event)> {
    let text = String::from_utf8(frames.bytes().to_vec()).unwrap();
    let each = text.split_terminator("\n\n").map(|frame| {
        let (id, json) = frame.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
        (id.to_owned(), Event::parse(json.to_owned()).unwrap())
    });
    each.collect()
}

async fn next_identified(stream: &mut FrameStream) -> Vec<(String, Event)> {
    let frames = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("something comes");
    identified(&frames.expect("the stream goes on"))
}

/// The ids behind an event.
pub(super) async fn ids_after(runner: &dyn AgentRunner, id: &str) -> Vec<String> {
    let watching = runner.connect(ConnectRequest::new("t").after(id)).await.unwrap();
    let frames: Vec<_> = watching.collect().await;
    frames.iter().flat_map(identified).map(|(id, _)| id).collect()
}

/// What some events come to: messages and state, and events that are to be there once and in their order.
pub(super) fn told(events: &[Event]) -> (BTreeMap<String, Value>, Option<Value>, Vec<&str>) {
    let (mut messages, mut state) = (MessageList::default(), StateFold::default());
    for event in events {
        messages.apply(event);
        let _ = state.apply(event);
    }
    let messages = messages.to_messages().into_iter().map(|message| {
        let mut message: Value = serde_json::from_str(message.get()).unwrap();
        // Calls of one message may be told in the order of their ends.
        if let Some(calls) = message.get_mut("toolCalls").and_then(Value::as_array_mut) {
            calls.sort_by_key(|call| call["id"].to_string());
        }
        (message["id"].to_string(), message)
    });
    let once = [EventKind::Custom, EventKind::RunStarted, EventKind::RunFinished, EventKind::RunError];
    let once = events.iter().filter(|event| once.contains(&event.kind())).map(Event::as_str);
    (messages.collect(), state.into_value(), once.collect())
}

#[track_caller]
pub(super) fn assert_in_order(events: &[Event]) {
    let mut verifier = Verifier::default();
    for event in events {
        assert_eq!(verifier.check(event), Ok(()), "{events:?}");
    }
}

/// A run in which everything interleaves, and which ends with a message and a call still open.
fn eventful() -> Vec<Event> {
    vec![
        Event::run_started("t", "r"),
        Event::text_start("m1"),
        Event::text_content("m1", "Hello, "),
        Event::custom("one", &json!(1)),
        Event::state_snapshot(&json!({"count": 1})),
        Event::text_start("m2"),
        Event::text_content("m1", "wor"),
        Event::text_content("m2", "😀\n"),
        Event::tool_start("c1", "search", Some("m1")),
        Event::tool_args("c1", "{\"q\":"),
        Event::state_delta(&json!([{"op": "add", "path": "/more", "value": true}])),
        Event::text_end("m2"),
        Event::tool_args("c1", "\"x\"}"),
        Event::tool_end("c1"),
        Event::custom("two", &json!(2)),
        Event::tool_result("r1", "c1", "found"),
        Event::text_content("m1", "ld"),
        Event::tool_start("c2", "search", None),
        Event::tool_args("c2", "{}"),
        Event::run_error("no", "NO"),
    ]
}

/// Runs an agent that says some events on thread `t`, watched from the beginning.
async fn watched_live(runner: &MemoryRunner, events: Vec<Event>) -> Client {
    let (agent, strings) = puppet();
    let _response = runner.run(request(agent, "t", "r")).await.unwrap();
    let mut client = Client::default();
    let mut watching = client.connect(runner).await;
    let said = events.len();
    events.into_iter().for_each(|event| strings.say(event));
    drop(strings);
    while client.events.len() < said {
        client.see(next_identified(&mut watching).await);
    }
    client
}

#[tokio::test]
async fn a_cursor_into_a_run_that_was_sealed_meanwhile_is_exact() {
    let runner = MemoryRunner::new();
    let live = watched_live(&runner, eventful()).await;
    all(runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap()).await;
    let mut whole = Client { ids: vec![live.ids.last().unwrap().clone()], events: live.events.clone() };
    whole.finish(&runner).await;
    assert_eq!(whole.events.len(), live.events.len() + 5, "of the run seen to its end nothing comes again");
    for seen in 1..=live.ids.len() {
        let mut client = Client { ids: live.ids[..seen].to_vec(), events: live.events[..seen].to_vec() };
        client.finish(&runner).await;
        assert_in_order(&client.events);
        assert_eq!(told(&client.events), told(&whole.events), "behind {}", live.ids[seen - 1]);
        let rest = client.ids[seen..].to_vec();
        let name = format!("{}.", live.ids[seen - 1]);
        assert!(rest[..rest.len() - 5].iter().all(|id| id.starts_with(&name)), "{rest:?}");
        // And from each of these it goes on again.
        for (place, id) in rest.iter().enumerate() {
            assert_eq!(ids_after(&runner, id).await, rest[place + 1..], "behind {id}");
        }
    }
}

#[tokio::test]
async fn a_watcher_goes_on_behind_the_last_event_it_saw() {
    let runner = MemoryRunner::new();
    all(runner.run(request(saying(greeting("t", "r0")), "t", "r0")).await.unwrap()).await;
    let (agent, strings) = puppet();
    let first = runner.run(request(agent, "t", "r1")).await.unwrap();
    greeting("t", "r1").into_iter().take(4).for_each(|event| strings.say(event.unwrap()));
    // Without ids until somebody asks for them; with an unknown one, everything.
    let collect = async |last_seen: &str, events: usize| {
        let mut watching = runner.connect(ConnectRequest::new("t").after(last_seen)).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < events {
            seen.extend(next_identified(&mut watching).await);
        }
        seen
    };
    let ids = |seen: Vec<(String, Event)>| seen.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let all_ids = ids(collect("", 9).await);
    assert_eq!(all_ids.len(), 9);
    for (place, id) in all_ids.iter().enumerate().take(8) {
        assert_eq!(ids(collect(id, 8 - place).await), all_ids[place + 1..], "behind {id}");
    }
    let run = all_ids[8].split_once('-').unwrap().0;
    let over = all_ids[0].split_once('.').unwrap().0;
    let unknown = [
        "nonsense".to_owned(),
        "99999-1".to_owned(),
        format!("{run}-5"),
        format!("{run}.1"),
        format!("{run}-1.1"),
        format!("{over}.6"),
        format!("{over}-6"),
        format!("{over}-6.1"),
        format!("{over}-1.6"),
        format!("{over}.0"),
    ];
    for unknown in &unknown {
        assert_eq!(ids(collect(unknown, 9).await), all_ids, "{unknown}");
    }
    strings.say(Event::run_finished("t", "r1"));
    drop(strings);
    let told = collect(&all_ids[8], 1).await;
    assert_eq!(told[0].1.kind(), EventKind::RunFinished);
    let frames: Vec<_> = first.collect().await;
    assert!(frames.iter().all(|frames| !frames.bytes().starts_with(b"id: ")), "nobody asked for ids");
    assert!(ids_after(&runner, &format!("{run}-5")).await.is_empty());
    let sealed = ids_after(&runner, "").await;
    for (place, id) in sealed.iter().enumerate() {
        assert_eq!(ids_after(&runner, id).await, sealed[place + 1..], "behind {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_sealed_while_the_history_is_read_is_told_by_its_log() {
    let (_, runner) = stores::slow_store(usize::MAX);
    let (agent, strings) = puppet();
    let mut response = runner.run(request(agent, "t", "r")).await.unwrap();
    let mut said = greeting("t", "r").into_iter().map(Result::unwrap);
    said.by_ref().take(2).for_each(|event| strings.say(event));
    while next(&mut response).await.last().unwrap().kind() != EventKind::TextMessageStart {}
    let mut client = Client::default();
    let mut watching = client.connect(&runner).await;
    client.take(&mut watching, 1).await;
    let connecting = client.connect(&runner);
    said.for_each(|event| strings.say(event));
    drop(strings);
    // The history takes its time; the run does not.
    let (watching, _) = tokio::join!(connecting, all(response));
    let frames: Vec<_> = watching.collect().await;
    let ids: Vec<_> = frames.iter().flat_map(identified).map(|(id, _)| id).collect();
    let run = client.ids[0].split_once('-').unwrap().0;
    assert_eq!(ids, [2, 3, 4, 5].map(|place| format!("{run}-{place}")));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_about_to_begin_is_followed() {
    let (_, runner) = stores::slow_store(usize::MAX);
    let begin = runner.run(request(saying(greeting("t", "r")), "t", "r"));
    let (response, watching) = tokio::join!(begin, runner.connect(ConnectRequest::new("t").after("")));
    let frames: Vec<_> = watching.unwrap().collect().await;
    let seen: Vec<_> = frames.iter().flat_map(identified).collect();
    assert_eq!(seen.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), all(response.unwrap()).await);
    assert!(seen.iter().zip(1..).all(|((id, _), place)| id.ends_with(&format!("-{place}"))), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_kept_nowhere_has_no_id() {
    let (_, runner) = stores::slow_store(1);
    let (agent, strings) = puppet();
    let mut response = runner.run(request(agent, "t", "r")).await.unwrap();
    strings.say(Event::run_started("t", "r"));
    next(&mut response).await;
    let watching = runner.connect(ConnectRequest::new("t").after("")).await.unwrap();
    strings.say(Event::text_start("m"));
    let frames: Vec<_> = watching.collect().await;
    let (kept, failure) = (identified(&frames[0]), &frames[1]);
    assert_eq!(kept.len(), 1);
    assert!(failure.bytes().starts_with(b"data: "), "{failure:?}");
    assert_eq!(one_terminal(&parse(failure)), "STORE_FAILED");
    // So a watcher goes on behind what was kept.
    let rest = ids_after(&runner, &kept[0].0).await;
    assert!(!rest.is_empty() && rest.iter().all(|id| id.starts_with(&format!("{}.", kept[0].0))), "{rest:?}");
}

#[tokio::test]
async fn a_cursor_into_a_memory_that_is_gone_is_unknown_to_the_next() {
    // As a process that keeps its threads in RAM ends, and another takes its place.
    let mut last_seen = Client::default();
    for process in 0..3 {
        let runner = MemoryRunner::new();
        for run in ["r1", "r2"] {
            all(runner.run(request(saying(greeting("t", run)), "t", run)).await.unwrap()).await;
        }
        let mut everything = Client::default();
        everything.finish(&runner).await;
        assert_eq!(everything.events.len(), 10);
        for id in &last_seen.ids {
            assert_eq!(ids_after(&runner, id).await, everything.ids, "{id}, process {process}");
        }
        last_seen = everything;
    }
}

#[tokio::test]
async fn a_failure_that_is_not_kept_has_no_id_so_that_nobody_is_told_everything_again() {
    let runner = MemoryRunner::with_options(MemoryLimits::default(), RunOptions::default());
    all(runner.run(request(saying(greeting("t", "r1")), "t", "r1")).await.unwrap()).await;
    let (agent, strings) = puppet();
    let response = runner.run(request(agent, "t", "r2")).await.unwrap();
    let watching = runner.connect(ConnectRequest::new("t").after("")).await.unwrap();
    settle().await;
    strings.say.send(Err(AgentError::new("no"))).unwrap();
    assert_eq!(one_terminal(&all(response).await), "INCOMPLETE_STREAM");
    let frames: Vec<_> = watching.collect().await;
    let (failure, kept) = frames.split_last().unwrap();
    assert!(failure.bytes().starts_with(b"data: "), "{failure:?}");
    assert_eq!(one_terminal(&parse(failure)), "INCOMPLETE_STREAM");
    // So a watcher goes on behind what was kept.
    let last = kept.iter().flat_map(identified).last().unwrap().0;
    assert_eq!(ids_after(&runner, &last).await, [""; 0]);
}
