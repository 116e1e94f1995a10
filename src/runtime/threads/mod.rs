//! What a caller may do with the threads the runtime keeps: list, read, rename, archive, delete
//! (rest-sse.md chapter 9; the shapes are those of intelligence.md 2.6 and 3.1).

mod local;
mod reading;
mod record;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::platform::{PlatformFailure, PlatformThreads};
use super::{Caller, CopilotRuntime, Mode};
use crate::intelligence::JoinToken;
use crate::runner::{InvalidCursor, RunnerError, StoreError};
use local::LocalThreads;

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
    /// The platform lists the threads of one agent.
    #[error("the list names no agent, or one that cannot be")]
    ListNeedsAgent,
    /// The platform changes threads of one agent.
    #[error("the change names no agent that can be")]
    NoAgent,
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    #[error(transparent)]
    Unsupported(#[from] ThreadsUnsupported),
    #[error(transparent)]
    Failed(#[from] RunnerError),
    #[error(transparent)]
    Platform(#[from] PlatformFailure),
}

impl From<StoreError> for ThreadsError {
    fn from(failure: StoreError) -> ThreadsError {
        ThreadsError::Failed(failure.into())
    }
}

/// The threads of one caller. Whoever holds this can reach no others.
pub(crate) enum Threads<'r> {
    Local(LocalThreads<'r>),
    Platform(PlatformThreads<'r>),
}

/// Which of the caller's threads to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Those of this agent: whose last run was its own, or which the platform calls its own.
    pub(crate) agent_id: Option<String>,
    /// Archived ones too.
    pub(crate) include_archived: bool,
    /// Those that hold the words of this text. The platform knows no such search.
    pub(crate) matching: Option<String>,
    /// How many at most.
    pub(crate) limit: Option<usize>,
    /// Those behind this place: the `nextCursor` of an earlier page.
    pub(crate) after: Option<String>,
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
    /// The caller's threads, if any are kept.
    pub(crate) fn threads<'r>(&'r self, caller: &'r Caller) -> Result<Threads<'r>, ThreadsUnsupported> {
        match &self.shared.mode {
            Mode::Local(local) => LocalThreads::of(caller, &*local.runner).map(Threads::Local),
            Mode::Platform(platform) => Ok(Threads::Platform(platform.threads(caller))),
        }
    }
}

/// Answers are JSON, as clients get it.
impl Threads<'_> {
    /// A page of threads, newest activity first.
    pub(crate) async fn list(&self, listing: Listing) -> Result<Bytes, ThreadsError> {
        match self {
            Threads::Local(threads) => json(&threads.list(listing).await?),
            Threads::Platform(threads) => threads.list(listing).await,
        }
    }

    /// Renames, archives or restores a thread.
    pub(crate) async fn change(&self, id: &str, agent_id: &str, change: ThreadChange) -> Result<Bytes, ThreadsError> {
        match self {
            Threads::Local(threads) => json(&threads.change(id, change).await?),
            Threads::Platform(threads) => threads.change(id, agent_id, change).await,
        }
    }

    pub(crate) async fn archive(&self, id: &str, agent_id: &str) -> Result<(), ThreadsError> {
        match self {
            Threads::Local(threads) => {
                let change = ThreadChange { archived: Some(true), ..ThreadChange::default() };
                threads.change(id, change).await.map(drop)
            }
            Threads::Platform(threads) => threads.archive(id, agent_id).await,
        }
    }

    /// Ends what runs on a thread or waits for it, and forgets all of it.
    pub(crate) async fn delete(&self, id: &str, agent_id: &str) -> Result<(), ThreadsError> {
        match self {
            Threads::Local(threads) => threads.delete(id).await,
            Threads::Platform(threads) => threads.delete(id, agent_id).await,
        }
    }

    /// Forgets every thread of the caller. The platform has no such call, and keeps them.
    pub(crate) async fn clear(&self) -> Result<(), ThreadsError> {
        match self {
            Threads::Local(threads) => threads.clear().await,
            Threads::Platform(_) => Ok(()),
        }
    }

    /// The thread's messages, over all its runs.
    pub(crate) async fn messages(&self, id: &str) -> Result<Bytes, ThreadsError> {
        match self {
            Threads::Local(threads) => Ok(threads.messages(id).await?.into()),
            Threads::Platform(threads) => threads.messages(id).await,
        }
    }

    /// The thread's events, over all its runs.
    pub(crate) async fn events(&self, id: &str) -> Result<Bytes, ThreadsError> {
        match self {
            Threads::Local(threads) => Ok(threads.events(id).await?.into()),
            Threads::Platform(threads) => Ok(threads.events(id).await?.into()),
        }
    }

    /// The thread's shared state.
    pub(crate) async fn state(&self, id: &str) -> Result<Bytes, ThreadsError> {
        match self {
            Threads::Local(threads) => json(&threads.state(id).await?),
            Threads::Platform(threads) => Ok(threads.state(id).await?.into()),
        }
    }

    /// What opens the channel on which the list of threads changes. There is one on the platform alone.
    pub(crate) async fn subscribe(&self) -> Result<JoinToken, ThreadsError> {
        match self {
            Threads::Local(_) => Err(ThreadsUnsupported.into()),
            Threads::Platform(threads) => threads.subscribe().await,
        }
    }
}

fn json(answer: &impl Serialize) -> Result<Bytes, ThreadsError> {
    let json = serde_json::to_vec(answer).map_err(|failure| RunnerError(failure.to_string()))?;
    Ok(json.into())
}
