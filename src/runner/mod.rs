//! Who runs an agent on a thread, remembers what it said, and lets others watch.
//!
//! [`AgentRunner`] is what the runtime needs of a runner. [`LiveRunner`] holds the rules of a run once,
//! over any [`ThreadStore`]; [`MemoryRunner`] is that engine over the store in RAM, `SqliteRunner` over a SQLite file.

mod activity;
mod batch;
mod bounds;
mod intelligence;
mod listing;
mod live;
mod memory;
mod outcome;
mod pipeline;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stateless;
mod store;
pub mod suite;
mod thread;
mod words;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::HeaderMap;

use crate::agent::Agent;
use crate::agui::{Frames, RunAgentInput};
pub use crate::meter::{Outcome, RunMeter};

pub use activity::{ActiveNow, Activity};
pub use bounds::AgentBounds;
pub(crate) use intelligence::{IntelligenceRunner, PlatformRun, PlatformStop, StartError};
pub use listing::{InvalidCursor, ThreadCursor, ThreadEntry, ThreadList, ThreadPatch, ThreadQuery};
#[cfg(feature = "server")]
pub(crate) use live::removal::{Removed, end_elsewhere};
pub use live::{LiveRunner, RunOptions, WhenBusy, WhenUnwatched};
pub use memory::{MemoryLimits, MemoryRunner, MemoryStore};
#[cfg(feature = "sqlite")]
pub use sqlite::{CheckReport, OpenError, Progress, Retention, SqliteOptions, SqliteRunner, SqliteStore};
pub(crate) use stateless::run_stateless;
pub use store::{
    ActiveRun, AskedStop, BeginError, Begun, History, NewRun, OpenRun, RunPhase, Said, SealedRun, StopKind, StoreError,
    StoredRun, ThreadStore,
};
pub use thread::{Owner, ThreadKey};

/// The events of a thread or run as they become visible, several at a time. Dropping it only stops watching.
pub type FrameStream = BoxStream<'static, Frames>;

/// Executes agents on threads.
pub trait AgentRunner: Send + Sync + 'static {
    /// Starts a run and watches it. The run outlives the returned stream, which ends with the run.
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>>;

    /// Replays the thread, then follows its active run, if any, to its end. An unknown thread is an empty stream.
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>>;

    /// Asks a run to end, also one that waits for its thread. Answers before it has ended.
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>>;

    /// The threads this runner keeps; `None` makes the thread routes answer 422.
    fn threads(&self) -> Option<&dyn ThreadStore> {
        None
    }

    /// Deletes a thread, and ends what runs on it or waits for it. False if there is no such thread.
    fn delete_thread<'r>(&'r self, thread: &'r ThreadKey) -> BoxFuture<'r, Result<bool, RunnerError>> {
        Box::pin(async move {
            let Some(store) = self.threads() else { return Ok(false) };
            self.stop(StopRequest { thread: thread.clone(), run_id: None }).await?;
            Ok(store.delete(thread).await?)
        })
    }

    /// Deletes every thread of an owner.
    fn clear_threads<'r>(&'r self, owner: &'r Owner) -> BoxFuture<'r, Result<(), RunnerError>> {
        Box::pin(async move {
            let Some(store) = self.threads() else { return Ok(()) };
            Ok(store.clear(owner).await?)
        })
    }

    /// What runs now. Default: nothing, as far as operators see.
    fn activity(&self) -> Activity {
        Activity::default()
    }

    /// Whether runs can be kept, for those who ask whether the runtime is ready. It may take as long as it likes: who
    /// asks waits for a while only.
    fn check(&self) -> BoxFuture<'_, Result<(), RunnerError>> {
        Box::pin(async move {
            match self.threads() {
                Some(store) => Ok(store.check().await?),
                None => Ok(()),
            }
        })
    }

    /// Refuses new runs from the call on, lets active ones end by themselves, stops those that do not end before the
    /// deadline, and returns.
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        let _ = deadline;
        Box::pin(std::future::ready(()))
    }
}

/// A run to start.
#[derive(Clone)]
#[non_exhaustive]
pub struct RunRequest {
    /// The agent's name in the registry.
    pub agent_id: Arc<str>,
    /// The agent.
    pub agent: Arc<dyn Agent>,
    /// What the client posted; it names the thread and the run.
    pub input: RunAgentInput,
    /// Whose thread it is.
    pub owner: Owner,
    /// The thread's name, if it has none yet.
    pub name: Option<Arc<str>>,
    /// What happens if the thread is busy; `None` is the runner's policy.
    pub when_busy: Option<WhenBusy>,
    /// The inbound headers the agent may see.
    pub headers: HeaderMap,
    /// How long the agent may take, and how much it may say at once.
    pub bounds: AgentBounds,
    /// Told what becomes of the run, but for a refusal, which whoever asked learns anyway.
    pub meter: RunMeter,
    /// What lasts as long as the run.
    pub pass: RunPass,
}

/// Something that is held from a run's request to the run's end, and dropped then, before the last event is shown: who
/// counts runs learns from it that one is over. Clones hold the same.
#[derive(Clone, Default)]
pub struct RunPass(Option<Arc<dyn Any + Send + Sync>>);

impl RunPass {
    /// Holds a value.
    #[must_use]
    pub fn holding(value: Arc<dyn Any + Send + Sync>) -> RunPass {
        RunPass(Some(value))
    }
}

