//! What goes wrong, and when: each fault waits for its occasion and happens as often as it is told.

use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

/// A fault to come.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    pub(crate) at: Occasion,
    pub(crate) deed: Deed,
    /// Occasions that pass before it.
    #[serde(default)]
    pub(crate) skip: usize,
    #[serde(default = "once")]
    pub(crate) times: usize,
}

fn once() -> usize {
    1
}

/// When it happens.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Occasion {
    /// A REST call; a `*` in the path stands for one part.
    Rest { method: String, path: String },
    /// A socket is asked for, on the plane `runner` or `client`.
    Upgrade(String),
    /// A runner joins.
    Join { run: Option<String> },
    /// A runner pushes events, the one of this number among them if it is given.
    Push { run: Option<String>, seq: Option<u64> },
    /// A runner sends a heartbeat.
    Heartbeat,
}

/// What happens.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Deed {
    /// This answer to a REST call, which changes nothing.
    Answer { status: u16, body: Value },
    /// The socket is refused with this status.
    Refuse(u16),
    /// An error reply with this response; events are not stored.
    Error(Value),
    /// No answer. Events are stored.
    Silence,
    /// As ever, after so many milliseconds.
    Delay(u64),
    /// The socket is closed with this code instead of an answer. Events are stored.
    Close(u16),
    /// The connection breaks instead of an answer. Events are stored.
    Drop,
    /// The connection breaks and what came is lost.
    Lose,
    /// The answer is given twice.
    Twice,
    /// As ever, and then the run is told to stop, as if a browser had asked for it.
    Stop,
}

impl Deed {
    /// How long it takes.
    pub(crate) fn delay(&self) -> Duration {
        match self {
            Deed::Delay(ms) => Duration::from_millis(*ms),
            _ => Duration::ZERO,
        }
    }
}

/// What takes place now.
#[derive(Debug)]
pub(crate) enum Now<'a> {
    Rest { method: &'a str, path: &'a str },
    Upgrade(&'a str),
    Join { run: &'a str },
    Push { run: &'a str, seqs: &'a [u64] },
    Heartbeat,
}

/// The faults still to come.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.0.lock().push(fault);
    }

    /// How many have not come to their end.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().len()
    }

    /// What goes wrong now, if anything.
    pub(crate) fn take(&self, now: &Now<'_>) -> Option<Deed> {
        let mut faults = self.0.lock();
        let at = faults.iter().position(|fault| fault.at.is(now))?;
        let fault = &mut faults[at];
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let deed = fault.deed.clone();
        fault.times -= 1;
        if fault.times == 0 {
            faults.remove(at);
        }
        Some(deed)
    }
}

impl Occasion {
    fn is(&self, now: &Now<'_>) -> bool {
        let named = |wanted: &Option<String>, run: &str| wanted.as_ref().is_none_or(|wanted| wanted == run);
        match (self, now) {
            (Occasion::Rest { method, path }, Now::Rest { method: is, path: at }) => {
                method == is && path_matches(path, at)
            }
            (Occasion::Upgrade(plane), Now::Upgrade(is)) => plane == is,
            (Occasion::Join { run }, Now::Join { run: is }) => named(run, is),
            (Occasion::Push { run, seq }, Now::Push { run: is, seqs }) => {
                named(run, is) && seq.is_none_or(|seq| seqs.contains(&seq))
            }
            (Occasion::Heartbeat, Now::Heartbeat) => true,
            _ => false,
        }
    }
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut has) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), has.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(has)) if wanted == has => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_passes_occasions_by_and_happens_as_often_as_told() {
        let faults = Faults::default();
        let at = Occasion::Rest { method: "GET".into(), path: "/api/threads/*".into() };
        faults.add(Fault { at, deed: Deed::Silence, skip: 1, times: 2 });
        let call = |path| faults.take(&Now::Rest { method: "GET", path });
        assert_eq!(call("/api/threads"), None);
        let taken: Vec<bool> = (0..4).map(|_| call("/api/threads/t").is_some()).collect();
        assert_eq!(taken, [false, true, true, false]);
        assert_eq!(faults.waiting(), 0);
    }

    #[test]
    fn a_push_is_found_by_the_number_of_an_event() {
        let faults = Faults::default();
        faults.add(Fault { at: Occasion::Push { run: None, seq: Some(3) }, deed: Deed::Drop, skip: 0, times: 1 });
        assert_eq!(faults.take(&Now::Push { run: "r", seqs: &[1, 2] }), None);
        assert_eq!(faults.take(&Now::Push { run: "r", seqs: &[3, 4] }), Some(Deed::Drop));
    }
}
