//! What a browser that has joined a thread is owed: history, then what follows, without gap or repetition
//! (intelligence.md chapter 7, rows 11 to 15).

use serde_json::{Value, json};

use super::{Now, ORGANIZATION, World};

/// What the browser wants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// One run.
    Run(String),
    /// The thread.
    Connect,
}

/// How far a browser is.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    thread_id: String,
    mode: Mode,
    /// Events of the thread it has had or does not want.
    next: usize,
    is_replayed: bool,
    is_idle: bool,
    /// A run it stopped: of that it wants to know only the end.
    stopped: Option<String>,
}

impl Feed {
    /// How many events of the thread lie behind it.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    pub(crate) fn thread_id(&self) -> &str {
        &self.thread_id
    }

    /// The browser has asked to stop a run.
    pub(crate) fn stopped(&mut self, run_id: &str) {
        self.stopped = Some(run_id.to_owned());
    }
}

impl World {
    /// A browser joins a thread it may see; `resume` is how many events it had by the same token before.
    pub(crate) fn open_feed(&self, thread_id: &str, params: &Value, resume: Option<usize>) -> Result<Feed, Value> {
        let mode = match (params["stream_mode"].as_str(), params["run_id"].as_str()) {
            (Some("run"), Some(run_id)) => Mode::Run(run_id.to_owned()),
            (Some("connect"), _) => Mode::Connect,
            _ => return Err(json!({ "reason": "invalid_params" })),
        };
        let journal = self.threads.get(thread_id).map(|thread| thread.journal.as_slice()).unwrap_or_default();
        let after = match (&mode, params["last_seen_event_id"].as_str()) {
            (Mode::Connect, Some(id)) => journal.iter().position(|row| row.id == id).map_or(journal.len(), |at| at + 1),
            _ => 0,
        };
        Ok(Feed {
            thread_id: thread_id.to_owned(),
            next: resume.unwrap_or(after),
            is_replayed: mode != Mode::Connect && resume.is_some(),
            is_idle: false,
            stopped: None,
            mode,
        })
    }

    /// Everything that is due.
    pub(crate) fn due(&self, feed: &mut Feed, now: &Now) -> Vec<(&'static str, Value)> {
        let Some(thread) = self.threads.get(&feed.thread_id) else { return Vec::new() };
        let mut due = Vec::new();
        for row in thread.journal.iter().skip(feed.next) {
            let wanted = match &feed.mode {
                Mode::Run(run_id) => row.run_id == *run_id,
                Mode::Connect => true,
            };
            let is_last = matches!(row.event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"));
            if wanted && (is_last || feed.stopped.as_ref() != Some(&row.run_id)) {
                due.push(("ag_ui_event", row.event.clone()));
            }
        }
        feed.next = thread.journal.len();
        let control = || {
            json!({
                "thread_id": feed.thread_id, "organization_id": ORGANIZATION, "latestEventId": thread.latest(),
            })
        };
        let has_begun = feed.mode == Mode::Connect || !due.is_empty();
        if !feed.is_replayed && has_begun {
            due.push(("replay_complete", control()));
            feed.is_replayed = true;
        }
        if feed.mode == Mode::Connect && !feed.is_idle && self.holder(&feed.thread_id, now).is_none() {
            due.push(("stream_idle", control()));
            feed.is_idle = true;
        }
        due
    }

    /// A browser wants a run stopped: only the one that holds the thread can be.
    pub(crate) fn stop_from_browser(&mut self, thread_id: &str, run_id: &str, now: &Now) -> Result<(), Value> {
        if !self.holds(run_id, thread_id, now) {
            return Err(json!({ "reason": "run_thread_mismatch" }));
        }
        self.ask_to_stop(run_id);
        Ok(())
    }
}
