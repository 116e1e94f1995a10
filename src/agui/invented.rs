//! Made-up runs, and what they say, for tests of what holds for every run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::patch::tests::{any_patch, any_value};
use super::{Event, EventKind, MessageList, StateFold};

/// A step of a made-up run. Whether it makes sense is decided when the run is built.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Text(u8, String),
    Call(u8, Option<u8>, String),
    End(bool, u8),
    Result(u8),
    Reasoning(u8, String),
    Activity(u8, Option<Value>),
    State(Value),
    Delta(Value),
    Other(u8),
    Snapshot(u8),
    Stage(u8),
    Terminal(bool),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let delta = || prop_oneof![Just(String::new()), "[a-c\"\\\\\n]{1,3}", Just("😀é".to_owned())];
    prop_oneof![
        6 => (0..4u8, delta()).prop_map(|(id, delta)| Step::Text(id, delta)),
        6 => (0..4u8, prop::option::of(0..5u8), delta()).prop_map(|(id, p, d)| Step::Call(id, p, d)),
        4 => (any::<bool>(), 0..4u8).prop_map(|(text, id)| Step::End(text, id)),
        2 => (0..4u8).prop_map(Step::Result),
        2 => (0..2u8, delta()).prop_map(|(id, delta)| Step::Reasoning(id, delta)),
        2 => (0..2u8, prop::option::of(any_patch())).prop_map(|(id, p)| Step::Activity(id, p)),
        1 => any_value().prop_map(Step::State),
        2 => any_patch().prop_map(Step::Delta),
        2 => any::<u8>().prop_map(Step::Other),
        1 => (0..4u8).prop_map(Step::Snapshot),
        2 => (0..2u8).prop_map(Step::Stage),
        1 => any::<bool>().prop_map(Step::Terminal),
    ]
}

/// Builds valid runs: a stream starts before its pieces, a result comes once and after its call.
#[derive(Default)]
struct Builder {
    events: Vec<Event>,
    /// One stream at a time.
    sequential: bool,
    texts: BTreeSet<u8>,
    calls: BTreeSet<u8>,
    started: BTreeSet<u8>,
    called: BTreeSet<u8>,
    answered: BTreeSet<u8>,
    stages: BTreeSet<u8>,
    running: bool,
}

/// The events of a valid run, or of several one after the other; `sequential` if nothing in them may interleave.
pub(super) fn run(steps: Vec<Step>, sequential: bool) -> Vec<Event> {
    let mut builder = Builder { sequential, ..Builder::default() };
    steps.into_iter().for_each(|step| builder.step(step));
    builder.step(Step::Terminal(true));
    builder.events
}

impl Builder {
    fn emit(&mut self, event: &Value) {
        self.events.push(Event::parse(event.to_string()).unwrap());
    }

    fn close_all(&mut self) {
        for id in std::mem::take(&mut self.texts) {
            self.emit(&json!({"type": "TEXT_MESSAGE_END", "messageId": format!("m{id}")}));
        }
        for id in std::mem::take(&mut self.calls) {
            self.emit(&json!({"type": "TOOL_CALL_END", "toolCallId": format!("t{id}")}));
        }
    }

