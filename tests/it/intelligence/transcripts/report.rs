//! What the transcripts came to, for people.

use std::fmt;

use super::unlike::Unlike;

/// How a transcript went.
pub(crate) enum Outcome {
    Passed,
    /// It differs as `intended.rs` says.
    DiffersOnPurpose(String),
    Failed(Vec<Unlike>),
    /// Listed in `intended.rs`, but as recorded.
    Outlived(&'static str),
    /// It could not be played to its end.
    Broken(String),
}

pub(crate) struct Report {
    pub(crate) outcomes: Vec<(String, Outcome)>,
    pub(crate) skipped: usize,
}

impl Report {
    pub(crate) fn failures(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Outlived(_) | Outcome::Broken(_)))
    }

    fn count(&self, counts: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.iter().filter(|(_, outcome)| counts(outcome)).count()
    }
}

/// Differences shown of one transcript, and characters shown of one value.
const SHOWN: usize = 8;
const WIDTH: usize = 500;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => {}
                Outcome::DiffersOnPurpose(why) => writeln!(f, "on purpose: {name}: {why}")?,
                Outcome::Broken(why) => writeln!(f, "FAILED: {name}: {why}")?,
                Outcome::Outlived(why) => {
                    writeln!(f, "FAILED: {name}: is listed in intended.rs ({why}) but is as recorded")?;
                }
                Outcome::Failed(found) => {
                    writeln!(f, "FAILED: {name}")?;
                    for Unlike { at, recorded, ours } in found.iter().take(SHOWN) {
                        writeln!(f, "    {at}\n        recorded {recorded:.WIDTH$}\n        ours     {ours:.WIDTH$}")?;
                    }
                    if found.len() > SHOWN {
                        writeln!(f, "    and {} more differences", found.len() - SHOWN)?;
                    }
                }
            }
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed));
        let on_purpose = self.count(|outcome| matches!(outcome, Outcome::DiffersOnPurpose(_)));
        let (ran, failed, skipped) = (self.outcomes.len(), self.failures(), self.skipped);
        write!(f, "transcripts: {ran} ran, {passed} passed, {on_purpose} differ on purpose, {failed} failed, ")?;
        write!(f, "{skipped} skipped")
    }
}
