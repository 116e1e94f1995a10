//! The agent of a run: what it says until it has said enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, warn};

use crate::agent::{Agent, AgentCall};
use crate::runner::AgentBounds;
use crate::runner::batch::{Batch, Contained, More, Running, contained, next_batch, start};

/// How long an agent may go on after its terminal event, which nobody waits for.
const AFTER_TERMINAL: Duration = Duration::from_secs(5);

/// An agent that was started.
pub(super) struct Speaker {
    events: Running,
    agent: Contained<Arc<dyn Agent>>,
    stopped: CancellationToken,
    grace: Duration,
}

impl Speaker {
    pub(super) fn start(agent: Arc<dyn Agent>, call: AgentCall, bounds: AgentBounds) -> Speaker {
        let grace = contained(|| agent.stop_grace()).unwrap_or_default();
        let stopped = call.stopped.clone();
        Speaker { events: start(&*agent, call, bounds), agent: Contained::new(agent), stopped, grace }
    }

    /// What it says next, and what follows. Nothing is lost if the future is dropped.
    pub(super) async fn listen(&mut self) -> (Batch, More) {
        let mut batch = Batch::default();
        let more = next_batch(&mut self.events, &mut batch).await;
        (batch, more)
    }

    /// Tells it to stop, and how long it may take to do so.
    pub(super) fn tell_to_stop(&self) -> Duration {
        self.stopped.cancel();
        self.grace
    }

    /// Nobody listens any more: it was stopped. It winds down in the time it asked for.
    pub(super) fn dismiss(self, tasks: &TaskTracker) {
        let grace = self.tell_to_stop();
        self.let_go(grace, tasks);
    }

    /// Nobody listens any more: it has said everything.
    pub(super) fn retire(self, tasks: &TaskTracker) {
        self.let_go(AFTER_TERMINAL, tasks);
    }

    fn let_go(mut self, time: Duration, tasks: &TaskTracker) {
        if time.is_zero() {
            return;
        }
        let wind_down = async move {
            let to_its_end = async {
                while let (_, More::Coming) = self.listen().await {
                    // It may be always ready.
                    tokio::task::yield_now().await;
                }
            };
            if timeout(time, to_its_end).await.is_err() {
                warn!(?time, "an agent whose run was over did not end in time and was dropped");
            }
            drop(self.agent);
        };
        tasks.spawn(wind_down.in_current_span());
    }
}
