//! What makes an event one of its run, in its place: ids, a number, and in `RUN_STARTED` the input
//! (intelligence.md 4.3).

use std::borrow::Cow;
use std::fmt::Write;

use crate::agui::{Event, EventKind, Fields, write_json_str};

/// What the runner writes into every event, whatever the agent wrote there.
const OURS: [&str; 5] = ["threadId", "runId", "thread_id", "run_id", "metadata"];
/// What it writes into the `metadata`.
const IDENTITY: [&str; 2] = ["cpki_event_id", "cpki_event_seq"];
/// What it writes into an agent's own input.
const CANONICAL: [&str; 3] = ["threadId", "runId", "messages"];

/// Stamps the events of one run, in order.
#[derive(Debug)]
pub(super) struct Stamp {
    /// The fields with the run's ids, as JSON text behind a field.
    ids: String,
    /// Its input, with the messages that are new to the thread.
    input: String,
    /// How many events were stamped.
    stamped: u64,
}

impl Stamp {
    /// `input` is the run's input as JSON text, with canonical ids and the messages that are new to the thread.
    pub(super) fn new(thread_id: &str, run_id: &str, input: String) -> Stamp {
        let (thread, run) = (quoted(thread_id), quoted(run_id));
        let ids = format!(r#","threadId":{thread},"runId":{run},"thread_id":{thread},"run_id":{run}"#);
        Stamp { ids, input, stamped: 0 }
    }

    /// The event's final text, which it keeps however often it is sent.
    pub(super) fn apply(&mut self, event: &Event, id: &str) -> String {
        self.stamped += 1;
        let mut out = String::with_capacity(event.json().len() + self.ids.len() + id.len() + 80);
        out.push('{');
        let (mut metadata, mut input) = (None, None);
        let started = event.kind() == EventKind::RunStarted;
        for (name, value) in Fields::of(event.as_str()) {
            match &*name {
                "metadata" => metadata = Some(value),
                "input" if started => input = Some(value),
                name if OURS.contains(&name) => {}
                _ => field(&mut out, &name, value),
            }
        }
        if started {
            let input = input
                .filter(|input| input.starts_with('{'))
                .map_or(Cow::Borrowed(&*self.input), |own| Cow::Owned(self.canonical(own)));
            field(&mut out, "input", &input);
        }
        let metadata = self.identified(metadata.unwrap_or_default(), id);
        field(&mut out, "metadata", &metadata);
        out.push_str(&self.ids);
        out.push('}');
        out
    }

    /// The metadata, with the event's identity instead of one it brought.
    fn identified(&self, metadata: &str, id: &str) -> String {
        let mut out = String::with_capacity(metadata.len() + id.len() + 48);
        out.push('{');
        let kept = Fields::of(metadata).filter(|(name, _)| !IDENTITY.contains(&&**name));
        kept.for_each(|(name, value)| field(&mut out, &name, value));
        field(&mut out, IDENTITY[0], &quoted(id));
        field(&mut out, IDENTITY[1], &self.stamped.to_string());
        out.push('}');
        out
    }

    /// An agent's own input, with the run's ids and messages.
    fn canonical(&self, own: &str) -> String {
        let mut out = String::with_capacity(own.len() + self.input.len());
        out.push('{');
        let ours = Fields::of(&self.input).filter(|(name, _)| CANONICAL.contains(&&**name));
        let theirs = Fields::of(own).filter(|(name, _)| !CANONICAL.contains(&&**name));
        ours.chain(theirs).for_each(|(name, value)| field(&mut out, &name, value));
        out.push('}');
        out
    }
}

/// Adds a field to an object that was begun.
fn field(out: &mut String, name: &str, value: &str) {
    let comma = if out.ends_with('{') { "" } else { "," };
    // Writing into memory cannot fail.
    let _ = write!(out, "{comma}{}:{value}", quoted(name));
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_json_str(&mut out, text);
    // Writing JSON gives UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const INPUT: &str = r#"{"threadId":"t","runId":"r","state":{"n":1.0},"messages":[{"id":"new"}],"tools":[]}"#;

    fn stamped(events: &[&str]) -> Vec<Value> {
        let mut stamp = Stamp::new("t", "r", INPUT.to_owned());
        let stamped = events.iter().zip(1..).map(|(event, n)| {
            let event = Event::parse(event.as_bytes().to_vec()).unwrap();
            serde_json::from_str(&stamp.apply(&event, &format!("id-{n}"))).unwrap()
        });
        stamped.collect()
    }

    #[test]
    fn events_carry_the_runs_ids_and_their_own_identity_whatever_the_agent_wrote() {
        let forged = r#"{"type":"CUSTOM","threadId":"x","run_id":7,"thread\u005fid":null,"metadata":{"tag":"kept","cpki_event_id":"forged","cpki_event_seq":99},"name":"x","runId":"y"}"#;
        let expected = json!({
            "type": "CUSTOM", "name": "x", "metadata": {"tag": "kept", "cpki_event_id": "id-1", "cpki_event_seq": 1},
            "threadId": "t", "runId": "r", "thread_id": "t", "run_id": "r",
        });
        assert_eq!(stamped(&[forged]), [expected]);
        let expected = json!({"cpki_event_id": "id-2", "cpki_event_seq": 2});
        for metadata in ["null", "[1]", "\"text\"", "{}"] {
            let event = format!(r#"{{"type":"CUSTOM","metadata":{metadata}}}"#);
            assert_eq!(stamped(&[&event, &event])[1]["metadata"], expected, "{metadata}");
        }
    }

    #[test]
    fn everything_else_of_an_event_stays_as_it_is() {
        let mut stamp = Stamp::new("t\"", "r", INPUT.to_owned());
        let event = r#"{"type":"X","n":1.0,"big":123456789012345678901234567890,"s":"\ud83d","deep":{"threadId":"own"},"x":null}"#;
        let stamped = stamp.apply(&Event::parse(event).unwrap(), "id");
        let own = event.strip_suffix('}').unwrap();
        let ids = r#""threadId":"t\"","runId":"r","thread_id":"t\"","run_id":"r""#;
        assert_eq!(stamped, format!(r#"{own},"metadata":{{"cpki_event_id":"id","cpki_event_seq":1}},{ids}}}"#));
    }

    #[test]
    fn run_started_carries_the_runs_input_or_the_agents_own_with_canonical_ids_and_messages() {
        let input: Value = serde_json::from_str(INPUT).unwrap();
        for plain in [r#"{"type":"RUN_STARTED"}"#, r#"{"type":"RUN_STARTED","input":null,"threadId":"x"}"#] {
            assert_eq!(stamped(&[plain])[0]["input"], input);
        }
        let own = r#"{"type":"RUN_STARTED","input":{"threadId":"x","state":{"own":true},"messages":[1,2],"extra":1}}"#;
        let expected =
            json!({"threadId": "t", "runId": "r", "messages": [{"id": "new"}], "state": {"own": true}, "extra": 1});
        assert_eq!(stamped(&[own])[0]["input"], expected);
        assert_eq!(stamped(&[r#"{"type":"CUSTOM","input":7}"#])[0]["input"], 7);
    }
}
