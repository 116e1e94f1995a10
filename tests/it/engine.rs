//! The engine's promises, each by its name.

mod busy;
mod disconnects;
mod interleavings;
mod kept;
mod leases;
mod processes;
mod removal;
mod resume;
mod runs;
mod stops;
mod stores;
mod unwatched;
mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, EventStream, FunctionAgent};
use copilotkit_runtime::agui::{Compactor, Ending, Event, EventKind, Finalizer, Frames, Message, RunAgentInput};
use copilotkit_runtime::runner::{
    ActiveRun, AgentRunner, AskedStop, BeginError, Begun, ConnectRequest, FrameStream, History, LiveRunner,
    MemoryLimits, MemoryRunner, MemoryStore, NewRun, OpenRun, Owner, RunOptions, RunRefused, RunRequest, Said,
    SealedRun, StopKind, StopRequest, Stopped, StoreError, ThreadEntry, ThreadKey, ThreadList, ThreadPatch,
    ThreadQuery, ThreadStore, WhenBusy, WhenUnwatched, codes,
};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
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
