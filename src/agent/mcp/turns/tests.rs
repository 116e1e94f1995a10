use proptest::prelude::*;
use serde_json::json;

use super::super::toolbox::ListedTool;
use super::*;
use crate::agui::Verifier;

const OURS: &str = "mcp__s__find";
const THEIRS: &str = "confirm";

fn turns_of(input: RunAgentInput, rounds: usize) -> Turns {
    let mut toolbox = Toolbox::beside(input.tool_names());
    toolbox.add(0, "s", ListedTool { name: "find".to_owned(), ..ListedTool::default() }).unwrap();
    Turns::new(input, toolbox, rounds)
}

fn asked(text: &str) -> RunAgentInput {
    let mut input = RunAgentInput::new("t", "r");
    input.messages.push(Message::user("u", text));
    input.tools.push(RawValue::from_string(json!({"name": THEIRS}).to_string()).unwrap());
    input
}

fn turns() -> Turns {
    turns_of(asked("go"), 32)
}

fn event(value: &Value) -> Event {
    Event::from_value(value).unwrap()
}

fn calling(id: &str, name: &str, arguments: &str) -> Vec<Event> {
    vec![Event::tool_start(id, name, None), Event::tool_args(id, arguments), Event::tool_end(id)]
}

/// A whole turn.
fn turn(run: &str, said: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut events = vec![Event::run_started("t", run)];
    events.extend(said);
    events.push(Event::run_finished("t", run));
    events
}

fn hear(turns: &mut Turns, events: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut shown = Vec::new();
    events.into_iter().for_each(|event| turns.hear(event, &mut shown).unwrap());
    shown
}

fn execute(next: Next) -> Vec<Call> {
    match next {
        Next::Execute(calls) => calls,
        other => panic!("nothing to execute: {other:?}"),
    }
}

fn answered(calls: &[Call]) -> Vec<Answer> {
    let answer = |call: &Call| Answer {
        call_id: call.id.clone(),
        content: format!("found by {}", call.id),
        message_id: format!("result of {}", call.id),
    };
    calls.iter().map(answer).collect()
}

fn go_on(turns: &mut Turns, calls: &[Call], shown: &mut Vec<Event>) -> Option<RunAgentInput> {
    turns.answer(&answered(calls), shown);
    turns.next_turn()
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(Event::kind).collect()
}

#[test]
fn the_agent_finds_the_tools_behind_those_of_the_front_end() {
    let names: Vec<_> = turns().input().tool_names().collect();
    assert_eq!(names, [THEIRS, OURS]);
}

#[test]
fn a_run_without_calls_of_tools_passes_as_it_is() {
    let mut turns = turns();
    let said = turn("r", [Event::text_start("m"), Event::text_content("m", "Hi"), Event::text_end("m")]);
    let mut shown = hear(&mut turns, said.clone());
    assert_eq!(turns.end_turn(), Next::Over);
    shown.extend(turns.finish());
    assert_eq!(shown, said);
}

