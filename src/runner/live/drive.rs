//! One run from its first event to its seal.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::HeaderMap;
use tokio::time::Instant;
use tracing::{Instrument, debug, error, error_span, warn};
use uuid::Uuid;

use super::admission::{NotBegun, begin};
use super::close::{self, Close};
use super::log::End;
use super::run::{LiveRun, Phase, StopReason};
use super::{RunOptions, Shared, unwatched};
use crate::agent::{Agent, AgentCall, AgentError};
use crate::agui::{Compactor, Ending, Event, EventKind, Finalizer, Frames, FramesBuilder, Message};
use crate::meter::StoreCall;
use crate::runner::batch::{Batch, Contained, More, Running, contained, next_batch, start, too_large, too_long};
use crate::runner::outcome;
use crate::runner::pipeline::{Pipeline, Sink, Started};
use crate::runner::{
    AgentBounds, NewRun, OpenRun, Outcome, RunPass, RunRefused, RunRequest, SealedRun, StoreError, codes,
};

/// How long a terminal event waits for the end of the agent's stream before it is shown. Shown together
/// with the end, it finds the thread free: a client that answers it at once is not told `THREAD_BUSY`.
const HOLD_TERMINAL: Duration = Duration::from_millis(100);

/// What a run is made of.
struct Work {
    agent: Arc<dyn Agent>,
    new: NewRun,
    headers: HeaderMap,
    bounds: AgentBounds,
}

/// Runs the agent to its end. Whatever happens, the log ends and the thread is free afterwards.
pub(super) fn drive(shared: Arc<Shared>, run: Arc<LiveRun>, request: RunRequest) -> impl Future<Output = ()> + 'static {
    let RunRequest { agent, input, headers, bounds, name, pass, .. } = request;
    let new = NewRun {
        thread: run.log.thread.clone(),
        run_id: run.run_id.clone(),
        agent_id: run.agent_id.clone(),
        input: Arc::new(input),
        name,
    };
    // Boxed, as what is handed to a future stays in it as long as it lives, and in each it is handed on to.
    let work = Box::new(Work { agent, new, headers, bounds });
    async move {
        let thread = &run.log.thread;
        let span = error_span!("run", thread.id = %thread.id, user.id = %thread.owner, run.id = %run.run_id, agent.id = %run.agent_id);
        let mut leave = Leave { shared: shared.clone(), run: run.clone(), pass, last: Last::default() };
        let work = AssertUnwindSafe(execute(&shared, &run, work)).catch_unwind();
        leave.last = work.instrument(span.clone()).await.unwrap_or_else(|_| {
            let _entered = span.enter();
            error!("the engine panicked; the run was abandoned");
            if let Some(open) = run.log.run() {
                close::give_up(&shared, open);
            }
            Last::failed("internal error", codes::RUNNER_FAILED)
        });
        let (outcome, code) = leave.last.outcome.words();
        span.in_scope(|| debug!(outcome, code, events = run.meter.events(), "the run ended"));
    }
}

/// What is shown of a run once its thread is free: whoever sees it finds the thread free.
struct Last {
    frames: Frames,
    end: End,
    outcome: Outcome,
}

impl Default for Last {
    /// Of a run that is dropped before its end.
    fn default() -> Last {
        Last { frames: Frames::default(), end: End::Told, outcome: Outcome::Failed(codes::RUN_INTERRUPTED) }
    }
}

impl Last {
    /// A terminal event for a run that cannot go on.
    fn failed(message: &str, code: &'static str) -> Last {
        let end = End::Failed(Frames::of(&[Event::run_error(message, code)]));
        Last { end, outcome: Outcome::Failed(code), ..Last::default() }
    }

    /// The same for one that never began.
    fn refused(message: &str, code: &'static str) -> Last {
        Last { outcome: Outcome::Refused(code), ..Last::failed(message, code) }
    }

    /// The store failed. What was about to be shown may not be kept, or follow events nobody saw.
    fn of_store(failure: &StoreError) -> Last {
        error!(error = %failure, "the store failed; the run was ended");
        match failure {
            // Whoever closed the run wrote its end: all its watchers see the same.
            StoreError::LeaseLost => Last { end: End::Elsewhere, ..Last::default() },
            failure => Last::failed(&failure.to_string(), codes::STORE_FAILED),
        }
    }
}

