//! The platform's MCP tools for agents (intelligence.md 2.9): where they are, and who may have them.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use url::Url;

use super::memories::MemoryUser;
use super::memory_policy::{MemoryConsumer, MemoryPolicyFailed};
use super::{Intelligence, PlatformError};

/// Why it is not known whether the agent of a run has tools.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTools {
    #[error(transparent)]
    Policy(#[from] MemoryPolicyFailed),
    #[error(transparent)]
    User(#[from] PlatformError),
}

impl Intelligence {
    /// Where the tools are.
    pub(crate) fn mcp_url(&self) -> &Url {
        &self.shared.urls.mcp
    }

    /// With what the agent of a user's run asks for tools; `None` if it has none. A grant of nothing refuses nobody.
    pub(crate) async fn tool_headers(&self, head: &Parts, user_id: &str) -> Result<Option<HeaderMap>, NoTools> {
        let learns = self.options().enterprise_learning;
        if !learns && !self.has_memory_policy() {
            return Ok(None);
        }
        let grant = self.memory_grant(head, user_id, MemoryConsumer::Agent).await?;
        if !learns && !grant.is_some_and(|grant| grant.allows_anything()) {
            return Ok(None);
        }
        let mut headers = MemoryUser { user_id, grant }.headers()?;
        headers.insert(AUTHORIZATION, self.rest().authorization().clone());
        Ok(Some(headers))
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::super::{IntelligenceBuilder, MemoryAccess, MemoryGrant};
    use super::*;

    async fn told(set: impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder) -> Option<Vec<(String, String)>> {
        let intelligence = set(Intelligence::builder().api_key("cpk-secret")).build().unwrap();
        let (head, ()) = http::Request::new(()).into_parts();
        let headers = intelligence.tool_headers(&head, "user-1").await.unwrap()?;
        let mut told: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        told.sort();
        Some(told)
    }

    fn policy(user: MemoryAccess) -> impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder {
        move |builder| {
            builder.memory(move |request| {
                assert_eq!((request.user_id, request.consumer), ("user-1", MemoryConsumer::Agent));
                ready(Ok(MemoryGrant::new(user, MemoryAccess::None)))
            })
        }
    }

    fn expected(grant: Option<&str>) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut expected = vec![pair("authorization", "Bearer cpk-secret")];
        expected.extend(grant.map(|grant| pair("x-cpki-memory-grant", grant)));
        expected.push(pair("x-cpki-user-id", "user-1"));
        expected
    }

    #[tokio::test]
    async fn tools_are_asked_for_with_the_key_the_user_and_the_grant() {
        let read = r#"{"user":"read","project":"none"}"#;
        assert_eq!(told(policy(MemoryAccess::Read)).await, Some(expected(Some(read))));
        assert_eq!(told(|builder| builder.enterprise_learning(true)).await, Some(expected(None)));
        let nothing = r#"{"user":"none","project":"none"}"#;
        let learning = |builder: IntelligenceBuilder| policy(MemoryAccess::None)(builder).enterprise_learning(true);
        assert_eq!(told(learning).await, Some(expected(Some(nothing))));
    }

    #[tokio::test]
    async fn without_a_grant_or_learning_there_are_no_tools() {
        assert_eq!(told(|builder| builder).await, None);
        assert_eq!(told(policy(MemoryAccess::None)).await, None);
    }

    #[tokio::test]
    async fn a_policy_that_fails_is_no_answer() {
        let builder = Intelligence::builder().api_key("k").memory(|_| ready(Err("no directory".into())));
        let (head, ()) = http::Request::new(()).into_parts();
        let failed = builder.build().unwrap().tool_headers(&head, "u").await;
        assert!(matches!(failed, Err(NoTools::Policy(MemoryPolicyFailed))), "{failed:?}");
    }
}
