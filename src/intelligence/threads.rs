//! Threads on the platform (intelligence.md 3.1). Who the user is, the caller has found out: what a browser says
//! about that never gets here.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Intelligence;
use super::error::PlatformError;
use super::key::JoinToken;
use super::listeners::{DeletedThread, PlatformThread, tell};
use super::rest::{query, segment};

/// Which threads to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListThreads {
    pub(crate) agent_id: String,
    pub(crate) include_archived: bool,
    pub(crate) limit: Option<String>,
    pub(crate) cursor: Option<String>,
}

/// A thread to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewThread {
    pub(crate) thread_id: String,
    pub(crate) agent_id: String,
    pub(crate) name: Option<String>,
    pub(crate) learning_container_id: Option<String>,
}

/// What changes of a thread. The platform judges the values.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ThreadUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) archived: Option<Value>,
}

/// A browser's way to what was said on a thread.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connected {
    pub(crate) thread_id: String,
    pub(crate) join_token: JoinToken,
}

#[derive(Deserialize)]
struct Wrapped {
    thread: Box<RawValue>,
}

const NO_THREAD: &str = "holds no thread";

impl Intelligence {
    /// A page of the user's threads, as the platform answers it.
    pub(crate) async fn list_threads(&self, user_id: &str, list: &ListThreads) -> Result<Bytes, PlatformError> {
        let query = query([
            ("userId", Some(user_id)),
            ("agentId", Some(&list.agent_id)),
            ("includeArchived", list.include_archived.then_some("true")),
            ("limit", list.limit.as_deref()),
            ("cursor", list.cursor.as_deref()),
        ]);
        self.rest().get(format!("/api/threads?{query}")).json().await
    }

    /// The user's thread. Of somebody else's the platform says 404, as of one that is not there.
    pub(crate) async fn get_thread(&self, user_id: &str, thread_id: &str) -> Result<PlatformThread, PlatformError> {
        #[derive(Deserialize)]
        struct MaybeWrapped {
            #[serde(default)]
            thread: Option<Box<RawValue>>,
        }
        let path = format!("/api/threads/{}?{}", segment(thread_id)?, query([("userId", Some(user_id))]));
        let answer: MaybeWrapped = self.rest().get(path).answer(NO_THREAD).await?;
        // Without its fields it is the caller's to judge.
        Ok(PlatformThread::of(answer.thread.unwrap_or_else(|| RawValue::NULL.to_owned())))
    }

