use serde_json::{Value, json};

use super::*;
use crate::agui::recorded::case;

fn list(events: &[Value]) -> MessageList {
    let mut list = MessageList::default();
    for event in events {
        list.apply(&Event::from_value(event).unwrap());
    }
    list
}

fn messages(events: &[Value]) -> Value {
    let messages = list(events).to_messages();
    messages.iter().map(|message| serde_json::from_str::<Value>(message.get()).unwrap()).collect()
}

fn rest(events: &[Value]) -> Value {
    serde_json::from_str(&list(events).to_rest()).unwrap()
}

fn text(id: &str, delta: &str) -> [Value; 3] {
    [
        json!({"type": "TEXT_MESSAGE_START", "messageId": id}),
        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": delta}),
        json!({"type": "TEXT_MESSAGE_END", "messageId": id}),
    ]
}

fn call(id: &str, parent: Option<&str>) -> Value {
    let mut start = json!({"type": "TOOL_CALL_START", "toolCallId": id, "toolCallName": "f"});
    if let Some(parent) = parent {
        start["parentMessageId"] = json!(parent);
    }
    start
}

fn result(id: &str, call: &str) -> Value {
    json!({"type": "TOOL_CALL_RESULT", "messageId": id, "toolCallId": call, "content": "r"})
}

fn input(messages: &Value) -> Value {
    json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r", "input": {"messages": messages}})
}

fn snapshot(messages: &Value) -> Value {
    json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})
}

fn user(id: &str) -> Value {
    json!({"id": id, "role": "user", "content": "hi"})
}

fn ids(messages: &Value) -> Vec<&str> {
    messages.as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect()
}

#[test]
fn text_is_appended_to_its_message() {
    let events = [
        json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "developer", "name": "n"}),
        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "a\n"}),
        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "x", "delta": "lost"}),
        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "b"}),
    ];
    assert_eq!(messages(&events), json!([{"id": "m", "role": "developer", "content": "a\nb", "name": "n"}]));
}

#[test]
fn start_of_a_known_message_changes_nothing() {
    let events = [
        input(&json!([user("m")])),
        json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant", "name": "n"}),
    ];
    assert_eq!(messages(&events), json!([user("m")]));
}

#[test]
fn halves_of_an_emoji_meet_again() {
    let mut list = MessageList::default();
    for event in [
        r#"{"type":"TEXT_MESSAGE_START","messageId":"m"}"#,
        r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\ud83d"}"#,
        r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"\ude00"}"#,
    ] {
        list.apply(&Event::parse(event).unwrap());
    }
    let rest: Value = serde_json::from_str(&list.to_rest()).unwrap();
    assert_eq!(rest[0]["content"], "😀");
}

#[test]
fn tool_call_joins_its_parent() {
    let [start, content, end] = text("m", "hi");
    let args = |delta| json!({"type": "TOOL_CALL_ARGS", "toolCallId": "t", "delta": delta});
    let events = [start, content, end, call("t", Some("m")), args("{\"a\":"), args("1}")];
    let function = json!({"name": "f", "arguments": "{\"a\":1}"});
    assert_eq!(
        messages(&events),
        json!([{
            "id": "m", "role": "assistant", "content": "hi",
            "toolCalls": [{"id": "t", "type": "function", "function": function}],
        }])
    );
    assert_eq!(
        rest(&events),
        json!([{
            "id": "m", "role": "assistant", "content": "hi",
            "toolCalls": [{"id": "t", "name": "f", "args": "{\"a\":1}"}],
        }])
    );
}

#[test]
fn tool_call_without_an_assistant_gets_one() {
    let events = [input(&json!([user("u")])), call("a", None), call("b", Some("p")), call("c", Some("u"))];
    let rest = rest(&events);
    assert_eq!(ids(&rest), ["u", "a", "p", "c"]);
    assert_eq!(rest[3], json!({"id": "c", "role": "assistant", "toolCalls": [{"id": "c", "name": "f", "args": ""}]}));
}

#[test]
fn message_that_starts_after_its_call_is_completed() {
    // So it comes from compaction when the call ended first.
    let [start, content, _] = text("m", "hi");
    let rest = rest(&[call("t", Some("m")), start, content]);
    assert_eq!(ids(&rest), ["m"]);
    assert_eq!(rest[0]["content"], "hi");
}

#[test]
fn known_tool_call_is_only_renamed() {
    let again = json!({"type": "TOOL_CALL_START", "toolCallId": "t", "toolCallName": "g", "parentMessageId": "other"});
    let rest = rest(&[call("t", None), again]);
    assert_eq!(rest, json!([{"id": "t", "role": "assistant", "toolCalls": [{"id": "t", "name": "g", "args": ""}]}]));
}

#[test]
fn result_stands_behind_its_call_and_earlier_results() {
    let [start, ..] = text("later", "");
    let events = [
        call("t1", Some("m")),
        call("t2", Some("m")),
        start,
        result("r1", "t1"),
        result("r2", "t2"),
        result("r3", "unknown"),
    ];
    let rest = rest(&events);
    assert_eq!(ids(&rest), ["m", "r1", "r2", "later", "r3"]);
    assert_eq!(rest[1], json!({"id": "r1", "role": "tool", "content": "r", "toolCallId": "t1"}));
}

#[test]
fn result_with_the_id_of_another_message_is_not_lost() {
    let rest = rest(&[call("t", Some("m")), result("m", "t"), result("r", "t"), result("r", "t")]);
    assert_eq!(ids(&rest), ["m", "m", "r"]);
}

#[test]
fn snapshot_replaces_drops_and_appends() {
    let new = json!({"id": "b", "role": "assistant", "content": "new"});
    let events = [input(&json!([user("a"), user("b"), user("c")])), snapshot(&json!([user("d"), new, user("a")]))];
    let messages = messages(&events);
    assert_eq!(ids(&messages), ["a", "b", "d"]);
    assert_eq!(messages[1], new);
}

