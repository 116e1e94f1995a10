use serde_json::{Value, json};

use super::*;

fn normalised(json: &str) -> Result<String, String> {
    normalise(Event::parse(json.to_owned()).unwrap())
        .map(|event| event.as_str().to_owned())
        .map_err(|error| error.to_string())
}

#[track_caller]
fn untouched(json: &str) {
    assert_eq!(normalised(json).as_deref(), Ok(json));
}

#[track_caller]
fn refused(json: &str, why: &str) {
    assert_eq!(normalised(json), Err(why.to_owned()));
}

/// One event of every type, as full as this release knows it.
fn full(kind: EventKind) -> Value {
    let message = json!({"id":"u","role":"user","content":[
        {"type":"text","text":"t"},
        {"type":"image","source":{"type":"data","value":"AA","mimeType":"image/png"},"metadata":1},
        {"type":"document","source":{"type":"file","value":"f","provider":"p"},"id":"x"},
        {"type":"binary","mimeType":"a/b","id":"i"}]});
    let fields = match kind {
        EventKind::TextMessageStart => json!({"messageId":"m","role":"developer","name":"n"}),
        EventKind::TextMessageContent => json!({"messageId":"m","delta":""}),
        EventKind::TextMessageEnd => json!({"messageId":"m"}),
        EventKind::TextMessageChunk => json!({"messageId":"m","role":"user","delta":"d","name":"n"}),
        EventKind::ToolCallStart => json!({"toolCallId":"t","toolCallName":"f","parentMessageId":"m"}),
        EventKind::ToolCallArgs => json!({"toolCallId":"t","delta":"{"}),
        EventKind::ToolCallEnd => json!({"toolCallId":"t"}),
        EventKind::ToolCallChunk => json!({"toolCallId":"t","toolCallName":"f","delta":"d","parentMessageId":"m"}),
        EventKind::ToolCallResult => json!({"messageId":"m","toolCallId":"t","content":"c","role":"tool"}),
        EventKind::StateSnapshot => json!({"snapshot":null}),
        EventKind::StateDelta => json!({"delta":[{"op":"add","path":"/a","value":1}]}),
        EventKind::MessagesSnapshot => json!({"messages":[message,
            {"id":"a","role":"assistant","toolCalls":[
                {"id":"t","type":"function","function":{"name":"f","arguments":"{}"},"metadata":{}}]},
            {"id":"t","role":"tool","content":"c","toolCallId":"t","error":"e"},
            {"id":"x","role":"activity","activityType":"A","content":{}},
            {"id":"r","role":"reasoning","content":"c","encryptedValue":"v","metadata":{"a":null}},
            {"id":"s","role":"system","content":"c","name":"n"},
            {"id":"d","role":"developer","content":"c","subagentRunId":"s"}]}),
        EventKind::ActivitySnapshot => json!({"messageId":"m","activityType":"A","content":{},"replace":false}),
        EventKind::ActivityDelta => json!({"messageId":"m","activityType":"A","patch":[]}),
        EventKind::Raw => json!({"event":{"x":1},"source":"s"}),
        EventKind::Custom => json!({"name":"n","value":null}),
        EventKind::RunStarted => json!({"threadId":"t","runId":"r","parentRunId":"p","protocolVersion":"1",
            "input":{"threadId":"t","runId":"r","messages":[message],"tools":[{"name":"n","description":"d"}],
                "context":[{"description":"d","value":"v"}],"forwardedProps":null,
                "resume":[{"interruptId":"i","status":"resolved","payload":1}]}}),
        EventKind::RunFinished => json!({"threadId":"t","runId":"r","result":null,
            "outcome":{"type":"interrupt","interrupts":[{"id":"i","reason":"r","responseSchema":{}}]},
            "usage":[{"model":"m","inputTokens":0,"cacheWriteInputTokens":2.0}]}),
        EventKind::RunError => json!({"message":"m","code":"c","usage":[]}),
        EventKind::StepStarted | EventKind::StepFinished => json!({"stepName":"s"}),
        EventKind::ReasoningStart | EventKind::ReasoningMessageEnd | EventKind::ReasoningEnd => {
            json!({"messageId":"m"})
        }
        EventKind::ReasoningMessageStart => json!({"messageId":"m","role":"reasoning"}),
        EventKind::ReasoningMessageContent => json!({"messageId":"m","delta":"d"}),
        EventKind::ReasoningMessageChunk => json!({"messageId":"m","delta":"d"}),
        EventKind::ReasoningEncryptedValue => json!({"subtype":"tool-call","entityId":"e","encryptedValue":"v"}),
        EventKind::SubagentStarted => json!({"subagentRunId":"s","name":"n","description":"d",
            "parentSubagentRunId":"p","parentToolCallId":"t","parentMessageId":"m"}),
        EventKind::SubagentFinished => json!({"subagentRunId":"s","result":1,
            "outcome":{"type":"suspended","interruptIds":["i"]}}),
        EventKind::SubagentError => json!({"subagentRunId":"s","message":"m","code":"c"}),
        EventKind::ThinkingStart => json!({"title":"t"}),
        EventKind::ThinkingTextMessageContent => json!({"delta":"d"}),
        EventKind::ThinkingEnd
        | EventKind::ThinkingTextMessageStart
        | EventKind::ThinkingTextMessageEnd
        | EventKind::Unknown => json!({}),
    };
    let mut event = json!({"type": kind.name()});
    let all = event.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    all.extend(json!({"timestamp":1.5,"rawEvent":null,"metadata":{"k":null},"more":{}}).as_object().unwrap().clone());
    event
}

#[test]
fn full_events_keep_their_bytes() {
    for kind in EventKind::ALL {
        untouched(&full(*kind).to_string());
    }
}

