//! The other end of the runner's socket, in memory: it takes real frames, keeps what the invariants of
//! intelligence.md chapter 7 let it keep, and misbehaves as it is told.

#![expect(clippy::disallowed_methods, reason = "its tasks end with the test's runtime")]

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, Stream, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, AgentError, FunctionAgent};
use crate::agui::{Event, Message, RunAgentInput};
use crate::phoenix::{Dial, Dialled, Incoming, Outgoing, Unreachable};
use crate::runner::intelligence::lock::Lock;
use crate::runner::intelligence::{IntelligenceRunner, PlatformRun};
use crate::runner::{AgentBounds, RunMeter, RunPass};

/// What the platform does with something it got.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// What it should.
    Serve,
    /// It keeps what it got, and does not answer.
    Swallow,
    /// It keeps nothing, and does not answer.
    Ignore,
    /// It answers late.
    Late(Duration),
    /// It answers twice.
    Twice,
    /// It keeps nothing, and answers with an error.
    Refuse(Value),
    /// It breaks the connection, having kept what it got or not.
    Break { kept: bool },
    /// It closes the socket with this code.
    Close(u16),
    /// The channel errs.
    Err,
}

/// What the platform got, for a script to choose an [`Act`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Dial,
    Join,
    Events,
    Heartbeat,
}

type Script = Box<dyn FnMut(Got) -> Act + Send>;

/// A platform with one project.
#[derive(Clone)]
pub(super) struct Platform {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    script: Mutex<Script>,
    changed: Notify,
    begun: Instant,
    batches: Mutex<Box<dyn FnMut() -> bool + Send>>,
}

#[derive(Default)]
struct State {
    runs: HashMap<String, Run>,
    /// What happened, with the milliseconds since the beginning.
    log: Vec<(u128, String)>,
    lines: Vec<mpsc::UnboundedSender<Incoming>>,
    /// What was got by a rule no script may break.
    violations: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) events: Vec<Value>,
    released: u32,
    join_ref: Option<String>,
}

impl Platform {
    /// One that serves.
    pub(super) fn new() -> Platform {
        Platform::scripted(|_| Act::Serve)
    }

    /// One whose acts a script chooses.
    pub(super) fn scripted(script: impl FnMut(Got) -> Act + Send + 'static) -> Platform {
        let shared = Shared {
            state: Mutex::default(),
            script: Mutex::new(Box::new(script)),
            changed: Notify::new(),
            begun: Instant::now(),
            batches: Mutex::new(Box::new(|| true)),
        };
        Platform { shared: Arc::new(shared) }
    }

    /// One that does these things with what it gets of a kind, in turn, and then serves.
    pub(super) fn doing(kind: Got, acts: impl IntoIterator<Item = Act>) -> Platform {
        let mut acts: VecDeque<Act> = acts.into_iter().collect();
        Platform::scripted(move |got| if got == kind { acts.pop_front().unwrap_or(Act::Serve) } else { Act::Serve })
    }

    /// Whether joins are told that batches are taken.
    pub(super) fn batches(self, takes: impl FnMut() -> bool + Send + 'static) -> Platform {
        *self.shared.batches.lock() = Box::new(takes);
        self
    }

    pub(super) fn runner(&self) -> IntelligenceRunner {
        let dial = Arc::new(self.clone());
        IntelligenceRunner::over(dial, Duration::from_secs(10), Duration::from_secs(30))
    }

    /// A run on a thread, with its lock.
    pub(super) fn run(&self, thread: &str, run: &str, agent: impl Agent) -> PlatformRun<TestLock> {
        let mut input = RunAgentInput::new(thread, run);
        input.messages = vec![Message::user("old", "before"), Message::user("new", "now")];
        PlatformRun {
            agent_id: "default".into(),
            agent: Arc::new(agent),
            new_messages: input.messages[1..].to_vec(),
            input,
            headers: http::HeaderMap::new(),
            bounds: AgentBounds::default(),
            user_id: "u".into(),
            meter: RunMeter::default(),
            pass: RunPass::default(),
            lock: TestLock {
                platform: self.clone(),
                run: run.to_owned(),
                lost_after: None,
                slow: Duration::ZERO,
                released: AtomicBool::new(false),
            },
        }
    }

