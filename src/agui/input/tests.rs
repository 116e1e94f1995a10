use super::*;

const MINIMAL: &str = r#""threadId":"t","runId":"r","messages":[]"#;

fn parse(body: &str) -> Result<RunAgentInput, String> {
    RunAgentInput::parse(body.as_bytes()).map_err(|e| e.to_string())
}

/// An input whose only message is `message`.
fn with_message(message: &str) -> Result<RunAgentInput, String> {
    parse(&format!(r#"{{"threadId":"t","runId":"r","messages":[{message}]}}"#))
}

fn refused(body: &str) -> String {
    parse(body).unwrap_err()
}

/// What is left of a message.
fn kept(message: &str) -> String {
    with_message(message).unwrap().messages[0].json().to_owned()
}

#[test]
fn tools_and_context_default_to_none() {
    let input = parse(&format!("{{{MINIMAL}}}")).unwrap();
    assert!(input.tools.is_empty() && input.context.is_empty() && input.resume.is_none());
    assert_eq!(input.to_json(), r#"{"threadId":"t","runId":"r","messages":[],"tools":[],"context":[]}"#);
}

#[test]
fn null_state_and_props_read_as_absent() {
    let input = parse(&format!(r#"{{{MINIMAL},"state":null,"forwardedProps":null}}"#)).unwrap();
    assert!(input.state.is_none() && input.forwarded_props.is_none());
}

#[test]
fn free_json_keeps_its_text() {
    let state = r#"{"z":1.0,"a":1e400,"big":12345678901234567890123,"n":null,"s":"\u00e9\ud800"}"#;
    let input = parse(&format!(r#"{{{MINIMAL},"state":{state}}}"#)).unwrap();
    assert_eq!(input.state.unwrap().get(), state);
}

#[test]
fn line_breaks_between_tokens_vanish() {
    let input = parse("{\r\n\"threadId\":\n\"t\",\"runId\":\"r\",\"state\":{\n\"a\\n\" :\r\n 1},\"messages\":[\n{\"id\":\n\"u\",\"role\":\"user\",\"content\":\"x\\ny\"\n}\n]}").unwrap();
    assert_eq!(input.state.as_ref().unwrap().get(), r#"{"a\n" : 1}"#);
    assert_eq!(input.messages[0].text().unwrap(), "x\ny");
    assert!(!input.to_json().contains(['\n', '\r']));
}

#[test]
fn line_break_inside_string_is_refused() {
    assert!(refused("{\"threadId\":\"t\n\",\"runId\":\"r\",\"messages\":[]}").contains("control character"));
}

#[test]
fn last_of_repeated_keys_wins() {
    let input = parse(r#"{"threadId":"a","messages":7,"runId":"r","threadId":"b","messages":[{"id":"1","id":"2","role":"user","content":1,"content":"x"}]}"#).unwrap();
    assert_eq!(input.thread_id, "b");
    assert_eq!(input.messages[0].json(), r#"{"id":"2","role":"user","content":"x"}"#);
}

#[test]
fn escaped_names_and_values_are_understood() {
    let input = with_message(r#"{"\u0069d":"u\u0031","role":"us\u0065r","content":"x"}"#).unwrap();
    assert_eq!((input.messages[0].id(), input.messages[0].role()), ("u1", Role::User));
    assert_eq!(input.messages[0].json(), r#"{"id":"u\u0031","role":"us\u0065r","content":"x"}"#);
}

#[test]
fn message_without_extras_keeps_its_text() {
    let message = r#"{ "content" : "x", "role":"user" ,"id" : "u" }"#;
    assert_eq!(kept(message), message);
}

#[test]
fn unknown_keys_vanish_at_every_typed_level() {
    assert_eq!(kept(r#"{"id":"u","role":"user","x":1,"content":"c"}"#), r#"{"id":"u","role":"user","content":"c"}"#);
    assert_eq!(
        kept(
            r#"{"id":"u","role":"user","content":[{"type":"text","text":"a"},{"type":"image","x":1,"source":{"type":"url","value":"v","x":{}}}]}"#
        ),
        r#"{"id":"u","role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"url","value":"v"}}]}"#
    );
    assert_eq!(
        kept(
            r#"{"id":"a","role":"assistant","toolCalls":[{"id":"c","type":"function","x":1,"function":{"name":"f","arguments":"{}","x":1}}]}"#
        ),
        r#"{"id":"a","role":"assistant","toolCalls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#
    );
    // Known to another role.
    assert_eq!(
        kept(r#"{"id":"u","role":"user","content":"c","toolCallId":"x"}"#),
        r#"{"id":"u","role":"user","content":"c"}"#
    );
    let input = parse(&format!(
        r#"{{{MINIMAL},"tools":[{{"name":"t","description":"d","x":1,"parameters":{{"x":1}}}}],"context":[{{"value":"v","x":1,"description":"d"}}],"resume":[{{"interruptId":"i","status":"resolved","x":1,"payload":{{"x":1}}}}]}}"#
    ))
    .unwrap();
    assert_eq!(input.tools[0].get(), r#"{"name":"t","description":"d","parameters":{"x":1}}"#);
    assert_eq!(input.context[0].get(), r#"{"description":"d","value":"v"}"#);
    assert_eq!(input.resume.unwrap()[0].get(), r#"{"interruptId":"i","status":"resolved","payload":{"x":1}}"#);
}

#[test]
fn parts_of_both_generations_are_taken() {
    for part in [
        r#"{"type":"text","text":"x","id":"p","metadata":{"a":1}}"#,
        r#"{"type":"image","source":{"type":"file","value":"f","provider":"p"}}"#,
        r#"{"type":"document","source":{"type":"data","value":"AA","mimeType":"m"},"metadata":"any"}"#,
        r#"{"type":"binary","mimeType":"m","url":"u","filename":"f"}"#,
    ] {
        let user = format!(r#"{{"id":"u","role":"user","content":[{part}]}}"#);
        assert_eq!(kept(&user), user);
        let tool = format!(r#"{{"id":"u","role":"tool","toolCallId":"c","content":[{part}]}}"#);
        assert_eq!(kept(&tool), tool);
    }
}

#[test]
fn null_that_one_generation_refuses_vanishes() {
    assert_eq!(
        kept(
            r#"{"id":"u","role":"user","content":[{"type":"image","source":{"type":"url","value":"v"},"metadata":null}]}"#
        ),
        r#"{"id":"u","role":"user","content":[{"type":"image","source":{"type":"url","value":"v"}}]}"#
    );
}

#[test]
fn problems_name_place_and_reason() {
    let three = |third: &str| {
        let fine = r#"{"id":"u","role":"user","content":"c"}"#;
        with_message(&format!("{fine},{fine},{third}")).unwrap_err()
    };
    assert_eq!(refused(r#"{"runId":"r","messages":[]}"#), "threadId: required");
    assert_eq!(refused(r#"{"threadId":1,"runId":"r","messages":[]}"#), "threadId: expected a string");
    assert_eq!(refused(r#"{"threadId":"t","runId":"r"}"#), "messages: required");
    assert_eq!(refused(r#"{"threadId":"t","runId":"r","messages":"x"}"#), "messages: expected an array");
    assert_eq!(refused(&format!("{{{MINIMAL},\"parentRunId\":null}}")), "parentRunId: expected a string");
    assert_eq!(refused(&format!("{{{MINIMAL},\"tools\":null}}")), "tools: expected an array");
    assert_eq!(three("7"), "messages[2]: expected an object");
    assert_eq!(three(r#"{"role":"user","content":"c"}"#), "messages[2].id: required");
    assert_eq!(
        three(r#"{"id":"u","role":"user","content":7}"#),
        "messages[2].content: expected a string or an array of content parts"
    );
    assert_eq!(three(r#"{"id":"u","role":"system","content":[]}"#), "messages[2].content: expected a string");
    assert_eq!(
        three(r#"{"id":"u","role":"activity","activityType":"a","content":[]}"#),
        "messages[2].content: expected an object"
    );
    assert_eq!(
        three(r#"{"id":"u","role":"user","content":"c","metadata":null}"#),
        "messages[2].metadata: expected an object"
    );
    assert!(
        three(r#"{"id":"u","role":"wizard"}"#).starts_with(r#"messages[2].role: expected "developer" or "system""#)
    );
    assert_eq!(
        three(
            r#"{"id":"u","role":"user","content":[{"type":"text","text":"x"},{"type":"binary","mimeType":"m","id":""}]}"#
        ),
        "messages[2].content[1]: at least one of id, url, data is required"
    );
    assert_eq!(
        three(r#"{"id":"u","role":"user","content":[{"type":"image","source":{"type":"data","value":"v"}}]}"#),
        "messages[2].content[0].source.mimeType: required"
    );
    assert_eq!(
        three(r#"{"id":"u","role":"assistant","toolCalls":[{"id":"c","type":"f","function":{}}]}"#),
        r#"messages[2].toolCalls[0].type: expected "function""#
    );
    assert_eq!(
        refused(&format!(r#"{{{MINIMAL},"resume":[{{"interruptId":"i","status":"maybe"}}]}}"#)),
        r#"resume[0].status: expected "resolved" or "cancelled""#
    );
}

#[test]
fn bodies_that_are_no_object_are_refused() {
    for body in ["", "{not json", "[]", "null", "7", "\"x\"", "{}{}"] {
        assert!(parse(body).is_err(), "{body}");
    }
    assert!(RunAgentInput::parse(b"{\"threadId\":\"\xff\"}").unwrap_err().to_string().contains("utf-8"));
    assert!(parse(&format!("\u{feff}{{{MINIMAL}}}")).is_ok());
}

#[test]
fn deep_json_does_not_overflow_the_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(parse(&format!(r#"{{{MINIMAL},"state":{deep}}}"#)).is_ok());
    assert!(parse(&format!(r#"{{"threadId":"t","runId":"r","messages":{deep}}}"#)).is_err());
    assert!(with_message(&deep).is_err());
    assert!(with_message(&format!(r#"{{"id":"u","role":"user","content":{deep}}}"#)).is_err());
    assert!(parse(&deep).is_err());
    assert!(parse(&"[".repeat(200_000)).is_err());
}

#[test]
fn agent_gets_no_activity_and_no_parent_run() {
    let input = parse(r#"{"threadId":"t","runId":"","parentRunId":"p","messages":[{"id":"x","role":"activity","activityType":"a","content":{}},{"id":"u","role":"user","content":"c"}]}"#).unwrap();
    assert_eq!(input.parent_run_id.as_deref(), Some("p"));
    assert_eq!(
        input.for_agent(|| "fresh".to_owned()).to_json(),
        r#"{"threadId":"t","runId":"fresh","messages":[{"id":"u","role":"user","content":"c"}],"tools":[],"context":[],"forwardedProps":{}}"#
    );
}

#[test]
fn messages_can_be_left_out_of_the_json() {
    let mut input = RunAgentInput::new("t\"", "r");
    input.messages = vec![Message::user("a", "1"), Message::user("b", "2")];
    assert_eq!(
        input.to_json_with_messages(|index, message| index > 0 && message.id() == "b"),
        r#"{"threadId":"t\"","runId":"r","messages":[{"id":"b","role":"user","content":"2"}],"tools":[],"context":[]}"#
    );
}

#[test]
fn message_views_read_what_is_there() {
    let parts = r#"{"id":"u","role":"user","content":[{"type":"text","text":"a\n"},{"type":"binary","mimeType":"m","id":"i"},{"type":"text","text":"b"}]}"#;
    assert_eq!(Message::parse(parts).unwrap().text().as_deref(), Some("a\nb"));
    let call = r#"{"id":"a","role":"assistant","toolCalls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"k\":1}"}}]}"#;
    let call = Message::parse(call).unwrap();
    assert_eq!(call.text(), None);
    assert_eq!(call.tool_calls(), [ToolCall { id: "c".into(), name: "f".into(), arguments: "{\"k\":1}".into() }]);
    let answer = Message::parse(r#"{"id":"t","role":"tool","content":"r","toolCallId":"c"}"#).unwrap();
    assert_eq!((answer.tool_call_id().as_deref(), answer.text().as_deref()), (Some("c"), Some("r")));
    assert_eq!(Message::user("u\"", "x\n").json(), r#"{"id":"u\"","role":"user","content":"x\n"}"#);
    assert_eq!(Message::user("u\"", "x").id(), "u\"");
    assert!(Message::parse("{}").is_err());
    let input =
        parse(&format!(r#"{{{MINIMAL},"tools":[{{"name":"a","description":""}},{{"name":"b","description":""}}]}}"#));
    assert_eq!(input.unwrap().tool_names().collect::<Vec<_>>(), ["a", "b"]);
}
