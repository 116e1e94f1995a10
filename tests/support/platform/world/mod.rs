//! What the platform knows: no sockets, and no clock but the one it is told. A copy is a trial: what a call would do
//! can be seen without having done it.

mod annotate;
mod answers;
mod feed;
mod ingest;
mod inspect;
mod lock;
mod memories;
mod messages;
#[cfg(test)]
mod tests;
mod threads;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::feed::Feed;
pub(crate) use self::tokens::{Policy, Topic};

use self::ingest::Run;
use self::lock::Lock;
use self::memories::Memory;
use self::threads::Thread;
use self::tokens::Tokens;

/// Whose threads these are.
pub(crate) const ORGANIZATION: &str = "org-demo";
pub(crate) const PROJECT: &str = "project-demo";

/// The moment something happens.
#[derive(Clone, Debug)]
pub(crate) struct Now {
    /// ISO 8601, with milliseconds.
    pub(crate) wall: String,
    pub(crate) at: Instant,
}

impl Now {
    pub(crate) fn read() -> Now {
        let wall = jiff::Timestamp::now();
        Now { wall: format!("{wall:.3}"), at: Instant::now() }
    }
}

/// Something for whoever has joined a topic.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) topic: String,
    pub(crate) event: &'static str,
    pub(crate) payload: Value,
}

/// Everything that is known.
#[derive(Clone, Debug)]
pub(crate) struct World {
    threads: IndexMap<String, Thread>,
    locks: BTreeMap<String, Lock>,
    runs: BTreeMap<String, Run>,
    /// The ids of all events stored.
    event_ids: BTreeSet<String>,
    tokens: Tokens,
    memories: IndexMap<String, Memory>,
    annotations: IndexMap<String, Value>,
    notices: Vec<Notice>,
    /// Broken promises of the runtime.
    violations: Vec<String>,
}

impl World {
    pub(crate) fn new(policy: Policy) -> World {
        World {
            threads: IndexMap::new(),
            locks: BTreeMap::new(),
            runs: BTreeMap::new(),
            event_ids: BTreeSet::new(),
            tokens: Tokens::new(policy),
            memories: IndexMap::new(),
            annotations: IndexMap::new(),
            notices: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Notices from a place on, which is how many there were then.
    pub(crate) fn notices(&self, from: usize) -> &[Notice] {
        self.notices.get(from..).unwrap_or_default()
    }

    pub(crate) fn notice_count(&self) -> usize {
        self.notices.len()
    }

    fn tell(&mut self, topic: String, event: &'static str, payload: Value) {
        self.notices.push(Notice { topic, event, payload });
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn blame(&mut self, violation: impl Into<String>) {
        self.violations.push(violation.into());
    }

    /// Tells the runner of a run, wherever it is connected, to stop.
    pub(crate) fn ask_to_stop(&mut self, run_id: &str) {
        self.tell(format!("ingestion:{run_id}"), "ag-ui", json!({ "type": "CUSTOM", "name": "stop" }));
    }
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}