impl std::fmt::Debug for RunPass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RunPass").field(&self.0.is_some()).finish()
    }
}

impl RunRequest {
    /// A request without headers, where users are not told apart.
    #[must_use]
    pub fn new(agent_id: impl Into<Arc<str>>, agent: Arc<dyn Agent>, input: RunAgentInput) -> RunRequest {
        RunRequest {
            agent_id: agent_id.into(),
            agent,
            input,
            owner: Owner::anonymous(),
            name: None,
            when_busy: None,
            headers: HeaderMap::new(),
            bounds: AgentBounds::default(),
            meter: RunMeter::default(),
            pass: RunPass::default(),
        }
    }

    /// The thread the run is on.
    #[must_use]
    pub fn thread(&self) -> ThreadKey {
        ThreadKey::new(self.owner.clone(), self.input.thread_id.as_str())
    }
}

impl std::fmt::Debug for RunRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the headers: they carry credentials.
        f.debug_struct("RunRequest")
            .field("agent_id", &self.agent_id)
            .field("owner", &self.owner)
            .field("thread_id", &self.input.thread_id)
            .field("run_id", &self.input.run_id)
            .finish_non_exhaustive()
    }
}

/// What to replay and follow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectRequest {
    /// The thread.
    pub thread: ThreadKey,
    /// The id of the last event the caller has, to go on behind it. With one, every event comes with an `id:`
    /// line; one that is not known, as an empty one, replays everything.
    pub last_seen: Option<String>,
}

impl ConnectRequest {
    /// The whole thread.
    #[must_use]
    pub fn new(thread: impl Into<ThreadKey>) -> ConnectRequest {
        ConnectRequest { thread: thread.into(), last_seen: None }
    }

    /// What follows an event.
    #[must_use]
    pub fn after(mut self, event_id: impl Into<String>) -> ConnectRequest {
        self.last_seen = Some(event_id.into());
        self
    }
}

/// Which run to stop.
#[derive(Clone, Debug)]
pub struct StopRequest {
    /// The thread.
    pub thread: ThreadKey,
    /// Only this run; `None` stops whatever runs on the thread.
    pub run_id: Option<String>,
}

/// What a stop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The run was asked to end.
    Stopping,
    /// Nothing runs on the thread, or it is stopping already.
    NoActiveRun,
    /// Another run is the active one.
    OtherRun,
}

/// Why a run was not started. It becomes a `RUN_ERROR` on a 200 stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunRefused {
    /// Another run is active on the thread, or a stopped one has not ended yet.
    #[error("Thread already running")]
    Busy,
    /// The thread is busy, and as many runs as may wait for it do.
    #[error("Too many runs wait for this thread already")]
    QueueFull,
    /// The runtime is shutting down.
    #[error("The runtime is shutting down")]
    ShuttingDown,
    /// The runner failed.
    #[error(transparent)]
    Failed(#[from] RunnerError),
}

impl RunRefused {
    /// The stable code of the `RUN_ERROR`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            RunRefused::Busy => codes::THREAD_BUSY,
            RunRefused::QueueFull => codes::QUEUE_FULL,
            RunRefused::ShuttingDown => codes::RUNTIME_SHUTDOWN,
            RunRefused::Failed(_) => codes::RUNNER_FAILED,
        }
    }
}

/// The runner failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RunnerError(pub String);

impl From<StoreError> for RunnerError {
    fn from(error: StoreError) -> RunnerError {
        RunnerError(error.to_string())
    }
}

/// The stable codes of `RUN_ERROR` events the runtime itself writes.
pub mod codes {
    /// The agent ended or failed without a terminal event of its own.
    pub const INCOMPLETE_STREAM: &str = "INCOMPLETE_STREAM";
    /// Another run is active on the thread.
    pub const THREAD_BUSY: &str = "THREAD_BUSY";
    /// As many runs as may wait for the thread did already.
    pub const QUEUE_FULL: &str = "QUEUE_FULL";
    /// The run waited for the thread as long as it may.
    pub const QUEUE_TIMEOUT: &str = "QUEUE_TIMEOUT";
    /// The run waited for a thread that was deleted.
    pub const THREAD_DELETED: &str = "THREAD_DELETED";
    /// The process that ran the agent ended, or lost the run, before the run was over.
    pub const RUN_INTERRUPTED: &str = "RUN_INTERRUPTED";
    /// The runner could not start or watch the run.
    pub const RUNNER_FAILED: &str = "RUNNER_FAILED";
    /// The store could not keep the run's events.
    pub const STORE_FAILED: &str = "STORE_FAILED";
    /// The agent took longer for the run than it may.
    pub const AGENT_TOTAL_TIMEOUT: &str = crate::agent::TOTAL_TIMEOUT;
    /// The agent said an event larger than one may be.
    pub const AGENT_EVENT_TOO_LARGE: &str = crate::agent::EVENT_TOO_LARGE;
    /// The agent panicked.
    pub const AGENT_PANICKED: &str = "AGENT_PANICKED";
    /// The run produced more bytes than a run may.
    pub const RUN_TOO_LARGE: &str = "RUN_TOO_LARGE";
    /// The run said more events than a run may.
    pub const RUN_TOO_LONG: &str = "RUN_TOO_LONG";
    /// The runtime shut down during the run.
    pub const RUNTIME_SHUTDOWN: &str = "RUNTIME_SHUTDOWN";
}
