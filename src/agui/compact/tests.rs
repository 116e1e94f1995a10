mod properties;

use serde_json::{Value, json};

use super::*;
use crate::agui::recorded::{case, cases};

fn event(json: &str) -> Event {
    Event::parse(json.to_owned()).unwrap()
}

fn events(json: &[&str]) -> Vec<Event> {
    json.iter().map(|json| event(json)).collect()
}

#[track_caller]
fn assert_compacts(from: &[&str], to: &[&str]) {
    let compacted = compact(&events(from));
    let compacted: Vec<_> = compacted.iter().map(Event::as_str).collect();
    assert_eq!(compacted, to);
}

const START: &str = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant"}"#;
const END: &str = r#"{"type":"TEXT_MESSAGE_END","messageId":"m"}"#;
const CALL: &str = r#"{"type":"TOOL_CALL_START","toolCallId":"t","toolCallName":"f"}"#;
const CALL_END: &str = r#"{"type":"TOOL_CALL_END","toolCallId":"t"}"#;
const X: &str = r#"{"type":"X","n":1.0,"z":null}"#;
const Y: &str = r#"{"type":"CUSTOM","name":"y","value":1e2}"#;
const FINISHED: &str = r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#;

fn content(delta: &str) -> String {
    format!(r#"{{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"{delta}"}}"#)
}

#[test]
fn pieces_are_joined_as_they_stand() {
    assert_compacts(
        &[
            START,
            &content(r"a\n"),
            r#"{"messageId":"m", "timestamp":1,"delta" : "\ud83d","type":"TEXT_MESSAGE_CONTENT"}"#,
            &content(r"\ude00\u0041\ud800"),
            END,
        ],
        &[START, &content(r"a\n\ud83d\ude00\u0041\ud800"), END],
    );
}

#[test]
fn message_without_content_stays_without() {
    assert_compacts(&[START, END], &[START, END]);
    assert_compacts(&[START, &content(""), END], &[START, &content(""), END]);
}

#[test]
fn pieces_of_a_tool_call_are_joined() {
    assert_compacts(
        &[
            CALL,
            r#"{"type":"TOOL_CALL_ARGS","toolCallId":"t","delta":"{\"a\":","metadata":{"k":1}}"#,
            r#"{"type":"TOOL_CALL_ARGS","toolCallId":"t","delta":"1}","metadata":{"k":2.0}}"#,
            CALL_END,
        ],
        &[CALL, r#"{"type":"TOOL_CALL_ARGS","toolCallId":"t","delta":"{\"a\":1}","metadata":{"k":2.0}}"#, CALL_END],
    );
}

#[test]
fn delta_that_is_no_text_is_empty() {
    assert_compacts(
        &[
            START,
            r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":7}"#,
            r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m"}"#,
            END,
        ],
        &[START, &content(""), END],
    );
}

#[test]
fn metadata_of_a_second_start_merges_in_order() {
    let second = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"user","metadata":{"b":3}}"#;
    let first = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","name":"n","metadata":{"a":1,"b":2}}"#;
    assert_compacts(
        &[first, second, END],
        &[r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"user","metadata":{"a":1,"b":3}}"#, END],
    );
    assert_compacts(
        &[first, &content("x"), second, END],
        &[
            r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"user","metadata":{"a":1,"b":2}}"#,
            r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"x","metadata":{"b":3}}"#,
            END,
        ],
    );
}

#[test]
fn other_events_follow_the_message_they_came_in() {
    assert_compacts(
        &[START, X, &content("a"), CALL, Y, CALL_END, END, X],
        &[CALL, CALL_END, START, &content("a"), END, X, Y, X],
    );
}

#[test]
fn waiting_events_keep_their_order() {
    // The model lets Y, held by the message, overtake X, held by the tool call.
    assert_compacts(&[CALL, X, START, Y, END, CALL_END], &[START, END, CALL, CALL_END, X, Y]);
}

#[test]
fn pieces_without_a_start_are_kept() {
    let piece = content("a");
    assert_compacts(&[&piece, END, CALL_END], &[&piece, END, CALL_END]);
    let no_id = r#"{"type":"TEXT_MESSAGE_START","messageId":null}"#;
    assert_compacts(&[no_id], &[no_id]);
}

