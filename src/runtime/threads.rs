//! What the runtime tells about threads it keeps itself (rest-sse.md chapter 9).

use serde::Serialize;
use serde_json::Value;

use super::CopilotRuntime;
use crate::agui::{Event, Frames, MessageList};
use crate::runner::{History, Owner, RunnerError, ThreadEntry, ThreadKey, ThreadQuery, ThreadStore};

/// The runner keeps no threads; the routes answer 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the runner keeps no threads")]
pub(crate) struct ThreadsUnsupported;

/// Why a question about threads has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ThreadsError {
    #[error(transparent)]
    Unsupported(#[from] ThreadsUnsupported),
    #[error(transparent)]
    Failed(#[from] RunnerError),
}

/// A page of threads, newest first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThreadPage {
    threads: Vec<ThreadRecord>,
    next_cursor: Option<String>,
}

/// A thread as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadRecord {
    id: String,
    name: Option<String>,
    agent_id: String,
    organization_id: String,
    created_by_id: String,
    archived: bool,
    created_at: String,
    updated_at: String,
}

impl CopilotRuntime {
    fn store(&self) -> Result<&dyn ThreadStore, ThreadsUnsupported> {
        self.shared.runner.threads().ok_or(ThreadsUnsupported)
    }

    async fn history(&self, thread: &ThreadKey) -> Result<History, ThreadsError> {
        let store = self.store()?;
        let mut whole = History::default();
        let mut from = Some(0);
        while let Some(start) = from {
            let page = store.history(thread, start, None).await.map_err(RunnerError::from)?;
            whole.earlier = page.earlier;
            whole.runs.extend(page.runs);
            from = page.next;
        }
        Ok(whole)
    }

    /// The threads whose last run was this agent's, or all.
    pub(crate) async fn list_threads(&self, agent_id: Option<&str>) -> Result<ThreadPage, ThreadsError> {
        let query = ThreadQuery { agent_id: agent_id.map(Into::into), ..ThreadQuery::of(Owner::anonymous()) };
        let list = self.store()?.list(query).await.map_err(RunnerError::from)?;
        Ok(ThreadPage { threads: list.threads.into_iter().map(ThreadRecord::from).collect(), next_cursor: None })
    }

    /// The thread's messages, merged over all its runs (upstream shows the last run's list alone:
    /// chapter 14, row 19).
    pub(crate) async fn thread_messages(&self, thread_id: &str) -> Result<String, ThreadsError> {
        let history = self.history(&thread_id.into()).await?;
        let mut messages = history.earlier.as_deref().cloned().unwrap_or_default();
        for run in &history.runs {
            messages.add_input(run.unsaid.iter());
            apply(&mut messages, &run.frames);
        }
        Ok(format!("{{\"messages\":{}}}", messages.to_rest()))
    }

    /// The thread's events, shortened, as one JSON array.
    pub(crate) async fn thread_events(&self, thread_id: &str) -> Result<String, ThreadsError> {
        let history = self.history(&thread_id.into()).await?;
        let mut body = String::from("{\"events\":[");
        for json in history.runs.iter().flat_map(|run| run.frames.events()) {
            if !body.ends_with('[') {
                body.push(',');
            }
            body.push_str(std::str::from_utf8(&json).unwrap_or("null"));
        }
        body.push_str("]}");
        Ok(body)
    }

    /// The thread's shared state, folded over all its runs; `null` unless it is an object.
    pub(crate) async fn thread_state(&self, thread_id: &str) -> Result<Value, ThreadsError> {
        let state = self.store()?.state(&thread_id.into()).await.map_err(RunnerError::from)?;
        Ok(serde_json::json!({ "state": state.as_deref().filter(|state| state.is_object()) }))
    }

    /// Forgets every thread, where there is something to forget.
    pub(crate) async fn clear_threads(&self) -> Result<(), RunnerError> {
        match self.store() {
            Ok(store) => Ok(store.clear(&Owner::anonymous()).await?),
            Err(ThreadsUnsupported) => Ok(()),
        }
    }
}

fn apply(messages: &mut MessageList, frames: &Frames) {
    frames.events().filter_map(|json| Event::parse(json).ok()).for_each(|event| messages.apply(&event));
}

impl From<ThreadEntry> for ThreadRecord {
    fn from(entry: ThreadEntry) -> ThreadRecord {
        ThreadRecord {
            id: entry.key.id.to_string(),
            name: entry.name.map(|name| name.to_string()),
            agent_id: entry.agent_id.to_string(),
            organization_id: String::new(),
            created_by_id: entry.key.owner.as_str().to_owned(),
            archived: entry.archived,
            created_at: iso(entry.created_at),
            updated_at: iso(entry.updated_at),
        }
    }
}

/// Milliseconds since 1970 as ISO 8601 in UTC, with milliseconds.
fn iso(millis: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
