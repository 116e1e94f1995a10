//! The threads this runtime keeps, in the store of its runner.

use super::record::{ThreadPage, ThreadRecord};
use super::{Listing, ThreadChange, ThreadsError, ThreadsUnsupported};
use crate::runner::{AgentRunner, ThreadPatch, ThreadQuery, ThreadStore};
use crate::runtime::Caller;

/// How many threads a page has at most, and where the client names no limit: as many as the reference runtime ever
/// has, so that a client that knows no pages sees as many as there.
const PAGE: usize = 1000;

/// The threads of one caller.
pub(crate) struct LocalThreads<'r> {
    pub(super) caller: &'r Caller,
    pub(super) store: &'r dyn ThreadStore,
    runner: &'r dyn AgentRunner,
}

impl<'r> LocalThreads<'r> {
    pub(super) fn of(caller: &'r Caller, runner: &'r dyn AgentRunner) -> Result<LocalThreads<'r>, ThreadsUnsupported> {
        let store = runner.threads().ok_or(ThreadsUnsupported)?;
        Ok(LocalThreads { caller, store, runner })
    }

    pub(super) async fn list(&self, listing: Listing) -> Result<ThreadPage, ThreadsError> {
        let Listing { agent_id, include_archived, matching, limit, after } = listing;
        let limit = limit.unwrap_or(PAGE).min(PAGE);
        let after = after.map(|after| after.parse()).transpose()?;
        let agent_id = agent_id.map(Into::into);
        let of_caller = ThreadQuery::of(self.caller.owner().clone());
        let query = ThreadQuery { agent_id, include_archived, matching, limit, after, ..of_caller };
        Ok(self.store.list(query).await?.into())
    }

    pub(super) async fn change(&self, id: &str, change: ThreadChange) -> Result<ThreadRecord, ThreadsError> {
        let patch = ThreadPatch { name: change.name, archived: change.archived, ..ThreadPatch::default() };
        let entry = self.store.update(&self.caller.thread(id), patch).await?;
        entry.map(ThreadRecord::from).ok_or(ThreadsError::NotFound)
    }

    pub(super) async fn delete(&self, id: &str) -> Result<(), ThreadsError> {
        let found = self.runner.delete_thread(&self.caller.thread(id)).await?;
        if found { Ok(()) } else { Err(ThreadsError::NotFound) }
    }

    pub(super) async fn clear(&self) -> Result<(), ThreadsError> {
        Ok(self.runner.clear_threads(self.caller.owner()).await?)
    }
}
