//! The engine's promises, each by its name.

mod disconnects;
mod resume;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, EventStream, FunctionAgent};
use copilotkit_runtime::agui::{Event, EventKind, Frames, Message, RunAgentInput};
use copilotkit_runtime::runner::{
    ActiveRun, AgentRunner, BeginError, Begun, ConnectRequest, FrameStream, History, LiveRunner, MemoryLimits,
    MemoryRunner, MemoryStore, NewRun, OpenRun, Owner, RunOptions, RunRefused, RunRequest, Said, SealedRun,
    StopRequest, Stopped, StoreError, ThreadEntry, ThreadKey, ThreadList, ThreadPatch, ThreadQuery, ThreadStore,
    WhenBusy,
};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

type Item = Result<Event, AgentError>;

/// An agent that says what a test sends it, and notes when it is dropped.
struct Puppet {
    strings: Mutex<Option<mpsc::UnboundedReceiver<Item>>>,
    dropped: Arc<AtomicBool>,
    grace: Duration,
}

struct NoteDrop(Arc<AtomicBool>);

impl Drop for NoteDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Strings {
    say: mpsc::UnboundedSender<Item>,
    dropped: Arc<AtomicBool>,
}

fn puppet() -> (Arc<Puppet>, Strings) {
    puppet_with_grace(Duration::ZERO)
}

fn puppet_with_grace(grace: Duration) -> (Arc<Puppet>, Strings) {
    let (say, strings) = mpsc::unbounded_channel();
    let dropped = Arc::new(AtomicBool::new(false));
    let puppet = Puppet { strings: Mutex::new(Some(strings)), dropped: dropped.clone(), grace };
    (Arc::new(puppet), Strings { say, dropped })
}

impl Agent for Puppet {
    fn run(&self, _: AgentCall) -> EventStream {
        let mut strings = self.strings.lock().take().expect("a puppet runs once");
        let note = NoteDrop(self.dropped.clone());
        stream::poll_fn(move |cx| {
            let _ = &note;
            strings.poll_recv(cx)
        })
        .boxed()
    }

    fn stop_grace(&self) -> Duration {
        self.grace
    }
}

impl Strings {
    fn say(&self, event: Event) {
        self.say.send(Ok(event)).expect("the run takes events");
    }
}

fn request(agent: Arc<dyn Agent>, thread: &str, run: &str) -> RunRequest {
    RunRequest::new("agent", agent, RunAgentInput::new(thread, run))
}

/// An agent that says some events at once.
fn saying(events: Vec<Item>) -> Arc<dyn Agent> {
    let events = Mutex::new(Some(events));
    Arc::new(FunctionAgent::new(move |_| stream::iter(events.lock().take().unwrap_or_default())))
}

fn greeting(thread: &str, run: &str) -> Vec<Item> {
    vec![
        Ok(Event::run_started(thread, run)),
        Ok(Event::text_start("m")),
        Ok(Event::text_content("m", "Hello")),
        Ok(Event::text_end("m")),
        Ok(Event::run_finished(thread, run)),
    ]
}

fn parse(frames: &Frames) -> Vec<Event> {
    frames.events().map(|json| Event::parse(json).expect("an event")).collect()
}

async fn all(stream: FrameStream) -> Vec<Event> {
    stream.map(|frames| stream::iter(parse(&frames))).flatten().collect().await
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(Event::kind).collect()
}

/// The code of the one terminal event, which must come last; `""` for `RUN_FINISHED`.
fn one_terminal(events: &[Event]) -> String {
    #[derive(serde::Deserialize)]
    struct Coded {
        #[serde(default)]
        code: String,
    }
    let terminals: Vec<_> = events.iter().filter(|event| event.kind().is_terminal()).collect();
    assert_eq!(terminals.len(), 1, "one terminal event: {events:?}");
    assert_eq!(events.last(), terminals.first().copied(), "and it comes last");
    terminals[0].view::<Coded>().expect("a terminal event").code
}

