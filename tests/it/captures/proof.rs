//! The replay itself on trial: recordings are like themselves, and nothing else is like them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::case::{self, Case, Exchange, Recordings, Response};
use super::client::Answer;
use super::play::Played;
use super::{bundled, compare, intended};

fn recordings() -> Recordings {
    case::load(&bundled("rest-sse"), &bundled("rest-sse"))
}

/// A playing that came to exactly the recorded answers, with something in place of every placeholder.
fn played(case: &Case) -> Played {
    let answer = |exchange: &Exchange| (exchange.id.clone(), Ok(answer(&exchange.response)));
    Played { answers: case.exchanges.iter().map(answer).collect(), observed: case.observed.clone() }
}

fn answer(recorded: &Response) -> Answer {
    let line = |event: &Value| format!("data: {event}\n\n");
    let body = match (&recorded.body_text, &recorded.events, &recorded.body) {
        (Some(exact), ..) => exact.clone(),
        (None, Some(events), _) => events.iter().map(line).collect(),
        (None, None, body) => body.as_ref().map(Value::to_string).unwrap_or_default(),
    };
    let body = body
        .replace("<UUID>", "0b0e7d9c-3f43-4a4e-8f6c-2f1f0d9f2b11")
        .replace("<ISO8601>", "2026-01-02T03:04:05.006Z")
        .replace("\"<EPOCH_MS>\"", "1760000000000")
        .replace("<RUNTIME_VERSION>", "0.1.0")
        .replace("<CLASS_NAME>", "HttpAgent");
    Answer {
        status: recorded.status,
        headers: recorded.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        body: body.into_bytes(),
        left: recorded.client_disconnected,
        timed_out: recorded.client_timed_out,
    }
}

/// A stop's `RUN_FINISHED` without ids, which is not accepted.
fn has_bare_finish(case: &Case) -> bool {
    let bare = json!({"type": "RUN_FINISHED"}).to_string();
    case.exchanges.iter().any(|exchange| exchange.response.body_text.as_ref().is_some_and(|body| body.contains(&bare)))
}

#[test]
fn every_recording_is_like_itself() {
    let Recordings { cases, scripts } = recordings();
    for case in cases {
        let found = compare::differences(&case, &scripts, &played(&case));
        assert_eq!(found.is_empty(), !has_bare_finish(&case), "{}", case.name);
    }
}

#[test]
fn no_change_of_an_answer_goes_unseen() {
    type Change = (&'static str, fn(&mut Answer));
    let changes: [Change; 6] = [
        ("status", |answer| answer.status += 1),
        ("content type", |answer| answer.headers.retain(|(name, _)| name != "content-type")),
        ("a header more", |answer| answer.headers.push(("access-control-allow-x".to_owned(), "1".to_owned()))),
        ("body", |answer| answer.body = [b"x", &*answer.body].concat()),
        ("left", |answer| answer.left = !answer.left),
        ("timed out", |answer| answer.timed_out = !answer.timed_out),
    ];
    let Recordings { cases, scripts } = recordings();
    for case in cases.iter().filter(|case| case.server.adapter == case::Adapter::Node && !has_bare_finish(case)) {
        for exchange in &case.exchanges {
            for (what, change) in changes {
                let mut played = played(case);
                let answer = played.answers.get_mut(&exchange.id).unwrap().as_mut().unwrap();
                let before = answer.headers.len();
                change(answer);
                if what == "content type" && answer.headers.len() == before {
                    continue;
                }
                let found = compare::differences(case, &scripts, &played);
                assert!(!found.is_empty(), "{} {}: {what}", case.name, exchange.id);
            }
        }
    }
}

#[test]
fn no_missing_event_goes_unseen() {
    let Recordings { cases, scripts } = recordings();
    for case in cases.iter().filter(|case| !has_bare_finish(case)) {
        for exchange in &case.exchanges {
            for missing in 0..exchange.response.events.as_ref().map_or(0, Vec::len) {
                let mut shorter = exchange.response.clone();
                shorter.body_text = None;
                shorter.events.as_mut().unwrap().remove(missing);
                let mut played = played(case);
                played.answers.insert(exchange.id.clone(), Ok(answer(&shorter)));
                let found = compare::differences(case, &scripts, &played);
                assert!(!found.is_empty(), "{} {}: event {missing}", case.name, exchange.id);
            }
        }
    }
}

#[test]
fn every_intended_answer_differs_from_the_recorded_one() {
    let Recordings { cases, scripts } = recordings();
    let (mut own, mut general) = (0, BTreeSet::new());
    for case in &cases {
        let mut before = Case::clone(case);
        for step in intended::steps(case) {
            match step.is_general {
                true => drop(general.insert(step.because)),
                false => own += 1,
            }
            let ours = step.ours;
            let played = played(&ours);
            assert!(!compare::differences(&before, &scripts, &played).is_empty(), "{}: {}", case.name, step.because);
            assert!(compare::differences(&ours, &scripts, &played).is_empty(), "{}: {}", case.name, step.because);
            before = ours;
        }
    }
    assert_eq!((own, general.len()), intended::count(), "intended.rs lists what is not recorded");
}

/// What is said of all recordings changes one word of `/info` where a store lists threads, and nothing else.
#[test]
fn the_general_rule_touches_mutations_alone() {
    let mut changed = 0;
    for case in recordings().cases {
        let general = intended::steps(&case).into_iter().find(|step| step.is_general);
        let ours = general.map(|step| step.ours).unwrap_or_else(|| Case::clone(&case));
        for (recorded, ours) in case.exchanges.iter().zip(&ours.exchanges) {
            let (recorded, ours) = (format!("{recorded:?}"), format!("{ours:?}"));
            let undone = ours
                .replace(r#""mutations": Bool(true)"#, r#""mutations": Bool(false)"#)
                .replace(r#"\"mutations\":true"#, r#"\"mutations\":false"#);
            assert_eq!(undone, recorded, "{}", case.name);
            let lists = [r#""list": Bool(true)"#, r#"\"list\":true"#].iter().any(|lists| recorded.contains(lists));
            assert_eq!(ours != recorded, lists, "{}", case.name);
            changed += usize::from(lists);
        }
    }
    assert!(changed > 20, "only {changed} answers say that threads can be listed");
}
