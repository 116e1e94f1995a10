//! What went wrong between the runner and the platform in a recording, as faults for the scripted platform.

use std::collections::HashMap;

use serde_json::Value;

use super::file::{Entry, Transcript, seq};
use super::ids::Ids;
use crate::platform::{Deed, Fault, Occasion};

/// A close frame without a code: the side that was asked nothing closes so.
const NO_CODE: u16 = 1005;
/// A connection that broke.
const BROKEN: u16 = 1006;

/// The faults of a recording, in their order.
pub(crate) fn of(transcript: &Transcript, ids: &mut Ids) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut upgrades = 0;
    let mut joins: HashMap<&str, usize> = HashMap::new();
    for (at, entry) in transcript.entries.iter().enumerate().filter(|(_, entry)| entry.plane == "runner") {
        let later = &transcript.entries[at + 1..];
        if entry.dir == "upgrade" {
            match entry.refused {
                None => upgrades += 1,
                Some(status) => {
                    let at = Occasion::Upgrade("runner".to_owned());
                    faults.push(Fault { at, deed: Deed::Refuse(status), skip: upgrades, times: 1 });
                    upgrades = 0;
                }
            }
        }
        let Some(run) = entry.run().filter(|_| entry.dir == "in") else { continue };
        if entry.event() == "phx_join" {
            let good = joins.entry(run).or_default();
            match setback(entry, later) {
                None => *good += 1,
                Some(deed) => {
                    let at = Occasion::Join { run: Some(ids.text(run)) };
                    faults.push(Fault { at, deed, skip: std::mem::take(good), times: 1 });
                }
            }
        }
        let stopped = || asked_to_stop(run, later).then_some(Deed::Stop);
        if let Some(first) = entry.pushed().first()
            && let Some(deed) = setback(entry, later).or_else(stopped)
        {
            let at = Occasion::Push { run: Some(ids.text(run)), seq: Some(seq(first)) };
            faults.push(Fault { at, deed, skip: 0, times: 1 });
        }
    }
    faults
}

/// What came instead of a good answer to a frame.
fn setback(frame: &Entry, later: &[Entry]) -> Option<Deed> {
    let on_conn = || later.iter().filter(|entry| entry.conn == frame.conn);
    if let Some(reply) = on_conn().find(|entry| entry.dir == "out" && is_reply(entry, frame)) {
        let payload = &reply.frame[4];
        return (payload["status"] == "error").then(|| Deed::Error(payload["response"].clone()));
    }
    let next = on_conn().find(|entry| entry.dir == "in" || entry.dir == "close");
    Some(match next.and_then(Entry::code) {
        None | Some(NO_CODE) => Deed::Silence,
        Some(BROKEN) => Deed::Drop,
        Some(code) => Deed::Close(code),
    })
}

fn is_reply(entry: &Entry, frame: &Entry) -> bool {
    entry.event() == "phx_reply" && entry.frame[1] == frame.frame[1]
}

/// Whether the platform asked the run to stop before its runner sent anything more.
fn asked_to_stop(run: &str, later: &[Entry]) -> bool {
    let mut of_run = later.iter().filter(|entry| entry.run() == Some(run));
    let next = of_run.find(|entry| entry.dir == "in" || entry.event() == "ag-ui");
    next.is_some_and(|entry| entry.dir == "out" && entry.frame[1] == Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn runner(n: usize, dir: &str, frame: Value) -> Entry {
        let plane = "runner".to_owned();
        Entry { n, plane, dir: dir.to_owned(), conn: "runner-1".to_owned(), frame, ..Entry::default() }
    }

    fn push(n: usize, reference: &str, seq: u64) -> Entry {
        let events = json!({ "events": [{ "metadata": { "cpki_event_seq": seq } }] });
        runner(n, "in", json!(["1", reference, "ingestion:r", "events", events]))
    }

    fn reply(n: usize, reference: &str, status: &str) -> Entry {
        let payload = json!({ "status": status, "response": { "reason": "x" } });
        runner(n, "out", json!(["1", reference, "ingestion:r", "phx_reply", payload]))
    }

    fn deeds(entries: Vec<Entry>) -> Vec<(Occasion, Deed)> {
        let transcript = Transcript {
            scenario: String::new(),
            platform_options: Default::default(),
            runtime_options: Default::default(),
            entries,
        };
        of(&transcript, &mut Ids::default()).into_iter().map(|fault| (fault.at, fault.deed)).collect()
    }

    fn at(seq: u64) -> Occasion {
        Occasion::Push { run: Some("r".to_owned()), seq: Some(seq) }
    }

    #[test]
    fn a_push_may_be_refused_unanswered_or_cut_off() {
        let close = Entry { code: 1012.into(), ..runner(6, "close", Value::Null) };
        let found = deeds(vec![
            push(1, "2", 1),
            reply(2, "2", "error"),
            push(3, "3", 1),
            push(4, "4", 1),
            reply(5, "4", "ok"),
            push(6, "5", 2),
            close,
        ]);
        let refused = Deed::Error(json!({ "reason": "x" }));
        assert_eq!(found, [(at(1), refused), (at(1), Deed::Silence), (at(2), Deed::Close(1012))]);
    }

    #[test]
    fn a_stop_follows_the_push_before_it() {
        let stop = json!(["1", null, "ingestion:r", "ag-ui", { "type": "CUSTOM", "name": "stop" }]);
        let found = deeds(vec![push(1, "2", 1), reply(2, "2", "ok"), runner(3, "out", stop)]);
        assert_eq!(found, [(at(1), Deed::Stop)]);
    }
}
