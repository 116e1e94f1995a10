//! What holds for every stream.

use proptest::prelude::*;
use serde_json::Value;

use crate::agui::invented::{by_id, messages, run, state, step, unknown};
use crate::agui::patch::tests::{any_patch, any_value};
use crate::agui::{Event, EventKind, MessageList, compact, messages_from_stream};

/// Any event: any type, any fields, of any type.
fn any_event() -> impl Strategy<Value = Event> {
    let name = prop_oneof![
        6 => (0..EventKind::ALL.len()).prop_map(|at| EventKind::ALL[at].name()),
        3 => (0..9usize).prop_map(|at| EventKind::ALL[at].name()),
        1 => Just("NEW"),
    ];
    let field = prop_oneof![
        Just("messageId"),
        Just("toolCallId"),
        Just("delta"),
        Just("metadata"),
        Just("role"),
        Just("content"),
        Just("parentMessageId"),
        Just("toolCallName"),
        Just("snapshot"),
        Just("patch"),
        Just("input"),
        Just("new"),
        Just("messages"),
        Just("entityId"),
        Just("subtype"),
        Just("activityType"),
        Just("replace"),
        Just("name"),
    ];
    let text = prop_oneof![4 => Just("\"a\""), 4 => Just("\"b\""), 1 => Just(r#""\u0061""#)].prop_map(str::to_owned);
    let value = prop_oneof![
        3 => text.clone(),
        1 => Just(r#""\"\n\u0041""#.to_owned()),
        1 => Just("null".to_owned()),
        1 => any_value().prop_map(|value| value.to_string()),
        1 => any_patch().prop_map(|patch| patch.to_string()),
        1 => (text.clone(), text.clone()).prop_map(|(a, b)| format!(r#"{{"messages":[{{"id":{a},"role":{b},"content":{b}}}, 7]}}"#)),
        1 => (text.clone(), text.clone()).prop_map(|(a, b)| format!(r#"[{{"id":{a},"role":"assistant","toolCalls":[{{"id":{b},"function":{{"name":{a}}}}}]}}]"#)),
    ];
    (name, text.clone(), text, prop::collection::vec((field, value), 0..5)).prop_map(|(name, m, t, fields)| {
        let mut json = format!(r#"{{"type":"{name}","messageId":{m} , "toolCallId":{t}"#);
        for (name, value) in fields {
            json.push_str(&format!(r#","{name}":{value}"#));
        }
        json.push('}');
        Event::parse(json).unwrap()
    })
}

/// The halves of a surrogate pair in places of their own.
fn surrogates() -> impl Strategy<Value = Event> {
    prop_oneof![Just(r"\ud83d"), Just(r"\ude00"), Just("x")].prop_map(|half| {
        Event::parse(format!(r#"{{"type":"TEXT_MESSAGE_CONTENT","messageId":"a","delta":"{half}"}}"#)).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compacting_changes_no_message_and_no_state(steps in prop::collection::vec(step(), 0..60)) {
        let events = run(steps, false);
        let compacted = compact(&events);
        // Interleaved messages are replayed in the order of their ends, so only what they say is compared.
        prop_assert_eq!(by_id(messages(&compacted)), by_id(messages(&events)));
        prop_assert_eq!(state(&compacted), state(&events));
    }

    #[test]
    fn compacting_one_message_after_the_other_keeps_their_order(steps in prop::collection::vec(step(), 0..60)) {
        let events = run(steps, true);
        prop_assert_eq!(messages(&compact(&events)), messages(&events));
    }

    #[test]
    fn compacting_twice_changes_nothing(events in prop::collection::vec(any_event(), 0..40)) {
        let once = compact(&events);
        prop_assert_eq!(compact(&once), once);
    }

    #[test]
    fn compacting_a_valid_run_twice_changes_nothing(steps in prop::collection::vec(step(), 0..60), cut in 0..9usize) {
        let mut events = run(steps, false);
        events.truncate(events.len().saturating_sub(cut));
        let once = compact(&events);
        prop_assert_eq!(compact(&once), once);
    }

    #[test]
    fn unknown_events_survive_byte_for_byte(events in prop::collection::vec(any_event(), 0..40)) {
        let compacted = compact(&events);
        prop_assert_eq!(unknown(&compacted), unknown(&events));
    }

    #[test]
    fn no_event_breaks_a_reader(
        events in prop::collection::vec(prop_oneof![6 => any_event(), 1 => surrogates()], 0..40),
    ) {
        let mut list = MessageList::default();
        events.iter().for_each(|event| list.apply(event));
        let rest: Vec<Value> = serde_json::from_str(&list.to_rest().replace(r"\ud83d", "").replace(r"\ude00", "")).unwrap();
        prop_assert_eq!(rest.len(), list.len());
        prop_assert_eq!(list.to_messages().len(), list.len());
        messages_from_stream(&events);
    }
}
