//! The comparison of transcripts finds what it is there to find, and nothing in a transcript that is like itself.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

use super::compare::differences;
use super::file::{self, Entry, Transcript};
use super::ids::Ids;
use super::play::Played;
use crate::serve::Answer;

fn transcripts() -> Vec<Transcript> {
    file::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/intelligence"))
}

fn transcript(scenario: &str) -> Transcript {
    transcripts().into_iter().find(|transcript| transcript.scenario == scenario).expect("a transcript")
}

/// What the recorded runtime did, as if this one had done it.
fn as_recorded(transcript: &Transcript) -> Played {
    let mut ids = Ids::default();
    ids.bind("<platform>", "127.0.0.1:4401");
    let platform = ids.clone();
    let entries: Vec<Entry> = transcript.entries.iter().map(|entry| filled(entry, &mut ids)).collect();
    let mut answers = BTreeMap::new();
    let mut responses: Vec<&Entry> = entries.iter().filter(|entry| entry.is("browser", "response")).collect();
    for request in entries.iter().filter(|entry| entry.is("browser", "request")) {
        let is_answer =
            |answer: &&Entry| answer.n > request.n && answer.method == request.method && answer.path == request.path;
        let Some(at) = responses.iter().position(is_answer) else { continue };
        answers.insert(request.n, answer(responses.remove(at)));
    }
    let given_up = entries.iter().filter(|entry| entry.plane == "runtime").count();
    let of_platform = |entry: &Entry| matches!(entry.plane.as_str(), "rest" | "runner");
    let entries = entries.into_iter().filter(of_platform).collect();
    Played { answers, missing: Vec::new(), entries, violations: Vec::new(), given_up, ids: platform }
}

fn filled(entry: &Entry, ids: &mut Ids) -> Entry {
    let mut filled = entry.clone();
    filled.path = ids.text(&entry.path);
    filled.query = entry.query.iter().map(|(name, value)| (name.clone(), ids.text(value))).collect();
    filled.headers = entry.headers.iter().map(|(name, value)| (name.clone(), ids.text(value))).collect();
    filled.body = entry.body.as_ref().map(|body| ids.fill(body));
    filled.frame = ids.fill(&entry.frame);
    filled
}

fn answer(entry: &Entry) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in &entry.headers {
        headers.insert(HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
    }
    let body = entry.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let status = StatusCode::from_u16(entry.status.unwrap_or_default()).expect("a status");
    Answer { status, headers, body }
}

#[test]
fn a_transcript_is_like_itself() {
    let all = transcripts();
    assert!(all.len() >= 45, "{} transcripts", all.len());
    for transcript in all {
        let found = differences(&transcript, &as_recorded(&transcript));
        assert!(found.is_empty(), "{}: {found:#?}", transcript.scenario);
    }
}

/// Whether the comparison finds what was changed in a copy of a transcript.
fn is_found(scenario: &str, change: impl Fn(&mut Played)) -> bool {
    let transcript = transcript(scenario);
    let mut played = as_recorded(&transcript);
    change(&mut played);
    !differences(&transcript, &played).is_empty()
}

fn call<'a>(played: &'a mut Played, method: &str, ending: &str) -> (usize, &'a mut Entry) {
    let is_it = |entry: &Entry| entry.is("rest", "request") && entry.method == method && entry.path.ends_with(ending);
    let at = played.entries.iter().position(is_it).expect("such a call");
    (at, &mut played.entries[at])
}

#[test]
fn what_a_runtime_does_to_the_platform_is_compared() {
    assert!(
        is_found("agent-throws", |played| {
            let (at, _) = call(played, "DELETE", "/lock");
            played.entries.remove(at);
        }),
        "a missing call"
    );
    assert!(
        is_found("agent-throws", |played| {
            let (at, entry) = call(played, "DELETE", "/lock");
            let entry = entry.clone();
            played.entries.remove(at);
            played.entries.push(entry);
        }),
        "a lock released after the error"
    );
    assert!(
        is_found("connect-unknown-thread", |played| {
            let (_, entry) = call(played, "POST", "/connect");
            let again = entry.clone();
            played.entries.push(again);
        }),
        "a call too many"
    );
    assert!(
        is_found("chat-run-new-thread", |played| {
            let (_, entry) = call(played, "POST", "/lock");
            entry.body.as_mut().expect("a body")["ttlSeconds"] = 21.into();
        }),
        "another body"
    );
    assert!(
        is_found("memories-crud-realtime", |played| {
            let (_, entry) = call(played, "GET", "/api/memories");
            entry.headers.remove("x-cpki-memory-grant");
        }),
        "a missing header"
    );
}

#[test]
fn what_a_runner_brings_is_compared() {
    let push = |played: &Played| played.entries.iter().position(|entry| !entry.pushed().is_empty()).expect("a push");
    assert!(
        is_found("agent-forged-identity", |played| {
            let at = push(played);
            played.entries[at].frame[4]["events"][1]["metadata"]["tag"] = "lost".into();
        }),
        "an event changed"
    );
    assert!(
        is_found("chat-run-new-thread", |played| {
            let at = push(played);
            played.entries[at].frame[4]["events"].as_array_mut().expect("events").pop();
        }),
        "an event missing"
    );
    assert!(
        is_found("fault-join-draining", |played| {
            let at = played.entries.iter().position(|entry| entry.event() == "phx_join").expect("a join");
            played.entries.remove(at);
        }),
        "a join missing"
    );
    assert!(
        is_found("chat-run-new-thread", |played| played.entries.retain(|entry| entry.event() != "phx_leave")),
        "no leaving"
    );
    assert!(is_found("stop-from-http", |played| played.given_up = 0), "an agent that goes on");
}

fn last(played: &mut Played) -> &mut Answer {
    played.answers.values_mut().last().expect("an answer")
}

#[test]
fn what_browsers_hear_is_compared() {
    assert!(is_found("fault-lock-409", |played| last(played).status = StatusCode::IM_A_TEAPOT), "a status");
    assert!(is_found("fault-lock-409", |played| last(played).headers.clear()), "no headers");
    assert!(is_found("fault-lock-409", |played| last(played).body = Bytes::from_static(b"{}")), "a body");
    assert!(is_found("fault-lock-409", |played| played.answers.clear()), "no answer");
}
