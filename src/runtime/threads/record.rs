//! A thread as clients see it (intelligence.md 3.1).

use std::sync::Arc;

use serde::Serialize;

use crate::runner::{ThreadEntry, ThreadList};

/// A page of threads, newest activity first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThreadPage {
    threads: Vec<ThreadRecord>,
    next_cursor: Option<String>,
}

/// A thread. Clients sort lists by `updatedAt`, as text: it is the time of the last activity, by which the store
/// sorts and pages too, and a new name does not change it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThreadRecord {
    id: Arc<str>,
    name: Option<Arc<str>>,
    agent_id: Arc<str>,
    organization_id: &'static str,
    created_by_id: String,
    archived: bool,
    created_at: String,
    updated_at: String,
}

impl From<ThreadList> for ThreadPage {
    fn from(list: ThreadList) -> ThreadPage {
        ThreadPage {
            threads: list.threads.into_iter().map(ThreadRecord::from).collect(),
            next_cursor: list.next.map(|next| next.to_string()),
        }
    }
}

impl From<ThreadEntry> for ThreadRecord {
    fn from(entry: ThreadEntry) -> ThreadRecord {
        ThreadRecord {
            created_by_id: entry.key.owner.to_string(),
            id: entry.key.id,
            name: entry.name,
            agent_id: entry.agent_id,
            organization_id: "",
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