    pub(super) fn events(&self, run: &str) -> Vec<Value> {
        self.shared.state.lock().runs.get(run).map(|run| run.events.clone()).unwrap_or_default()
    }

    /// The types of a run's events.
    pub(super) fn types(&self, run: &str) -> Vec<String> {
        self.events(run).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn has_terminal(&self, run: &str) -> bool {
        self.types(run).iter().any(|kind| is_terminal(kind))
    }

    /// How often the lock was given back.
    pub(super) fn releases(&self, run: &str) -> u32 {
        self.shared.state.lock().runs.get(run).map(|run| run.released).unwrap_or_default()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.shared.state.lock().log.iter().map(|(_, what)| what.clone()).collect()
    }

    /// What happened and began so, with its time.
    pub(super) fn times(&self, what: &str) -> Vec<u128> {
        let state = self.shared.state.lock();
        state.log.iter().filter(|(_, happened)| happened.starts_with(what)).map(|(at, _)| *at).collect()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.shared.state.lock().violations.clone()
    }

    /// Waits until something is so. Time goes on meanwhile.
    pub(super) async fn until(&self, what: impl Fn(&Platform) -> bool) {
        loop {
            let changed = self.shared.changed.notified();
            if what(self) {
                return;
            }
            changed.await;
        }
    }

    /// Says something on the newest socket.
    pub(super) fn say(&self, run: &str, event: &str, payload: &Value) {
        let mut state = self.shared.state.lock();
        let join = state.runs.entry(run.to_owned()).or_default().join_ref.clone();
        let frame = json!([join, null, format!("ingestion:{run}"), event, payload]);
        let line = state.lines.last().unwrap();
        line.send(Incoming::Text(frame.to_string())).unwrap();
    }

    /// The sockets break, or close with a code.
    pub(super) fn hang_up(&self, code: Option<u16>) {
        for line in std::mem::take(&mut self.shared.state.lock().lines) {
            if let Some(code) = code {
                line.send(Incoming::Closed(Some(code))).ok();
            }
        }
    }

    fn note(&self, what: impl Into<String>) {
        let at = self.shared.begun.elapsed().as_millis();
        self.shared.state.lock().log.push((at, what.into()));
        self.shared.changed.notify_waiters();
    }

    fn act(&self, got: Got) -> Act {
        (self.shared.script.lock())(got)
    }

    /// Takes a frame; `false` if the connection is over.
    async fn take(&self, frame: &Value, line: &mpsc::UnboundedSender<Incoming>) -> bool {
        let (reference, event) = (&frame[1], frame[3].as_str().unwrap());
        let topic = frame[2].as_str().unwrap();
        let run_id = topic.strip_prefix("ingestion:").unwrap_or_default();
        let (got, what) = match event {
            "phx_join" => (Got::Join, format!("join {run_id}")),
            "heartbeat" => (Got::Heartbeat, "heartbeat".to_owned()),
            "phx_leave" => {
                self.note(format!("leave {run_id}"));
                reply(line, frame, "ok", &json!({}));
                return true;
            }
            _ => (Got::Events, format!("events {run_id}")),
        };
        let act = self.act(got);
        self.note(what);
        let keeps =
            !matches!(act, Act::Ignore | Act::Refuse(_) | Act::Break { kept: false } | Act::Close(_) | Act::Err);
        let answer = match got {
            _ if !keeps => Ok(json!({})),
            Got::Join => self.join(run_id, frame),
            Got::Events => self.keep(run_id, event, &frame[4]),
            Got::Heartbeat | Got::Dial => Ok(json!({})),
        };
        let (status, response) = match (&act, answer) {
            (Act::Refuse(response), _) => ("error", response.clone()),
            (_, Ok(response)) => ("ok", response),
            (_, Err(reason)) => ("error", json!({"reason": reason, "retryable": false})),
        };
        match act {
            Act::Swallow | Act::Ignore => {}
            Act::Serve | Act::Refuse(_) => reply(line, frame, status, &response),
            Act::Twice => (0..2).for_each(|_| reply(line, frame, status, &response)),
            Act::Late(wait) => {
                // A line that broke meanwhile stays broken.
                let (line, frame, status) = (line.downgrade(), frame.clone(), status.to_owned());
                tokio::spawn(async move {
                    sleep(wait).await;
                    line.upgrade().inspect(|line| reply(line, &frame, &status, &response));
                });
            }
            Act::Break { .. } => return false,
            Act::Close(code) => {
                line.send(Incoming::Closed(Some(code))).ok();
                return false;
            }
            Act::Err => {
                let join = if got == Got::Join { reference } else { &frame[0] };
                line.send(Incoming::Text(json!([join, join, topic, "phx_error", {}]).to_string())).ok();
            }
        }
        true
    }

    fn join(&self, run_id: &str, frame: &Value) -> Result<Value, String> {
        let mut state = self.shared.state.lock();
        let run = state.runs.entry(run_id.to_owned()).or_default();
        // Invariant 8: the run holds the lock, or has its terminal event.
        if run.released > 0 && !has_terminal(run) {
            return Err("invalid_lock".to_owned());
        }
        run.join_ref = frame[1].as_str().map(str::to_owned);
        if frame[4]["run_id"] != run_id {
            state.violations.push(format!("joined with {}", frame[4]));
        }
        let takes_batches = (self.shared.batches.lock())();
        Ok(if takes_batches { json!({"capabilities": ["runner_event_batch_v1"]}) } else { json!({}) })
    }

    /// Keeps events, all or none, each once.
    fn keep(&self, run_id: &str, event: &str, payload: &Value) -> Result<Value, String> {
        let mut guard = self.shared.state.lock();
        let state = &mut *guard;
        let run = state.runs.entry(run_id.to_owned()).or_default();
        let events = match event {
            "event" => vec![payload.clone()],
            _ => payload["events"].as_array().cloned().unwrap_or_default(),
        };
        let mut fresh = Vec::new();
        for event in events {
            let seq = event["metadata"]["cpki_event_seq"].as_u64().unwrap_or_default();
            let place = usize::try_from(seq).unwrap().wrapping_sub(1);
            let stored = run.events.get(place).or_else(|| fresh.get(place.wrapping_sub(run.events.len())));
            let problem = match stored {
                Some(same) if *same == event => continue,
                Some(_) => "the content of an event changed",
                None if place != run.events.len() + fresh.len() => "a gap",
                None if fresh.last().or(run.events.last()).is_some_and(ends) => "after the end",
                None if place == 0 && event["type"] != "RUN_STARTED" => "does not begin with RUN_STARTED",
                None if event["run_id"] != run_id || event["runId"] != run_id => "another run's event",
                None if event["type"] == "RUN_ERROR" && run.released == 0 => "an error before the lock was released",
                None => {
                    fresh.push(event);
                    continue;
                }
            };
            state.violations.push(format!("{problem}: {event}"));
            return Err(problem.to_owned());
        }
        run.events.append(&mut fresh);
        Ok(json!({}))
    }
}

fn ends(event: &Value) -> bool {
    event["type"].as_str().is_some_and(is_terminal)
}

fn is_terminal(kind: &str) -> bool {
    matches!(kind, "RUN_FINISHED" | "RUN_ERROR")
}

fn has_terminal(run: &Run) -> bool {
    run.events.last().is_some_and(ends)
}

fn reply(line: &mpsc::UnboundedSender<Incoming>, frame: &Value, status: &str, response: &Value) {
    let answer = json!([frame[0], frame[1], frame[2], "phx_reply", {"status": status, "response": response}]);
    line.send(Incoming::Text(answer.to_string())).ok();
}

impl Dial for Platform {
    fn dial(&self) -> Dialled {
        let platform = self.clone();
        Box::pin(async move {
            let act = platform.act(Got::Dial);
            platform.note("dial");
            match act {
                Act::Serve => {}
                Act::Late(wait) => sleep(wait).await,
                Act::Swallow | Act::Ignore => std::future::pending().await,
                _ => return Err(Unreachable("refused".to_owned())),
            }
            let (to_client, from_platform) = mpsc::unbounded_channel();
            let (to_platform, mut from_client) = mpsc::unbounded_channel::<Outgoing>();
            platform.shared.state.lock().lines.push(to_client.clone());
            let weak = to_client.downgrade();
            drop(to_client);
            tokio::spawn(async move {
                while let Some(Outgoing::Text(text)) = from_client.recv().await {
                    let Some(line) = weak.upgrade() else { return };
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if !platform.take(&frame, &line).await {
                        break;
                    }
                }
                // The line is the newest one, or was broken before.
                if let Some(line) = weak.upgrade() {
                    platform.shared.state.lock().lines.retain(|other| !other.same_channel(&line));
                }
            });
            Ok(Box::pin(Line { incoming: from_platform, outgoing: Some(to_platform) }) as _)
        })
    }
}

/// The client's end of a connection.
struct Line {
    incoming: mpsc::UnboundedReceiver<Incoming>,
    outgoing: Option<mpsc::UnboundedSender<Outgoing>>,
}

impl Stream for Line {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.incoming.poll_recv(cx)
    }
}

