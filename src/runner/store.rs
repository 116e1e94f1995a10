//! What keeps threads: small enough that a new store is an afternoon, strict enough that the engine's
//! promises hold over every one of them. [`crate::store_suite!`] states the same as tests.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use super::listing::{ThreadEntry, ThreadList, ThreadPatch, ThreadQuery};
use super::thread::{Owner, ThreadKey};
use crate::agui::{Frames, Message, RunAgentInput};

/// Keeps threads and the runs on them.
///
/// A thread has at most one *open* run. A run is begun, appended to in order, and then either sealed or
/// discarded. When a method's future resolves with `Ok`, its effect is kept as durably as the store
/// promises, and every later read sees it.
///
/// Several processes may share what a store keeps. Then a run is open for all of them, and the process that began
/// it holds it by a lease; a run whose process is gone is closed by whoever finds it.
pub trait ThreadStore: Send + Sync + 'static {
    /// Opens a run, creating the thread if it is new.
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>>;

    /// Keeps more events of an open run. For a run whose thread was deleted this does nothing, and is no failure.
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a run and replaces what was appended by its shortened form, in one step.
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Ends a run as if it had never begun: it leaves no history.
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>>;

    /// What an open run has said behind its first `after` events, as much of it as fits a page.
    fn said(&self, run: &OpenRun, after: u64) -> BoxFuture<'_, Result<Said, StoreError>>;

    /// The open run of a thread, whichever process it belongs to.
    fn active(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ActiveRun>, StoreError>>;

    /// The open runs on all threads of an owner, whichever processes they belong to.
    fn open_runs(&self, owner: &Owner) -> BoxFuture<'_, Result<Vec<OpenRun>, StoreError>>;

    /// Asks the process that holds an open run to stop it. False if the run is not open, or was asked as much already:
    /// one that was only asked to stop may still be asked for more.
    fn ask_to_stop(&self, stop: AskedStop) -> BoxFuture<'_, Result<bool, StoreError>> {
        let _ = stop;
        ready(Ok(false)).boxed()
    }

    /// What others ask of the open runs of this process, as they ask, and what they asked and is not done yet.
    fn stop_requests(&self) -> BoxStream<'static, AskedStop> {
        stream::pending().boxed()
    }

    /// Some sealed runs of a thread, oldest first: those numbered from `from` up to but not including `before`, as
    /// many as fit a page. An unknown thread has an empty history.
    fn history(&self, thread: &ThreadKey, from: u64, before: Option<u64>)
    -> BoxFuture<'_, Result<History, StoreError>>;

    /// The thread's shared state after its last sealed run; `None` when it has none.
    fn state(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<Arc<Value>>, StoreError>>;

    /// A thread as lists show it.
    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>>;

    /// A page of threads, newest activity first. A thread is listed from the beginning of its first run.
    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>>;

    /// Changes what lists show of a thread; `None` if there is no such thread.
    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>>;

    /// Forgets a thread and everything said on it. False if there is none. An open run goes on but is not kept.
    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Forgets every thread of an owner. Open runs go on but are not kept.
    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether it can keep anything. Writes something that changes nothing.
    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(())).boxed()
    }

    /// How many calls wait for their turn to write.
    fn waiting_writes(&self) -> usize {
        0
    }

    /// Lets go of what the store holds outside this process, as leases and files. Runs that did not end before the
    /// shutdown's deadline may still call; they are to get errors.
    fn close(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

/// A run about to begin.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The thread.
    pub thread: ThreadKey,
    /// The run's id, as the client named it.
    pub run_id: Arc<str>,
    /// The agent that runs.
    pub agent_id: Arc<str>,
    /// What the client posted.
    pub input: Arc<RunAgentInput>,
    /// The thread's name, if it has none yet.
    pub name: Option<Arc<str>>,
}

/// A run that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Names the run in later calls.
    pub run: OpenRun,
    /// For each message of the input, whether the thread's history holds its id already.
    pub known: Vec<bool>,
    /// The input as JSON, with the messages that are new to the thread. Kept before this is answered.
    pub input: String,
    /// The thread's shared state so far.
    pub state: Option<Arc<Value>>,
}

/// Names an open run: the thread, and the run's number in the store. The numbers of a thread's runs grow and are
/// never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenRun {
    /// The thread.
    pub thread: ThreadKey,
    /// The run's number.
    pub number: u64,
}

/// A run that somebody else than its process wants to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedStop {
    /// The run.
    pub run: OpenRun,
    /// How it is to end.
    pub how: StopKind,
}

/// How a run is asked to stop. Each is more than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopKind {
    /// It ends as if its agent had.
    End,
    /// It ends, and leaves no history.
    Forget,
    /// Its thread is about to be deleted: it leaves no history, and what waits for the thread ends with it.
    Delete,
}

/// The open run of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveRun {
    /// Names it.
    pub run: OpenRun,
    /// The run's id, as the client named it.
    pub run_id: Arc<str>,
    /// The agent that runs.
    pub agent_id: Arc<str>,
}

/// A page of what an open run has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its events, in order. Empty when there is nothing new.
    pub frames: Frames,
    /// What has become of the run. Unless it is open, there are no frames: history tells the rest.
    pub phase: RunPhase,
}

/// What has become of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunPhase {
    /// It goes on.
    #[default]
    Open,
    /// It is over, and in the history.
    Sealed,
    /// It was discarded, or its thread deleted.
    Gone,
}

/// What stays of a run when it is over.
#[derive(Clone, Debug, Default)]
pub struct SealedRun {
    /// The run's events, shortened for replay.
    pub frames: Frames,
    /// How many events the run said.
    pub said: u64,
    /// Which of the said events each of the shortened ones is made of, encoded.
    pub cuts: Bytes,
    /// Every message id the run's events mention.
    pub message_ids: Vec<Box<str>>,
    /// Messages of the input that are new to the thread and stand in no event of the run.
    pub unsaid: Vec<Message>,
    /// The thread's shared state after the run; `None` when it has none.
    pub state: Option<Arc<Value>>,
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
    /// As [`SealedRun::cuts`].
    pub cuts: Bytes,
    /// As [`SealedRun::unsaid`].
    pub unsaid: Arc<[Message]>,
}

/// Some sealed runs of a thread.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The thread's messages at the point where the oldest kept run begins, if older runs were dropped.
    pub earlier: Option<Arc<crate::agui::MessageList>>,
    /// The runs, oldest first.
    pub runs: Vec<StoredRun>,
    /// Where the next page begins, if the runs asked for did not fit this one.
    pub next: Option<u64>,
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

/// The store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody took this process for dead and closed its run.
    #[error("the run was closed by another process, which found its lease expired")]
    LeaseLost,
    /// The text says what happened, and what an operator can do.
    #[error("{0}")]
    Failed(String),
}
