use super::*;

/// What closes a run of which some events were delivered.
fn close(events: &[Event], why: Ending) -> Vec<String> {
    let mut finalizer = Finalizer::new("t", "r");
    events.iter().for_each(|event| finalizer.observe(event));
    finalizer.close(why).iter().map(|event| event.as_str().to_owned()).collect()
}

fn failed(message: &str) -> Ending {
    Ending::Failed { message: message.to_owned(), code: None }
}

const INCOMPLETE_ERROR: &str =
    r#"{"type":"RUN_ERROR","message":"Run ended without emitting a terminal event","code":"INCOMPLETE_STREAM"}"#;

#[test]
fn nothing_follows_a_terminal_event() {
    for terminal in [Event::run_finished("t", "r"), Event::run_error("m", "c")] {
        let events = [Event::run_started("t", "r"), terminal, Event::text_start("m1")];
        assert!(close(&events, Ending::Stopped).is_empty());
    }
}

#[test]
fn empty_run_ends_with_terminal_alone() {
    assert_eq!(close(&[], Ending::Incomplete), [INCOMPLETE_ERROR]);
}

#[test]
fn stop_before_any_event_starts_the_run() {
    assert_eq!(
        close(&[], Ending::Stopped),
        [
            r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#,
        ]
    );
}

#[test]
fn closing_twice_gives_nothing_more() {
    let mut finalizer = Finalizer::new("t", "r");
    finalizer.observe(&Event::run_started("t", "r"));
    assert_eq!(finalizer.close(Ending::Stopped).len(), 1);
    assert!(finalizer.terminal_seen());
    assert!(finalizer.close(Ending::Incomplete).is_empty());
}

#[test]
fn failure_keeps_its_text_and_code() {
    assert_eq!(close(&[], failed("boom")), [r#"{"type":"RUN_ERROR","message":"boom","code":"INCOMPLETE_STREAM"}"#]);
    let coded = Ending::Failed { message: "busy".to_owned(), code: Some("THREAD_BUSY") };
    assert_eq!(close(&[], coded), [r#"{"type":"RUN_ERROR","message":"busy","code":"THREAD_BUSY"}"#]);
}

#[test]
fn failure_without_text_reads_as_incomplete() {
    assert_eq!(close(&[], failed("")), [INCOMPLETE_ERROR]);
    assert_eq!(close(&[], failed("Run stopped by user")), [INCOMPLETE_ERROR]);
}

#[test]
fn open_messages_close_in_opening_order() {
    let events = [
        Event::text_start("b"),
        Event::text_start("a"),
        Event::text_start("c"),
        Event::text_end("a"),
        Event::text_start(""),
    ];
    assert_eq!(
        close(&events, Ending::Incomplete),
        [
            r#"{"type":"TEXT_MESSAGE_END","messageId":"b"}"#,
            r#"{"type":"TEXT_MESSAGE_END","messageId":"c"}"#,
            INCOMPLETE_ERROR,
        ]
    );
}

#[test]
fn tool_calls_lacking_end_or_result_get_them() {
    let events = [
        Event::tool_start("open", "f", None),
        Event::tool_start("ended", "f", None),
        Event::tool_end("ended"),
        Event::tool_start("answered", "f", None),
        Event::tool_result("m", "answered", "x"),
        Event::tool_start("settled", "f", None),
        Event::tool_result("m", "settled", "x"),
        Event::tool_end("settled"),
        Event::tool_result("m", "of another run", "x"),
        Event::tool_start("", "f", None),
    ];
    let result = |call: &str, content: &str| {
        let content = content.replace('"', "\\\"");
        format!(
            r#"{{"type":"TOOL_CALL_RESULT","toolCallId":"{call}","messageId":"{call}-result","role":"tool","content":"{content}"}}"#
        )
    };
    let error = r#"{"status":"error","reason":"missing_terminal_event","message":"boom"}"#;
    assert_eq!(
        close(&events, failed("boom")),
        [
            r#"{"type":"TOOL_CALL_END","toolCallId":"open"}"#,
            &result("open", error),
            &result("ended", error),
            r#"{"type":"TOOL_CALL_END","toolCallId":"answered"}"#,
            r#"{"type":"RUN_ERROR","message":"boom","code":"INCOMPLETE_STREAM"}"#,
        ]
    );
    let stopped = r#"{"status":"stopped","reason":"stop_requested","message":"Run stopped by user"}"#;
    assert_eq!(
        close(&events[1..3], Ending::Stopped),
        [&result("ended", stopped), r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#,]
    );
}

#[test]
fn second_run_of_a_stream_owes_a_terminal_event_too() {
    let started = || Event::run_started("t", "r");
    let events = [started(), Event::text_start("m1"), Event::run_error("m", "c"), started()];
    assert_eq!(close(&events, Ending::Incomplete), [INCOMPLETE_ERROR]);
}

#[test]
fn stop_closes_reasoning() {
    let reasoning = |kind| EventWriter::new(kind).text("messageId", "re").finish();
    let started = Event::run_started("t", "r");
    let opened = [started, reasoning(EventKind::ReasoningStart), reasoning(EventKind::ReasoningMessageStart)];
    let ends = [EventKind::ReasoningMessageEnd, EventKind::ReasoningEnd].map(reasoning);
    let expected = [&ends[..], &[Event::run_finished("t", "r")]].concat();
    let closed = close(&opened, Ending::Stopped);
    assert_eq!(closed, expected.iter().map(|event| event.as_str().to_owned()).collect::<Vec<_>>());
}

#[test]
fn stop_closes_steps_and_subagents() {
    let event = |json: &'static str| Event::parse(json).unwrap();
    let events = [
        event(r#"{"type":"STEP_STARTED","stepName":"outer"}"#),
        event(r#"{"type":"SUBAGENT_STARTED","subagentRunId":"s1","name":"n"}"#),
        event(r#"{"type":"SUBAGENT_STARTED","subagentRunId":"s2","name":"n"}"#),
        event(r#"{"type":"STEP_STARTED","stepName":"inner","subagentRunId":"s1"}"#),
        event(r#"{"type":"STEP_STARTED","stepName":"done"}"#),
        event(r#"{"type":"STEP_FINISHED","stepName":"done"}"#),
    ];
    assert_eq!(
        close(&events, Ending::Stopped),
        [
            r#"{"type":"STEP_FINISHED","stepName":"inner","subagentRunId":"s1"}"#,
            r#"{"type":"STEP_FINISHED","stepName":"outer"}"#,
            r#"{"type":"SUBAGENT_ERROR","subagentRunId":"s2","message":"Run stopped by user","code":"STOPPED"}"#,
            r#"{"type":"SUBAGENT_ERROR","subagentRunId":"s1","message":"Run stopped by user","code":"STOPPED"}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#,
        ]
    );
    // Nothing forbids a RUN_ERROR.
    assert_eq!(close(&events, Ending::Incomplete), [INCOMPLETE_ERROR]);
}

#[test]
fn stop_closes_what_has_an_empty_id() {
    let events = [Event::run_started("t", "r"), Event::text_start(""), Event::tool_start("", "f", None)];
    assert_eq!(
        close(&events, Ending::Stopped)[..2],
        [r#"{"type":"TEXT_MESSAGE_END","messageId":""}"#, r#"{"type":"TOOL_CALL_END","toolCallId":""}"#]
    );
    // Clients let a failed run end with messages open, and upstream passes over these.
    assert_eq!(close(&events, Ending::Incomplete), [INCOMPLETE_ERROR]);
}
