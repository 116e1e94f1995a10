use super::*;

/// What travels for some events; an error ends them.
fn expand(events: &[&str]) -> Result<Vec<String>, String> {
    let (mut expander, mut out) = (ChunkExpander::default(), Vec::new());
    for event in events {
        expander.push(Event::parse((*event).to_owned()).unwrap(), &mut out).map_err(|e| e.to_string())?;
    }
    Ok(out.iter().map(|event| short(event.as_str())).collect())
}

/// Easier to read: no type member, no quotes.
fn short(json: &str) -> String {
    json.replace("{\"type\":", "").replace(['"', '}'], "")
}

const A1: &str = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"a","delta":"1"}"#;
const A2: &str = r#"{"type":"TEXT_MESSAGE_CHUNK","delta":"2"}"#;
const SUB1: &str = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"s","delta":"1","subagentRunId":"s1"}"#;

#[test]
fn chunks_become_start_and_content() {
    assert_eq!(
        expand(&[A1, A2]).unwrap(),
        [
            "TEXT_MESSAGE_START,messageId:a,role:assistant",
            "TEXT_MESSAGE_CONTENT,messageId:a,delta:1",
            "TEXT_MESSAGE_CONTENT,messageId:a,delta:2",
        ]
    );
}

#[test]
fn chunk_fields_travel_but_not_those_of_the_envelope() {
    let chunk = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"a","role":"user","name":"n","delta":"x","metadata":{"k":1},"subagentRunId":"s","timestamp":1,"rawEvent":2,"x":3}"#;
    assert_eq!(
        expand(&[chunk]).unwrap(),
        [
            "TEXT_MESSAGE_START,messageId:a,role:user,name:n,subagentRunId:s,metadata:{k:1",
            "TEXT_MESSAGE_CONTENT,messageId:a,delta:x,subagentRunId:s,metadata:{k:1",
        ]
    );
}

#[test]
fn delta_keeps_its_text() {
    let mut out = Vec::new();
    let chunk = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"a","delta":"\u00e9\ud800\/"}"#;
    ChunkExpander::default().push(Event::parse(chunk).unwrap(), &mut out).unwrap();
    assert!(out[1].as_str().contains(r#""delta":"\u00e9\ud800\/""#));
}

#[test]
fn tool_call_chunk_carries_name_and_parent() {
    let chunk = r#"{"type":"TOOL_CALL_CHUNK","toolCallId":"c","toolCallName":"f","parentMessageId":"p","delta":"{"}"#;
    assert_eq!(
        expand(&[chunk]).unwrap(),
        ["TOOL_CALL_START,toolCallId:c,toolCallName:f,parentMessageId:p", "TOOL_CALL_ARGS,toolCallId:c,delta:{",]
    );
}

#[test]
fn reasoning_chunk_starts_with_its_role() {
    let chunk = r#"{"type":"REASONING_MESSAGE_CHUNK","messageId":"r"}"#;
    assert_eq!(expand(&[chunk]).unwrap(), ["REASONING_MESSAGE_START,messageId:r,role:reasoning"]);
}

#[test]
fn other_id_or_kind_closes_first() {
    let b = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"b"}"#;
    let tool = r#"{"type":"TOOL_CALL_CHUNK","toolCallId":"c","toolCallName":"f"}"#;
    assert_eq!(
        expand(&[A1, b, tool]).unwrap()[2..],
        [
            "TEXT_MESSAGE_END,messageId:a",
            "TEXT_MESSAGE_START,messageId:b,role:assistant",
            "TEXT_MESSAGE_END,messageId:b",
            "TOOL_CALL_START,toolCallId:c,toolCallName:f",
        ]
    );
}

#[test]
fn metadata_alone_travels_on_empty_delta() {
    let metadata = r#"{"type":"TEXT_MESSAGE_CHUNK","metadata":{"k":1}}"#;
    assert_eq!(expand(&[A1, metadata]).unwrap()[2..], ["TEXT_MESSAGE_CONTENT,messageId:a,delta:,metadata:{k:1"]);
    // On a start it has a place.
    let start = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"a","metadata":{"k":1}}"#;
    assert_eq!(expand(&[start]).unwrap().len(), 1);
}

