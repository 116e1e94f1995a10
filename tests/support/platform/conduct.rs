//! How a runtime must behave towards the platform, as far as one call or one connection shows it
//! (intelligence.md chapters 3 and 4). What events must be like, `world/ingest.rs` knows.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::API_KEY;
use super::call::Call;
use super::frame::Frame;

/// What is wrong with a REST call.
pub(crate) fn of_call(call: &Call) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{} {}: {what}", call.method, call.path));
        }
    };
    expect(call.header("authorization") == Some(&format!("Bearer {API_KEY}")), "not authorized with the key");
    let is_inspector = call.path.starts_with("/api/inspector/");
    let is_json = call.header("content-type") == Some("application/json");
    expect(is_json != is_inspector, "content-type must be application/json, but not for the inspector");
    expect(!matches!(call.body, Some(Value::String(_))), "a body that is no JSON");
    let is_of_user = call.path.starts_with("/api/threads") && !call.path.ends_with("/lock")
        || call.path.starts_with("/api/memories")
        || call.method == "POST" && call.path.ends_with("/lock");
    expect(!is_of_user || call.user().is_some(), "does not say for whom");
    let fields = call.body.as_ref().and_then(Value::as_object);
    let is_foreign = |name: &String| matches!(name.as_str(), "endUserId" | "end_user_id");
    expect(!fields.is_some_and(|fields| fields.keys().any(is_foreign)), "copies identity from the browser");
    if call.path.ends_with("/lock") && call.method != "DELETE" {
        let ttl = call.body.as_ref().and_then(|body| body["ttlSeconds"].as_u64());
        expect(ttl.is_some_and(|ttl| (1..=3600).contains(&ttl)), "ttlSeconds must be 1 to 3600");
    }
    wrong
}

/// What is wrong with a runner's request for a socket.
pub(crate) fn of_upgrade(call: &Call, protocols: &[String]) -> Option<String> {
    let bearer = format!("base64url.bearer.phx.{}", STANDARD_NO_PAD.encode(API_KEY));
    let versions = call.query.get("vsn").map(String::as_str);
    if versions != Some("2.0.0") || call.query.len() != 1 {
        return Some(format!("the query of the socket is {:?}", call.query));
    }
    (protocols != ["phoenix", &bearer]).then(|| format!("the socket offers {protocols:?}"))
}

/// How long a push waits for its answer.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
const BATCH: usize = 32;

/// One connection of a runner, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    last_ref: u64,
    joined: Option<Joined>,
    /// The push that has no answer yet.
    unanswered: Option<Instant>,
    /// The last event acknowledged here.
    acknowledged: u64,
}

#[derive(Debug)]
struct Joined {
    join_ref: Value,
    topic: String,
    batches: bool,
}

impl Conduct {
    /// What is wrong with a frame.
    pub(crate) fn of_frame(&mut self, frame: &Frame) -> Option<String> {
        let number = frame.reference.as_str().and_then(|text| text.parse::<u64>().ok());
        let Some(number) = number.filter(|number| *number > self.last_ref) else {
            return Some(format!("{} has the ref {} after {}", frame.event, frame.reference, self.last_ref));
        };
        self.last_ref = number;
        match frame.event.as_str() {
            "heartbeat" => (frame.topic != "phoenix" || !frame.join_ref.is_null() || frame.payload != json!({}))
                .then(|| format!("a heartbeat on {} with {}", frame.topic, frame.payload)),
            "phx_join" => (frame.join_ref != frame.reference)
                .then(|| format!("a join with the refs {} and {}", frame.join_ref, frame.reference)),
            "phx_leave" => None,
            "event" | "events" => self.of_push(frame),
            other => Some(format!("an unknown frame {other}")),
        }
    }

