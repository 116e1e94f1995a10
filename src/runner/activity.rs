//! What runs now, for the eyes of operators.

use std::sync::Arc;
use std::time::Duration;

use super::ThreadKey;

/// What a runner does at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// The runs of this process, those that wait included.
    pub runs: Vec<ActiveNow>,
    /// How many watch runs of other processes.
    pub watchers_elsewhere: usize,
}

/// A run that is under way or waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveNow {
    /// The thread.
    pub thread: ThreadKey,
    /// The run's id, as the client named it.
    pub run_id: Arc<str>,
    /// The agent.
    pub agent_id: Arc<str>,
    /// Whether it waits for its thread.
    pub waits: bool,
    /// How long ago it was asked for.
    pub age: Duration,
    /// How many events it has said.
    pub events: u64,
    /// How many watch it here.
    pub watchers: usize,
}

impl Activity {
    /// These runs, and nobody who watches runs of others.
    #[must_use]
    pub fn of(runs: Vec<ActiveNow>) -> Activity {
        Activity { runs, watchers_elsewhere: 0 }
    }
}

impl ActiveNow {
    /// A run that has just begun.
    #[must_use]
    pub fn new(thread: ThreadKey, run_id: impl Into<Arc<str>>, agent_id: impl Into<Arc<str>>) -> ActiveNow {
        ActiveNow {
            thread,
            run_id: run_id.into(),
            agent_id: agent_id.into(),
            waits: false,
            age: Duration::ZERO,
            events: 0,
            watchers: 0,
        }
    }
}
