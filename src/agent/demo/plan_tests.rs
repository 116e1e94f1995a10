use super::*;
use crate::agui::{EventKind, Verifier};

/// A conversation under construction; `plan` gives the events of the next run.
struct Chat(Value);

impl Chat {
    fn new(words: &[&str]) -> Chat {
        let messages: Vec<Value> = words
            .iter()
            .enumerate()
            .map(|(at, words)| json!({"id": format!("u{at}"), "role": "user", "content": words}))
            .collect();
        Chat(json!({"threadId": "t", "runId": "r", "messages": messages, "tools": [], "context": []}))
    }

    fn with(mut self, field: &str, value: Value) -> Chat {
        self.0[field] = value;
        self
    }

    fn message(mut self, message: Value) -> Chat {
        self.0["messages"].as_array_mut().expect("a list").push(message);
        self
    }

    fn plan(&self) -> Played {
        let input = RunAgentInput::parse(self.0.to_string().as_bytes()).expect("a valid input");
        let steps = plan(&input);
        let mut verifier = Verifier::default();
        for step in &steps {
            verifier.check(&step.event).expect("clients accept the order");
        }
        let kinds: Vec<EventKind> = steps.iter().map(|step| step.event.kind()).collect();
        assert_eq!(kinds.iter().filter(|kind| kind.is_terminal()).count(), 1);
        assert!(kinds.last().is_some_and(|kind| kind.is_terminal()), "{kinds:?}");
        let events = steps.iter().map(|step| step.event.view().expect("json")).collect();
        Played { kinds, events }
    }
}

struct Played {
    kinds: Vec<EventKind>,
    events: Vec<Value>,
}

impl Played {
    fn joined(&self, kind: EventKind) -> String {
        let of_kind = self.events.iter().filter(|event| event["type"] == kind.name());
        of_kind.filter_map(|event| event["delta"].as_str()).collect()
    }

    fn says(&self) -> String {
        self.joined(EventKind::TextMessageContent)
    }

    fn first(&self, kind: EventKind) -> &Value {
        self.events.iter().find(|event| event["type"] == kind.name()).expect("such an event")
    }

    fn has(&self, kind: EventKind) -> bool {
        self.kinds.contains(&kind)
    }
}