impl Sink<Outgoing> for Line {
    type Error = Unreachable;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: Outgoing) -> Result<(), Unreachable> {
        let broken = || Unreachable("broken".to_owned());
        let closes = matches!(item, Outgoing::Close(_));
        self.outgoing.as_ref().ok_or_else(broken)?.send(item).map_err(|_| broken())?;
        if closes {
            self.outgoing = None;
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }
}

/// A lock on the platform.
pub(super) struct TestLock {
    platform: Platform,
    run: String,
    /// When a renewal fails.
    pub(super) lost_after: Option<Duration>,
    /// How long a release takes.
    pub(super) slow: Duration,
    released: AtomicBool,
}

impl Lock for TestLock {
    async fn renew(&self) -> String {
        match self.lost_after {
            Some(wait) => sleep(wait).await,
            None => std::future::pending().await,
        }
        self.platform.note(format!("lost {}", self.run));
        "not the holder".to_owned()
    }

    async fn release(&self) {
        if self.released.swap(true, Ordering::SeqCst) {
            return;
        }
        self.platform.note(format!("release {}", self.run));
        sleep(self.slow).await;
        self.platform.shared.state.lock().runs.entry(self.run.clone()).or_default().released += 1;
        self.platform.note(format!("released {}", self.run));
    }
}

/// Waits until no run is active and no agent lingers.
pub(super) async fn over(runner: &IntelligenceRunner) {
    runner.shared.tasks.close();
    runner.shared.tasks.wait().await;
}

/// An agent that says these things at once and ends.
pub(super) fn saying(events: impl IntoIterator<Item = Event>) -> impl Agent {
    let events: Vec<Event> = events.into_iter().collect();
    FunctionAgent::new(move |_| stream::iter(events.clone().into_iter().map(Ok)))
}

/// An agent that says what is sent, until the sender is dropped.
pub(super) fn led() -> (mpsc::UnboundedSender<Result<Event, AgentError>>, impl Agent) {
    let (lead, said) = mpsc::unbounded_channel();
    let said = Mutex::new(Some(said));
    let agent = FunctionAgent::new(move |_| {
        let said = said.lock().take().expect("an agent is started once");
        stream::unfold(said, |mut said| async move { said.recv().await.map(|event| (event, said)) })
    });
    (lead, agent)
}

/// A whole run.
pub(super) fn hello() -> Vec<Event> {
    vec![
        Event::run_started("t", "r"),
        Event::text_start("m"),
        Event::text_content("m", "Hello"),
        Event::text_end("m"),
        Event::run_finished("t", "r"),
    ]
}
