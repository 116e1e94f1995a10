//! One run from its first event to its seal.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, error, info_span, warn};
use uuid::Uuid;

use super::{LiveRun, Shared, StopReason};
use crate::agent::{AgentCall, AgentError};
use crate::agui::{Compactor, Ending, Event, EventKind, Frames, FramesBuilder, Message};
use crate::runner::batch::{Batch, Contained, More, Running, contained, next_batch, start, too_large};
use crate::runner::pipeline::{Pipeline, Sink, Started};
use crate::runner::{BeginError, NewRun, OpenRun, RunRequest, SealedRun, StoreError, codes};

/// How long a terminal event waits for the end of the agent's stream before it is shown. Shown together
/// with the end, it finds the thread free: a client that answers it at once is not told `THREAD_BUSY`.
const HOLD_TERMINAL: Duration = Duration::from_millis(100);

/// Runs the agent to its end. Whatever happens, the log ends and the thread is free afterwards.
pub(super) async fn drive(shared: Arc<Shared>, run: Arc<LiveRun>, request: RunRequest) {
    let span = info_span!("run", thread.id = %run.thread.id, user.id = %run.thread.owner, run.id = %run.run_id, agent.id = %run.agent_id);
    let leave = Leave { shared: shared.clone(), run: run.clone() };
    let work = AssertUnwindSafe(execute(&shared, &run, request)).catch_unwind();
    if work.instrument(span).await.is_err() {
        error!(thread.id = %run.thread.id, user.id = %run.thread.owner, run.id = %run.run_id, "the engine panicked; the run was abandoned");
        run.publish_error("internal error", codes::RUNNER_FAILED);
    }
    drop(leave);
}

/// Frees the thread and ends the log, also when the task is dropped.
struct Leave {
    shared: Arc<Shared>,
    run: Arc<LiveRun>,
}

impl Leave {
    /// The thread is free from here on; idempotent.
    fn unregister(shared: &Shared, run: &Arc<LiveRun>) {
        let mut live = shared.live.lock();
        if live.get(&run.thread).is_some_and(|active| Arc::ptr_eq(active, run)) {
            live.remove(&run.thread);
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        Leave::unregister(&self.shared, &self.run);
        self.run.log.end();
        self.run.ended.cancel();
    }
}

async fn execute(shared: &Arc<Shared>, run: &Arc<LiveRun>, request: RunRequest) {
    let RunRequest { agent, input, headers, name, .. } = request;
    let input = Arc::new(input);
    let begun = match shared
        .store
        .begin(NewRun {
            thread: run.thread.clone(),
            run_id: run.run_id.clone(),
            agent_id: run.agent_id.clone(),
            input: input.clone(),
            name,
        })
        .await
    {
        Ok(begun) => begun,
        Err(BeginError::Busy) => return run.publish_error("Thread already running", codes::THREAD_BUSY),
        Err(BeginError::Store(failure)) => {
            error!(error = %failure, "the store could not begin the run");
            return run.publish_error(&failure.to_string(), codes::STORE_FAILED);
        }
    };
    *run.number.lock() = Some(begun.run.number);

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
        pipeline: Pipeline::new(&run.thread.id, &run.run_id, Some(begun.input)),
        said: Said {
            compactor: Compactor::new(begun.state.as_deref().cloned()),
            ready: FramesBuilder::default(),
            held: FramesBuilder::default(),
            message_ids: Vec::new(),
            bytes: 0,
            events: 0,
        },
    });
    let end = progress.follow(start(&*agent, call), grace).await;
    drop(Contained::new(agent));
    let new_messages = input.messages.iter().enumerate().filter(|(index, _)| is_new(*index)).map(|(_, m)| m);
    progress.finish(end, new_messages).await;
}

/// How the agent's stream came to its end.
enum End {
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
}