#[test]
fn run_ends_after_what_was_open() {
    // Row 2. The made-up end names the lane of its start.
    let start = r#"{"type":"TOOL_CALL_START","toolCallId":"t","toolCallName":"f","subagentRunId":"s"}"#;
    let state = r#"{"type":"STATE_SNAPSHOT","snapshot":{"a":1}}"#;
    for terminal in
        [FINISHED, r#"{"type":"RUN_ERROR","message":"no"}"#, r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#]
    {
        assert_compacts(
            &[start, START, X, state, terminal, Y],
            &[
                START,
                END,
                X,
                start,
                r#"{"type":"TOOL_CALL_END","toolCallId":"t","subagentRunId":"s"}"#,
                state,
                terminal,
                Y,
            ],
        );
    }
}

#[test]
fn unfinished_run_leaves_its_messages_open() {
    let piece = content("a");
    assert_compacts(&[CALL, START, &piece, X], &[START, &piece, X, CALL]);
    assert_compacts(&[CALL, X, START, &piece, Y], &[CALL, X, Y, START, &piece]);
}

#[test]
fn state_becomes_one_snapshot() {
    assert_compacts(
        &[
            r#"{"type":"STATE_SNAPSHOT","snapshot":{"a":1.0},"metadata":{"k":1,"l":1}}"#,
            r#"{"type":"STATE_DELTA","delta":[{"op":"add","path":"/b","value":2}],"metadata":{"k":2}}"#,
            FINISHED,
        ],
        &[r#"{"type":"STATE_SNAPSHOT","snapshot":{"a":1.0,"b":2},"metadata":{"k":2,"l":1}}"#, FINISHED],
    );
}

#[test]
fn patch_that_does_not_apply_is_skipped() {
    // Row 3.
    let mut compactor = Compactor::new(None);
    compactor.push(&Event::state_delta(&json!([{"op": "remove", "path": "/none"}])));
    compactor.push(&event(FINISHED));
    let compacted = compactor.finish();
    assert_eq!(compacted.events, events(&[FINISHED]));
    assert_eq!((compacted.skipped_patches, compacted.state), (1, None));
}

#[test]
fn deltas_fold_onto_the_state_of_the_thread() {
    // Row 18.
    let mut compactor = Compactor::new(Some(json!({"a": 1})));
    compactor.push(&Event::state_delta(&json!([{"op": "add", "path": "/b", "value": 2}])));
    let compacted = compactor.finish();
    let state = json!({"a": 1, "b": 2});
    assert_eq!(compacted.events, [Event::state_snapshot(&state)]);
    assert_eq!(compacted.state, Some(state));
}

#[test]
fn state_of_the_thread_is_not_repeated() {
    let mut compactor = Compactor::new(Some(json!({"a": 1})));
    compactor.push(&event(FINISHED));
    let compacted = compactor.finish();
    assert_eq!(compacted.events, events(&[FINISHED]));
    assert_eq!(compacted.state, Some(json!({"a": 1})));
}

/// Every run of a thread, each compacted onto the state of those before.
fn replay(runs: &[Vec<Event>]) -> Vec<Value> {
    let mut state = None;
    let mut replay = Vec::new();
    for run in runs {
        let mut compactor = Compactor::new(state);
        run.iter().for_each(|event| compactor.push(event));
        let compacted = compactor.finish();
        state = compacted.state;
        replay.extend(compacted.events.iter().map(|event| event.view::<Value>().unwrap()));
    }
    replay
}

/// Recorded cases we answer otherwise, and why.
const BETTER: &[(&str, &str)] = &[
    ("connect/after-run-error", "row 2: the message is closed before the run's end"),
    ("connect/state-across-runs", "row 18: the state of the first run is kept"),
    ("connect/after-throw-now", "no compaction: a run that failed at once is not stored"),
];

#[test]
fn recorded_threads_replay_as_recorded() {
    let mut compared = 0;
    for case in cases("connect.json") {
        let name = case.name();
        let is_replay = name.starts_with("connect/after-")
            || name.starts_with("connect/two-runs-")
            || name == "connect/state-across-runs";
        if !is_replay {
            continue;
        }
        let same = replay(&case.runs()) == case.events("connect");
        let better = BETTER.iter().find(|(better, _)| *better == name);
        assert_eq!(same, better.is_none(), "{name}: {better:?}");
        compared += 1;
    }
    assert_eq!(compared, 21);
    let case = case("threads.json", "threads/events");
    assert_eq!(replay(&case.runs()), case.events("events"));
}

#[test]
fn recorded_cases_we_beat_replay_better() {
    let error = case("connect.json", "connect/after-run-error");
    let kinds: Vec<_> = replay(&error.runs()).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "RUN_ERROR"]);

    let state = case("connect.json", "connect/state-across-runs");
    let snapshots: Vec<_> = replay(&state.runs())
        .into_iter()
        .filter(|event| event["type"] == "STATE_SNAPSHOT")
        .map(|event| event["snapshot"].clone())
        .collect();
    let first = json!({"count": 2, "items": ["x"]});
    let both = json!({"count": 2, "items": ["x"], "a": 1, "b": {"c": [1, 2]}});
    assert_eq!(snapshots, [first, both]);
}
