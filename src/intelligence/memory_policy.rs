//! Who may use memories, and for what (intelligence.md 2.7).

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::request::Parts;
use tracing::error;

use super::Intelligence;
use super::callback::{CallbackError, outcome};

/// What a request may do with one kind of memories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryAccess {
    /// Nothing.
    #[default]
    None,
    /// List and recall them.
    Read,
    /// Create, replace and remove them too.
    ReadWrite,
}

/// What a request may do with memories. The default grants nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryGrant {
    /// With those of its user.
    pub user: MemoryAccess,
    /// With those of the whole project.
    pub project: MemoryAccess,
}

impl MemoryGrant {
    /// A grant for the memories of the user, and for those of the project.
    #[must_use]
    pub fn new(user: MemoryAccess, project: MemoryAccess) -> MemoryGrant {
        MemoryGrant { user, project }
    }

    pub(crate) fn allows_anything(self) -> bool {
        self != MemoryGrant::default()
    }

    /// The grant as the platform is told it.
    pub(super) fn header(self) -> HeaderValue {
        let MemoryGrant { user, project } = self;
        let json = format!(r#"{{"user":"{}","project":"{}"}}"#, user.word(), project.word());
        // Made of the words below, it can be sent.
        HeaderValue::try_from(json).unwrap_or_else(|_| HeaderValue::from_static("{}"))
    }
}

impl MemoryAccess {
    fn word(self) -> &'static str {
        match self {
            MemoryAccess::None => "none",
            MemoryAccess::Read => "read",
            MemoryAccess::ReadWrite => "read-write",
        }
    }
}

/// Who uses the memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryConsumer {
    /// The agent of a run, by the platform's MCP tools.
    Agent,
    /// The front end, by the memory routes.
    Client,
}

/// The request a grant is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MemoryRequest<'a> {
    /// Its head.
    pub head: &'a Parts,
    /// Who sends it.
    pub user_id: &'a str,
    /// For whom it asks.
    pub consumer: MemoryConsumer,
}

type Decide = dyn Fn(MemoryRequest<'_>) -> BoxFuture<'static, Result<MemoryGrant, CallbackError>> + Send + Sync;

/// The application's rule for memories.
#[derive(Clone)]
pub(super) struct MemoryPolicy(Arc<Decide>);

impl MemoryPolicy {
    pub(super) fn of<F, R>(decide: F) -> MemoryPolicy
    where
        F: Fn(MemoryRequest<'_>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<MemoryGrant, CallbackError>> + Send + 'static,
    {
        MemoryPolicy(Arc::new(move |request| Box::pin(decide(request))))
    }
}

/// The policy gave no grant; the reason is logged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Memory policy failed")]
pub(crate) struct MemoryPolicyFailed;

impl Intelligence {
    /// Whether there is a policy for memories, and so routes for them.
    pub(crate) fn has_memory_policy(&self) -> bool {
        self.shared.memory.is_some()
    }

    /// What a request may do with memories. Without a policy nothing is decided here, and the platform is told
    /// nothing.
    pub(crate) async fn memory_grant(
        &self,
        head: &Parts,
        user_id: &str,
        consumer: MemoryConsumer,
    ) -> Result<Option<MemoryGrant>, MemoryPolicyFailed> {
        let Some(MemoryPolicy(decide)) = &self.shared.memory else {
            return Ok(None);
        };
        let decided = outcome(|| decide(MemoryRequest { head, user_id, consumer })).await;
        decided.map(Some).map_err(|cause| {
            error!("The memory policy failed: {cause}");
            MemoryPolicyFailed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn decided(
        decide: fn() -> Result<MemoryGrant, CallbackError>,
    ) -> Result<Option<MemoryGrant>, MemoryPolicyFailed> {
        let builder = Intelligence::builder().api_key("k").memory(move |request| {
            assert_eq!((request.user_id, request.consumer), ("u", MemoryConsumer::Client));
            async move { decide() }
        });
        let (head, ()) = http::Request::new(()).into_parts();
        builder.build().unwrap().memory_grant(&head, "u", MemoryConsumer::Client).await
    }

    #[tokio::test]
    async fn policy_decides_for_each_request() {
        let read = MemoryGrant::new(MemoryAccess::Read, MemoryAccess::None);
        let granted = decided(|| Ok(MemoryGrant::new(MemoryAccess::Read, MemoryAccess::None))).await;
        assert_eq!(granted, Ok(Some(read)));
        assert_eq!(decided(|| Err("no directory".into())).await, Err(MemoryPolicyFailed));
        assert_eq!(decided(|| panic!("on purpose")).await, Err(MemoryPolicyFailed));
        assert!(read.allows_anything() && !MemoryGrant::default().allows_anything());
    }

    #[tokio::test]
    async fn without_a_policy_nothing_is_decided() {
        let (head, ()) = http::Request::new(()).into_parts();
        let intelligence = Intelligence::builder().api_key("k").build().unwrap();
        assert_eq!(intelligence.memory_grant(&head, "u", MemoryConsumer::Client).await, Ok(None));
        assert!(!intelligence.has_memory_policy());
    }

    #[test]
    fn grants_are_told_in_the_contracts_words() {
        let grant = MemoryGrant::new(MemoryAccess::ReadWrite, MemoryAccess::None);
        assert_eq!(grant.header(), r#"{"user":"read-write","project":"none"}"#);
    }
}
