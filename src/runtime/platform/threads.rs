//! What a caller may do with the threads the platform keeps (intelligence.md 2.6).

use bytes::Bytes;

use super::{Operation, PlatformFailure};
use crate::intelligence::{Intelligence, JoinToken, ListThreads, PlatformError, ThreadUpdate};
use crate::runtime::threads::{Listing, ThreadChange, ThreadsError};
use crate::runtime::users::is_identifier;

/// The threads of one caller, on the platform. It is told who asks with every call, and hides the threads of others.
pub(crate) struct PlatformThreads<'p> {
    pub(super) intelligence: &'p Intelligence,
    pub(super) user_id: &'p str,
}

impl PlatformThreads<'_> {
    pub(crate) async fn list(&self, listing: Listing) -> Result<Bytes, ThreadsError> {
        let Listing { agent_id, include_archived, limit, after, .. } = listing;
        let agent_id = agent_id.filter(|agent_id| is_identifier(agent_id)).ok_or(ThreadsError::ListNeedsAgent)?;
        let limit = limit.map(|limit| limit.to_string());
        let wanted = ListThreads { agent_id, include_archived, limit, cursor: after };
        self.intelligence.list_threads(self.user_id, &wanted).await.map_err(failed(Operation::List))
    }

    pub(crate) async fn change(&self, id: &str, agent_id: &str, change: ThreadChange) -> Result<Bytes, ThreadsError> {
        self.update(id, agent_id, change, Operation::Update).await
    }

    pub(crate) async fn archive(&self, id: &str, agent_id: &str) -> Result<(), ThreadsError> {
        let change = ThreadChange { archived: Some(true), ..ThreadChange::default() };
        self.update(id, agent_id, change, Operation::Archive).await.map(drop)
    }

    async fn update(
        &self,
        id: &str,
        agent_id: &str,
        change: ThreadChange,
        operation: Operation,
    ) -> Result<Bytes, ThreadsError> {
        check(agent_id)?;
        let name = change.name.map(|name| name.as_deref().into());
        let update = ThreadUpdate { name, archived: change.archived.map(Into::into) };
        let thread = self.intelligence.update_thread(self.user_id, agent_id, id, &update).await;
        Ok(thread.map_err(failed(operation))?.json.get().to_owned().into())
    }

    pub(crate) async fn delete(&self, id: &str, agent_id: &str) -> Result<(), ThreadsError> {
        check(agent_id)?;
        self.intelligence.delete_thread(self.user_id, agent_id, id).await.map_err(failed(Operation::Delete))
    }

    pub(crate) async fn messages(&self, id: &str) -> Result<Bytes, ThreadsError> {
        self.intelligence.thread_messages(self.user_id, id).await.map_err(failed(Operation::Messages))
    }

    /// As one JSON array. The platform does not ask whose thread it is, so this does (Node does not).
    pub(crate) async fn events(&self, id: &str) -> Result<String, ThreadsError> {
        self.check_owner(id, Operation::Events).await?;
        let events = self.intelligence.inspect_events(id).await.map_err(failed(Operation::Events))?;
        Ok(format!("{{\"events\":{}}}", events.get()))
    }

    /// `null` if there is none. As with events, whose thread it is is asked first.
    pub(crate) async fn state(&self, id: &str) -> Result<String, ThreadsError> {
        self.check_owner(id, Operation::State).await?;
        let state = self.intelligence.inspect_state(id).await.map_err(failed(Operation::State))?;
        Ok(format!("{{\"state\":{}}}", state.as_ref().map_or("null", |state| state.get())))
    }

    /// What opens the channel of the caller's thread list.
    pub(crate) async fn subscribe(&self) -> Result<JoinToken, ThreadsError> {
        self.intelligence.subscribe_threads(self.user_id).await.map_err(failed(Operation::Subscribe))
    }

    async fn check_owner(&self, id: &str, operation: Operation) -> Result<(), ThreadsError> {
        self.intelligence.get_thread(self.user_id, id).await.map(drop).map_err(failed(operation))
    }
}

fn check(agent_id: &str) -> Result<(), ThreadsError> {
    if is_identifier(agent_id) { Ok(()) } else { Err(ThreadsError::NoAgent) }
}

/// A thread that is not there is told from a platform that fails. Node answers both with 500.
fn failed(operation: Operation) -> impl Fn(PlatformError) -> ThreadsError {
    move |cause| match cause.status() {
        Some(404) => ThreadsError::NotFound,
        _ => ThreadsError::Platform(PlatformFailure::Threads { operation, cause }),
    }
}
