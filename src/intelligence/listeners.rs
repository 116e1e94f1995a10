//! What an application hears of its threads on the platform.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use tracing::error;

/// A thread as the platform describes it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlatformThread {
    /// Its id, if the platform said one.
    pub id: Option<String>,
    /// The agent it belongs to.
    pub agent_id: Option<String>,
    /// What it is called, if it has a name.
    pub name: Option<String>,
    /// The whole description, as it came.
    pub json: Box<RawValue>,
}

impl PlatformThread {
    pub(super) fn of(json: Box<RawValue>) -> PlatformThread {
        let fields: Value = serde_json::from_str(json.get()).unwrap_or_default();
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        PlatformThread { id: text("id"), agent_id: text("agentId"), name: text("name"), json }
    }
}

/// A thread that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeletedThread {
    /// Its id.
    pub thread_id: String,
    /// Whose it was.
    pub user_id: String,
    /// The agent it belonged to.
    pub agent_id: String,
}

type Listener<T> = Arc<dyn Fn(&T) + Send + Sync>;

/// Who is told what becomes of threads through this process. What becomes of them elsewhere, nobody hears.
#[derive(Clone, Default)]
pub(super) struct Listeners {
    pub(super) created: Vec<Listener<PlatformThread>>,
    pub(super) updated: Vec<Listener<PlatformThread>>,
    pub(super) deleted: Vec<Listener<DeletedThread>>,
}

/// Tells all of them. A listener that panics has lost its own news, nothing else.
pub(super) fn tell<T>(listeners: &[Listener<T>], news: &T, what: &str) {
    for listener in listeners {
        if catch_unwind(AssertUnwindSafe(|| listener(news))).is_err() {
            error!("A listener for {what} threads panicked");
        }
    }
}