#[test]
fn a_call_is_executed_and_the_agent_has_another_turn_with_its_result() {
    let mut turns = turns();
    let mut shown = hear(&mut turns, turn("r", calling("c", OURS, r#"{"q":"x"}"#)));
    let calls = execute(turns.end_turn());
    let origin = Origin { server: 0, name: "find".to_owned() };
    assert_eq!(calls, [Call { id: "c".to_owned(), origin, arguments: r#"{"q":"x"}"#.to_owned() }]);

    let next = go_on(&mut turns, &calls, &mut shown).expect("another turn");
    let roles: Vec<_> = next.messages.iter().map(Message::role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool]);
    assert_eq!(next.messages[2].text().as_deref(), Some("found by c"));
    assert_eq!(next.tool_names().collect::<Vec<_>>(), [THEIRS, OURS]);

    let said = [Event::text_start("m"), Event::text_content("m", "Done"), Event::text_end("m")];
    shown.extend(hear(&mut turns, turn("another", said)));
    assert_eq!(turns.end_turn(), Next::Over);
    shown.extend(turns.finish());
    use EventKind as K;
    let expected = [
        K::RunStarted,
        K::ToolCallStart,
        K::ToolCallArgs,
        K::ToolCallEnd,
        K::ToolCallResult,
        K::TextMessageStart,
        K::TextMessageContent,
        K::TextMessageEnd,
        K::RunFinished,
    ];
    assert_eq!(kinds(&shown), expected);
    assert_eq!(shown.last(), Some(&Event::run_finished("t", "r")), "one run, with its own id");
}

#[test]
fn the_end_of_a_later_turn_keeps_what_else_it_says() {
    let mut turns = turns();
    hear(&mut turns, turn("r", calling("c", OURS, "{}")));
    let calls = execute(turns.end_turn());
    go_on(&mut turns, &calls, &mut Vec::new()).expect("another turn");
    let finished = r#"{"type":"RUN_FINISHED","threadId":"t","runId":"x","result":{"n":1.0},"a\"b":null}"#;
    hear(&mut turns, [Event::parse(finished).unwrap()]);
    assert_eq!(turns.end_turn(), Next::Over);
    let shown = turns.finish().expect("an end");
    assert_eq!(shown.as_str(), finished.replace(r#""x""#, r#""r""#));
}

#[test]
fn a_front_ends_call_beside_ours_ends_the_run_with_our_result() {
    let mut turns = turns();
    let said = calling("ours", OURS, "{}").into_iter().chain(calling("theirs", THEIRS, "{}"));
    let mut shown = hear(&mut turns, turn("r", said));
    let calls = execute(turns.end_turn());
    assert_eq!(calls.len(), 1);
    assert!(go_on(&mut turns, &calls, &mut shown).is_none(), "the client goes on");
    shown.extend(turns.finish());
    assert_eq!(kinds(&shown)[7..], [EventKind::ToolCallResult, EventKind::RunFinished]);
}

#[test]
fn a_front_ends_call_alone_is_left_to_the_client() {
    let mut turns = turns();
    hear(&mut turns, turn("r", calling("c", THEIRS, "{}")));
    assert_eq!(turns.end_turn(), Next::Over);
}

#[test]
fn a_call_the_agent_answered_itself_is_not_executed() {
    let mut turns = turns();
    let said = calling("c", OURS, "{}").into_iter().chain([Event::tool_result("m", "c", "mine")]);
    hear(&mut turns, turn("r", said));
    assert_eq!(turns.end_turn(), Next::Over);
}

#[test]
fn a_call_in_the_clients_conversation_is_not_executed() {
    let mut input = asked("go");
    let call = json!({"id": "old", "type": "function", "function": {"name": OURS, "arguments": "{}"}});
    let message = json!({"id": "a", "role": "assistant", "toolCalls": [call]});
    input.messages.push(Message::parse(&message.to_string()).unwrap());
    let mut turns = turns_of(input, 32);
    // A call of this run's beside it is, and does not wait for it.
    let mut shown = hear(&mut turns, turn("r", calling("new", OURS, "{}")));
    let calls = execute(turns.end_turn());
    assert_eq!(calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["new"]);
    assert!(go_on(&mut turns, &calls, &mut shown).is_some());
}

#[test]
fn a_call_is_not_executed_twice_if_the_agent_forgets_its_result() {
    let mut turns = turns();
    hear(&mut turns, turn("r", calling("c", OURS, "{}")));
    let calls = execute(turns.end_turn());
    go_on(&mut turns, &calls, &mut Vec::new()).expect("another turn");
    let call = json!({"id": "c", "type": "function", "function": {"name": OURS, "arguments": "{}"}});
    let messages = json!([{"id": "a", "role": "assistant", "toolCalls": [call]}]);
    hear(&mut turns, turn("r2", [event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages}))]));
    assert_eq!(turns.end_turn(), Next::Over);
}

#[test]
fn a_call_that_only_a_snapshot_tells_of_is_executed() {
    let mut turns = turns();
    let call = json!({"id": "c", "type": "function", "function": {"name": OURS, "arguments": "{\"q\":1}"}});
    let messages = json!([
        {"id": "u", "role": "user", "content": "go"},
        {"id": "a", "role": "assistant", "toolCalls": [call]},
    ]);
    hear(&mut turns, turn("r", [event(&json!({"type": "MESSAGES_SNAPSHOT", "messages": messages}))]));
    assert_eq!(execute(turns.end_turn())[0].arguments, "{\"q\":1}");
}

#[test]
fn chunks_are_calls_too() {
    let mut turns = turns();
    let chunk = event(&json!({"type": "TOOL_CALL_CHUNK", "toolCallId": "c", "toolCallName": OURS, "delta": "{}"}));
    let shown = hear(&mut turns, turn("r", [chunk]));
    assert_eq!(kinds(&shown)[1..], [EventKind::ToolCallStart, EventKind::ToolCallArgs, EventKind::ToolCallEnd]);
    assert_eq!(execute(turns.end_turn()).len(), 1);
}

#[test]
fn a_turn_that_breaks_off_executes_nothing() {
    let whole = turn("r", calling("c", OURS, r#"{"all":true}"#));
    let failing = whole[..4].iter().cloned().chain([Event::run_error("no", "X")]);
    let unended = whole.iter().filter(|event| event.kind() != EventKind::ToolCallEnd).cloned();
    let cut = whole[..4].iter().cloned();
    for events in [failing.collect::<Vec<_>>(), unended.collect(), cut.collect()] {
        let mut turns = turns();
        hear(&mut turns, events.clone());
        assert_eq!(turns.end_turn(), Next::Over, "{events:?}");
    }
    let mut turns = turns();
    hear(&mut turns, whole.into_iter().chain([Event::run_error("no", "X")]));
    assert_eq!(turns.finish(), None, "the error is the end");
}

#[test]
fn a_run_that_waits_for_people_executes_nothing() {
    for outcome in [json!({"type": "interrupt", "interrupts": []}), json!("interrupt")] {
        let mut turns = turns();
        let mut events = turn("r", calling("c", OURS, "{}"));
        events.pop();
        let finished = json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": outcome});
        hear(&mut turns, events.into_iter().chain([event(&finished)]));
        assert_eq!(turns.end_turn(), Next::Over);
        assert_eq!(turns.finish(), Some(event(&finished)));
    }
}

#[test]
fn the_next_turn_has_the_state_the_last_one_left_and_no_answers_to_interrupts() {
    let mut input = asked("go");
    input.state = Some(RawValue::from_string(r#"{"a":1.0,"b":2}"#.to_owned()).unwrap());
    input.resume = Some(Vec::new());
    let mut turns = turns_of(input, 32);
    let patch = Event::state_delta(&json!([{"op": "replace", "path": "/b", "value": 3}]));
    hear(&mut turns, turn("r", calling("c", OURS, "{}").into_iter().chain([patch])));
    let calls = execute(turns.end_turn());
    let next = go_on(&mut turns, &calls, &mut Vec::new()).expect("another turn");
    assert_eq!(next.state.unwrap().get(), r#"{"a":1.0,"b":3}"#);
    assert!(next.resume.is_none());
}

#[test]
fn an_agent_that_never_stops_calling_is_refused() {
    let mut turns = turns_of(asked("go"), 1);
    hear(&mut turns, turn("r", calling("c1", OURS, "{}")));
    let calls = execute(turns.end_turn());
    go_on(&mut turns, &calls, &mut Vec::new()).expect("another turn");
    hear(&mut turns, turn("r2", calling("c2", OURS, "{}")));
    let Next::Refuse(calls) = turns.end_turn() else { panic!("there are no rounds left") };
    let mut shown = Vec::new();
    turns.answer(&answered(&calls), &mut shown);
    shown.extend(turns.finish());
    assert_eq!(kinds(&shown), [EventKind::ToolCallResult, EventKind::RunFinished]);
}

#[test]
fn an_agent_that_says_too_much_is_broken() {
    let mut turns = turns();
    let much = Event::text_content("m", &"x".repeat(MAX_BYTES / 4));
    let mut shown = Vec::new();
    let results: Vec<_> = (0..5).map(|_| turns.hear(much.clone(), &mut shown)).collect();
    assert_eq!(results.last(), Some(&Err(Broken::TooLarge)));
    let chunk = event(&json!({"type": "TEXT_MESSAGE_CHUNK", "delta": "of nothing"}));
    assert!(matches!(self::turns().hear(chunk, &mut shown), Err(Broken::Chunk(_))));
}

/// What a made-up agent does in a turn.
#[derive(Clone, Debug)]
enum Deed {
    Says,
    CallsOurs,
    CallsTheirs,
    AnswersOurs,
}

fn deeds() -> impl Strategy<Value = Vec<Vec<Deed>>> {
    let deed = prop_oneof![
        2 => Just(Deed::Says),
        3 => Just(Deed::CallsOurs),
        1 => Just(Deed::CallsTheirs),
        1 => Just(Deed::AnswersOurs),
    ];
    prop::collection::vec(prop::collection::vec(deed, 0..5), 1..6)
}

/// The events of a turn, and which of its calls are left to be executed.
fn perform(number: usize, deeds: &[Deed]) -> (Vec<Event>, Vec<String>) {
    let (mut said, mut ours) = (Vec::new(), Vec::new());
    for (index, deed) in deeds.iter().enumerate() {
        let id = format!("{number}-{index}");
        match deed {
            Deed::Says => said.extend([Event::text_start(&id), Event::text_content(&id, "x"), Event::text_end(&id)]),
            Deed::CallsOurs => {
                said.extend(calling(&id, OURS, "{}"));
                ours.push(id);
            }
            Deed::CallsTheirs => said.extend(calling(&id, THEIRS, "{}")),
            Deed::AnswersOurs => {
                said.extend(calling(&id, OURS, "{}"));
                said.push(Event::tool_result(&format!("own {id}"), &id, "own"));
            }
        }
    }
    let run = if number == 0 { "r".to_owned() } else { format!("r{number}") };
    (turn(&run, said), ours)
}

proptest! {
    #[test]
    fn whatever_an_agent_calls_it_is_one_valid_run_and_every_call_of_ours_is_answered_once(
        script in deeds(), rounds in 1..4usize,
    ) {
        let mut turns = turns_of(asked("go"), rounds);
        let (mut shown, mut called, mut executed) = (Vec::new(), Vec::new(), 0);
        for (number, deeds) in script.iter().enumerate() {
            let (events, ours) = perform(number, deeds);
            called.extend(ours.clone());
            shown.extend(hear(&mut turns, events));
            let (calls, goes_on) = match turns.end_turn() {
                Next::Over => {
                    prop_assert!(ours.is_empty());
                    break;
                }
                Next::Execute(calls) => (calls, true),
                Next::Refuse(calls) => (calls, false),
            };
            executed += usize::from(goes_on);
            let ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
            prop_assert_eq!(ids, ours);
            turns.answer(&answered(&calls), &mut shown);
            if !goes_on {
                break;
            }
            let asks_the_client = deeds.iter().any(|deed| matches!(deed, Deed::CallsTheirs));
            prop_assert_eq!(turns.next_turn().is_none(), asks_the_client);
            if asks_the_client {
                break;
            }
        }
        prop_assert!(executed <= rounds);
        let finished = turns.finish();
        // A script that ends in the middle: one more turn says nothing.
        if finished.is_none() {
            shown.extend(hear(&mut turns, turn("last", [])));
            prop_assert_eq!(turns.end_turn(), Next::Over);
        }
        shown.extend(finished.or_else(|| turns.finish()));
        let mut verifier = Verifier::default();
        for event in &shown {
            prop_assert!(verifier.check(event).is_ok(), "{} in {:?}", event, shown);
        }
        prop_assert_eq!(shown.last(), Some(&Event::run_finished("t", "r")));
        for id in called {
            let results = shown.iter().filter(|event| {
                event.kind() == EventKind::ToolCallResult && event.tool_call_id() == Some(&id)
            });
            prop_assert_eq!(results.count(), 1, "{}", id);
        }
    }
}
