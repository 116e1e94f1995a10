//! What runners bring: stored once, in order, or not at all (intelligence.md chapter 7, rows 1 to 8).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::threads::Row;
use super::{Now, ORGANIZATION, World, new_id};

/// What was brought of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    thread_id: String,
    /// By number, as they came.
    events: BTreeMap<u64, Value>,
    /// The type of its terminal event.
    ended: Option<String>,
}

/// What the gateway offers to runners.
const CAPABILITIES: &[&str] = &["runner_event_batch_v1"];

impl World {
    /// A runner asks for the channel of its run.
    pub(crate) fn join_runner(
        &mut self,
        topic: &str,
        params: &Value,
        batches: bool,
        now: &Now,
    ) -> Result<Value, Value> {
        let refusal = |reason: &str| json!({ "reason": reason, "retryable": false });
        let run_id = topic.strip_prefix("ingestion:").ok_or_else(|| refusal("unknown_topic"))?;
        let thread_id = params["thread_id"].as_str().unwrap_or_default();
        if params != &json!({ "thread_id": thread_id, "run_id": run_id }) {
            self.blame(format!("{topic}: joined with {params}"));
            return Err(refusal("invalid_params"));
        }
        let run = self.runs.get(run_id);
        if run.is_some_and(|run| run.thread_id != thread_id) {
            self.blame(format!("{topic}: joined for another thread than before, {thread_id}"));
            return Err(refusal("invalid_params"));
        }
        let holds = self.holder(thread_id, now).is_some_and(|lock| lock.run_id == run_id);
        if !holds && run.is_none_or(|run| run.ended.is_none()) {
            return Err(refusal("invalid_lock"));
        }
        self.runs.entry(run_id.to_owned()).or_default().thread_id = thread_id.to_owned();
        Ok(if batches { json!({ "capabilities": CAPABILITIES }) } else { json!({}) })
    }

    /// Events of a run, which has joined. All of them are stored, or none.
    pub(crate) fn ingest(&mut self, run_id: &str, events: &[Value], now: &Now) -> Result<(), Value> {
        let refusal = |reason: &str| json!({ "reason": reason, "retryable": false });
        let Some(mut run) = self.runs.get(run_id).cloned() else { return Err(refusal("not_joined")) };
        let other = |holder: &super::lock::Lock| holder.run_id != run_id;
        if self.holder(&run.thread_id, now).is_some_and(other) && run.ended.is_none() {
            return Err(refusal("invalid_lock"));
        }
        let mut fresh: Vec<&Value> = Vec::new();
        for event in events {
            let checked = match self.check(run_id, &run, event) {
                Ok(true) if fresh.iter().any(|other| id_of(other) == id_of(event)) => {
                    Err("an id that another event has".to_owned())
                }
                checked => checked,
            };
            match checked {
                Ok(false) => {}
                Ok(true) => {
                    let seq = event["metadata"]["cpki_event_seq"].as_u64().unwrap_or_default();
                    run.events.insert(seq, event.clone());
                    if let Some(kind @ ("RUN_FINISHED" | "RUN_ERROR")) = event["type"].as_str() {
                        run.ended = Some(kind.to_owned());
                    }
                    fresh.push(event);
                }
                Err(violation) => {
                    self.blame(format!("{run_id}: {violation}: {event}"));
                    return Err(refusal("event_rejected"));
                }
            }
        }
        let thread_id = run.thread_id.clone();
        self.runs.insert(run_id.to_owned(), run);
        for event in fresh {
            self.store(&thread_id, run_id, event, now);
        }
        Ok(())
    }

    /// Whether an event is new; an error if it should not have been sent.
    fn check(&self, run_id: &str, run: &Run, event: &Value) -> Result<bool, String> {
        let metadata = &event["metadata"];
        let seq = metadata["cpki_event_seq"].as_u64().ok_or("an event without number")?;
        let id = metadata["cpki_event_id"].as_str().ok_or("an event without id")?;
        uuid::Uuid::parse_str(id).map_err(|_| "an id that is no UUID")?;
        for (names, expected) in [(["threadId", "thread_id"], run.thread_id.as_str()), (["runId", "run_id"], run_id)] {
            for name in names {
                if event[name] != expected {
                    return Err(format!("an event with another {name}"));
                }
            }
        }
        if let Some(known) = run.events.get(&seq) {
            return if known == event { Ok(false) } else { Err(format!("number {seq} came before as {known}")) };
        }
        if let Some(ended) = &run.ended {
            return Err(format!("an event after {ended}"));
        }
        let expected = run.events.len() as u64 + 1;
        if seq != expected {
            return Err(format!("number {seq} instead of {expected}"));
        }
        if (event["type"] == "RUN_STARTED") != (seq == 1) {
            return Err("RUN_STARTED must be the first event, and only that".to_owned());
        }
        if self.event_ids.contains(id) {
            return Err("an id that another event has".to_owned());
        }
        if seq == 1 {
            self.check_start(&run.thread_id, &event["input"])?;
        }
        Ok(true)
    }

    /// The input that stands in `RUN_STARTED` has what the thread's history lacks, and nothing else.
    fn check_start(&self, thread_id: &str, input: &Value) -> Result<(), String> {
        let messages = input["messages"].as_array().ok_or("RUN_STARTED without input.messages")?;
        let known = self.threads.get(thread_id).map(|thread| thread.messages()).unwrap_or_default();
        let again = messages.iter().find(|message| known.iter().any(|known| known["id"] == message["id"]));
        again.map_or(Ok(()), |message| Err(format!("a message of the history is persisted again: {message}")))
    }

    fn store(&mut self, thread_id: &str, run_id: &str, event: &Value, now: &Now) {
        let mut stored = event.clone();
        stored["organization_id"] = ORGANIZATION.into();
        stored["metadata"]["cpki_ingested"] = new_id().into();
        let id = id_of(event).to_owned();
        self.event_ids.insert(id.clone());
        let row = Row { run_id: run_id.to_owned(), id, event: stored };
        let Some(thread) = self.threads.get_mut(thread_id) else { return };
        thread.journal.push(row);
        let activity = match event["type"].as_str() {
            Some("RUN_STARTED") => "run_started",
            Some("RUN_FINISHED") => "run_finished",
            Some("RUN_ERROR") => "run_error",
            _ => return,
        };
        thread.last_run = Some(now.wall.clone());
        let payload = json!({
            "thread_id": thread_id, "agent_id": thread.agent, "run_id": run_id, "event_type": activity,
            "latest_event_id": thread.latest(),
        });
        let owner = thread.owner.clone();
        self.tell_user(&owner, "thread_run_activity", payload);
        if activity != "run_started" {
            if self.locks.get(thread_id).is_some_and(|lock| lock.run_id == run_id) {
                self.locks.remove(thread_id);
            }
            self.tell_of(thread_id, "updated", now);
        }
    }

    /// Whether a run has ended with `RUN_FINISHED`.
    pub(super) fn has_finished(&self, run_id: &str) -> bool {
        self.runs.get(run_id).is_some_and(|run| run.ended.as_deref() == Some("RUN_FINISHED"))
    }

    /// What was stored of a run, as it came.
    pub(crate) fn events_of(&self, run_id: &str) -> Vec<Value> {
        self.runs.get(run_id).map(|run| run.events.values().cloned().collect()).unwrap_or_default()
    }
}

fn id_of(event: &Value) -> &str {
    event["metadata"]["cpki_event_id"].as_str().unwrap_or_default()
}