#[test]
fn fields_of_another_type_are_refused() {
    for kind in EventKind::ALL {
        let event = full(*kind);
        for (name, value) in event.as_object().unwrap() {
            // Fields that may be anything.
            if ["type", "rawEvent", "more", "snapshot", "event", "value", "result", "protocolVersion"]
                .contains(&name.as_str())
            {
                continue;
            }
            let mut broken = event.clone();
            broken[name] = if value.is_boolean() { json!("x") } else { json!(true) };
            let error = normalise(Event::from_value(&broken).unwrap()).unwrap_err();
            assert_eq!((error.event(), error.field()), (kind.name(), name.as_str()), "{broken}");
        }
    }
}

#[test]
fn required_fields_are_missed() {
    refused(r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1"}"#, "TEXT_MESSAGE_CONTENT: `delta` is required");
    refused(r#"{"type":"RUN_STARTED","threadId":"t"}"#, "RUN_STARTED: `runId` is required");
    refused(r#"{"type":"ACTIVITY_DELTA","messageId":"m","activityType":"A"}"#, "ACTIVITY_DELTA: `patch` is required");
}

#[test]
fn failures_name_the_place() {
    refused(r#"{"type":"TOOL_CALL_END","toolCallId":7}"#, "TOOL_CALL_END: `toolCallId` must be a string");
    refused(
        r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"tool"}"#,
        "TEXT_MESSAGE_START: `role` must be one of assistant, user, system, developer",
    );
    refused(
        r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"a","role":"user","content":"x"},{"id":"b","role":"system"}]}"#,
        "MESSAGES_SNAPSHOT: `messages[1].content` is required",
    );
    refused(
        r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"a","role":"assistant","toolCalls":[{"id":"t","type":"function","function":{"name":1}}]}]}"#,
        "MESSAGES_SNAPSHOT: `messages[0].toolCalls[0].function.name` must be a string",
    );
    refused(
        r#"{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"a","role":"robot"}]}"#,
        "MESSAGES_SNAPSHOT: `messages[0]` has an unknown `role`: it must be one of user, assistant, tool, reasoning, \
         system, developer, activity",
    );
    refused(r#"{"type":"MESSAGES_SNAPSHOT","messages":[3]}"#, "MESSAGES_SNAPSHOT: `messages[0]` must be an object");
    refused(
        r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[]}}"#,
        "RUN_FINISHED: `outcome.interrupts` must not be empty",
    );
    refused(
        r#"{"type":"RUN_ERROR","message":"m","usage":[{"inputTokens":1},{"inputTokens":-1}]}"#,
        "RUN_ERROR: `usage[1].inputTokens` must be a whole number, zero or more",
    );
    refused(r#"{"type":"RUN_ERROR","message":"m","metadata":null}"#, "RUN_ERROR: `metadata` must be an object");
    refused(
        r#"{"type":"SUBAGENT_FINISHED","subagentRunId":"s","outcome":null}"#,
        "SUBAGENT_FINISHED: `outcome` must be an object",
    );
}

#[test]
fn defaults_are_added() {
    assert_eq!(
        normalised(r#"{"type":"TEXT_MESSAGE_START", "messageId":"m1","n":1.0}"#).unwrap(),
        r#"{"type":"TEXT_MESSAGE_START","messageId":"m1","n":1.0,"role":"assistant"}"#,
    );
    assert_eq!(
        normalised(r#"{"type":"ACTIVITY_SNAPSHOT","messageId":"a","activityType":"P","content":{}}"#).unwrap(),
        r#"{"type":"ACTIVITY_SNAPSHOT","messageId":"a","activityType":"P","content":{},"replace":true}"#,
    );
}

#[test]
fn some_nulls_vanish() {
    for kind in ["START", "CHUNK"] {
        assert_eq!(
            normalised(&format!(
                r#"{{"type":"TOOL_CALL_{kind}","toolCallId":"t","parentMessageId":null,"toolCallName":"f"}}"#
            ))
            .unwrap(),
            format!(r#"{{"type":"TOOL_CALL_{kind}","toolCallId":"t","toolCallName":"f"}}"#),
        );
    }
    assert_eq!(
        normalised(
            r#"{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"threadId":"t","runId":"r","state":null,"messages":[],"x":[ 1 ]}}"#
        )
        .unwrap(),
        r#"{"type":"RUN_STARTED","threadId":"t","runId":"r","input":{"threadId":"t","runId":"r","messages":[],"x":[ 1 ]}}"#,
    );
}

#[test]
fn usage_carries_nothing_unknown() {
    assert_eq!(
        normalised(
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":null,"usage":[{"model":"m","inputTokens":1,"prompt":"secret"},{"x":1},{}]}"#
        )
        .unwrap(),
        r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","usage":[{"model":"m","inputTokens":1},{},{}]}"#,
    );
}

#[test]
fn unknown_types_pass() {
    untouched(r#"{"type":"SOMETHING_NEW","messageId":7}"#);
}

#[test]
fn escaped_keys_are_read() {
    untouched(r#"{"type":"TOOL_CALL_END","tool\u0043allId":"t"}"#);
    refused(r#"{"type":"TOOL_CALL_END","tool\u0043allId":1}"#, "TOOL_CALL_END: `toolCallId` must be a string");
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[\\[\\]{}:,\"a-z0-9 \\\\]{0,60}", kind in 0..EventKind::ALL.len()) {
        let kind = EventKind::ALL[kind].name();
        for field in ["messages", "usage", "outcome", "input", "content"] {
            if let Ok(event) = Event::parse(format!(r#"{{"type":"{kind}","{field}":{text}}}"#)) {
                let _ = normalise(event);
            }
        }
    }
}
