//! What a caller may do with the threads the runtime keeps: list, read, rename, archive, delete
//! (rest-sse.md chapter 9; the shapes are those of intelligence.md 2.6 and 3.1).

mod reading;
mod record;

use std::sync::Arc;

use super::{Caller, CopilotRuntime};
use crate::runner::{AgentRunner, RunnerError, StoreError, ThreadCursor, ThreadPatch, ThreadQuery, ThreadStore};

pub(crate) use record::{ThreadPage, ThreadRecord};

/// The runner keeps no threads; the routes answer 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the runner keeps no threads")]
pub(crate) struct ThreadsUnsupported;

/// Why nothing came of a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThreadsError {
    /// There is no such thread among the caller's.
    #[error("there is no such thread")]
    NotFound,
    #[error(transparent)]
    Failed(#[from] RunnerError),
}

impl From<StoreError> for ThreadsError {
    fn from(failure: StoreError) -> ThreadsError {
        ThreadsError::Failed(failure.into())
    }
}

/// The threads of one caller. Whoever holds this can reach no others.
pub(crate) struct Threads<'r> {
    caller: &'r Caller,
    store: &'r dyn ThreadStore,
    runner: &'r dyn AgentRunner,
}

/// Which of the caller's threads to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Those whose last run was this agent's.
    pub(crate) agent_id: Option<String>,
    /// Archived ones too.
    pub(crate) include_archived: bool,
    /// Those that hold the words of this text.
    pub(crate) matching: Option<String>,
    /// How many at most.
    pub(crate) limit: usize,
    /// Those behind this place.
    pub(crate) after: Option<ThreadCursor>,
}

/// What to change of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadChange {
    /// Its new name; `Some(None)` takes the name away.
    pub(crate) name: Option<Option<Arc<str>>>,
    /// Whether it is archived.
    pub(crate) archived: Option<bool>,
}

impl CopilotRuntime {
    /// The caller's threads, if the runner keeps any.
    pub(crate) fn threads<'r>(&'r self, caller: &'r Caller) -> Result<Threads<'r>, ThreadsUnsupported> {
        let runner = &*self.shared.runner;
        let store = runner.threads().ok_or(ThreadsUnsupported)?;
        Ok(Threads { caller, store, runner })
    }
}

impl Threads<'_> {
    /// A page of threads, newest activity first.
    pub(crate) async fn list(&self, listing: Listing) -> Result<ThreadPage, ThreadsError> {
        let Listing { agent_id, include_archived, matching, limit, after } = listing;
        let agent_id = agent_id.map(Arc::from);
        let of_caller = ThreadQuery::of(self.caller.owner().clone());
        let query = ThreadQuery { agent_id, include_archived, matching, limit, after, ..of_caller };
        Ok(self.store.list(query).await?.into())
    }

    /// Renames, archives or restores a thread.
    pub(crate) async fn change(&self, id: &str, change: ThreadChange) -> Result<ThreadRecord, ThreadsError> {
        let patch = ThreadPatch { name: change.name, archived: change.archived, ..ThreadPatch::default() };
        let entry = self.store.update(&self.caller.thread(id), patch).await?;
        entry.map(ThreadRecord::from).ok_or(ThreadsError::NotFound)
    }

    /// Ends what runs on a thread or waits for it, and forgets all of it.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), ThreadsError> {
        let found = self.runner.delete_thread(&self.caller.thread(id)).await?;
        if found { Ok(()) } else { Err(ThreadsError::NotFound) }
    }

    /// The same, of every thread of the caller.
    pub(crate) async fn clear(&self) -> Result<(), ThreadsError> {
        Ok(self.runner.clear_threads(self.caller.owner()).await?)
    }
}