/// Frees the thread and ends the log, also when the task is dropped.
struct Leave {
    shared: Arc<Shared>,
    run: Arc<LiveRun>,
    pass: RunPass,
    last: Last,
}

impl Drop for Leave {
    fn drop(&mut self) {
        // Whoever sees the end may begin another run at once.
        self.pass = RunPass::default();
        self.shared.places.leave(&self.run);
        self.run.enter(Phase::Over);
        let Last { frames, end, outcome } = std::mem::take(&mut self.last);
        self.run.show(frames);
        self.run.log.end(end);
        self.run.meter.ended(outcome);
    }
}

async fn execute(shared: &Arc<Shared>, run: &Arc<LiveRun>, work: Box<Work>) -> Last {
    let Work { agent, new, headers, bounds } = *work;
    let input = new.input.clone();
    let thread_id = &run.log.thread.id;
    let begun = match begin(shared, run, new).await {
        Ok(begun) => begun,
        Err(NotBegun::Store(failure)) => {
            error!(error = %failure, "the store could not begin the run");
            return Last::failed(&failure.to_string(), codes::STORE_FAILED);
        }
        Err(NotBegun::Busy) => return Last::refused("Thread already running", codes::THREAD_BUSY),
        Err(NotBegun::QueueFull) => return Last::refused(&RunRefused::QueueFull.to_string(), codes::QUEUE_FULL),
        Err(NotBegun::QueueTimeout) => {
            return Last::refused("The run waited for its thread as long as it may", codes::QUEUE_TIMEOUT);
        }
        Err(NotBegun::Stopped) if run.stop_reason() == Some(StopReason::Deleted) => {
            return Last::refused("The thread was deleted while the run waited for it", codes::THREAD_DELETED);
        }
        Err(NotBegun::Stopped) => {
            let mut nothing_said = Finalizer::new(thread_id, &run.run_id);
            let ending = ending(Ok(AgentEnd::Stopped), run.stop_reason());
            let outcome = outcome::closed(&ending);
            return Last { frames: Frames::of(&nothing_said.close(ending)), outcome, ..Last::default() };
        }
    };
    unwatched::attend(shared, run);

    let call = AgentCall {
        input: Arc::new(input.for_agent(|| Uuid::new_v4().to_string())),
        headers,
        stopped: run.stopped.clone(),
    };
    let grace = contained(|| agent.stop_grace()).unwrap_or_default();
    let is_new = |index: usize| !begun.known.get(index).copied().unwrap_or(false);
    // Boxed, as it lives as long as the run and would be in the task twice.
    let mut progress = Box::new(Progress {
        shared,
        run,
        open: begun.run.clone(),
        pipeline: Pipeline::new(thread_id, &run.run_id, Some(begun.input)),
        said: Said {
            compactor: Compactor::new(begun.state.as_deref().cloned()),
            ready: FramesBuilder::default(),
            held: FramesBuilder::default(),
            message_ids: Vec::new(),
            bytes: 0,
            events: 0,
            told: None,
        },
    });
    let end = match run.stop_reason() {
        None => progress.follow(start(&*agent, call, bounds), grace).await,
        // While it was begun, or waited for its turn.
        Some(_) => Ok(AgentEnd::Stopped),
    };
    drop(Contained::new(agent));
    let new_messages = input.messages.iter().enumerate().filter(|(index, _)| is_new(*index)).map(|(_, m)| m);
    let (open, how, last) = progress.finish(end, new_messages);
    match how {
        None => last,
        Some(how) => match run.meter.timed(StoreCall::Seal, close::close(shared, &open, &how)).await {
            Ok(()) => last,
            Err(failure) => Last::of_store(&failure),
        },
    }
}

/// How the agent's stream came to its end.
enum AgentEnd {
    /// It ended by itself, or went silent after a terminal event.
    Ended,
    Failed(AgentError),
    Stopped,
}

struct Progress<'a> {
    shared: &'a Arc<Shared>,
    run: &'a Arc<LiveRun>,
    open: OpenRun,
    pipeline: Pipeline,
    said: Said,
}

