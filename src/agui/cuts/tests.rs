use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agui::invented::{Step, by_id, messages, run, state, step, unknown};
use crate::agui::{Compactor, Ending, EventKind, Finalizer, Verifier};

/// What a store keeps of some events.
fn kept(said: &[Event]) -> (Frames, Cuts) {
    let mut compactor = Compactor::new(None);
    said.iter().for_each(|event| compactor.push(event));
    let compacted = compactor.finish();
    (Frames::of(&compacted.events), Cuts::from(compacted.cuts.bytes().clone()))
}

/// What a client has that saw some events live, and then the rest.
fn resumed(said: &[Event], seen: usize) -> Vec<Event> {
    let (frames, cuts) = kept(said);
    let rest = cuts.rest(&frames, seen as u64, 0).unwrap();
    said[..seen].iter().cloned().chain(rest.into_iter().map(|(_, json)| Event::parse(json).unwrap())).collect()
}

#[track_caller]
fn assert_rest(said: &[&str], seen: usize, rest: &[&str]) {
    let said: Vec<_> = said.iter().map(|json| Event::parse((*json).to_owned()).unwrap()).collect();
    let resumed = resumed(&said, seen);
    assert_eq!(resumed[seen..].iter().map(Event::as_str).collect::<Vec<_>>(), rest);
}

const START: &str = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"assistant"}"#;
const END: &str = r#"{"type":"TEXT_MESSAGE_END","messageId":"m"}"#;
const X: &str = r#"{"type":"X","n":1.0,"z":null}"#;
const ERROR: &str = r#"{"type":"RUN_ERROR","message":"no"}"#;

