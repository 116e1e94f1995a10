//! The messages of a thread, built from its events.

use serde_json::{Value, json};

use super::super::call::{Answer, Call};
use super::World;
use super::threads::{self, Thread};

impl Thread {
    /// Every message, in the platform's form: tool calls are flat.
    pub(super) fn messages(&self) -> Vec<Value> {
        let mut messages: Vec<Value> = Vec::new();
        for row in &self.journal {
            apply(&mut messages, &row.event);
        }
        messages
    }
}

fn apply(messages: &mut Vec<Value>, event: &Value) {
    let kind = event["type"].as_str().unwrap_or_default();
    match kind {
        "RUN_STARTED" => {
            for message in event["input"]["messages"].as_array().into_iter().flatten() {
                if position(messages, &message["id"]).is_none() {
                    messages.push(flat(message));
                }
            }
        }
        "TEXT_MESSAGE_START" => {
            let at = place(messages, &event["messageId"], &event["role"]);
            messages[at]["content"] = "".into();
        }
        "TEXT_MESSAGE_CONTENT" => {
            if let Some(at) = position(messages, &event["messageId"]) {
                append(&mut messages[at]["content"], &event["delta"]);
            }
        }
        "TOOL_CALL_START" => {
            let parent =
                if event["parentMessageId"].is_string() { &event["parentMessageId"] } else { &event["toolCallId"] };
            let at = place(messages, parent, &"assistant".into());
            let call = json!({ "id": event["toolCallId"], "name": event["toolCallName"], "args": "" });
            match messages[at]["toolCalls"].as_array_mut() {
                Some(calls) => calls.push(call),
                None => messages[at]["toolCalls"] = json!([call]),
            }
        }
        "TOOL_CALL_ARGS" => {
            let calls = messages.iter_mut().filter_map(|message| message["toolCalls"].as_array_mut()).flatten();
            if let Some(call) = calls.into_iter().find(|call| call["id"] == event["toolCallId"]) {
                append(&mut call["args"], &event["delta"]);
            }
        }
        "TOOL_CALL_RESULT" => messages.push(json!({
            "id": event["messageId"], "role": "tool", "content": event["content"], "toolCallId": event["toolCallId"],
        })),
        _ => {}
    }
}

fn position(messages: &[Value], id: &Value) -> Option<usize> {
    messages.iter().position(|message| message["id"] == *id)
}

/// Where the message of an id is, or now is.
fn place(messages: &mut Vec<Value>, id: &Value, role: &Value) -> usize {
    position(messages, id).unwrap_or_else(|| {
        let role = if role.is_string() { role.clone() } else { "assistant".into() };
        messages.push(json!({ "id": id, "role": role }));
        messages.len() - 1
    })
}

fn append(text: &mut Value, delta: &Value) {
    *text = format!("{}{}", text.as_str().unwrap_or_default(), delta.as_str().unwrap_or_default()).into();
}

/// A message as clients write it, in the platform's form.
fn flat(message: &Value) -> Value {
    let mut flat = json!({ "id": message["id"], "role": message["role"] });
    for field in ["content", "activityType", "toolCallId"] {
        if !message[field].is_null() {
            flat[field] = message[field].clone();
        }
    }
    if let Some(calls) = message["toolCalls"].as_array() {
        let call = |call: &Value| json!({ "id": call["id"], "name": call["function"]["name"], "args": call["function"]["arguments"] });
        flat["toolCalls"] = calls.iter().map(call).collect();
    }
    flat
}

impl World {
    pub(super) fn history(&mut self, id: &str, call: &Call) -> Answer {
        match self.thread_of(id, call.user()) {
            Some(thread) => Answer::ok(json!({ "messages": thread.messages() })),
            None => threads::not_found(),
        }
    }
}
