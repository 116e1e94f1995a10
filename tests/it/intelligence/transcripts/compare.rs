//! What has to be alike in a transcript and in ours.
//!
//! - Every answer to a browser: status, the recorded headers, body.
//! - Every REST call, in the order of its thread; calls that depend on nothing before them may come at any time.
//! - Every run: its sockets, its joins, its events one by one, its leaving. How events are put together in pushes is
//!   up to time, except where a push is full; what the platform sees of a single connection it judges itself.
//! - A thread's calls and the beginning and end of its runs are in one order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::file::{Entry, Transcript, seq};
use super::ids::Ids;
use super::play::Played;
use super::unlike::{Unlike, unlike};
use crate::serve::Answer;

/// Headers of answers that matter.
const HEADERS: &[&str] = &["content-type", "cache-control", "allow"];
/// Most events of one push.
const FULL: usize = 32;

pub(crate) fn differences(transcript: &Transcript, played: &Played) -> Vec<Unlike> {
    let mut ids = played.ids.clone();
    let mut found: Vec<Unlike> =
        played.missing.iter().map(|what| Unlike::new("did not happen", what, "nothing")).collect();
    runs(transcript, played, &mut ids, &mut found);
    calls(transcript, played, &mut ids, &mut found);
    answers(transcript, played, &mut ids, &mut found);
    given_up(transcript, played, &mut found);
    found
}

fn answers(transcript: &Transcript, played: &Played, ids: &mut Ids, found: &mut Vec<Unlike>) {
    let mut responses: Vec<&Entry> =
        transcript.entries.iter().filter(|entry| entry.is("browser", "response")).collect();
    for request in transcript.entries.iter().filter(|entry| entry.is("browser", "request")) {
        let is_answer =
            |answer: &&Entry| answer.n > request.n && answer.method == request.method && answer.path == request.path;
        let Some(at) = responses.iter().position(is_answer) else { continue };
        let recorded = responses.remove(at);
        let at = format!("#{} {} {}", request.n, request.method, request.path);
        match played.answers.get(&request.n) {
            None => found.push(Unlike::new(&at, "an answer", "none")),
            Some(ours) => answer(recorded, ours, &at, ids, found),
        }
    }
}

fn answer(recorded: &Entry, ours: &Answer, at: &str, ids: &mut Ids, found: &mut Vec<Unlike>) {
    let text = String::from_utf8_lossy(&ours.body);
    let status = recorded.status.unwrap_or_default();
    if status != ours.status.as_u16() {
        let recorded = format!("{status} {}", recorded.body.clone().unwrap_or_default());
        return found.push(Unlike::new(&format!("{at}: status"), recorded, format!("{} {text}", ours.status)));
    }
    for name in HEADERS {
        let has = ours.headers.get(*name).and_then(|value| value.to_str().ok());
        let wanted = recorded.headers.get(*name).map(String::as_str);
        if wanted.is_some() && wanted != has {
            let (wanted, has) = (wanted.unwrap_or("nothing"), has.unwrap_or("nothing"));
            found.push(Unlike::new(&format!("{at}: {name}"), wanted, has));
        }
    }
    let body = serde_json::from_slice::<Value>(&ours.body).ok();
    match (&recorded.body, body) {
        (None, _) if ours.body.is_empty() => {}
        // The words of a validator are its own, as is the version of a runtime.
        (Some(recorded), Some(ours)) => unlike(recorded, &ours, at, &["details", "version"], ids, found),
        (recorded, _) => {
            let recorded = recorded.clone().unwrap_or_else(|| "nothing".into());
            found.push(Unlike::new(&format!("{at}: body"), recorded, text));
        }
    }
}