fn content(delta: &str) -> String {
    format!(r#"{{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"{delta}"}}"#)
}

#[test]
fn a_message_goes_on_where_the_client_left_it() {
    let (a, b, c) = (content(r"a\n"), content(r"\ud83d"), content(r"\ude00é"));
    let said = [START, &a, &b, &c, END];
    assert_rest(&said, 0, &[START, &content(r"a\n\ud83d\ude00é"), END]);
    assert_rest(&said, 1, &[&content(r"a\n\ud83d\ude00é"), END]);
    assert_rest(&said, 2, &[&content(r"\ud83d\ude00é"), END]);
    assert_rest(&said, 3, &[&content(r"\ude00é"), END]);
    assert_rest(&said, 4, &[END]);
    assert_rest(&said, 5, &[]);
}

#[test]
fn events_held_back_are_shown_if_they_were_not_seen() {
    let (a, b) = (content("a"), content("b"));
    let said = [START, &a, X, &b, X, END];
    assert_rest(&said, 2, &[&b, END, X, X]);
    assert_rest(&said, 3, &[&b, END, X]);
    assert_rest(&said, 5, &[END]);
}

#[test]
fn an_end_that_was_made_up_comes_with_the_end_of_the_run() {
    let a = content("a");
    let said = [START, &a, ERROR];
    assert_rest(&said, 2, &[END, ERROR]);
    assert_rest(&said, 3, &[]);
}

#[test]
fn state_that_changed_since_comes_whole() {
    let one = r#"{"type":"STATE_SNAPSHOT","snapshot":{"a":1}}"#;
    let two = r#"{"type":"STATE_DELTA","delta":[{"op":"add","path":"/b","value":2}]}"#;
    let skipped = r#"{"type":"STATE_DELTA","delta":[{"op":"remove","path":"/none"}]}"#;
    let both = r#"{"type":"STATE_SNAPSHOT","snapshot":{"a":1,"b":2}}"#;
    let said = [one, two, skipped, ERROR];
    assert_rest(&said, 1, &[both, ERROR]);
    assert_rest(&said, 2, &[ERROR]);
    assert_rest(&said, 3, &[ERROR]);
}

#[test]
fn metadata_of_a_second_start_is_not_lost() {
    let again = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"user","metadata":{"b":3}}"#;
    let role = r#"{"type":"TEXT_MESSAGE_START","messageId":"m","role":"user"}"#;
    let a = content("a");
    let said = [START, &a, again, END];
    let joined = |delta: &str| {
        format!(r#"{{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"{delta}","metadata":{{"b":3}}}}"#)
    };
    assert_rest(&said, 1, &[role, &joined("a"), END]);
    assert_rest(&said, 2, &[role, &joined(""), END]);
    assert_rest(&said, 3, &[END]);
}

#[test]
fn places_that_are_not_there_tell_nothing() {
    let said = [Event::text_start("m"), Event::text_content("m", "a"), Event::text_end("m")];
    let (frames, cuts) = kept(&said);
    assert_eq!(cuts.rest(&frames, 3, 3), Some(Vec::new()));
    assert_eq!(cuts.rest(&frames, 4, 0), None);
    assert_eq!(cuts.rest(&frames, 0, 4), None);
    assert_eq!(Cuts::default().rest(&frames, 0, 0), None);
}

#[test]
fn cuts_of_another_run_tell_nothing() {
    let (frames, _) = kept(&[Event::text_start("m"), Event::text_content("m", "é"), Event::text_end("m")]);
    // One event more; one less; a cut inside a letter.
    for other in [
        vec![Event::text_start("m"), Event::text_end("m")],
        vec![
            Event::text_start("m"),
            Event::text_content("m", "é"),
            Event::text_end("m"),
            Event::run_finished("t", "r"),
        ],
        vec![
            Event::text_start("m"),
            Event::text_content("m", "a"),
            Event::text_content("m", "b"),
            Event::text_end("m"),
        ],
    ] {
        assert_eq!(kept(&other).1.rest(&frames, 2, 0), None, "{other:?}");
    }
}

#[test]
fn a_token_costs_a_byte_or_two() {
    let tokens = |count| {
        let pieces = (0..count).map(|_| Event::text_content("m", "token "));
        let said: Vec<_> = [Event::text_start("m")].into_iter().chain(pieces).chain([Event::text_end("m")]).collect();
        kept(&said).1.bytes().len()
    };
    assert_eq!(tokens(11_000) - tokens(10_000), 1000);

    let in_turn = |count| {
        let pieces = (0..count).flat_map(|_| [Event::text_content("m", "token "), Event::text_content("n", "token ")]);
        let starts = [Event::text_start("m"), Event::text_start("n")];
        let said: Vec<_> = starts.into_iter().chain(pieces).collect();
        kept(&said).1.bytes().len()
    };
    assert_eq!(in_turn(11_000) - in_turn(10_000), 4000);
}

/// A run as an engine has it: whatever the agent says up to some event, and what it then still owes.
fn any_said(sequential: bool) -> impl Strategy<Value = Vec<Event>> {
    let ending = prop_oneof![
        Just(Ending::Incomplete),
        Just(Ending::Stopped),
        Just(Ending::Failed { message: "boom".to_owned(), code: None }),
    ];
    (prop::collection::vec(step(), 0..40), 0..80usize, ending).prop_map(
        move |(steps, until, ending): (Vec<Step>, _, _)| {
            let mut said = run(steps, sequential);
            said.truncate(until);
            let mut finalizer = Finalizer::new("t", "r");
            said.iter().for_each(|event| finalizer.observe(event));
            said.extend(finalizer.close(ending));
            said
        },
    )
}

fn verify(events: &[Event]) -> Result<(), TestCaseError> {
    let mut verifier = Verifier::default();
    for event in events {
        prop_assert_eq!(verifier.check(event), Ok(()), "{:?}", events);
    }
    Ok(())
}

/// What is to be there exactly once. Ends may be more than were said: the compactor closes what an error left open.
fn counted(events: &[Event]) -> Vec<(EventKind, usize)> {
    use EventKind as K;
    [
        K::TextMessageStart,
        K::ToolCallStart,
        K::ToolCallResult,
        K::StepStarted,
        K::StepFinished,
        K::RunStarted,
        K::RunError,
    ]
    .map(|kind| (kind, events.iter().filter(|event| event.kind() == kind).count()))
    .into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rest_after_any_event_completes_the_run(said in any_said(false)) {
        verify(&said)?;
        for seen in 0..=said.len() {
            let resumed = resumed(&said, seen);
            verify(&resumed)?;
            prop_assert_eq!(by_id(messages(&resumed)), by_id(messages(&said)));
            prop_assert_eq!(state(&resumed), state(&said));
            prop_assert_eq!(unknown(&resumed), unknown(&said));
            prop_assert_eq!(counted(&resumed), counted(&said));
        }
    }

    #[test]
    fn the_rest_keeps_the_order_of_messages_said_one_after_the_other(said in any_said(true)) {
        for seen in 0..=said.len() {
            prop_assert_eq!(messages(&resumed(&said, seen)), messages(&said));
        }
    }

    #[test]
    fn a_rest_broken_off_goes_on_where_it_broke(said in any_said(false), seen in any::<prop::sample::Index>()) {
        let (frames, cuts) = kept(&said);
        let seen = seen.index(said.len() + 1) as u64;
        let whole = cuts.rest(&frames, seen, 0).unwrap();
        for at in 0..whole.len() {
            let (before, after) = whole.split_at(at + 1);
            prop_assert_eq!(&cuts.rest(&frames, seen, before[at].0).unwrap(), after);
        }
    }

    #[test]
    fn nothing_seen_is_the_whole_run(said in any_said(false)) {
        let (frames, cuts) = kept(&said);
        let rest = cuts.rest(&frames, 0, 0).unwrap();
        prop_assert_eq!(rest, (1..).zip(frames.events()).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_cuts_break_nothing(
        said in any_said(false),
        junk in prop::collection::vec(any::<u8>(), 0..40),
        at in any::<prop::sample::Index>(),
        seen in prop_oneof![0..100u64, any::<u64>()],
        shown in prop_oneof![0..100u64, any::<u64>()],
    ) {
        let (frames, cuts) = kept(&said);
        let _ = Cuts::from(Bytes::from(junk.clone())).rest(&frames, seen, shown);
        let mut bytes = cuts.bytes().to_vec();
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + junk.len());
        bytes.splice(at..end, junk);
        if let Some(rest) = Cuts::from(Bytes::from(bytes)).rest(&frames, seen, shown) {
            // Whatever they say, it is events.
            for (_, json) in rest {
                prop_assert!(Event::parse(json).is_ok());
            }
        }
    }
}

#[test]
fn a_run_onto_the_state_of_its_thread_is_cut_as_any_other() {
    let mut compactor = Compactor::new(Some(json!({"a": 1})));
    let said = [Event::state_delta(&json!([{"op": "add", "path": "/b", "value": 2}])), Event::run_finished("t", "r")];
    said.iter().for_each(|event| compactor.push(event));
    let compacted = compactor.finish();
    let rest = compacted.cuts.rest(&Frames::of(&compacted.events), 0, 0).unwrap();
    let snapshot: Value = serde_json::from_slice(&rest[0].1).unwrap();
    assert_eq!(snapshot["snapshot"], json!({"a": 1, "b": 2}));
}
