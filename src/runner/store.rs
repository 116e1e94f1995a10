//! What keeps threads: small enough that a new store is an afternoon, strict enough that the engine's
//! promises hold over every one of them. [`crate::store_suite!`] states the same as tests.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::agui::{Frames, Message, RunAgentInput};

/// Keeps threads and the runs on them.
///
/// A thread has at most one *open* run. A run is begun, appended to in order, and then either sealed or
/// discarded. When a method's future resolves with `Ok`, its effect is kept as durably as the store
/// promises, and every later read sees it.
pub trait ThreadStore: Send + Sync + 'static {
    /// Opens a run, creating the thread if it is new.
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>>;

    /// Keeps more events of an open run.
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a run and replaces what was appended by its shortened form, in one step.
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a run as if it had never begun: it leaves no history.
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The sealed runs of a thread, oldest first, up to but not including the run numbered `before`.
    /// An unknown thread has an empty history.
    fn history(&self, thread_id: &str, before: Option<u64>) -> BoxFuture<'_, Result<History, StoreError>>;

    /// Threads with at least one sealed run, newest first; `agent_id` keeps those whose last run was that agent's.
    fn list(&self, agent_id: Option<&str>) -> BoxFuture<'_, Result<Vec<ThreadEntry>, StoreError>>;

    /// Forgets every thread. Open runs go on but are not kept.
    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A run about to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The thread.
    pub thread_id: Arc<str>,
    /// The run's id, as the client named it.
    pub run_id: Arc<str>,
    /// The agent that runs.
    pub agent_id: Arc<str>,
    /// What the client posted.
    pub input: Arc<RunAgentInput>,
}

/// A run that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Names the run in later calls.
    pub run: OpenRun,
    /// For each message of the input, whether the thread's history holds its id already.
    pub known: Vec<bool>,
    /// The thread's shared state so far.
    pub state: Option<Arc<Value>>,
}

/// Names an open run: the thread, and the run's number in the store. Numbers grow and are never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenRun {
    /// The thread.
    pub thread_id: Arc<str>,
    /// The run's number.
    pub number: u64,
}

/// What stays of a run when it is over.
#[derive(Clone, Debug, Default)]
pub struct SealedRun {
    /// The run's events, shortened for replay.
    pub frames: Frames,
    /// How many events the run said.
    pub said: u64,
    /// Every message id the run's events mention.
    pub message_ids: Vec<Box<str>>,
    /// Messages of the input that are new to the thread and stand in no event of the run.
    pub unsaid: Vec<Message>,
    /// The thread's shared state after the run; `None` when it has none.
    pub state: Option<Value>,
}

/// A sealed run as history gives it.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// The run's number.
    pub number: u64,
    /// The run's events, shortened.
    pub frames: Frames,
    /// As [`SealedRun::said`].
    pub said: u64,
    /// As [`SealedRun::unsaid`].
    pub unsaid: Arc<[Message]>,
}

/// The sealed runs of a thread.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The thread's messages at the point where the oldest kept run begins, if older runs were dropped.
    pub earlier: Option<Arc<crate::agui::MessageList>>,
    /// The kept runs, oldest first.
    pub runs: Vec<StoredRun>,
    /// The thread's shared state after its last sealed run; `None` when it has none.
    pub state: Option<Arc<Value>>,
}

/// A thread in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadEntry {
    /// The thread's id.
    pub id: Arc<str>,
    /// The agent of its last run.
    pub agent_id: Arc<str>,
    /// End of its first run, in milliseconds since 1970.
    pub created_at: i64,
    /// End of its last run, in milliseconds since 1970.
    pub updated_at: i64,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The thread has an open run.
    #[error("Thread already running")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store failed. The text says what, and what an operator can do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
