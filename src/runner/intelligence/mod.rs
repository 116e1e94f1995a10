//! The runner whose threads the Intelligence platform keeps: events leave through its `/runner` socket
//! (intelligence.md chapter 4).
//!
//! A run has one socket with one channel, and is a task the runner owns. Its agent starts after the platform has let
//! the run in, once. Every event is delivered once and in order through whatever the socket goes through, or the run
//! fails and gives its thread back.

mod active;
mod agent;
mod delivery;
mod drive;
mod join;
mod lock;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, warn};

use self::active::Active;
use self::lock::Lock;
use super::RunPass;
use crate::agent::Agent;
use crate::agui::{Message, RunAgentInput};
use crate::intelligence::{Intelligence, RunLock};
use crate::phoenix::{Dial, WebSocketDialer};
use crate::runner::{ActiveNow, Activity, AgentBounds, Owner, RunMeter, ThreadKey};

/// Runs agents on threads of an Intelligence platform. A clone is the same runner.
#[derive(Clone)]
pub(crate) struct IntelligenceRunner {
    shared: Arc<Shared>,
}

struct Shared {
    dial: Arc<dyn Dial>,
    /// The longest waits before a socket is dialled and a channel joined again.
    max_reconnect: Duration,
    max_rejoin: Duration,
    active: Active,
    tasks: TaskTracker,
    /// No run may begin any more.
    closing: CancellationToken,
    /// Agents are to stop.
    stopping: CancellationToken,
    /// What is not delivered by now is not.
    abandoning: CancellationToken,
}

/// A run to start.
pub(crate) struct PlatformRun<L = RunLock> {
    /// The agent's name in the registry.
    pub(crate) agent_id: Arc<str>,
    pub(crate) agent: Arc<dyn Agent>,
    /// What the client posted, with the platform's ids of thread and run.
    pub(crate) input: RunAgentInput,
    /// The inbound headers the agent may see.
    pub(crate) headers: HeaderMap,
    /// How long the agent may take, and how much it may say at once.
    pub(crate) bounds: AgentBounds,
    /// Those of the input's messages that the thread has not yet.
    pub(crate) new_messages: Vec<Message>,
    pub(crate) user_id: Arc<str>,
    /// What lasts as long as the run.
    pub(crate) pass: RunPass,
    pub(crate) lock: L,
    pub(crate) meter: RunMeter,
}

/// Why a run did not start. Its lock is released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StartError {
    /// This process has a run on the thread, perhaps one whose last events the platform has not acknowledged.
    #[error("Thread already running")]
    AlreadyRunning,
    /// The platform did not let the run in.
    #[error("{0}")]
    Refused(String),
    #[error("The runtime is shutting down")]
    ShuttingDown,
}

/// What a stop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlatformStop {
    /// The run is over, and the platform has its terminal event.
    Stopped,
    /// Nothing runs on the thread, or it is ending already.
    NoActiveRun,
    /// Another run is the active one.
    OtherRun,
    /// The run failed, or the time went by, before the platform had its terminal event.
    Unacknowledged,
}

impl IntelligenceRunner {
    /// A runner for a platform.
    #[must_use]
    pub(crate) fn new(intelligence: &Intelligence) -> IntelligenceRunner {
        let options = intelligence.options();
        let dialer = WebSocketDialer::new(intelligence.runner_url(), intelligence.api_key().expose());
        IntelligenceRunner::over(Arc::new(dialer), options.max_reconnect, options.max_rejoin)
    }

    fn over(dial: Arc<dyn Dial>, max_reconnect: Duration, max_rejoin: Duration) -> IntelligenceRunner {
        let shared = Shared {
            dial,
            max_reconnect,
            max_rejoin,
            active: Active::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            stopping: CancellationToken::new(),
            abandoning: CancellationToken::new(),
        };
        IntelligenceRunner { shared: Arc::new(shared) }
    }

    /// Starts a run, and answers once the platform has let it in; its agent starts then. The lock is the runner's
    /// from here on, and the run goes on if nobody waits for the answer.
    pub(crate) async fn start<L: Lock>(&self, mut run: PlatformRun<L>) -> Result<(), StartError> {
        let shared = &self.shared;
        let (admit, admitted) = oneshot::channel();
        let thread = ThreadKey::new(Owner::of(run.user_id.clone()), run.input.thread_id.as_str());
        let shown = ActiveNow::new(thread, run.input.run_id.as_str(), run.agent_id.clone());
        match shared.active.enter(shown, run.meter.clone(), &shared.closing) {
            Ok(place) => {
                let place = place.with(std::mem::take(&mut run.pass));
                shared.tasks.spawn(drive::drive(shared.clone(), place, run, admit).in_current_span())
            }
            Err(refused) => {
                let release = async move {
                    lock::release(&run.lock).await;
                    // Nobody may be waiting any more.
                    let _ = admit.send(Err(refused));
                };
                shared.tasks.spawn(release.in_current_span())
            }
        };
        // A task that ends without an answer has panicked.
        admitted.await.unwrap_or_else(|_| Err(StartError::Refused("internal error".to_owned())))
    }

    /// Stops the run of a thread, or just this one, and answers when the platform has its terminal event.
    pub(crate) async fn stop(&self, thread_id: &str, run_id: Option<&str>) -> PlatformStop {
        self.shared.active.stop(thread_id, run_id).await
    }

    /// What runs now.
    pub(crate) fn activity(&self) -> Activity {
        Activity::of(self.shared.active.now())
    }

    /// Ends all runs by the deadline. No run starts from here on; those that are active may go on for half of the
    /// time. Then they are stopped; what the platform has not acknowledged shortly before the deadline is given up,
    /// and its threads are given back.
    pub(crate) async fn shutdown(&self, deadline: Duration) {
        let shared = &self.shared;
        let now = Instant::now();
        shared.active.refuse(&shared.closing);
        shared.tasks.close();
        let phases = [(deadline / 2, &shared.stopping), (deadline - deadline / 8, &shared.abandoning)];
        for (share, next) in phases {
            if timeout_at(now + share, shared.tasks.wait()).await.is_ok() {
                return;
            }
            next.cancel();
        }
        if timeout_at(now + deadline, shared.tasks.wait()).await.is_err() {
            warn!(runs = shared.active.len(), "runs were still ending when the shutdown deadline passed");
        }
    }
}

impl std::fmt::Debug for IntelligenceRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntelligenceRunner").field("active", &self.shared.active.len()).finish_non_exhaustive()
    }
}