    fn of_push(&mut self, frame: &Frame) -> Option<String> {
        let Some(joined) = &self.joined else { return Some("a push before the channel is joined".to_owned()) };
        if frame.topic != joined.topic || frame.join_ref != joined.join_ref {
            return Some(format!("a push to {} with join_ref {}", frame.topic, frame.join_ref));
        }
        if (frame.event == "events") != joined.batches {
            return Some(format!("`{}` although batches are {}", frame.event, joined.batches));
        }
        if self.unanswered.is_some_and(|since| since.elapsed() < PUSH_TIMEOUT) {
            return Some("a push while another has no answer yet".to_owned());
        }
        self.unanswered = Some(Instant::now());
        let seqs = seqs(frame);
        if seqs.is_empty() || seqs.len() > BATCH {
            return Some(format!("a push of {} events", seqs.len()));
        }
        if seqs.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
            return Some(format!("a push of the events {seqs:?}"));
        }
        let known = seqs.iter().find(|seq| **seq <= self.acknowledged);
        known.map(|seq| format!("event {seq} is sent again although it was acknowledged"))
    }

    pub(crate) fn joined(&mut self, frame: &Frame, response: &Value) {
        let batches = response["capabilities"].as_array().is_some_and(|all| !all.is_empty());
        let (join_ref, topic) = (frame.join_ref.clone(), frame.topic.clone());
        self.joined = Some(Joined { join_ref, topic, batches });
        self.unanswered = None;
    }

    pub(crate) fn answered(&mut self, frame: &Frame, is_ok: bool) {
        self.unanswered = None;
        if is_ok {
            self.acknowledged = seqs(frame).last().copied().unwrap_or(self.acknowledged);
        }
    }

    pub(crate) fn left(&mut self) {
        self.joined = None;
    }
}

/// The events of a push.
pub(crate) fn events(frame: &Frame) -> Vec<Value> {
    match frame.event.as_str() {
        "events" => frame.payload["events"].as_array().cloned().unwrap_or_default(),
        _ => vec![frame.payload.clone()],
    }
}

/// Their numbers.
pub(crate) fn seqs(frame: &Frame) -> Vec<u64> {
    let seq = |event: &Value| event["metadata"]["cpki_event_seq"].as_u64().unwrap_or_default();
    events(frame).iter().map(seq).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(reference: &str, event: &str, seqs: &[u64]) -> Frame {
        let events: Vec<Value> = seqs.iter().map(|seq| json!({ "metadata": { "cpki_event_seq": seq } })).collect();
        Frame {
            join_ref: "1".into(),
            reference: reference.into(),
            topic: "ingestion:r".to_owned(),
            event: event.to_owned(),
            payload: json!({ "events": events }),
        }
    }

    fn joined() -> Conduct {
        let mut conduct = Conduct::default();
        let join = frame("1", "phx_join", &[]);
        assert_eq!(conduct.of_frame(&join), None);
        conduct.joined(&join, &json!({ "capabilities": ["runner_event_batch_v1"] }));
        conduct
    }

    #[test]
    fn a_push_needs_a_joined_channel_and_the_answer_to_the_push_before() {
        assert!(Conduct::default().of_frame(&frame("1", "events", &[1])).is_some());
        let mut conduct = joined();
        let first = frame("2", "events", &[1, 2]);
        assert_eq!(conduct.of_frame(&first), None);
        assert!(conduct.of_frame(&frame("3", "events", &[3])).is_some(), "pipelined");
        conduct.answered(&first, true);
        assert!(conduct.of_frame(&frame("4", "events", &[2])).is_some(), "acknowledged already");
    }

    #[test]
    fn refs_grow_and_batches_have_no_gaps() {
        let mut conduct = joined();
        assert!(conduct.of_frame(&frame("1", "events", &[1])).is_some(), "a ref used twice");
        assert!(conduct.of_frame(&frame("2", "event", &[1])).is_some(), "a single event where batches are");
        assert!(joined().of_frame(&frame("2", "events", &[1, 3])).is_some(), "a gap");
        assert!(joined().of_frame(&frame("2", "events", &(1..=33).collect::<Vec<_>>())).is_some(), "too many");
    }
}
