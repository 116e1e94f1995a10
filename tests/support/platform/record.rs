//! Everything the platform heard and said, in the form of the recorded transcripts
//! (`tests/captures/intelligence/README.md`).

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::call::{Answer, Call};

/// Headers that matter.
const HEADERS: &[&str] = &["authorization", "content-type", "accept"];

/// A list that grows.
pub(crate) struct Record {
    begun: Instant,
    entries: Mutex<Vec<Value>>,
    grown: watch::Sender<usize>,
}

impl Record {
    pub(crate) fn new() -> Record {
        Record { begun: Instant::now(), entries: Mutex::default(), grown: watch::Sender::new(0) }
    }

    pub(crate) fn entries(&self) -> Vec<Value> {
        self.entries.lock().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Tells of every entry.
    pub(crate) fn grown(&self) -> watch::Receiver<usize> {
        self.grown.subscribe()
    }

    fn add(&self, plane: &str, mut entry: Value) {
        let count = {
            let mut entries = self.entries.lock();
            entry["n"] = (entries.len() + 1).into();
            entry["t_ms"] = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).into();
            entry["plane"] = plane.into();
            entries.push(entry);
            entries.len()
        };
        self.grown.send_replace(count);
    }

    pub(crate) fn call(&self, call: &Call) {
        let counts = |name: &str| HEADERS.contains(&name) || name.starts_with("x-cpki-");
        let headers: Vec<_> = call.headers.iter().filter(|(name, _)| counts(name)).collect();
        let headers: serde_json::Map<_, _> =
            headers.into_iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let mut entry = json!({
            "dir": "request", "method": call.method, "path": call.path, "query": call.query, "headers": headers,
        });
        if let Some(body) = &call.body {
            entry["body"] = body.clone();
        }
        self.add("rest", entry);
    }

    pub(crate) fn answer(&self, call: &Call, answer: &Answer) {
        let mut entry = json!({
            "dir": "response", "method": call.method, "path": call.path, "query": call.query, "status": answer.status,
        });
        if let Some(body) = &answer.body {
            entry["body"] = body.clone();
        }
        self.add("rest", entry);
    }

    /// A request for a socket: `outcome` is `accepted`, or `refused` with a status.
    pub(crate) fn upgrade(&self, plane: &str, call: &Call, protocols: &[String], outcome: Value) {
        let mut entry = json!({ "dir": "upgrade", "path": call.path, "query": call.query });
        if !protocols.is_empty() {
            entry["protocols"] = protocols.into();
        }
        if let (Some(entry), Value::Object(outcome)) = (entry.as_object_mut(), outcome) {
            entry.extend(outcome);
        }
        self.add(plane, entry);
    }

    pub(crate) fn frame(&self, plane: &str, conn: &str, dir: &str, frame: &Value) {
        self.add(plane, json!({ "conn": conn, "dir": dir, "frame": frame }));
    }

    pub(crate) fn closed(&self, plane: &str, conn: &str, code: u16) {
        self.add(plane, json!({ "conn": conn, "dir": "close", "code": code }));
    }
}