/// What the run has said, and what of it is not shown yet.
struct Said {
    compactor: Compactor,
    /// Verified events to be kept and shown.
    ready: FramesBuilder,
    /// A terminal event, kept back from `ready` until the stream ends or goes on.
    held: FramesBuilder,
    message_ids: Vec<Box<str>>,
    bytes: usize,
    events: usize,
    /// By the last terminal event.
    told: Option<Outcome>,
}

impl Sink for Said {
    fn deliver(&mut self, event: &Event) {
        self.events += 1;
        self.bytes += event.json().len();
        self.compactor.push(event);
        if event.kind().is_terminal() {
            self.told = Some(outcome::told(event));
            return self.held.push(event);
        }
        self.release();
        self.ready.push(event);
        match event.kind() {
            EventKind::TextMessageContent
            | EventKind::TextMessageEnd
            | EventKind::ToolCallArgs
            | EventKind::ToolCallEnd => {}
            _ => {
                if let Some(id) = event.message_id() {
                    self.message_ids.push(id.into());
                }
            }
        }
    }

    fn precede(&mut self, opening: &Event) {
        self.compactor.precede(opening);
    }
}

/// The ids of the messages in an input's JSON.
fn message_ids(input: &str) -> Vec<Box<str>> {
    #[derive(serde::Deserialize)]
    struct Input {
        #[serde(default)]
        messages: Vec<Identified>,
    }
    #[derive(serde::Deserialize)]
    struct Identified {
        id: Box<str>,
    }
    serde_json::from_str::<Input>(input)
        .map(|input| input.messages.into_iter().map(|message| message.id).collect())
        .unwrap_or_default()
}

