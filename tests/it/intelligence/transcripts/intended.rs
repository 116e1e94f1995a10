//! The one list of what this runtime says otherwise than recorded in Intelligence mode: why, and what it says.
//!
//! A reason that turns a transcript into something this runtime does not say fails the replay, so the list cannot go
//! stale.

use serde_json::json;

use super::file::{Entry, Transcript};

/// What differs wherever it is recorded.
struct Reason {
    because: &'static str,
    /// Turns what was recorded into what this runtime says; says whether it was anything else.
    instead: fn(&mut Transcript) -> bool,
}

/// One reason why ours differs.
pub(crate) struct Step {
    pub(crate) because: &'static str,
    /// What is said with this and every earlier reason.
    pub(crate) ours: Transcript,
}

/// Why ours differs from a transcript.
pub(crate) fn steps(recorded: &Transcript) -> Vec<Step> {
    let mut transcript = recorded.clone();
    let mut steps = Vec::new();
    for reason in INTENDED {
        if (reason.instead)(&mut transcript) {
            steps.push(Step { because: reason.because, ours: transcript.clone() });
        }
    }
    steps
}

/// Every reason.
pub(crate) fn reasons() -> impl Iterator<Item = &'static str> {
    INTENDED.iter().map(|reason| reason.because)
}

const INTENDED: &[Reason] = &[
    Reason {
        because: "whose thread it is, is asked before its events and state are shown",
        instead: |transcript| {
            let entries = std::mem::take(&mut transcript.entries);
            let mut asks = false;
            for entry in entries {
                let id = entry.path.strip_prefix("/api/_inspect/threads/").and_then(|rest| rest.split('/').next());
                if let Some(id) = id.filter(|_| entry.is("rest", "request")) {
                    asks = true;
                    transcript.entries.push(read_thread(id, &entry));
                }
                transcript.entries.push(entry);
            }
            asks
        },
    },
    Reason {
        because: "a thread the platform does not have is not found, as in upstream's other runtimes",
        instead: |transcript| {
            let mut is_missing = false;
            let mut changed = false;
            for entry in &mut transcript.entries {
                if entry.is("browser", "response") && is_missing && entry.status == Some(500) {
                    entry.status = Some(404);
                    entry.body = Some(json!({ "error": "Thread not found" }));
                    changed = true;
                }
                is_missing =
                    entry.is("rest", "response") && entry.status == Some(404) && entry.path.starts_with("/api/threads");
            }
            changed
        },
    },
    Reason {
        because: "a body that cannot be read is answered with what is wrong about it",
        instead: |transcript| {
            let mut changed = false;
            for entry in transcript.entries.iter_mut().filter(|entry| entry.is("browser", "response")) {
                let Some(body) = entry.body.as_mut().filter(|body| body["error"] == "Invalid request body") else {
                    continue;
                };
                if body.get("details").is_none() {
                    body["details"] = "its own words".into();
                    changed = true;
                }
            }
            changed
        },
    },
];

/// The call that asks for a thread, by whom another call of the same browser was made.
fn read_thread(id: &str, before: &Entry) -> Entry {
    Entry {
        n: before.n,
        plane: before.plane.clone(),
        dir: before.dir.clone(),
        method: "GET".to_owned(),
        path: format!("/api/threads/{id}"),
        query: [("userId".to_owned(), "user-1".to_owned())].into(),
        headers: before.headers.clone(),
        ..Entry::default()
    }
}