impl Sink for Said {
    fn deliver(&mut self, event: &Event) {
        self.events += 1;
        self.bytes += event.json().len();
        self.compactor.push(event);
        if event.kind().is_terminal() {
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
    async fn follow(&mut self, mut events: Running, grace: Duration) -> Result<End, StoreError> {
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
                        return Ok(End::Stopped);
                    }
                    deadline = Some(Instant::now() + grace);
                    continue;
                }
                more = next_batch(&mut events, &mut batch) => more,
                () = timer => {
                    if stopping {
                        warn!(?grace, "a stopped agent did not wind down in its grace time and was dropped");
                        return Ok(End::Stopped);
                    }
                    if self.said.held.is_empty() {
                        warn!("the agent's stream stayed open after its terminal event; the run was ended");
                        return Ok(End::Ended);
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
                    return Ok(End::Failed(failure));
                }
                // After each: an event may come out larger than it went in, as a start with the run's input.
                if self.said.bytes > self.shared.options.max_run_bytes {
                    return Ok(End::Failed(too_large(self.shared.options.max_run_bytes)));
                }
            }
            match more {
                // What remains is kept and shown together with the end.
                More::Ended if stopping => return Ok(End::Stopped),
                More::Ended => return Ok(End::Ended),
                More::Failed(_) if stopping => return Ok(End::Stopped),
                More::Failed(failure) => return Ok(End::Failed(failure)),
                More::Coming => {}
            }
            self.show().await?;
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
            self.shared.store.append(&self.open, frames.clone()).await?;
            self.run.log.publish(frames);
        }
        Ok(())
    }

    /// Closes what is open, seals the run, frees the thread, and only then shows the last events.
    async fn finish<'m>(
        mut self: Box<Self>,
        end: Result<End, StoreError>,
        new_messages: impl Iterator<Item = &'m Message>,
    ) {
        let reason = *self.run.stop.lock();
        let spoke = self.said.events > 0;
        let failed = matches!(end, Ok(End::Failed(_)));
        let broken_store = end.as_ref().err().map(ToString::to_string);
        for event in self.pipeline.close(ending(end, reason)) {
            self.said.deliver(&event);
        }
        self.said.release();
        let last = self.said.ready.finish();
        let superseded = *self.run.stop.lock() == Some(StopReason::Superseded);
        let kept = if superseded || (failed && !spoke) {
            self.shared.store.discard(&self.open).await
        } else {
            let sealed = self.said.seal(self.pipeline.started(), new_messages);
            self.shared.store.seal(&self.open, sealed).await
        };
        Leave::unregister(self.shared, self.run);
        match kept.err().map(|failure| failure.to_string()).or(broken_store) {
            None => self.run.log.publish(last),
            // What `last` holds may not be kept, or follow events nobody saw: the failure is all there is to say.
            Some(failure) => {
                error!(error = %failure, "the store failed; the run was ended");
                self.run.publish_error(&failure, codes::STORE_FAILED);
            }
        }
    }
}

/// What the run still owes, seen from how its stream ended and whether somebody stopped it.
fn ending(end: Result<End, StoreError>, stop: Option<StopReason>) -> Ending {
    match (end, stop) {
        (Err(failure), _) => Ending::Failed { message: failure.to_string(), code: Some(codes::STORE_FAILED) },
        (Ok(_), Some(StopReason::Shutdown)) => {
            Ending::Failed { message: "The runtime is shutting down".to_owned(), code: Some(codes::RUNTIME_SHUTDOWN) }
        }
        (Ok(_), Some(StopReason::User | StopReason::Superseded)) => Ending::Stopped,
        (Ok(End::Failed(failure)), None) => {
            warn!(error = %failure, "the agent failed");
            Ending::Failed { message: failure.message().to_owned(), code: failure.code() }
        }
        (Ok(End::Ended | End::Stopped), None) => Ending::Incomplete,
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
            state: compacted.state,
        }
    }
}

impl LiveRun {
    /// A terminal event for a run that never began or cannot go on.
    fn publish_error(&self, message: &str, code: &'static str) {
        self.log.publish_failure(Frames::of(&[Event::run_error(message, code)]));
    }
}
