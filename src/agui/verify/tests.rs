use super::*;

/// The first violation in a run that has begun.
fn violation(events: &[&str]) -> String {
    checked(events).unwrap_err()
}

fn checked(events: &[&str]) -> Result<(), String> {
    let mut verifier = Verifier::default();
    verifier.check(&Event::run_started("t", "r")).unwrap();
    let last = events.len() - 1;
    for (index, event) in events.iter().enumerate() {
        let outcome = verifier.check(&Event::parse((*event).to_owned()).unwrap());
        match outcome {
            Ok(()) => {}
            Err(violation) if index == last => return Err(violation.to_string()),
            Err(violation) => panic!("too early: {violation}"),
        }
    }
    Ok(())
}

/// An event with the usual fields and some more.
fn e(kind: &str, more: &str) -> String {
    format!(r#"{{"type":"{kind}"{}{more}}}"#, if more.is_empty() { "" } else { "," })
}

const START: &str = r#"{"type":"TEXT_MESSAGE_START","messageId":"m"}"#;
const CONTENT: &str = r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x"}"#;
const END: &str = r#"{"type":"TEXT_MESSAGE_END","messageId":"m"}"#;
const CALL: &str = r#"{"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"f"}"#;
const ARGS: &str = r#"{"type":"TOOL_CALL_ARGS","toolCallId":"c","delta":"x"}"#;
const CALL_END: &str = r#"{"type":"TOOL_CALL_END","toolCallId":"c"}"#;
const STEP: &str = r#"{"type":"STEP_STARTED","stepName":"n"}"#;
const STEP_END: &str = r#"{"type":"STEP_FINISHED","stepName":"n"}"#;
const SUB: &str = r#"{"type":"SUBAGENT_STARTED","subagentRunId":"s","name":"n"}"#;
const SUB_END: &str = r#"{"type":"SUBAGENT_FINISHED","subagentRunId":"s"}"#;
const FINISHED: &str = r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#;
const ERROR: &str = r#"{"type":"RUN_ERROR","message":"m"}"#;
const STARTED: &str = r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#;

#[test]
fn first_event_must_start_or_fail_the_run() {
    for (event, fits) in [(STARTED, true), (ERROR, true), (FINISHED, false), (START, false), (r#"{"type":"X"}"#, false)]
    {
        let outcome = Verifier::default().check(&Event::parse(event).unwrap());
        assert_eq!(outcome.is_ok(), fits);
        assert!(fits || outcome.unwrap_err().to_string() == "First event must be 'RUN_STARTED'");
    }
}

#[test]
fn only_a_new_run_follows_an_error() {
    assert_eq!(
        violation(&[ERROR, START]),
        "Cannot send event type 'TEXT_MESSAGE_START': The run has already errored with 'RUN_ERROR'. No further events \
         can be sent."
    );
    assert!(violation(&[ERROR, ERROR]).contains("'RUN_ERROR': The run has already errored"));
    assert!(violation(&[ERROR, r#"{"type":"NEWER"}"#]).contains("'NEWER'"));
    checked(&[START, ERROR, STARTED, START]).unwrap();
}

#[test]
fn only_a_new_run_or_an_error_follows_an_end() {
    assert_eq!(
        violation(&[FINISHED, START]),
        "Cannot send event type 'TEXT_MESSAGE_START': The run has already finished with 'RUN_FINISHED'. Start a new \
         run with 'RUN_STARTED'."
    );
    assert!(violation(&[FINISHED, FINISHED]).contains("already finished"));
    checked(&[FINISHED, ERROR, STARTED, FINISHED, STARTED]).unwrap();
}

#[test]
fn run_cannot_start_while_one_is_active() {
    assert_eq!(
        violation(&[STARTED]),
        "Cannot send 'RUN_STARTED' while a run is still active. The previous run must be finished with 'RUN_FINISHED' \
         before starting a new run."
    );
}

#[test]
fn terminal_is_seen_until_the_next_run() {
    let mut verifier = Verifier::default();
    for (event, seen) in [(STARTED, false), (FINISHED, true), (STARTED, false), (ERROR, true)] {
        verifier.check(&Event::parse(event).unwrap()).unwrap();
        assert_eq!(verifier.terminal_seen(), seen);
    }
}

#[test]
fn text_message_events_need_their_order() {
    assert_eq!(
        violation(&[START, START]),
        "Cannot send 'TEXT_MESSAGE_START' event: A text message with ID 'm' is already in progress. Complete it with \
         'TEXT_MESSAGE_END' first."
    );
    assert_eq!(
        violation(&[CONTENT]),
        "Cannot send 'TEXT_MESSAGE_CONTENT' event: No active text message found with ID 'm'. Start a text message \
         with 'TEXT_MESSAGE_START' first."
    );
    assert_eq!(
        violation(&[START, END, END]),
        "Cannot send 'TEXT_MESSAGE_END' event: No active text message found with ID 'm'. A 'TEXT_MESSAGE_START' event \
         must be sent first."
    );
    checked(&[START, CONTENT, END, START, END, FINISHED]).unwrap();
}

#[test]
fn tool_call_events_need_their_order() {
    assert_eq!(
        violation(&[CALL, CALL]),
        "Cannot send 'TOOL_CALL_START' event: A tool call with ID 'c' is already in progress. Complete it with \
         'TOOL_CALL_END' first."
    );
    assert_eq!(
        violation(&[ARGS]),
        "Cannot send 'TOOL_CALL_ARGS' event: No active tool call found with ID 'c'. Start a tool call with \
         'TOOL_CALL_START' first."
    );
    assert_eq!(
        violation(&[CALL_END]),
        "Cannot send 'TOOL_CALL_END' event: No active tool call found with ID 'c'. A 'TOOL_CALL_START' event must be \
         sent first."
    );
    checked(&[CALL, ARGS, CALL_END, CALL, CALL_END, FINISHED]).unwrap();
}

#[test]
fn steps_end_by_whoever_started_them() {
    let tagged = e("STEP_STARTED", r#""stepName":"n","subagentRunId":"s""#);
    let tagged_end = e("STEP_FINISHED", r#""stepName":"n","subagentRunId":"s""#);
    assert_eq!(violation(&[STEP, STEP]), r#"Step "n" is already active for 'STEP_STARTED'"#);
    assert_eq!(violation(&[&tagged, &tagged]), r#"Step "n" is already active for 'STEP_STARTED' in subagent 's'"#);
    assert_eq!(violation(&[STEP_END]), r#"Cannot send 'STEP_FINISHED' for step "n" that was not started"#);
    assert_eq!(
        violation(&[STEP, &tagged_end]),
        "Cannot send 'STEP_FINISHED' for step \"n\" attributed to subagent 's': that step is open under the parent \
         agent. A step must be finished by whoever started it."
    );
    assert_eq!(
        violation(&[&tagged, STEP_END]),
        "Cannot send 'STEP_FINISHED' for step \"n\" attributed to the parent agent: that step is open under subagent \
         's'. A step must be finished by whoever started it."
    );
    checked(&[STEP, &tagged, STEP_END, &tagged_end, FINISHED]).unwrap();
}

#[test]
fn run_finishes_only_when_all_is_closed() {
    let other = e("TEXT_MESSAGE_START", r#""messageId":"a""#);
    let inner = e("STEP_STARTED", r#""stepName":"i","subagentRunId":"s""#);
    assert_eq!(
        violation(&[STEP, &inner, START, FINISHED]),
        "Cannot send 'RUN_FINISHED' while steps are still active: n, i (subagent 's')"
    );
    assert_eq!(
        violation(&[START, &other, CALL, FINISHED]),
        "Cannot send 'RUN_FINISHED' while text messages are still active: m, a"
    );
    assert_eq!(violation(&[CALL, SUB, FINISHED]), "Cannot send 'RUN_FINISHED' while tool calls are still active: c");
    assert_eq!(violation(&[SUB, FINISHED]), "Cannot send 'RUN_FINISHED' while subagents are still active: s");
}

#[test]
fn thinking_events_need_their_order() {
    let [start, end, message, content, message_end] = [
        "THINKING_START",
        "THINKING_END",
        "THINKING_TEXT_MESSAGE_START",
        "THINKING_TEXT_MESSAGE_CONTENT",
        "THINKING_TEXT_MESSAGE_END",
    ]
    .map(|kind| e(kind, ""));
    assert_eq!(
        violation(&[&start, &start]),
        "Cannot send 'THINKING_START' event: A thinking step is already in progress. End it with 'THINKING_END' first."
    );
    assert_eq!(
        violation(&[&end]),
        "Cannot send 'THINKING_END' event: No active thinking step found. A 'THINKING_START' event must be sent first."
    );
    assert_eq!(
        violation(&[&message]),
        "Cannot send 'THINKING_TEXT_MESSAGE_START' event: A thinking step is not in progress. Create one with \
         'THINKING_START' first."
    );
    assert_eq!(
        violation(&[&start, &message, &message]),
        "Cannot send 'THINKING_TEXT_MESSAGE_START' event: A thinking message is already in progress. Complete it with \
         'THINKING_TEXT_MESSAGE_END' first."
    );
    assert_eq!(
        violation(&[&start, &content]),
        "Cannot send 'THINKING_TEXT_MESSAGE_CONTENT' event: No active thinking message found. Start a message with \
         'THINKING_TEXT_MESSAGE_START' first."
    );
    assert_eq!(
        violation(&[&message_end]),
        "Cannot send 'THINKING_TEXT_MESSAGE_END' event: No active thinking message found. A \
         'THINKING_TEXT_MESSAGE_START' event must be sent first."
    );
    checked(&[&start, &message, &content, &message_end, &message, &message_end, &end, FINISHED]).unwrap();
}

#[test]
fn subagent_runs_once() {
    assert_eq!(
        violation(&[SUB, SUB]),
        "Cannot send 'SUBAGENT_STARTED': subagent 's' is already active. Finish it with 'SUBAGENT_FINISHED' first."
    );
    assert_eq!(
        violation(&[SUB, SUB_END, SUB]),
        "Cannot send 'SUBAGENT_STARTED': subagent 's' has already finished in this run. Subagent IDs are \
         per-invocation and cannot be reused."
    );
    assert_eq!(
        violation(&[SUB_END]),
        "Cannot send 'SUBAGENT_FINISHED': no active subagent found with ID 's'. A 'SUBAGENT_STARTED' event must be \
         sent first."
    );
    let child = e("SUBAGENT_STARTED", r#""subagentRunId":"c","name":"n","parentSubagentRunId":"s""#);
    assert_eq!(
        violation(&[&child]),
        "Cannot send 'SUBAGENT_STARTED': parentSubagentRunId 's' has not been started in this run."
    );
    checked(&[SUB, SUB_END, &child]).unwrap();
    checked(&[SUB, SUB_END, FINISHED, STARTED, SUB]).unwrap();
}

#[test]
fn subagent_events_need_their_fields() {
    let missing = |kind: &str, more: &str| violation(&[&e(kind, more)]);
    assert_eq!(
        missing("SUBAGENT_STARTED", r#""name":"n""#),
        "Cannot send 'SUBAGENT_STARTED' without a 'subagentRunId'."
    );
    assert_eq!(
        missing("SUBAGENT_STARTED", r#""subagentRunId":"s""#),
        "Cannot send 'SUBAGENT_STARTED' without a 'name'."
    );
    assert_eq!(
        missing("SUBAGENT_ERROR", r#""subagentRunId":"s""#),
        "Cannot send 'SUBAGENT_ERROR' without a 'message'."
    );
    assert_eq!(
        missing("SUBAGENT_STARTED", r#""subagentRunId":"s","name":"n","description":null"#),
        "Cannot send 'SUBAGENT_STARTED' with 'description: null'. The field is optional — omit it entirely."
    );
    let finished = |outcome: &str| {
        violation(&[SUB, &e("SUBAGENT_FINISHED", &format!(r#""subagentRunId":"s","outcome":{outcome}"#))])
    };
    assert!(finished("null").contains("with 'outcome: null'"));
    assert_eq!(
        finished(r#"{"type":"odd"}"#),
        "Cannot send 'SUBAGENT_FINISHED' with outcome type 'odd'. The outcome is either { type: \"success\" } or \
         { type: \"suspended\" }."
    );
    assert!(finished("{}").contains("'undefined'"));
    assert!(finished(r#"{"type":"suspended","interruptIds":null}"#).contains("'outcome.interruptIds: null'"));
    assert_eq!(
        finished(r#"{"type":"suspended","interruptIds":["a",1]}"#),
        "Cannot send 'SUBAGENT_FINISHED' with a non-string entry in 'outcome.interruptIds'. Interrupt ids are strings."
    );
}

#[test]
fn null_attribution_is_refused() {
    assert_eq!(
        violation(&[&e("CUSTOM", r#""subagentRunId":null"#)]),
        "Cannot send 'CUSTOM' with 'subagentRunId: null'. The field is optional — omit it entirely."
    );
    assert_eq!(
        violation(&[&e("MESSAGES_SNAPSHOT", r#""messages":[{"id":"a","subagentRunId":null}]"#)]),
        "Cannot send a message (id 'a') with 'subagentRunId: null'. The field is optional — omit it entirely."
    );
    assert_eq!(
        violation(&[&e(
            "RUN_FINISHED",
            r#""outcome":{"type":"interrupt","interrupts":[{"id":"i","subagentRunId":null}]}"#
        )]),
        "Cannot send 'RUN_FINISHED' with an interrupt (id 'i') carrying 'subagentRunId: null'. The field is optional \
         — omit it entirely."
    );
}

/// The same event, attributed.
fn by(owner: &str, event: &str) -> String {
    event.replacen('}', &format!(r#","subagentRunId":"{owner}"}}"#), 1)
}

#[test]
fn nobody_goes_on_with_what_another_started() {
    assert_eq!(
        violation(&[START, &by("s", CONTENT)]),
        "Cannot send 'TEXT_MESSAGE_CONTENT': subagentRunId 's' does not match the message 'm' opener's subagent \
         '(the parent agent)'."
    );
    assert_eq!(
        violation(&[&by("s", CALL), &by("o", ARGS)]),
        "Cannot send 'TOOL_CALL_ARGS': subagentRunId 'o' does not match the tool call 'c' opener's subagent 's'."
    );
    assert!(violation(&[&by("s", START), END, &by("o", START)]).contains("'TEXT_MESSAGE_START': subagentRunId 'o'"));
    // Who names nobody agrees, and does not take over.
    checked(&[&by("s", START), CONTENT, END, START, &by("s", END), FINISHED]).unwrap();
}

#[test]
fn reasoning_and_activity_keep_their_owner() {
    let reasoning = e("REASONING_START", r#""messageId":"r""#);
    let end = e("REASONING_END", r#""messageId":"r""#);
    assert_eq!(
        violation(&[&by("s", &reasoning), &by("o", &end)]),
        "Cannot send 'REASONING_END': subagentRunId 'o' does not match the reasoning message 'r' opener's subagent 's'."
    );
    let value = |subtype: &str, id: &str, owner: &str| {
        by(owner, &e("REASONING_ENCRYPTED_VALUE", &format!(r#""subtype":"{subtype}","entityId":"{id}""#)))
    };
    assert!(violation(&[&by("s", &reasoning), &value("message", "r", "o")]).contains("the message 'r' opener's"));
    assert!(violation(&[CALL, CALL_END, &value("tool-call", "c", "o")]).contains("the tool call 'c' opener's"));
    checked(&[&by("s", &reasoning), &value("message", "r", "s"), &value("tool-call", "r", "o")]).unwrap();

    let snapshot = e("ACTIVITY_SNAPSHOT", r#""messageId":"a""#);
    let keeping = e("ACTIVITY_SNAPSHOT", r#""messageId":"a","replace":false"#);
    let delta = e("ACTIVITY_DELTA", r#""messageId":"a""#);
    assert!(violation(&[&by("s", &snapshot), &by("o", &delta)]).contains("the activity 'a' opener's subagent 's'"));
    checked(&[&by("s", &snapshot), &by("o", &snapshot), &by("o", &delta)]).unwrap();
    assert!(violation(&[&by("s", &snapshot), &by("o", &keeping), &by("o", &delta)]).contains("subagent 's'"));
}

#[test]
fn tool_call_belongs_to_its_message() {
    let call = e("TOOL_CALL_START", r#""toolCallId":"c","toolCallName":"f","parentMessageId":"m""#);
    assert_eq!(
        violation(&[&by("s", START), &by("o", &call)]),
        "Cannot send 'TOOL_CALL_START': subagentRunId 'o' does not match its parent message 'm' owner 's'. A tool call \
         belongs to the message that carries it."
    );
    // Untagged, it inherits.
    assert!(violation(&[&by("s", START), &call, &by("o", ARGS)]).contains("opener's subagent 's'"));
    assert_eq!(
        violation(&[CALL, CALL_END, &by("s", START), &call]),
        "Cannot send 'TOOL_CALL_START': tool call 'c' is owned by '(the parent agent)' but its parent message 'm' is \
         owned by 's'. A tool call belongs to the message that carries it."
    );
}

#[test]
fn history_has_owners_too() {
    let snapshot = e("MESSAGES_SNAPSHOT", r#""messages":[{"id":"m","role":"assistant","toolCalls":[{"id":"c"}]}]"#);
    // Not attributed itself, and read only when something is.
    assert!(violation(&[&snapshot, &by("s", START)]).contains("(the parent agent)"));
    assert!(violation(&[&snapshot, &by("s", CALL)]).contains("(the parent agent)"));
    let attributed = e("MESSAGES_SNAPSHOT", r#""messages":[{"id":"m","role":"assistant","subagentRunId":"s"}]"#);
    checked(&[&attributed, &by("s", START)]).unwrap();
    assert!(violation(&[&attributed, &by("o", START)]).contains("subagent 's'"));
    // A snapshot restates, the input of a run does not.
    checked(&[START, END, &attributed, &by("s", START)]).unwrap();
    let started = e("RUN_STARTED", r#""input":{"messages":[{"id":"m","role":"user","subagentRunId":"s"}]}"#);
    assert!(violation(&[FINISHED, &started, &by("o", START)]).contains("subagent 's'"));
    // The message of a tool result belongs to whoever answered.
    let result = e("TOOL_CALL_RESULT", r#""messageId":"m","toolCallId":"c""#);
    assert!(violation(&[&by("s", &result), &by("o", START)]).contains("subagent 's'"));
}

#[test]
fn unknown_types_pass() {
    checked(&[r#"{"type":"SOMETHING_NEW","messageId":"m"}"#, FINISHED]).unwrap();
}