impl Progress<'_> {
    /// Takes the agent's events until it ends, fails or is stopped.
    async fn follow(&mut self, mut events: Running, grace: Duration) -> Result<AgentEnd, StoreError> {
        let stopped = self.run.stopped.clone();
        let stopped = stopped.cancelled();
        tokio::pin!(stopped);
        let mut stopping = false;
        // When to give up waiting: for a stopping agent, or after a terminal event.
        let mut deadline: Option<Instant> = None;
        loop {
            // Of this round alone: an idle run keeps no room for a burst.
            let mut batch = Batch::default();
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let more = tokio::select! {
                biased;
                () = &mut stopped, if !stopping => {
                    stopping = true;
                    if grace.is_zero() {
                        return Ok(AgentEnd::Stopped);
                    }
                    deadline = Some(Instant::now() + grace);
                    continue;
                }
                more = next_batch(&mut events, &mut batch) => more,
                () = timer => {
                    if stopping {
                        warn!(?grace, "a stopped agent did not wind down in its grace time and was dropped");
                        return Ok(AgentEnd::Stopped);
                    }
                    if self.said.held.is_empty() {
                        warn!("the agent's stream stayed open after its terminal event; the run was ended");
                        return Ok(AgentEnd::Ended);
                    }
                    self.said.release();
                    self.show().await?;
                    deadline = Some(Instant::now() + self.shared.options.after_terminal);
                    continue;
                }
            };
            let full = batch.is_full();
            for event in batch.events {
                if let Err(failure) = self.pipeline.push(event, &mut self.said) {
                    return Ok(AgentEnd::Failed(failure));
                }
                // After each: an event may come out larger than it went in, as a start with the run's input.
                let RunOptions { max_run_bytes, max_run_events, .. } = self.shared.options;
                if self.said.bytes > max_run_bytes {
                    return Ok(AgentEnd::Failed(too_large(max_run_bytes)));
                }
                if self.said.events > max_run_events {
                    return Ok(AgentEnd::Failed(too_long(max_run_events)));
                }
            }
            match more {
                // What remains is kept and shown together with the end.
                More::Ended if stopping => return Ok(AgentEnd::Stopped),
                More::Ended => return Ok(AgentEnd::Ended),
                More::Failed(_) if stopping => return Ok(AgentEnd::Stopped),
                More::Failed(failure) => return Ok(AgentEnd::Failed(failure)),
                More::Coming => {}
            }
            {
                let mut show = std::pin::pin!(self.show());
                tokio::select! {
                    biased;
                    kept = &mut show => kept?,
                    // A store that takes its time keeps no agent's connection open.
                    () = &mut stopped, if !stopping && grace.is_zero() => {
                        drop(events);
                        show.await?;
                        return Ok(AgentEnd::Stopped);
                    }
                }
            }
            if !stopping {
                deadline = (!self.said.held.is_empty()).then(|| Instant::now() + HOLD_TERMINAL);
            }
            if full {
                // An agent that is always ready must not keep its worker from other runs.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Keeps what is ready, then shows it.
    async fn show(&mut self) -> Result<(), StoreError> {
        let frames = self.said.ready.finish();
        if !frames.is_empty() {
            let append = self.shared.store.append(&self.open, frames.clone());
            self.run.meter.timed(StoreCall::Append, append).await?;
            self.run.show(frames);
        }
        Ok(())
    }

    /// Closes what is open. Answers how the run ends in the store, if it is still this process that ends it, and what
    /// may be shown then.
    fn finish<'m>(
        mut self: Box<Self>,
        end: Result<AgentEnd, StoreError>,
        new_messages: impl Iterator<Item = &'m Message>,
    ) -> (OpenRun, Option<Close>, Last) {
        if let Err(StoreError::LeaseLost) = end {
            return (self.open, None, Last::of_store(&StoreError::LeaseLost));
        }
        let reason = self.run.stop_reason();
        let failed_start = matches!(end, Ok(AgentEnd::Failed(_))) && self.said.events == 0;
        let broken_store = end.as_ref().err().map(Last::of_store);
        let ending = ending(end, reason);
        let told = self.said.told.filter(|_| self.pipeline.has_ended());
        let outcome = told.unwrap_or_else(|| outcome::closed(&ending));
        self.pipeline.close(ending, &mut self.said);
        self.said.release();
        let frames = self.said.ready.finish();
        let unwanted = self.run.stop_reason().is_some_and(StopReason::leaves_no_history);
        let forgotten = failed_start && !self.shared.options.keep_failed_starts;
        let how = if unwanted || forgotten {
            Close::Discard
        } else {
            Close::Seal(self.said.seal(self.pipeline.started(), new_messages))
        };
        // What the history will not have is shown without an id: nobody could go on behind it.
        let last = if forgotten {
            Last { end: End::Failed(frames), outcome, ..Last::default() }
        } else {
            Last { frames, end: End::Told, outcome }
        };
        (self.open, Some(how), broken_store.unwrap_or(last))
    }
}

/// What the run still owes, seen from how its stream ended and whether somebody stopped it.
fn ending(end: Result<AgentEnd, StoreError>, stop: Option<StopReason>) -> Ending {
    match (end, stop) {
        (Err(failure), _) => Ending::Failed { message: failure.to_string(), code: Some(codes::STORE_FAILED) },
        (Ok(_), Some(StopReason::Shutdown)) => {
            Ending::Failed { message: "The runtime is shutting down".to_owned(), code: Some(codes::RUNTIME_SHUTDOWN) }
        }
        (Ok(_), Some(StopReason::User | StopReason::RolledBack | StopReason::Deleted)) => Ending::Stopped,
        (Ok(AgentEnd::Failed(failure)), None) => {
            warn!(error = %failure, "the agent failed");
            Ending::Failed { message: failure.message().to_owned(), code: failure.code() }
        }
        (Ok(AgentEnd::Ended | AgentEnd::Stopped), None) => Ending::Incomplete,
    }
}

impl Said {
    /// Lets a held terminal event go.
    fn release(&mut self) {
        if !self.held.is_empty() {
            self.ready.append(&mut self.held);
        }
    }

    /// What stays of the run.
    fn seal<'m>(self, started: &Started, new_messages: impl Iterator<Item = &'m Message>) -> SealedRun {
        let compacted = self.compactor.finish();
        if compacted.skipped_patches > 0 {
            warn!(skipped = compacted.skipped_patches, "state patches that did not apply were left out of the history");
        }
        let own_input: Vec<Box<str>> = started.with_own.iter().flat_map(|input| message_ids(input.get())).collect();
        let unsaid = if started.with_request {
            Vec::new()
        } else {
            new_messages.filter(|message| !own_input.iter().any(|id| **id == *message.id())).cloned().collect()
        };
        let mut message_ids = self.message_ids;
        message_ids.extend(own_input);
        SealedRun {
            frames: Frames::of(&compacted.events),
            said: self.events as u64,
            cuts: compacted.cuts.bytes().clone(),
            message_ids,
            unsaid,
            state: compacted.state.map(Arc::new),
        }
    }
}