fn tools() -> Value {
    json!([
        {"name": "setColor", "description": "", "parameters": {
            "type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}},
        {"name": "lookUp", "description": "", "parameters": {
            "type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}},
    ])
}

#[test]
fn first_turn_greets_and_names_the_tools() {
    let run = Chat::new(&["Hello there"]).with("tools", tools()).plan();
    assert!(run.says().contains("`setColor` and 1 more"), "{}", run.says());
    assert!(run.says().contains("[agents.default]") && run.says().contains("HttpAgent::new"));
    assert!(run.kinds.iter().filter(|kind| **kind == EventKind::TextMessageContent).count() > 50);
}

#[test]
fn an_empty_conversation_is_greeted() {
    let run = Chat::new(&[]).plan();
    assert!(run.says().contains("demo agent"));
}

#[test]
fn other_words_are_talked_about_and_counted() {
    let run = Chat::new(&["Hello there", "And ä second “one”"])
        .with("state", json!({"mine": 1, "demo": {"turns": 1}}))
        .plan();
    assert!(run.says().contains("And ä second “one”"));
    assert_eq!(run.first(EventKind::StateSnapshot)["snapshot"]["mine"], 1);
    let delta = &run.first(EventKind::StateDelta)["delta"];
    assert_eq!(delta[0], json!({"op": "replace", "path": "/demo/turns", "value": 2}));
}

#[test]
fn every_delta_applies_to_its_snapshot() {
    let states = [json!(null), json!(7), json!({"demo": 3}), json!({"demo": {"turns": "x"}}), json!({"a": [1]})];
    for state in states {
        let run = Chat::new(&["Show me the state"]).with("state", state).plan();
        let mut state = run.first(EventKind::StateSnapshot)["snapshot"].clone();
        let patch: json_patch::Patch =
            serde_json::from_value(run.first(EventKind::StateDelta)["delta"].clone()).expect("a patch");
        json_patch::patch(&mut state, &patch).expect("the patch applies");
        assert_eq!(state["demo"]["turns"], 1);
        assert_eq!(state["demo"]["lastWords"], "Show me the state");
    }
}

#[test]
fn a_tool_is_called_with_arguments_that_fit() {
    let run = Chat::new(&["Please use the tool"]).with("tools", tools()).plan();
    assert_eq!(run.first(EventKind::ToolCallStart)["toolCallName"], "setColor");
    assert_eq!(run.joined(EventKind::ToolCallArgs), r#"{"color":"teal"}"#);
    let parent = &run.first(EventKind::ToolCallStart)["parentMessageId"];
    assert_eq!(parent, &run.first(EventKind::TextMessageStart)["messageId"]);
}

#[test]
fn a_tool_the_user_names_is_the_one_called() {
    let run = Chat::new(&["Call lookup for me"]).with("tools", tools()).plan();
    assert_eq!(run.first(EventKind::ToolCallStart)["toolCallName"], "lookUp");
}

#[test]
fn without_tools_the_agent_says_how_to_offer_one() {
    let run = Chat::new(&["Please use the tool"]).plan();
    assert!(!run.has(EventKind::ToolCallStart));
    assert!(run.says().contains("useFrontendTool"));
}

#[test]
fn the_result_of_a_tool_is_used() {
    let call = json!({"id": "c1", "type": "function", "function": {"name": "lookUp", "arguments": "{}"}});
    let run = Chat::new(&["Please use the tool"])
        .with("tools", tools())
        .message(json!({"id": "a1", "role": "assistant", "content": "I call", "toolCalls": [call]}))
        .message(json!({"id": "m1", "role": "tool", "toolCallId": "c1", "content": "forty-two"}))
        .plan();
    assert!(!run.has(EventKind::ToolCallStart));
    assert!(run.says().contains("`lookUp` answered") && run.says().contains("forty-two"), "{}", run.says());
    assert_eq!(run.first(EventKind::StateDelta)["delta"][0]["value"], 0, "no turn of the user's");
}

#[test]
fn reasoning_comes_before_the_answer() {
    let run = Chat::new(&["Think about it and reason"]).plan();
    let at = |kind| run.kinds.iter().position(|found| *found == kind).expect("such an event");
    assert!(at(EventKind::ReasoningStart) < at(EventKind::ReasoningMessageStart));
    assert!(at(EventKind::ReasoningMessageEnd) < at(EventKind::ReasoningEnd));
    assert!(at(EventKind::ReasoningEnd) < at(EventKind::TextMessageStart));
    assert!(run.joined(EventKind::ReasoningMessageContent).contains("Think about it and reason"));
    let ids: Vec<_> = [EventKind::ReasoningStart, EventKind::TextMessageStart]
        .map(|kind| run.first(kind)["messageId"].clone())
        .into();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn approval_interrupts_and_the_answer_resumes() {
    let run = Chat::new(&["Interrupt me so that I can approve"]).plan();
    let outcome = &run.events.last().expect("an event")["outcome"];
    assert_eq!(outcome["type"], "interrupt");
    let id = outcome["interrupts"][0]["id"].as_str().expect("an id");
    assert!(!outcome["interrupts"][0]["reason"].as_str().expect("a reason").is_empty());

    let answers = [
        ("resolved", json!({"approved": true}), "approved"),
        ("resolved", json!({"approved": false}), "declined"),
        ("cancelled", json!(null), "cancelled"),
    ];
    for (status, payload, heard) in answers {
        let resume = json!([{"interruptId": id, "status": status, "payload": payload}]);
        let run = Chat::new(&["Interrupt me so that I can approve"]).with("resume", resume).plan();
        assert!(run.says().contains(heard), "{}", run.says());
        assert!(run.events.last().expect("an event").get("outcome").is_none());
    }
}

#[test]
fn a_run_resumed_under_its_own_id_says_a_message_of_its_own() {
    let asked = Chat::new(&["Ask for approval"]);
    let said = asked.plan().first(EventKind::TextMessageStart)["messageId"].clone();
    let resume = json!([{"interruptId": "i", "status": "resolved", "payload": {"approved": true}}]);
    let resumed = asked.message(json!({"id": said, "role": "assistant", "content": "May I?"})).with("resume", resume);
    assert_ne!(resumed.plan().first(EventKind::TextMessageStart)["messageId"], said);
}

#[test]
fn suggestions_are_what_can_be_tried() {
    let tool = json!([{"name": "copilotkitSuggest", "description": "", "parameters": {}}]);
    let run = Chat::new(&["Hello", "Suggest what the user could say next by calling the tool"])
        .with("tools", tool)
        .with("forwardedProps", json!({"toolChoice": {"type": "function", "function": {"name": "copilotkitSuggest"}}}))
        .plan();
    assert!(!run.has(EventKind::TextMessageStart) && !run.has(EventKind::StateSnapshot));
    let made: Value = serde_json::from_str(&run.joined(EventKind::ToolCallArgs)).expect("json");
    let made = made["suggestions"].as_array().expect("a list");
    assert_eq!(made.len(), 3);
    for suggestion in made {
        let message = suggestion["message"].as_str().expect("a message");
        let run = Chat::new(&["Hello", message]).with("tools", tools()).plan();
        let acts = run.has(EventKind::ToolCallStart)
            || run.has(EventKind::ReasoningStart)
            || run.events.last().expect("an event").get("outcome").is_some();
        assert!(acts, "{message}");
    }
}

#[test]
fn a_tool_the_client_insists_on_is_called() {
    let run = Chat::new(&["Hello"])
        .with("tools", tools())
        .with("forwardedProps", json!({"toolChoice": {"function": {"name": "lookUp"}}}))
        .plan();
    assert_eq!(run.first(EventKind::ToolCallStart)["toolCallName"], "lookUp");
}

#[test]
fn ids_differ_between_runs_and_within_one() {
    let ids = |run: &str| -> Vec<String> {
        let run = Chat::new(&["Think about the state"]).with("runId", json!(run)).plan();
        let starts =
            run.events.iter().filter(|event| event["type"].as_str().is_some_and(|t| t.ends_with("MESSAGE_START")));
        starts.filter_map(|event| event["messageId"].as_str().map(str::to_owned)).collect()
    };
    let (one, other) = (ids("r1"), ids("r2"));
    assert!(one.iter().all(|id| !other.contains(id)));
}

#[test]
fn long_words_are_shortened() {
    let words = "ä".repeat(10_000);
    let run = Chat::new(&["hi", &words]).plan();
    assert!(run.says().chars().count() < 2_000);
}