#[test]
fn first_chunk_needs_id_and_tool_name() {
    let error = |chunk: &str| expand(&[chunk]).unwrap_err();
    assert_eq!(error(A2), "First TEXT_MESSAGE_CHUNK must have a messageId");
    assert_eq!(error(r#"{"type":"TOOL_CALL_CHUNK"}"#), "First TOOL_CALL_CHUNK must have a toolCallId");
    assert_eq!(
        error(r#"{"type":"TOOL_CALL_CHUNK","toolCallId":"c"}"#),
        "First TOOL_CALL_CHUNK must have a toolCallName"
    );
    assert_eq!(
        error(r#"{"type":"REASONING_MESSAGE_CHUNK","delta":"x"}"#),
        "First REASONING_MESSAGE_CHUNK must have a messageId"
    );
}

#[test]
fn refused_chunk_leaves_all_as_it_was() {
    let (mut expander, mut out) = (ChunkExpander::default(), Vec::new());
    expander.push(Event::parse(A1).unwrap(), &mut out).unwrap();
    let nameless = Event::parse(r#"{"type":"TOOL_CALL_CHUNK","toolCallId":"c"}"#).unwrap();
    assert!(expander.push(nameless, &mut out).is_err());
    assert_eq!(out.len(), 2);
    expander.push(Event::parse(A2).unwrap(), &mut out).unwrap();
    assert_eq!(out.len(), 3);
}

#[test]
fn ordinary_event_closes_its_lane_only() {
    let custom = r#"{"type":"CUSTOM","name":"n","value":1}"#;
    assert_eq!(expand(&[A1, SUB1, custom]).unwrap()[4..], ["TEXT_MESSAGE_END,messageId:a", "CUSTOM,name:n,value:1"]);
    let tagged = r#"{"type":"CUSTOM","subagentRunId":"s1"}"#;
    assert_eq!(
        expand(&[A1, SUB1, tagged]).unwrap()[4..],
        ["TEXT_MESSAGE_END,messageId:s,subagentRunId:s1", "CUSTOM,subagentRunId:s1",]
    );
}

#[test]
fn side_events_close_nothing() {
    for kind in ["RAW", "ACTIVITY_SNAPSHOT", "ACTIVITY_DELTA", "REASONING_ENCRYPTED_VALUE", "SUBAGENT_STARTED", "NEWER"]
    {
        let event = format!(r#"{{"type":"{kind}"}}"#);
        assert_eq!(expand(&[A1, &event]).unwrap()[2..], [kind]);
    }
}

#[test]
fn run_events_close_all_lanes_in_order() {
    for kind in ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR", "MESSAGES_SNAPSHOT"] {
        let event = format!(r#"{{"type":"{kind}"}}"#);
        assert_eq!(
            expand(&[SUB1, A1, &event]).unwrap()[4..],
            ["TEXT_MESSAGE_END,messageId:s,subagentRunId:s1", "TEXT_MESSAGE_END,messageId:a", kind,]
        );
    }
}

#[test]
fn end_of_a_subagent_closes_its_lane() {
    let end = r#"{"type":"SUBAGENT_FINISHED","subagentRunId":"s1"}"#;
    assert_eq!(
        expand(&[A1, SUB1, end]).unwrap()[4..],
        ["TEXT_MESSAGE_END,messageId:s,subagentRunId:s1", "SUBAGENT_FINISHED,subagentRunId:s1",]
    );
    assert_eq!(expand(&[A1, r#"{"type":"SUBAGENT_ERROR"}"#]).unwrap()[2..], ["SUBAGENT_ERROR"]);
}

#[test]
fn untagged_continuation_finds_its_lane() {
    // The parent's own stream comes first, else the only one.
    assert_eq!(expand(&[SUB1, A1, A2]).unwrap()[4..], ["TEXT_MESSAGE_CONTENT,messageId:a,delta:2"]);
    assert_eq!(expand(&[SUB1, A2]).unwrap()[2..], ["TEXT_MESSAGE_CONTENT,messageId:s,delta:2,subagentRunId:s1"]);
    let other = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"o","subagentRunId":"s2"}"#;
    assert_eq!(
        expand(&[SUB1, other, A2]).unwrap_err(),
        "Ambiguous TEXT_MESSAGE_CHUNK: it carries neither a messageId nor a subagentRunId, but 2 lanes have an open \
         text message. Attribute the chunk to the subagent it belongs to."
    );
}

#[test]
fn id_continues_where_it_is_open() {
    let named = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"s","delta":"2"}"#;
    assert_eq!(expand(&[SUB1, named]).unwrap()[2..], ["TEXT_MESSAGE_CONTENT,messageId:s,delta:2,subagentRunId:s1"]);
    let stranger = r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"a","delta":"2","subagentRunId":"s2"}"#;
    assert_eq!(
        expand(&[A1, stranger]).unwrap_err(),
        "Cannot continue text message 'a': chunk subagentRunId 's2' does not match the open stream's subagent \
         '(the parent agent)'."
    );
}