    fn step(&mut self, step: Step) {
        if !std::mem::replace(&mut self.running, true) {
            let messages = json!([{"id": "u", "role": "user", "content": "hi"}]);
            self.emit(&json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r", "input": {"messages": messages}}));
        }
        match step {
            Step::Text(id, delta) => {
                let message = format!("m{id}");
                if !self.texts.contains(&id) {
                    if self.sequential {
                        self.close_all();
                    }
                    self.texts.insert(id);
                    self.started.insert(id);
                    self.emit(&json!({"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant", "name": message, "metadata": {"s": id}}));
                }
                self.emit(&json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": delta, "metadata": {delta: id}}));
            }
            Step::Call(id, parent, delta) => {
                let call = format!("t{id}");
                if !self.calls.contains(&id) {
                    if self.sequential {
                        self.close_all();
                    }
                    self.calls.insert(id);
                    self.called.insert(id);
                    let mut start = json!({"type": "TOOL_CALL_START", "toolCallId": call, "toolCallName": call});
                    // 4 is a message that never starts.
                    if let Some(parent) = parent.filter(|p| *p == 4 || self.started.contains(p)) {
                        start["parentMessageId"] = json!(format!("m{parent}"));
                    }
                    self.emit(&start);
                }
                self.emit(&json!({"type": "TOOL_CALL_ARGS", "toolCallId": call, "delta": delta}));
            }
            Step::End(true, id) if self.texts.remove(&id) => {
                self.emit(&json!({"type": "TEXT_MESSAGE_END", "messageId": format!("m{id}"), "metadata": {"e": 1}}));
            }
            Step::End(false, id) if self.calls.remove(&id) => {
                self.emit(&json!({"type": "TOOL_CALL_END", "toolCallId": format!("t{id}")}));
            }
            Step::Result(id) if self.called.contains(&id) && self.answered.insert(id) => {
                self.emit(&json!({"type": "TOOL_CALL_RESULT", "messageId": format!("r{id}"), "toolCallId": format!("t{id}"), "content": "x"}));
            }
            Step::End(..) | Step::Result(_) => {}
            Step::Reasoning(id, delta) => {
                let id = format!("think{id}");
                self.emit(&json!({"type": "REASONING_MESSAGE_START", "messageId": id, "role": "reasoning"}));
                self.emit(&json!({"type": "REASONING_MESSAGE_CONTENT", "messageId": id, "delta": delta}));
                self.emit(&json!({"type": "REASONING_MESSAGE_END", "messageId": id}));
                self.emit(&json!({"type": "REASONING_ENCRYPTED_VALUE", "subtype": "message", "entityId": id, "encryptedValue": delta}));
            }
            Step::Activity(id, None) => {
                self.emit(&json!({"type": "ACTIVITY_SNAPSHOT", "messageId": format!("act{id}"), "activityType": "P", "content": {"a": [id]}}));
            }
            Step::Activity(id, Some(patch)) => {
                self.emit(&json!({"type": "ACTIVITY_DELTA", "messageId": format!("act{id}"), "activityType": "P", "patch": patch}));
            }
            Step::State(state) => self.emit(&json!({"type": "STATE_SNAPSHOT", "snapshot": state})),
            Step::Delta(patch) => self.emit(&json!({"type": "STATE_DELTA", "delta": patch})),
            Step::Other(n) => self.emit(&json!({"type": "OTHER", "n": n, "null": null})),
            Step::Snapshot(id) => {
                // Compaction moves a snapshot behind the messages it came in.
                self.close_all();
                let message = json!({"id": format!("m{id}"), "role": "assistant", "content": "s"});
                self.emit(&json!({"type": "MESSAGES_SNAPSHOT", "messages": [message]}));
            }
            Step::Stage(n) => {
                let started = self.stages.insert(n);
                if !started {
                    self.stages.remove(&n);
                }
                let kind = if started { "STEP_STARTED" } else { "STEP_FINISHED" };
                self.emit(&json!({"type": kind, "stepName": format!("s{n}")}));
            }
            Step::Terminal(failed) => {
                self.running = false;
                if failed {
                    // The agent's own error may leave things open.
                    self.emit(&json!({"type": "RUN_ERROR", "message": "no"}));
                    self.texts.clear();
                    self.calls.clear();
                    self.stages.clear();
                } else {
                    self.close_all();
                    for n in std::mem::take(&mut self.stages) {
                        self.emit(&json!({"type": "STEP_FINISHED", "stepName": format!("s{n}")}));
                    }
                    self.emit(&json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}));
                }
            }
        }
    }
}

/// The messages of some events.
pub(super) fn messages(events: &[Event]) -> Vec<Value> {
    let mut list = MessageList::default();
    events.iter().for_each(|event| list.apply(event));
    let messages = list.to_messages();
    assert_eq!(messages.len(), list.len());
    messages.iter().map(|message| serde_json::from_str(message.get()).unwrap()).collect()
}

/// Messages, whatever their order.
pub(super) fn by_id(messages: Vec<Value>) -> BTreeMap<String, Value> {
    messages
        .into_iter()
        .map(|mut message| {
            // Calls of one message are in the order of their ends.
            if let Some(calls) = message.get_mut("toolCalls").and_then(Value::as_array_mut) {
                calls.sort_by_key(|call| call["id"].to_string());
            }
            (message["id"].to_string(), message)
        })
        .collect()
}

/// The state after some events.
pub(super) fn state(events: &[Event]) -> Option<Value> {
    let mut state = StateFold::default();
    for event in events {
        let _ = state.apply(event);
    }
    state.into_value()
}

/// The events of unknown types.
pub(super) fn unknown(events: &[Event]) -> Vec<&str> {
    let unknown = events.iter().filter(|event| event.kind() == EventKind::Unknown);
    unknown.map(Event::as_str).collect()
}