/// REST calls, and with those of a thread the milestones of its runs.
fn calls(transcript: &Transcript, played: &Played, ids: &mut Ids, found: &mut Vec<Unlike>) {
    // Ids first: what is recorded is said in the ids of ours from here on.
    let mut filled: Vec<Entry> = Vec::new();
    for entry in &transcript.entries {
        let mut entry = entry.clone();
        entry.path = match entry.path.starts_with("/connector/annotate/") {
            // Ids of the runtime's own, which nobody has said before.
            true => entry.path,
            false => ids.text(&entry.path),
        };
        if let Some(thread) = entry.body.as_mut().and_then(|body| body.get_mut("threadId")) {
            *thread = ids.fill(thread);
        }
        if let Some(topic) = entry.frame.get_mut(2) {
            *topic = ids.fill(topic);
        }
        filled.push(entry);
    }
    let (recorded, ours) = (chains(&filled), chains(&played.entries));
    let empty = Vec::new();
    for (chain, recorded) in &recorded {
        let ours = ours.get(chain).unwrap_or(&empty);
        let outline = |items: &[Item<'_>]| items.iter().map(|item| item.name.clone()).collect::<Vec<_>>().join(", ");
        if recorded.len() != ours.len() {
            let (recorded, ours) = (outline(recorded), outline(ours));
            found.push(Unlike::new(&format!("calls of {chain}"), recorded, ours));
            continue;
        }
        for (recorded, ours) in recorded.iter().zip(ours) {
            let at = format!("{chain}: {}", recorded.name);
            if ours.name != recorded.name && !ids.matches(&recorded.name, &ours.name) {
                found.push(Unlike::new(&at, &recorded.name, &ours.name));
                break;
            }
            call(recorded.entry, ours.entry, &at, ids, found);
        }
    }
    for (chain, ours) in ours.iter().filter(|(chain, _)| !recorded.contains_key(*chain)) {
        let names: Vec<_> = ours.iter().map(|item| item.name.as_str()).collect();
        found.push(Unlike::new(&format!("calls of {chain}"), "none", names.join(", ")));
    }
}

fn call(recorded: &Entry, ours: &Entry, at: &str, ids: &mut Ids, found: &mut Vec<Unlike>) {
    if recorded.plane != "rest" {
        return;
    }
    let value = |entry: &Entry| json!({ "query": entry.query, "headers": entry.headers, "body": entry.body });
    unlike(&value(recorded), &value(ours), at, &[], ids, found);
}

/// One thing in an order.
struct Item<'a> {
    name: String,
    entry: &'a Entry,
}

/// What happened, apart for each order it stands in.
fn chains(entries: &[Entry]) -> BTreeMap<String, Vec<Item<'_>>> {
    let mut chains: BTreeMap<String, Vec<Item<'_>>> = BTreeMap::new();
    let mut threads: BTreeMap<&str, String> = BTreeMap::new();
    for entry in entries {
        let (chain, name) = if entry.is("rest", "request") {
            let name = format!("{} {}", entry.method, entry.path);
            (chain_of_call(entry), name)
        } else if entry.is("runner", "in") && entry.event() == "phx_join" {
            let thread = entry.frame[4]["thread_id"].as_str().unwrap_or_default();
            let run = entry.run().unwrap_or_default();
            if threads.contains_key(run) {
                continue;
            }
            // Said in the recording's ids or in ours: the thread is that of the REST calls before.
            let lock = entries.iter().rev().filter(|other| other.n < entry.n && other.is("rest", "request"));
            let mut lock = lock.filter(|other| other.method == "POST" && other.path.ends_with("/lock"));
            let chain = lock.next().map_or_else(|| format!("thread {thread}"), chain_of_call);
            threads.insert(run, chain.clone());
            (chain, format!("join {run}"))
        } else if let Some(chain) = entry.run().and_then(|run| threads.get(run)) {
            let is_end = |event: &&Value| matches!(event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"));
            let Some(end) = entry.pushed().into_iter().find(is_end) else { continue };
            let name = format!("{} {}", end["type"].as_str().unwrap_or_default(), entry.run().unwrap_or_default());
            if chains.get(chain).is_some_and(|items| items.iter().any(|item| item.name == name)) {
                continue;
            }
            (chain.clone(), name)
        } else {
            continue;
        };
        chains.entry(chain).or_default().push(Item { name, entry });
    }
    chains
}

/// The order a REST call stands in.
fn chain_of_call(entry: &Entry) -> String {
    let parts: Vec<&str> = entry.path.split('/').skip(1).collect();
    let of_thread = |id: &str| format!("thread {id}");
    match (entry.method.as_str(), parts.as_slice()) {
        ("GET", ["api", "entitlements" | "inspector", what]) => (*what).to_owned(),
        // In the background: of titles, and the heartbeat of the lock.
        ("PATCH", ["api", "threads", id]) => format!("changes of {id}"),
        ("PATCH", ["api", "threads", id, "lock"]) => format!("renewals of {id}"),
        ("POST", ["api", "threads"]) => {
            of_thread(entry.body.as_ref().and_then(|body| body["threadId"].as_str()).unwrap_or_default())
        }
        (method, ["api", "threads"] | ["api", "threads", "subscribe"]) => format!("{method} {}", entry.path),
        (_, ["api", "threads", id, ..]) => of_thread(id),
        ("PUT", ["connector", "annotate", _]) => "annotate".to_owned(),
        (method, _) => format!("{method} {}", entry.path),
    }
}