#[test]
fn snapshot_spares_kinds_it_does_not_have() {
    let activity = json!({"type": "ACTIVITY_SNAPSHOT", "messageId": "act", "activityType": "P", "content": {}});
    let reasoning = json!({"type": "REASONING_MESSAGE_START", "messageId": "why", "role": "reasoning"});
    let other = json!({"id": "why2", "role": "reasoning", "content": ""});
    let without = [activity.clone(), reasoning.clone(), snapshot(&json!([]))];
    assert_eq!(ids(&messages(&without)), ["act", "why"]);
    let with = [activity, reasoning, snapshot(&json!([other]))];
    assert_eq!(ids(&messages(&with)), ["act", "why2"]);
}

#[test]
fn tool_calls_of_a_snapshot_are_known() {
    let calls =
        json!([{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}, "encryptedValue": "e"}]);
    let assistant = json!({"id": "m", "role": "assistant", "toolCalls": calls});
    let events = [snapshot(&json!([assistant, user("u")])), result("r", "t")];
    let messages = messages(&events);
    assert_eq!(ids(&messages), ["m", "r", "u"]);
    assert_eq!(messages[0], assistant);
}

#[test]
fn activity_is_shown_replaced_and_patched() {
    let shown = |content: Value| json!({"type": "ACTIVITY_SNAPSHOT", "messageId": "a", "activityType": "P", "content": content});
    let mut kept = shown(json!({"n": 2}));
    kept["replace"] = json!(false);
    let delta = |patch: Value| json!({"type": "ACTIVITY_DELTA", "messageId": "a", "activityType": "Q", "patch": patch});
    let bad = delta(json!([{"op": "remove", "path": "/none"}]));
    let good = delta(json!([{"op": "add", "path": "/n", "value": 3}]));
    let of = |events: &[Value]| messages(events)[0]["content"].clone();
    assert_eq!(of(&[shown(json!({"n": 1})), shown(json!({"m": 1}))]), json!({"m": 1}));
    assert_eq!(of(&[shown(json!({"n": 1})), kept.clone()]), json!({"n": 1}));
    assert_eq!(of(&[kept]), json!({"n": 2}));
    let patched = [shown(json!({"n": 1})), bad, good];
    assert_eq!(messages(&patched), json!([{"id": "a", "role": "activity", "content": {"n": 3}, "activityType": "Q"}]));
    assert_eq!(rest(&patched), json!([{"id": "a", "role": "activity", "content": {"n": 3}}]));
}

#[test]
fn reasoning_builds_a_message() {
    let events = [
        json!({"type": "REASONING_START", "messageId": "why"}),
        json!({"type": "REASONING_MESSAGE_START", "messageId": "why", "role": "reasoning"}),
        json!({"type": "REASONING_MESSAGE_CONTENT", "messageId": "why", "delta": "be"}),
        json!({"type": "REASONING_MESSAGE_CONTENT", "messageId": "why", "delta": "cause"}),
        json!({"type": "REASONING_ENCRYPTED_VALUE", "subtype": "message", "entityId": "why", "encryptedValue": "e"}),
    ];
    assert_eq!(
        messages(&events),
        json!([{"id": "why", "role": "reasoning", "content": "because", "encryptedValue": "e"}])
    );
}

#[test]
fn tool_call_keeps_its_encrypted_value() {
    let value =
        json!({"type": "REASONING_ENCRYPTED_VALUE", "subtype": "tool-call", "entityId": "t", "encryptedValue": "e"});
    assert_eq!(messages(&[call("t", None), value])[0]["toolCalls"][0]["encryptedValue"], "e");
}

#[test]
fn metadata_merges_with_the_last_value_winning() {
    let [mut start, mut content, mut end] = text("m", "x");
    start["metadata"] = json!({"a": 1, "b": 1});
    content["metadata"] = json!({"b": 2});
    end["metadata"] = json!({"c": 3});
    let mut call = call("t", Some("m"));
    call["metadata"] = json!({"d": 4});
    let mut result = result("r", "t");
    result["metadata"] = json!({"e": 5});
    let messages = messages(&[start, content, end, call, result]);
    assert_eq!(messages[0]["metadata"], json!({"a": 1, "b": 2, "c": 3}));
    assert_eq!(messages[0]["toolCalls"][0]["metadata"], json!({"d": 4}));
    assert_eq!(messages[1]["metadata"], json!({"e": 5}));
}

#[test]
fn input_adds_only_what_is_new() {
    let changed = json!({"id": "a", "role": "user", "content": "changed"});
    let events = [input(&json!([user("a")])), input(&json!([changed, user("b"), {"id": 7}]))];
    assert_eq!(messages(&events), json!([user("a"), user("b")]));
}

fn recorded(name: &str) -> (Value, Value) {
    let case = case("threads.json", name);
    let mut list = MessageList::default();
    for event in case.runs().iter().flatten() {
        list.apply(event);
    }
    let ours = serde_json::from_str(&list.to_rest()).unwrap();
    (ours, case.body("messages")["messages"].clone())
}

#[test]
fn recorded_messages_are_answered_as_recorded() {
    for name in ["threads/messages", "threads/messages-empty-run-keeps-previous"] {
        let (ours, theirs) = recorded(name);
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn messages_of_all_runs_are_kept() {
    // Row 19; the model forgets the first run.
    let (ours, theirs) = recorded("threads/messages-second-run-keeps-latest");
    assert_eq!(ids(&ours), ["u1", "r1-m1", "u9", "r2-m1"]);
    assert_eq!(&ours.as_array().unwrap()[2..], theirs.as_array().unwrap());
}
