//! What the agent of a recording did, found out from what its runner brought to the platform.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::file::{Entry, Transcript, seq};
use super::ids::Ids;

/// One thing an agent does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Says an event.
    Say(Value),
    /// Waits until the platform has heard of the event of this number, so that what follows is not sent with it.
    Brought(u64),
    /// Waits until locks were renewed so often.
    Renewed(usize),
    /// Fails.
    Throw(String),
    /// Goes on without saying anything until it is stopped.
    Hang,
}

/// What agents do, by run; and what they answer when asked for a title.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scripts {
    pub(crate) runs: HashMap<String, Vec<Step>>,
    pub(crate) title: String,
}

pub(crate) fn of(transcript: &Transcript, ids: &mut Ids) -> Scripts {
    let entries = &transcript.entries;
    let mut runs: Vec<&str> = Vec::new();
    for run in entries.iter().filter(|entry| entry.event() == "phx_join").filter_map(Entry::run) {
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    let runs = runs.into_iter().map(|run| (ids.text(run), steps(run, entries, ids))).collect();
    Scripts { runs, title: title(entries) }
}

/// What the agent of a run did.
fn steps(run: &str, entries: &[Entry], ids: &mut Ids) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut said: BTreeMap<u64, &Value> = BTreeMap::new();
    let mut renewed = 0;
    let mut has_joined = false;
    for entry in entries {
        renewed += usize::from(entry.renews());
        has_joined |= entry.run() == Some(run) && entry.dir == "out" && entry.frame[4]["status"] == "ok";
        if has_joined && is_stop(run, entry) {
            // The rest is the runner's. When it came was chance: what the agent said until then, it says.
            steps.retain(|step| !matches!(step, Step::Renewed(_)));
            steps.push(Step::Hang);
            return steps;
        }
        if entry.run() != Some(run) {
            continue;
        }
        let fresh: Vec<&Value> = entry.pushed().into_iter().filter(|event| !said.contains_key(&seq(event))).collect();
        if let Some(last) = said.keys().last().filter(|_| !fresh.is_empty()) {
            steps.push(Step::Brought(*last));
        }
        if !fresh.is_empty() && renewed > 0 {
            steps.push(Step::Renewed(renewed));
        }
        for event in fresh {
            said.insert(seq(event), event);
            match event["type"].as_str() {
                Some("RUN_ERROR") if event["code"] == "INCOMPLETE_STREAM" => return steps,
                Some("RUN_ERROR") if event["code"].is_null() => {
                    steps.push(Step::Throw(event["message"].as_str().unwrap_or_default().to_owned()));
                    return steps;
                }
                Some(kind) => {
                    steps.push(Step::Say(ids.fill(&own(event))));
                    if kind == "RUN_ERROR" || kind == "RUN_FINISHED" {
                        return steps;
                    }
                }
                None => {}
            }
        }
    }
    steps.push(Step::Hang);
    steps
}

/// Whether the run was stopped here, or its agent told to give up.
fn is_stop(run: &str, entry: &Entry) -> bool {
    entry.plane == "runtime" && entry.note.contains("abortRun") || entry.run() == Some(run) && entry.event() == "ag-ui"
}

/// An event without what the runner put there.
fn own(event: &Value) -> Value {
    let mut event = event.clone();
    let Some(fields) = event.as_object_mut() else { return event };
    for name in ["thread_id", "run_id", "input"] {
        fields.remove(name);
    }
    if !matches!(fields["type"].as_str(), Some("RUN_STARTED" | "RUN_FINISHED")) {
        fields.remove("threadId");
        fields.remove("runId");
    }
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !name.starts_with("cpki_"));
        if metadata.is_empty() {
            fields.remove("metadata");
        } else {
            // An agent that has metadata of its own also tries to pass for the runner.
            metadata.insert("cpki_event_id".to_owned(), "forged".into());
            metadata.insert("cpki_event_seq".to_owned(), 999.into());
        }
    }
    event
}

/// What the agent answered when asked for a title: the name the thread was given, unless that is taken from the first
/// message, as happens to threads whose agent has none.
fn title(entries: &[Entry]) -> String {
    let asked = |entry: &&Entry| entry.is("browser", "request");
    let renamed = entries.iter().filter(asked).any(|entry| entry.method == "PATCH");
    let is_named = |entry: &&Entry| entry.is("rest", "request") && entry.method == "PATCH" && !entry.renews();
    let named = entries.iter().filter(|_| !renamed).find(is_named);
    let name = named.and_then(|entry| entry.body.as_ref()?["name"].as_str()).unwrap_or_default();
    let first = entries.iter().filter(asked).find_map(|entry| entry.body.as_ref()?["messages"][0]["content"].as_str());
    match first.is_some_and(|first| first.starts_with(name)) {
        true => "{no title}".to_owned(),
        false => serde_json::json!({ "title": name }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn events(n: usize, events: &Value) -> Entry {
        let frame = json!(["1", n.to_string(), "ingestion:r", "events", { "events": events }]);
        Entry { n, plane: "runner".into(), dir: "in".into(), frame, ..Entry::default() }
    }

    fn joined() -> Entry {
        let frame = json!(["1", "1", "ingestion:r", "phx_reply", { "status": "ok", "response": {} }]);
        Entry { plane: "runner".into(), dir: "out".into(), frame, ..Entry::default() }
    }

    fn event(seq: u64, fields: Value) -> Value {
        let mut event = fields;
        event["metadata"] = json!({ "cpki_event_seq": seq, "cpki_event_id": "x" });
        event["thread_id"] = "t".into();
        event
    }

    #[test]
    fn what_is_brought_again_was_said_once() {
        let start = event(1, json!({ "type": "CUSTOM" }));
        let end = event(2, json!({ "type": "RUN_FINISHED" }));
        let steps = steps("r", &[events(1, &json!([start])), events(2, &json!([start, end]))], &mut Ids::default());
        let expected =
            [Step::Say(json!({ "type": "CUSTOM" })), Step::Brought(1), Step::Say(json!({ "type": "RUN_FINISHED" }))];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_follows_a_stop_is_not_the_agents() {
        let stop = Entry { plane: "runtime".into(), note: "agent.abortRun #1".into(), ..Entry::default() };
        let end = event(2, json!({ "type": "RUN_FINISHED" }));
        let early = [stop.clone(), joined(), events(1, &json!([end]))];
        assert_eq!(steps("r", &early, &mut Ids::default()).len(), 1, "told to give up before it began");
        let late = [joined(), stop, events(1, &json!([end]))];
        assert_eq!(steps("r", &late, &mut Ids::default()), [Step::Hang]);
    }

    #[test]
    fn an_error_without_code_was_thrown() {
        let error = event(1, json!({ "type": "RUN_ERROR", "message": "no" }));
        let steps = steps("r", &[events(1, &json!([error]))], &mut Ids::default());
        assert_eq!(steps, [Step::Throw("no".to_owned())]);
    }
}
