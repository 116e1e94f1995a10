//! Takes events from an agent, many at a time, and keeps its panics inside.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use futures_util::{StreamExt, stream};

use super::bounds::{AgentBounds, Watch};
use super::codes;
use crate::agent::{Agent, AgentCall, AgentError, EventStream};
use crate::agui::Event;

/// How many ready events are taken from an agent before they are kept and shown.
const BATCH: usize = 256;
/// How many bytes of events. Events may be large, and none is checked before the batch is taken.
const BATCH_BYTES: usize = 256 * 1024;

/// The events of an agent that was started.
pub(super) struct Running {
    events: Contained<EventStream>,
    watch: Watch,
}

/// Drops what is the agent's, and keeps a panic inside: the run goes on to its end.
pub(super) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(super) fn new(inner: T) -> Contained<T> {
        Contained(Some(inner))
    }
}

impl<T> Contained<T> {
    fn release(&mut self) {
        let inner = self.0.take();
        if contained(|| drop(inner)).is_none() {
            tracing::error!("an agent panicked as it was dropped");
        }
    }
}

impl<T> Drop for Contained<T> {
    fn drop(&mut self) {
        self.release();
    }
}

/// What the agent's own code answers; `None` if it panics.
pub(super) fn contained<T>(code: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(code)).ok()
}

/// Starts an agent. A panic is a stream that fails.
pub(super) fn start(agent: &dyn Agent, call: AgentCall, bounds: AgentBounds) -> Running {
    let watch = Watch::start(bounds);
    let events = contained(|| agent.run(call));
    let events = events.unwrap_or_else(|| stream::once(std::future::ready(Err(panicked()))).boxed());
    Running { events: Contained::new(events), watch }
}

/// What was taken from an agent at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Event>,
    bytes: usize,
}

impl Batch {
    /// How many bytes of events.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there was no room for more: the agent may be always ready.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

/// What follows the events of a batch.
pub(super) enum More {
    Coming,
    Ended,
    Failed(AgentError),
}

/// Waits for the agent, then takes everything it has ready that fits the batch. A panic is a failure, and so is what is
/// out of bounds. Who asks again after the end gets the end.
pub(super) async fn next_batch(running: &mut Running, batch: &mut Batch) -> More {
    std::future::poll_fn(|cx| {
        // Once for all that is ready.
        if let Some(overdue) = running.watch.overdue(cx) {
            return Poll::Ready(More::Failed(overdue));
        }
        loop {
            let Some(events) = &mut running.events.0 else { return Poll::Ready(More::Ended) };
            match contained(|| events.poll_next_unpin(cx)) {
                None => return Poll::Ready(More::Failed(panicked())),
                Some(Poll::Ready(Some(Ok(event)))) => {
                    let bytes = event.json().len();
                    if let Err(too_large) = running.watch.admit(bytes) {
                        return Poll::Ready(More::Failed(too_large));
                    }
                    batch.bytes += bytes;
                    batch.events.push(event);
                    if batch.is_full() {
                        return Poll::Ready(More::Coming);
                    }
                }
                Some(Poll::Ready(Some(Err(failure)))) => return Poll::Ready(More::Failed(failure)),
                Some(Poll::Ready(None)) => {
                    // A stream that has ended may panic if it is asked again.
                    running.events.release();
                    return Poll::Ready(More::Ended);
                }
                Some(Poll::Pending) if batch.events.is_empty() => return Poll::Pending,
                Some(Poll::Pending) => return Poll::Ready(More::Coming),
            }
        }
    })
    .await
}

fn panicked() -> AgentError {
    AgentError::new("The agent panicked").with_code(codes::AGENT_PANICKED)
}

/// The failure of a run that said too much.
pub(super) fn too_large(limit: usize) -> AgentError {
    AgentError::new(format!("The run said more than {limit} bytes and was ended")).with_code(codes::RUN_TOO_LARGE)
}

/// The failure of a run of too many events.
pub(super) fn too_long(limit: usize) -> AgentError {
    AgentError::new(format!("The run said more than {limit} events and was ended")).with_code(codes::RUN_TOO_LONG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agui::RunAgentInput;

    struct Once;

    impl Agent for Once {
        fn run(&self, _: AgentCall) -> EventStream {
            // Panics if it is asked after its end.
            stream::unfold(Some(()), |left| async move { left.map(|()| (Ok(Event::text_start("m")), None)) }).boxed()
        }
    }

    #[tokio::test]
    async fn an_agent_that_has_ended_is_not_asked_again() {
        let mut running = start(&Once, AgentCall::new(RunAgentInput::new("t", "r")), AgentBounds::default());
        let mut batch = Batch::default();
        assert!(matches!(next_batch(&mut running, &mut batch).await, More::Ended));
        assert_eq!(batch.events.len(), 1);
        assert!(matches!(next_batch(&mut running, &mut Batch::default()).await, More::Ended));
    }
}
