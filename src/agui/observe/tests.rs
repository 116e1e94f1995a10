use serde_json::json;

use super::*;
use crate::agui::recorded::cases;

fn observe(events: &[Value]) -> Observed {
    let events: Vec<_> = events.iter().map(|event| Event::from_value(event).unwrap()).collect();
    messages_from_stream(&events)
}

#[test]
fn recorded_answers_are_observed_as_recorded() {
    let mut compared = 0;
    for case in cases("hooks.json") {
        let Some(theirs) = case.observed("afterRequestMiddleware") else {
            continue;
        };
        let ours = messages_from_stream(&case.first_events());
        let name = case.name();
        assert_eq!(json!(ours.messages), theirs["messages"], "{name}");
        assert_eq!(ours.thread_id.as_deref(), theirs["threadId"].as_str(), "{name}");
        assert_eq!(ours.run_id.as_deref(), theirs["runId"].as_str(), "{name}");
        compared += 1;
    }
    assert!(compared >= 3);
}

#[test]
fn snapshot_wins_wholesale() {
    let call = json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let observed = observe(&[
        json!({"type": "MESSAGES_SNAPSHOT", "messages": [{"id": "old", "role": "user", "content": ""}]}),
        json!({"type": "MESSAGES_SNAPSHOT", "messages": [
            {"id": "a", "role": "assistant", "toolCalls": [call]},
            {"id": "r", "role": "tool", "content": "x", "toolCallId": "t"},
            {"id": "u", "role": "user", "content": [{"type": "text", "text": "x"}]},
        ]}),
        json!({"type": "TEXT_MESSAGE_START", "messageId": "m"}),
    ]);
    assert_eq!(
        json!(observed.messages),
        json!([
            {"id": "a", "role": "assistant", "toolCalls": [{"id": "t", "name": "f", "args": "{}"}]},
            {"id": "r", "role": "tool", "content": "x", "toolCallId": "t"},
            {"id": "u", "role": "user", "content": [{"type": "text", "text": "x"}]},
        ])
    );
}

#[test]
fn results_stand_where_they_came_and_orphaned_calls_are_left_out() {
    let observed = observe(&[
        json!({"type": "TOOL_CALL_RESULT", "messageId": "r", "toolCallId": "t", "content": "x"}),
        json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "user"}),
        json!({"type": "TOOL_CALL_START", "toolCallId": "a", "toolCallName": "f"}),
        json!({"type": "TOOL_CALL_START", "toolCallId": "b", "toolCallName": "f", "parentMessageId": "none"}),
        json!({"type": "TOOL_CALL_ARGS", "toolCallId": "b", "delta": "{}"}),
    ]);
    assert_eq!(
        json!(observed.messages),
        json!([
            {"id": "r", "role": "tool", "content": "x", "toolCallId": "t"},
            {"id": "m", "role": "user", "content": ""},
        ])
    );
}

#[test]
fn thread_and_run_are_those_of_the_last_run() {
    let observed = observe(&[
        json!({"type": "RUN_STARTED", "threadId": "t1", "runId": "r1"}),
        json!({"type": "RUN_STARTED", "threadId": "t2", "runId": "r2"}),
    ]);
    assert_eq!(observed.thread_id.as_deref(), Some("t2"));
    assert_eq!(observed.run_id.as_deref(), Some("r2"));
}