async fn next(stream: &mut FrameStream) -> Vec<Event> {
    let frames = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("something comes");
    parse(&frames.expect("the stream goes on"))
}

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
    ];
    let options = {
        let mut options = RunOptions::default();
        options.max_run_bytes = 1_000_000;
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
async fn a_superseded_run_ends_cleanly_and_leaves_no_history() {
    let mut options = RunOptions::default();
    options.when_busy = WhenBusy::Rollback;
    let runner = MemoryRunner::with_options(MemoryLimits::default(), options);
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r1"));
    let first = runner.run(request(agent, "t", "r1")).await.unwrap();
    let second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    assert_eq!(all(first).await, [Event::run_started("t", "r1"), Event::run_finished("t", "r1")].map(with_input));
    assert_eq!(one_terminal(&all(second).await), "");
    let replayed = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    assert!(replayed.iter().all(|event| !event.as_str().contains("r1")), "{replayed:?}");
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

#[tokio::test]
async fn shutdown_ends_every_run_and_takes_no_new_one() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let watching = runner.run(request(agent, "t", "r")).await.unwrap();
    runner.shutdown(Duration::from_secs(5)).await;
    assert_eq!(one_terminal(&all(watching).await), "RUNTIME_SHUTDOWN");
    assert!(strings.dropped.load(Ordering::SeqCst));
    let refused = runner.run(request(saying(vec![]), "t", "r2")).await;
    assert!(matches!(refused.err(), Some(RunRefused::ShuttingDown)));
}

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

/// A store that counts what it has kept and fails when told to.
struct Watched {
    inner: MemoryStore,
    kept: AtomicUsize,
    fail_after: usize,
    fail_seal: bool,
}

impl ThreadStore for Watched {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>> {
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.inner.begin(run).await
        }
        .boxed()
    }
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.kept.load(Ordering::SeqCst) + frames.count() > self.fail_after {
            return std::future::ready(Err(StoreError::Failed("the disk is full".into()))).boxed();
        }
        let run = run.clone();
        async move {
            // Slow, so that showing early would be noticed.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.inner.append(&run, frames.clone()).await?;
            self.kept.fetch_add(frames.count(), Ordering::SeqCst);
            Ok(())
        }
        .boxed()
    }
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.fail_seal {
            let run = run.clone();
            return async move {
                self.inner.discard(&run).await?;
                Err(StoreError::Failed("the disk is full".into()))
            }
            .boxed();
        }
        self.inner.seal(run, sealed)
    }
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.discard(run)
    }
    fn said(&self, run: &OpenRun, after: u64) -> BoxFuture<'_, Result<Said, StoreError>> {
        self.inner.said(run, after)
    }
    fn active(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ActiveRun>, StoreError>> {
        self.inner.active(thread)
    }
    fn history(
        &self,
        thread: &ThreadKey,
        from: u64,
        before: Option<u64>,
    ) -> BoxFuture<'_, Result<History, StoreError>> {
        let thread = thread.clone();
        async move {
            // Slow, so that a run may end meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.inner.history(&thread, from, before).await
        }
        .boxed()
    }
    fn state(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<Arc<Value>>, StoreError>> {
        self.inner.state(thread)
    }
    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        self.inner.thread(thread)
    }
    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>> {
        self.inner.list(query)
    }
    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        self.inner.update(thread, patch)
    }
    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.inner.delete(thread)
    }
    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.clear(owner)
    }
}

fn watched(fail_after: usize, fail_seal: bool) -> (Arc<Watched>, LiveRunner) {
    let inner = MemoryStore::new(MemoryLimits::default());
    let store = Arc::new(Watched { inner, kept: AtomicUsize::new(0), fail_after, fail_seal });
    let runner = LiveRunner::new(store.clone(), RunOptions::default());
    (store, runner)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shown_that_is_not_kept() {
    let (store, runner) = watched(usize::MAX, false);
    let (agent, strings) = puppet();
    let mut watching = runner.run(request(agent, "t", "r")).await.unwrap();
    strings.say(Event::run_started("t", "r"));
    strings.say(Event::text_start("m"));
    let mut seen = 0;
    for number in 0..100 {
        strings.say(Event::text_content("m", &number.to_string()));
        seen += next(&mut watching).await.len();
        assert!(seen <= store.kept.load(Ordering::SeqCst));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_the_run_and_shows_nothing_unkept() {
    let (store, runner) = watched(3, false);
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
    assert_eq!(store.kept.load(Ordering::SeqCst), 3);
    assert_eq!(one_terminal(&seen), "STORE_FAILED");
    assert_eq!(seen.len(), 4, "what was kept, and the failure: {seen:?}");
    assert!(runner.run(request(saying(vec![]), "t", "r2")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_sealed_says_so() {
    let (_, runner) = watched(usize::MAX, true);
    let events = all(runner.run(request(saying(greeting("t", "r")), "t", "r")).await.unwrap()).await;
    assert_eq!(one_terminal(&events), "STORE_FAILED");
    assert!(runner.run(request(saying(vec![]), "t", "r2")).await.is_ok());
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