    pub(crate) async fn create_thread(&self, user_id: &str, new: &NewThread) -> Result<PlatformThread, PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Create<'a> {
            thread_id: &'a str,
            user_id: &'a str,
            agent_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            learning_container_id: Option<&'a str>,
        }
        let body = Create {
            thread_id: &new.thread_id,
            user_id,
            agent_id: &new.agent_id,
            name: new.name.as_deref(),
            learning_container_id: new.learning_container_id.as_deref(),
        };
        let answer: Wrapped = self.rest().post("/api/threads").body(&body)?.answer(NO_THREAD).await?;
        let thread = PlatformThread::of(answer.thread);
        tell(&self.shared.listeners.created, &thread, "created");
        Ok(thread)
    }

    /// Changes the user's thread; listeners hear of it.
    pub(crate) async fn update_thread(
        &self,
        user_id: &str,
        agent_id: &str,
        thread_id: &str,
        update: &ThreadUpdate,
    ) -> Result<PlatformThread, PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Update<'a> {
            user_id: &'a str,
            agent_id: &'a str,
            #[serde(flatten)]
            update: &'a ThreadUpdate,
        }
        let call = self.rest().patch(format!("/api/threads/{}", segment(thread_id)?));
        let answer: Wrapped = call.body(&Update { user_id, agent_id, update })?.answer(NO_THREAD).await?;
        let thread = PlatformThread::of(answer.thread);
        tell(&self.shared.listeners.updated, &thread, "updated");
        Ok(thread)
    }

    /// Deletes the user's thread for good; listeners hear of it.
    pub(crate) async fn delete_thread(
        &self,
        user_id: &str,
        agent_id: &str,
        thread_id: &str,
    ) -> Result<(), PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Delete<'a> {
            user_id: &'a str,
            agent_id: &'a str,
            reason: &'a str,
        }
        let reason = format!("Deleted via CopilotKit runtime (userId={user_id}, agentId={agent_id})");
        let call = self.rest().delete(format!("/api/threads/{}", segment(thread_id)?));
        call.body(&Delete { user_id, agent_id, reason: &reason })?.send().await?;
        let deleted = DeletedThread {
            thread_id: thread_id.to_owned(),
            user_id: user_id.to_owned(),
            agent_id: agent_id.to_owned(),
        };
        tell(&self.shared.listeners.deleted, &deleted, "deleted");
        Ok(())
    }

    /// Everything that was said on the user's thread, as the platform answers it; see [`message_ids`].
    pub(crate) async fn thread_messages(&self, user_id: &str, thread_id: &str) -> Result<Bytes, PlatformError> {
        let query = query([("userId", Some(user_id))]);
        self.rest().get(format!("/api/threads/{}/messages?{query}", segment(thread_id)?)).json().await
    }

    /// A token for the news about the user's threads.
    pub(crate) async fn subscribe_threads(&self, user_id: &str) -> Result<JoinToken, PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Subscribe<'a> {
            user_id: &'a str,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Subscribed {
            join_token: JoinToken,
        }
        let call = self.rest().post("/api/threads/subscribe").body(&Subscribe { user_id })?;
        Ok(call.answer::<Subscribed>("holds no joinToken").await?.join_token)
    }

    /// How a browser gets to what was said on the user's thread; nothing if there is no such thread.
    pub(crate) async fn connect_thread(
        &self,
        user_id: &str,
        agent_id: &str,
        thread_id: &str,
    ) -> Result<Option<Connected>, PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Connect<'a> {
            user_id: &'a str,
            agent_id: &'a str,
        }
        let call = self.rest().post(format!("/api/threads/{}/connect", segment(thread_id)?));
        let Some(answer) = call.body(&Connect { user_id, agent_id })?.send().await? else {
            return Ok(None);
        };
        // `null` is upstream's "no value" too.
        let otherwise = |_| PlatformError::Malformed("holds no threadId or no joinToken");
        serde_json::from_slice::<Option<Connected>>(&answer).map_err(otherwise)
    }

    /// The events of a thread, whoever it belongs to: that, the caller has to have checked.
    pub(crate) async fn inspect_events(&self, thread_id: &str) -> Result<Box<RawValue>, PlatformError> {
        #[derive(Deserialize)]
        struct Inspected {
            events: Box<RawValue>,
        }
        let path = format!("/api/_inspect/threads/{}/events", segment(thread_id)?);
        Ok(self.rest().get(path).answer::<Inspected>("holds no events").await?.events)
    }

    /// The state of a thread, if it has one, whoever it belongs to: that, the caller has to have checked.
    pub(crate) async fn inspect_state(&self, thread_id: &str) -> Result<Option<Box<RawValue>>, PlatformError> {
        #[derive(Deserialize)]
        struct Inspected {
            kind: String,
            #[serde(default)]
            state: Option<Box<RawValue>>,
        }
        let path = format!("/api/_inspect/threads/{}/state", segment(thread_id)?);
        let answer: Inspected = self.rest().get(path).answer("is no state").await?;
        Ok(answer.state.filter(|_| answer.kind == "snapshot"))
    }
}

/// The ids in an answer of [`Intelligence::thread_messages`].
pub(crate) fn message_ids(messages: &[u8]) -> Result<HashSet<String>, PlatformError> {
    #[derive(Deserialize)]
    struct Messages {
        messages: Vec<Value>,
    }
    let answer: Messages =
        serde_json::from_slice(messages).map_err(|_| PlatformError::Malformed("holds no messages"))?;
    let id = |message: &Value| message.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(answer.messages.iter().filter_map(id).collect())
}

#[cfg(test)]
mod tests;
