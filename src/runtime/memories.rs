//! What a caller may do with memories, which the Intelligence platform keeps (intelligence.md 2.7).

use bytes::Bytes;
use http::request::Parts;

use super::{Caller, CopilotRuntime};
use crate::intelligence::{
    Intelligence, MemoryConsumer, MemoryCredentials, MemoryPolicyFailed, MemoryUser, NewMemory, NoMemories,
    PlatformError, Recall,
};

/// The memories of a caller. Each call asks the policy anew what the caller may do.
#[derive(Clone, Copy)]
pub(crate) struct Memories<'r> {
    intelligence: &'r Intelligence,
    user_id: &'r str,
    head: &'r Parts,
}

/// Why a caller's memories are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoriesError {
    /// The policy grants nothing.
    #[error("Memory access denied")]
    Denied,
    #[error(transparent)]
    Policy(#[from] MemoryPolicyFailed),
    /// The platform answered a list with something else.
    #[error("the platform's answer holds no memories")]
    NotAList,
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl CopilotRuntime {
    /// The caller's memories; none where no platform keeps them.
    pub(crate) fn memories<'r>(&'r self, caller: &'r Caller, head: &'r Parts) -> Option<Memories<'r>> {
        Some(Memories { intelligence: self.intelligence()?, user_id: caller.user_id(), head })
    }

    /// Whether there are routes for memories at all; otherwise they look as if they did not exist.
    pub(crate) fn memory_routes_exposed(&self) -> bool {
        self.shared.options.expose_memory_routes || self.intelligence().is_some_and(Intelligence::has_memory_policy)
    }
}

impl Memories<'_> {
    pub(crate) async fn list(self, include_invalidated: bool) -> Result<Bytes, MemoriesError> {
        Ok(self.intelligence.list_memories(&self.granted().await?, include_invalidated).await?)
    }

    pub(crate) async fn recall(self, recall: &Recall) -> Result<Bytes, MemoriesError> {
        Ok(self.intelligence.recall_memories(&self.granted().await?, recall).await?)
    }

    pub(crate) async fn create(self, new: &NewMemory) -> Result<Bytes, MemoriesError> {
        Ok(self.intelligence.create_memory(&self.granted().await?, new).await?)
    }

    /// Replaces a memory by another one, whose id is new.
    pub(crate) async fn update(self, id: &str, new: &NewMemory) -> Result<Bytes, MemoriesError> {
        Ok(self.intelligence.update_memory(&self.granted().await?, id, new).await?)
    }

    pub(crate) async fn remove(self, id: &str) -> Result<(), MemoriesError> {
        Ok(self.intelligence.remove_memory(&self.granted().await?, id).await?)
    }

    /// A way to the news about them.
    pub(crate) async fn subscribe(self) -> Result<MemoryCredentials, MemoriesError> {
        Ok(self.intelligence.subscribe_memories(&self.granted().await?).await?)
    }

    async fn granted(&self) -> Result<MemoryUser<'_>, MemoriesError> {
        let grant = self.intelligence.memory_grant(self.head, self.user_id, MemoryConsumer::Client).await?;
        if grant.is_some_and(|grant| !grant.allows_anything()) {
            return Err(MemoriesError::Denied);
        }
        Ok(MemoryUser { user_id: self.user_id, grant })
    }
}

impl From<NoMemories> for MemoriesError {
    fn from(none: NoMemories) -> MemoriesError {
        match none {
            NoMemories::Platform(error) => MemoriesError::Platform(error),
            NoMemories::NotAList => MemoriesError::NotAList,
        }
    }
}
