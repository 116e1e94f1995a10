//! The shared state of a thread, from its events.

use std::borrow::Cow;

use serde_json::Value;

use crate::agui::raw::{field, value};
use crate::agui::{Event, EventKind, patch};

/// Folds `STATE_SNAPSHOT` and `STATE_DELTA` events into the state they describe (rest-sse.md chapter 13.4).
///
/// A snapshot replaces the state, a delta patches it (RFC 6902), starting from `{}`. A delta that does
/// not apply changes nothing (chapter 14 row 3). One fold spans all runs of a thread (row 18).
///
/// A snapshot is kept as its text until a delta needs its parts.
///
/// ```
/// use copilotkit_runtime::agui::{Event, StateFold};
/// use serde_json::json;
///
/// let mut state = StateFold::default();
/// state.apply(&Event::state_snapshot(&json!({"count": 1})))?;
/// state.apply(&Event::state_delta(&json!([{"op": "replace", "path": "/count", "value": 2}])))?;
/// assert_eq!(state.to_rest(), r#"{"count":2}"#);
/// # Ok::<(), copilotkit_runtime::agui::SkippedStateEvent>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateFold(Document, patch::Room);

/// A state event changed nothing: its patch does not apply, or what it should carry is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state event does not apply")]
pub struct SkippedStateEvent;

#[derive(Clone, Debug, Default)]
enum Document {
    #[default]
    Unset,
    Text(Box<str>),
    Parsed(Value),
}

impl StateFold {
    /// Goes on from the state of the runs before; `None` if there never was any.
    #[must_use]
    pub fn new(state: Option<Value>) -> StateFold {
        StateFold(state.map_or(Document::Unset, Document::Parsed), patch::Room::default())
    }

    /// Takes in an event. Says whether it was a state event; others change nothing.
    ///
    /// # Errors
    /// [`SkippedStateEvent`] when it is a state event that does not apply. The state is as before.
    pub fn apply(&mut self, event: &Event) -> Result<bool, SkippedStateEvent> {
        match event.kind() {
            EventKind::StateSnapshot => {
                let text = field(event.as_str(), "snapshot").ok_or(SkippedStateEvent)?;
                self.0 = Document::Text(text.into());
                Ok(true)
            }
            EventKind::StateDelta => {
                let delta = field(event.as_str(), "delta").ok_or(SkippedStateEvent)?;
                self.patch(delta)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn patch(&mut self, delta: &str) -> Result<(), SkippedStateEvent> {
        match &mut self.0 {
            Document::Parsed(state) => {
                return patch::apply(state, delta, &mut self.1).map_err(|_| SkippedStateEvent);
            }
            Document::Unset => {
                let mut state = Value::Object(serde_json::Map::new());
                patch::apply(&mut state, delta, &mut self.1).map_err(|_| SkippedStateEvent)?;
                self.0 = Document::Parsed(state);
            }
            Document::Text(text) => {
                let mut state = value(text).ok_or(SkippedStateEvent)?;
                patch::apply(&mut state, delta, &mut self.1).map_err(|_| SkippedStateEvent)?;
                self.0 = Document::Parsed(state);
            }
        }
        Ok(())
    }

    /// The state as JSON text; `None` if there never was any.
    #[must_use]
    pub fn json(&self) -> Option<Cow<'_, str>> {
        match &self.0 {
            Document::Unset => None,
            Document::Text(text) => Some(Cow::Borrowed(text)),
            Document::Parsed(state) => Some(Cow::Owned(state.to_string())),
        }
    }

    /// The state; `None` if there never was any. Strings that hold half a surrogate pair get U+FFFD
    /// in its place.
    #[must_use]
    pub fn into_value(self) -> Option<Value> {
        match self.0 {
            Document::Unset => None,
            Document::Text(text) => value(&text),
            Document::Parsed(state) => Some(state),
        }
    }

    /// What `GET /threads/{threadId}/state` answers as `state` (rest-sse.md chapter 9): the state if it is a
    /// JSON object, else `null`.
    #[must_use]
    pub fn to_rest(&self) -> Cow<'_, str> {
        self.json().filter(|json| json.starts_with('{')).unwrap_or(Cow::Borrowed("null"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fold(events: &[&str]) -> StateFold {
        let mut state = StateFold::default();
        for event in events {
            let _ = state.apply(&Event::parse((*event).to_owned()).unwrap());
        }
        state
    }

    #[test]
    fn deltas_alone_start_from_an_empty_object() {
        let state = fold(&[r#"{"type":"STATE_DELTA","delta":[{"op":"add","path":"/a","value":1}]}"#]);
        assert_eq!(state.into_value(), Some(json!({"a": 1})));
    }

    #[test]
    fn deltas_go_on_from_the_runs_before() {
        let mut state = StateFold::new(Some(json!({"a": 1})));
        let delta = Event::state_delta(&json!([{"op": "add", "path": "/b", "value": 2}]));
        assert_eq!(state.apply(&delta), Ok(true));
        assert_eq!(state.into_value(), Some(json!({"a": 1, "b": 2})));
    }

    #[test]
    fn snapshot_keeps_its_text() {
        let snapshot = r#"{"n": 1.0e2,"s":"\ud83d","z":null}"#;
        let state = fold(&[&format!(r#"{{"type":"STATE_SNAPSHOT","snapshot":{snapshot}}}"#)]);
        assert_eq!(state.to_rest(), snapshot);
    }

    #[test]
    fn patch_that_does_not_apply_is_skipped() {
        let mut state = StateFold::new(Some(json!({"a": 1})));
        for delta in [json!([{"op": "remove", "path": "/x"}]), json!(null), json!({})] {
            assert_eq!(state.apply(&Event::state_delta(&delta)), Err(SkippedStateEvent));
        }
        for event in [r#"{"type":"STATE_DELTA"}"#, r#"{"type":"STATE_SNAPSHOT"}"#] {
            assert_eq!(state.apply(&Event::parse(event).unwrap()), Err(SkippedStateEvent));
        }
        assert_eq!(state.into_value(), Some(json!({"a": 1})));
    }

    #[test]
    fn state_that_is_no_object_is_null_for_clients() {
        assert_eq!(fold(&[]).to_rest(), "null");
        assert_eq!(fold(&[r#"{"type":"STATE_SNAPSHOT","snapshot":[1]}"#]).to_rest(), "null");
        assert_eq!(fold(&[r#"{"type":"STATE_SNAPSHOT","snapshot":null}"#]).into_value(), Some(json!(null)));
    }

    #[test]
    fn recorded_states_are_answered_as_recorded() {
        for name in ["threads/state", "threads/state-delta-only"] {
            let case = crate::agui::recorded::case("threads.json", name);
            let mut state = StateFold::default();
            for event in case.runs().iter().flatten() {
                let _ = state.apply(event);
            }
            let ours: Value = serde_json::from_str(&state.to_rest()).unwrap();
            assert_eq!(ours, case.body("state")["state"], "{name}");
        }
    }
}
