use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Event, EventKind};
use crate::agui::patch::tests::any_value;

/// An event's text, its keys in any order and spelling, with white space where JSON allows it.
fn any_event() -> impl Strategy<Value = (String, Map<String, Value>)> {
    let name = prop_oneof![
        Just("messageId".to_owned()),
        Just("toolCallId".to_owned()),
        Just("subagentRunId".to_owned()),
        Just("delta".to_owned()),
        Just("metadata".to_owned()),
        "[a-z\\\\\"é ]{0,6}",
    ];
    let value = prop_oneof![any_value(), "[ -~é\\n\\u{1F600}]{0,12}".prop_map(Value::from), Just(json!(1.5e300))];
    let kind = prop_oneof![
        proptest::sample::select(EventKind::ALL).prop_map(|kind| kind.name().to_owned()),
        "[A-Z_]{1,8}".prop_map(|name| name)
    ];
    (kind, proptest::collection::vec((name, value), 0..8), any::<bool>(), 0..8_usize).prop_map(
        |(kind, fields, pretty, place)| {
            let mut all: Vec<_> = fields.into_iter().collect();
            all.insert(place.min(all.len()), ("type".to_owned(), kind.into()));
            let fields: Map<String, Value> = all.into_iter().collect();
            let text = if pretty { serde_json::to_string_pretty(&fields) } else { serde_json::to_string(&fields) };
            (text.unwrap(), fields)
        },
    )
}

#[test]
fn of_a_repeated_type_the_last_counts() {
    let event = Event::parse(r#"{"type":"RUN_STARTED","a":1,"type":"\u0058_1"}"#).unwrap();
    assert_eq!((event.kind(), event.type_name()), (EventKind::Unknown, "X_1".to_owned()));
    let event = Event::parse(r#"{"type":"X","type":"RUN_STARTED"}"#).unwrap();
    assert_eq!((event.kind(), event.type_name()), (EventKind::RunStarted, "RUN_STARTED".to_owned()));
}

proptest! {
    #[test]
    fn header_tells_what_the_json_says((text, fields) in any_event()) {
        let event = Event::parse(text.clone()).unwrap();
        let field = |name: &str| fields.get(name).and_then(Value::as_str);
        prop_assert_eq!(event.message_id(), field("messageId"));
        prop_assert_eq!(event.tool_call_id(), field("toolCallId"));
        prop_assert_eq!(event.subagent_run_id(), field("subagentRunId"));
        prop_assert_eq!(event.type_name(), field("type").unwrap_or_default());
        prop_assert_eq!(event.has_metadata(), fields.contains_key("metadata"));
        let delta = event.raw_delta().map(|raw| serde_json::from_str::<String>(&format!("\"{raw}\"")).unwrap());
        prop_assert_eq!(delta.as_deref(), field("delta"));
        // Nothing but line breaks between tokens is lost.
        prop_assert_eq!(event.as_str(), text.replace('\n', ""));
    }

    #[test]
    fn any_text_is_an_event_or_refused(text in "\\PC{0,40}|\\{\"type\":\"[A-Z]{0,3}\"[^}]{0,20}\\}") {
        if let Ok(event) = Event::parse(text) {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(event.as_str()).is_ok());
        }
    }

    #[test]
    fn written_events_are_read_back_alike(id in "\\PC{0,12}", delta in "[ -~é\\n\"\\\\\\u{1F600}]{0,12}") {
        let events = [
            Event::text_content(&id, &delta),
            Event::tool_args(&id, &delta),
            Event::tool_result(&id, &id, &delta),
            Event::text_content(&id, &delta).with_field("input", "{\"messageId\":1}"),
        ];
        for written in events {
            let read = Event::parse(written.json().clone()).unwrap();
            prop_assert_eq!(written.kind(), read.kind());
            prop_assert_eq!(written.message_id(), read.message_id());
            prop_assert_eq!(written.tool_call_id(), read.tool_call_id());
            prop_assert_eq!(written.raw_delta(), read.raw_delta());
        }
    }
}
