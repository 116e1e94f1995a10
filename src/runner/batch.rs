//! Takes events from an agent, many at a time, and keeps its panics inside.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use futures_util::{StreamExt, stream};

use super::codes;
use crate::agent::{Agent, AgentCall, AgentError, EventStream};
use crate::agui::Event;

/// How many ready events are taken from an agent before they are kept and shown.
pub(super) const BATCH: usize = 256;

/// Starts an agent. A panic is a stream that fails.
pub(super) fn start(agent: &dyn Agent, call: AgentCall) -> EventStream {
    catch_unwind(AssertUnwindSafe(|| agent.run(call)))
        .unwrap_or_else(|_| stream::once(std::future::ready(Err(panicked()))).boxed())
}

/// What follows the events of a batch.
pub(super) enum More {
    Coming,
    Ended,
    Failed(AgentError),
}

/// Waits for the agent, then takes everything it has ready, up to [`BATCH`] events. A panic is a failure.
pub(super) async fn next_batch(events: &mut EventStream, batch: &mut Vec<Event>) -> More {
    std::future::poll_fn(|cx| {
        loop {
            match catch_unwind(AssertUnwindSafe(|| events.poll_next_unpin(cx))) {
                Err(_) => return Poll::Ready(More::Failed(panicked())),
                Ok(Poll::Ready(Some(Ok(event)))) => {
                    batch.push(event);
                    if batch.len() == BATCH {
                        return Poll::Ready(More::Coming);
                    }
                }
                Ok(Poll::Ready(Some(Err(failure)))) => return Poll::Ready(More::Failed(failure)),
                Ok(Poll::Ready(None)) => return Poll::Ready(More::Ended),
                Ok(Poll::Pending) if batch.is_empty() => return Poll::Pending,
                Ok(Poll::Pending) => return Poll::Ready(More::Coming),
            }
        }
    })
    .await
}

fn panicked() -> AgentError {
    AgentError::new("The agent panicked").with_code(codes::AGENT_PANICKED)
}
