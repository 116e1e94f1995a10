//! What the platform remembers of users and projects (intelligence.md 3.3).

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Intelligence;
use super::error::PlatformError;
use super::key::JoinToken;
use super::memory_policy::MemoryGrant;
use super::rest::{Call, segment};

const USER_ID: HeaderName = HeaderName::from_static("x-cpki-user-id");
const GRANT: HeaderName = HeaderName::from_static("x-cpki-memory-grant");

/// Whose memories, and what they may be used for; without a grant, for everything the project may.
#[derive(Clone, Debug)]
pub(crate) struct MemoryUser<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) grant: Option<MemoryGrant>,
}

/// A memory to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewMemory {
    pub(crate) content: String,
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    pub(crate) source_thread_ids: Vec<String>,
}

/// What to look for in memories.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Recall {
    pub(crate) query: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
}

/// A browser's way to the news about memories. What the platform leaves out stays out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MemoryCredentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    join_token: Option<JoinToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_code: Option<JoinToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_join_token: Option<JoinToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_join_code: Option<JoinToken>,
}

/// Why there is no list of memories.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoMemories {
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// An answer without an array of memories.
    #[error("the Intelligence platform's answer holds no memories")]
    NotAList,
}

impl Intelligence {
    /// The memories, newest first, as the platform answers them.
    pub(crate) async fn list_memories(
        &self,
        user: &MemoryUser<'_>,
        include_invalidated: bool,
    ) -> Result<Bytes, NoMemories> {
        let query = if include_invalidated { "?includeInvalidated=true" } else { "" };
        list(user.named_in(self.rest().get(format!("/api/memories{query}")))?).await
    }

    pub(crate) async fn recall_memories(&self, user: &MemoryUser<'_>, recall: &Recall) -> Result<Bytes, NoMemories> {
        list(user.named_in(self.rest().post("/api/memories/recall"))?.body(recall)?).await
    }

    pub(crate) async fn create_memory(&self, user: &MemoryUser<'_>, new: &NewMemory) -> Result<Bytes, PlatformError> {
        user.named_in(self.rest().post("/api/memories"))?.body(new)?.json().await
    }

    /// Replaces a memory by another one, whose id is new.
    pub(crate) async fn update_memory(
        &self,
        user: &MemoryUser<'_>,
        id: &str,
        new: &NewMemory,
    ) -> Result<Bytes, PlatformError> {
        let call = self.rest().patch(format!("/api/memories/{}", segment(id)?));
        user.named_in(call)?.body(new)?.json().await
    }

    pub(crate) async fn remove_memory(&self, user: &MemoryUser<'_>, id: &str) -> Result<(), PlatformError> {
        let call = self.rest().delete(format!("/api/memories/{}", segment(id)?));
        user.named_in(call)?.send().await.map(drop)
    }

    pub(crate) async fn subscribe_memories(&self, user: &MemoryUser<'_>) -> Result<MemoryCredentials, PlatformError> {
        user.named_in(self.rest().post("/api/memories/subscribe"))?.answer("holds no join token").await
    }
}

impl MemoryUser<'_> {
    /// What tells the platform who it is.
    pub(super) fn headers(&self) -> Result<HeaderMap, PlatformError> {
        let unsendable = |_| PlatformError::Unaddressable(self.user_id.to_owned());
        let user_id = HeaderValue::from_str(self.user_id).map_err(unsendable)?;
        let mut headers = HeaderMap::from_iter([(USER_ID, user_id)]);
        headers.extend(self.grant.map(|grant| (GRANT, grant.header())));
        Ok(headers)
    }

    fn named_in<'r>(&self, call: Call<'r>) -> Result<Call<'r>, PlatformError> {
        Ok(call.headers(self.headers()?))
    }
}

