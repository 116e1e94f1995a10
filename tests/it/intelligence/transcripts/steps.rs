//! How far a play is, seen from the platform: what a recording shows before a moment must have happened.

use std::collections::BTreeMap;

use super::file::{Entry, seq};

/// How often each kind of thing has happened.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Steps {
    counts: BTreeMap<String, usize>,
    /// The last event of each run.
    brought: BTreeMap<String, u64>,
}

impl Steps {
    /// Counts an entry of the platform; `text` is what a recorded text stands for.
    pub(crate) fn add(&mut self, entry: &Entry, mut text: impl FnMut(&str) -> String) {
        if entry.is("rest", "request") {
            // What is asked for once and kept is asked for more or less often.
            if !entry.path.starts_with("/api/entitlements") {
                self.count(format!("{} {}", entry.method, kind(&entry.path)));
            }
        } else if entry.is("runner", "in") {
            let last = entry.pushed().iter().map(|event| seq(event)).max();
            match (entry.run(), last) {
                (Some(run), Some(last)) => {
                    let brought = self.brought.entry(text(run)).or_default();
                    *brought = last.max(*brought);
                }
                (Some(run), None) if entry.event() == "phx_leave" => {
                    let left = format!("{} leaves", text(run));
                    self.counts.insert(left, 1);
                }
                (None, _) => self.count(entry.event().to_owned()),
                (Some(_), None) => {}
            }
        }
    }

    fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What of this has not happened in `ours`.
    pub(crate) fn missing(&self, ours: &Steps) -> Vec<String> {
        let counts = self.counts.iter().map(|(what, count)| (what.clone(), *count, ours.counts.get(what).copied()));
        let counts = counts.map(|(what, wanted, has)| (what, wanted as u64, has.unwrap_or(0) as u64));
        let brought = self.brought.iter().map(|(run, last)| (format!("events of {run}"), *last, ours.brought(run)));
        let short = counts.chain(brought).filter(|(_, wanted, has)| has < wanted);
        short.map(|(what, wanted, has)| format!("{what}: {has} of {wanted}")).collect()
    }

    /// The last event that was brought of a run.
    pub(crate) fn brought(&self, run: &str) -> u64 {
        self.brought.get(run).copied().unwrap_or(0)
    }

    /// How often locks were renewed.
    pub(crate) fn renewed(&self) -> usize {
        self.counts.get("PATCH /api/threads/*/lock").copied().unwrap_or(0)
    }
}

/// A path without the id in it.
fn kind(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let id = match parts.as_slice() {
        ["", "api", "_inspect", _, ..] => 4,
        ["", "connector", "annotate", ..] => 3,
        ["", "api", "threads" | "memories", "subscribe" | "recall"] => usize::MAX,
        ["", "api", "threads" | "memories", ..] => 3,
        _ => usize::MAX,
    };
    let shown = parts.iter().enumerate().map(|(at, part)| if at == id { "*" } else { *part });
    shown.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Entry {
        let (plane, dir) = ("rest".to_owned(), "request".to_owned());
        Entry { plane, dir, method: method.to_owned(), path: path.to_owned(), ..Entry::default() }
    }

    #[test]
    fn calls_are_counted_by_what_they_are_about() {
        let of = |entries: &[Entry]| {
            let mut steps = Steps::default();
            entries.iter().for_each(|entry| steps.add(entry, str::to_owned));
            steps
        };
        let recorded = of(&[call("GET", "/api/threads/<uuid:1>"), call("PATCH", "/api/threads/<uuid:1>/lock")]);
        let ours = of(&[call("GET", "/api/threads/x")]);
        assert_eq!(recorded.missing(&ours), ["PATCH /api/threads/*/lock: 0 of 1"]);
        assert_eq!(recorded.renewed(), 1);
        assert!(recorded.missing(&recorded).is_empty());
    }
}
