//! What holds for every agent, of whatever kind: how long a run of it may take, and how large an event of it may be.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::codes;
use crate::agent::AgentError;

/// How long an agent may take for a run, and how much it may say at once. A remote agent has bounds of its own beside
/// these, and the closer ones hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentBounds {
    /// How long a run may take, from the start of its agent to the end, before it fails with `AGENT_TOTAL_TIMEOUT`.
    /// Default: as long as it likes.
    pub run_time: Option<Duration>,
    /// The most bytes one event may have; a larger one fails the run with `AGENT_EVENT_TOO_LARGE`. Default: 32 MiB.
    pub event_bytes: usize,
}

impl Default for AgentBounds {
    fn default() -> AgentBounds {
        AgentBounds { run_time: None, event_bytes: 32 << 20 }
    }
}

/// Holds an agent that was started to its bounds.
pub(super) struct Watch {
    bounds: AgentBounds,
    /// When the agent has had its time. Without a bound there is no timer.
    end: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Starts the clock.
    pub(super) fn start(bounds: AgentBounds) -> Watch {
        Watch { bounds, end: bounds.run_time.map(|time| Box::pin(sleep(time))) }
    }

    /// The failure of an agent that has had its time; who is told of none is woken when there is one.
    pub(super) fn overdue(&mut self, cx: &mut Context<'_>) -> Option<AgentError> {
        match self.end.as_mut()?.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let text = format!("The agent did not finish within {:?}", self.bounds.run_time.unwrap_or_default());
                Some(AgentError::new(text).with_code(codes::AGENT_TOTAL_TIMEOUT))
            }
            Poll::Pending => None,
        }
    }

    /// Refuses an event that is too large.
    pub(super) fn admit(&self, bytes: usize) -> Result<(), AgentError> {
        let limit = self.bounds.event_bytes;
        if bytes <= limit {
            return Ok(());
        }
        let text = format!("The agent said an event of {bytes} bytes; one may have {limit}");
        Err(AgentError::new(text).with_code(codes::AGENT_EVENT_TOO_LARGE))
    }
}