/// Every run, as the platform saw it.
fn runs(transcript: &Transcript, played: &Played, ids: &mut Ids, found: &mut Vec<Unlike>) {
    let upgrades = |entries: &[Entry]| -> Vec<Value> {
        let upgrade = |entry: &&Entry| entry.is("runner", "upgrade");
        let shown = |entry: &Entry| json!({ "path": entry.path, "query": entry.query, "protocols": entry.protocols });
        entries.iter().filter(upgrade).map(shown).collect()
    };
    // How often it has to be tried depends on time where it is refused. Every socket is asked for alike.
    let (recorded, ours) = (upgrades(&transcript.entries), upgrades(&played.entries));
    if recorded.is_empty() != ours.is_empty() {
        found.push(Unlike::new("sockets", recorded.len(), ours.len()));
    }
    if let Some(recorded) = recorded.iter().find(|recorded| recorded["protocols"] != json!([])) {
        for (at, ours) in ours.iter().enumerate() {
            unlike(recorded, ours, &format!("socket {at}"), &[], ids, found);
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for run in transcript.entries.iter().filter(|entry| entry.plane == "runner").filter_map(Entry::run) {
        if !seen.contains(&run) {
            seen.push(run);
            one_run(run, transcript, played, ids, found);
        }
    }
}

fn one_run(run: &str, transcript: &Transcript, played: &Played, ids: &mut Ids, found: &mut Vec<Unlike>) {
    let ours_run = ids.text(run);
    let frames = |entries: &[Entry], run: &str| -> Vec<Entry> {
        entries.iter().filter(|entry| entry.run() == Some(run) && entry.is("runner", "in")).cloned().collect()
    };
    let (recorded, ours) = (frames(&transcript.entries, run), frames(&played.entries, &ours_run));
    let joins = |frames: &[Entry]| -> Value {
        frames.iter().filter(|frame| frame.event() == "phx_join").map(|frame| frame.frame[4].clone()).collect()
    };
    let at = format!("run {run}");
    unlike(&joins(&recorded), &joins(&ours), &format!("{at}: joins"), &[], ids, found);
    let events = |frames: &[Entry]| -> BTreeMap<u64, Value> {
        frames.iter().flat_map(Entry::pushed).map(|event| (seq(event), event.clone())).collect()
    };
    let (recorded_events, ours_events) = (events(&recorded), events(&ours));
    for (seq, recorded) in &recorded_events {
        let at = format!("{at}: event {seq}");
        match ours_events.get(seq) {
            None => found.push(Unlike::new(&at, recorded, "nothing")),
            Some(ours) => unlike(recorded, ours, &at, &[], ids, found),
        }
    }
    let has_ended = transcript.entries.iter().any(|entry| entry.run() == Some(run) && entry.event() == "phx_leave");
    for (seq, ours) in ours_events.iter().filter(|(seq, _)| has_ended && !recorded_events.contains_key(seq)) {
        found.push(Unlike::new(&format!("{at}: event {seq}"), "nothing", ours));
    }
    let leaves = |frames: &[Entry]| frames.iter().any(|frame| frame.event() == "phx_leave");
    if leaves(&recorded) && !leaves(&ours) {
        found.push(Unlike::new(&format!("{at}: the end"), "phx_leave", "nothing"));
    }
    let full = |frames: &[Entry]| -> Vec<Vec<u64>> {
        let pushes = frames.iter().map(|frame| frame.pushed().into_iter().map(seq).collect::<Vec<_>>());
        pushes.filter(|push| push.len() == FULL).collect()
    };
    let ours_full = full(&ours);
    for push in full(&recorded).into_iter().filter(|push| !ours_full.contains(push)) {
        let sizes: Vec<_> = ours.iter().map(|frame| frame.pushed().len()).collect();
        found.push(Unlike::new(&format!("{at}: a full push"), format!("{push:?}"), format!("{sizes:?}")));
    }
}

/// Agents that were told to give up while they had something to do.
fn given_up(transcript: &Transcript, played: &Played, found: &mut Vec<Unlike>) {
    let has_joined = |note: &&Entry| {
        let mut before = transcript.entries.iter().filter(|entry| entry.n < note.n);
        before.any(|entry| entry.is("runner", "out") && entry.frame[4]["status"] == "ok")
    };
    let of_agent = |entry: &&Entry| entry.plane == "runtime" && entry.note.contains("abortRun");
    let notes = transcript.entries.iter().filter(of_agent);
    let recorded = notes.filter(has_joined).count();
    if recorded > played.given_up {
        found.push(Unlike::new("agents given up", recorded, played.given_up));
    }
}