async fn list(call: Call<'_>) -> Result<Bytes, NoMemories> {
    let answer = call.send().await?.ok_or(NoMemories::NotAList)?;
    let value: Value = serde_json::from_slice(&answer).map_err(|_| PlatformError::Malformed("is no JSON"))?;
    if value.get("memories").is_some_and(Value::is_array) { Ok(answer) } else { Err(NoMemories::NotAList) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::memory_policy::MemoryAccess;
    use super::super::platform::Platform;
    use super::*;

    const LIST: &str = r#"{"memories":[{"id":"m","score":1.0}]}"#;

    fn user(grant: Option<MemoryGrant>) -> MemoryUser<'static> {
        MemoryUser { user_id: "user-1", grant }
    }

    fn new_memory(scope: Option<&str>) -> NewMemory {
        let text = str::to_owned;
        NewMemory {
            content: text("likes blue"),
            kind: text("topical"),
            scope: scope.map(text),
            source_thread_ids: Vec::new(),
        }
    }

    #[tokio::test]
    async fn calls_name_the_user_and_the_grant() {
        let mut platform = Platform::answering([(200, LIST), (200, LIST)]).await;
        let intelligence = platform.intelligence();
        let grant = MemoryGrant::new(MemoryAccess::Read, MemoryAccess::None);
        assert_eq!(intelligence.list_memories(&user(Some(grant)), true).await.unwrap(), LIST);
        let asked = platform.asked().await;
        assert_eq!(asked.call, "GET /api/memories?includeInvalidated=true");
        let headers = [
            "authorization: Bearer cpk-secret",
            "content-type: application/json",
            r#"x-cpki-memory-grant: {"user":"read","project":"none"}"#,
            "x-cpki-user-id: user-1",
        ];
        assert_eq!(asked.headers, headers);
        let recall = Recall { query: "blue".to_owned(), limit: Some(3), scope: None };
        assert_eq!(intelligence.recall_memories(&user(None), &recall).await.unwrap(), LIST);
        let asked = platform.asked().await;
        assert_eq!(
            (asked.call.as_str(), asked.body),
            ("POST /api/memories/recall", json!({"query": "blue", "limit": 3}))
        );
        assert!(!asked.headers.iter().any(|header| header.starts_with("x-cpki-memory-grant")));
    }

    #[tokio::test]
    async fn memories_are_created_replaced_and_removed() {
        let memory = r#"{"id":"m2","retiredId":"m1"}"#;
        let mut platform = Platform::answering([(201, memory), (200, memory), (204, "")]).await;
        let (intelligence, user) = (platform.intelligence(), user(None));
        assert_eq!(intelligence.create_memory(&user, &new_memory(None)).await.unwrap(), memory);
        let asked = platform.asked().await;
        let body = json!({"content": "likes blue", "kind": "topical", "sourceThreadIds": []});
        assert_eq!((asked.call.as_str(), asked.body), ("POST /api/memories", body));
        assert_eq!(intelligence.update_memory(&user, "m/1", &new_memory(Some("user"))).await.unwrap(), memory);
        let asked = platform.asked().await;
        assert_eq!((asked.call.as_str(), &asked.body["scope"]), ("PATCH /api/memories/m%2F1", &json!("user")));
        intelligence.remove_memory(&user, "m/1").await.unwrap();
        assert_eq!(platform.asked().await.call, "DELETE /api/memories/m%2F1");
    }

    #[tokio::test]
    async fn answer_without_memories_is_no_list() {
        let script = [(200, "{}"), (200, r#"{"memories":{}}"#), (200, ""), (200, "null"), (200, "x"), (403, "")];
        let platform = Platform::answering(script).await;
        let (intelligence, user) = (platform.intelligence(), user(None));
        for _ in 0..4 {
            assert_eq!(intelligence.list_memories(&user, false).await, Err(NoMemories::NotAList));
        }
        let broken = intelligence.list_memories(&user, false).await;
        assert!(matches!(broken, Err(NoMemories::Platform(PlatformError::Malformed(_)))));
        let refused = intelligence.list_memories(&user, false).await;
        assert!(matches!(refused, Err(NoMemories::Platform(error)) if error.status() == Some(403)));
    }

    #[tokio::test]
    async fn credentials_hold_what_the_platform_gave() {
        let given = r#"{"joinToken":"secret-1","joinCode":"secret-2"}"#;
        let mut platform = Platform::answering([(200, given)]).await;
        let credentials = platform.intelligence().subscribe_memories(&user(None)).await.unwrap();
        assert_eq!(serde_json::to_string(&credentials).unwrap(), given);
        assert!(!format!("{credentials:?}").contains("secret"));
        let asked = platform.asked().await;
        assert_eq!((asked.call.as_str(), asked.body), ("POST /api/memories/subscribe", Value::Null));
    }
}
