//! A run nobody keeps: no thread, no lock, no history (rest-sse.md chapter 9, suggest).

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error_span};
use uuid::Uuid;

use super::batch::{Batch, More, Running, next_batch, start, too_large};
use super::pipeline::Pipeline;
use super::{FrameStream, RunPass, RunRequest};
use crate::agent::{AgentCall, AgentError};
use crate::agui::{Ending, Frames, FramesBuilder};

/// How many bytes of events it may say, as much as a run that is kept.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Runs an agent for this stream alone. Dropping the stream cancels the agent.
///
/// A failing agent ends with closers and `RUN_ERROR` (upstream's stream just ends: chapter 14, row 9).
pub(crate) fn run_stateless(request: RunRequest) -> FrameStream {
    let RunRequest { agent, agent_id, owner, input, headers, bounds, pass, .. } = request;
    let span = error_span!("suggest", thread.id = %input.thread_id, user.id = %owner, run.id = %input.run_id, agent.id = %agent_id);
    let input = input.for_agent(|| Uuid::new_v4().to_string());
    let pipeline = Pipeline::new(&input.thread_id, &input.run_id, None);
    let call = AgentCall { input: Arc::new(input), headers, stopped: CancellationToken::new() };
    let events = span.in_scope(|| start(&*agent, call, bounds));
    let run = Stateless { events, pipeline, bytes: 0, span, _pass: pass };
    stream::unfold(Some(run), |run| async move {
        let mut run = run?;
        let span = run.span.clone();
        let (frames, ended) = run.step().instrument(span).await;
        Some((frames, (!ended).then_some(run)))
    })
    .filter(|frames| std::future::ready(!frames.is_empty()))
    .boxed()
}

struct Stateless {
    events: Running,
    pipeline: Pipeline,
    bytes: usize,
    /// It is polled as its response leaves, where nothing else says whose it is.
    span: Span,
    _pass: RunPass,
}

impl Stateless {
    /// What the agent has ready, and whether that was the end.
    async fn step(&mut self) -> (Frames, bool) {
        let mut batch = Batch::default();
        let more = next_batch(&mut self.events, &mut batch).await;
        let mut frames = FramesBuilder::default();
        let full = batch.is_full();
        let pushed = batch.events.into_iter().try_for_each(|event| self.pipeline.push(event, &mut frames));
        self.bytes += frames.len();
        let ending = match (pushed, more) {
            (Err(failure), _) | (Ok(()), More::Failed(failure)) => failed(&failure),
            (Ok(()), _) if self.bytes > MAX_BYTES => failed(&too_large(MAX_BYTES)),
            (Ok(()), More::Ended) => Ending::Incomplete,
            (Ok(()), More::Coming) => {
                if full {
                    // An agent that is always ready must not keep its worker from others.
                    tokio::task::yield_now().await;
                }
                return (frames.finish(), false);
            }
        };
        self.pipeline.close(ending, &mut frames);
        (frames.finish(), true)
    }
}

fn failed(failure: &AgentError) -> Ending {
    tracing::warn!(error = %failure, "the agent failed");
    Ending::Failed { message: failure.message().to_owned(), code: failure.code() }
}
