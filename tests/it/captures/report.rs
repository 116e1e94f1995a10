//! What a replay came to, for people.

use std::fmt;

use super::compare::Difference;

/// How a case went.
pub(crate) enum Outcome {
    Passed,
    /// Answered as `intended.rs` says.
    DiffersOnPurpose(String),
    Failed(Vec<Difference>),
    /// Listed in `intended.rs`, but answered as recorded.
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

/// Differences shown of one case, and characters shown of one value.
const SHOWN: usize = 6;
const WIDTH: usize = 600;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Outcome::Passed => {}
                Outcome::DiffersOnPurpose(why) => writeln!(f, "on purpose: {name}: {why}")?,
                Outcome::Broken(why) => writeln!(f, "FAILED: {name}: could not be played: {why}")?,
                Outcome::Outlived(why) => {
                    writeln!(f, "FAILED: {name}: is listed in intended.rs ({why}) but is answered as recorded")?;
                }
                Outcome::Failed(differences) => {
                    writeln!(f, "FAILED: {name}")?;
                    for Difference { exchange, what } in differences.iter().take(SHOWN) {
                        writeln!(f, "    {exchange}: {}", what.at)?;
                        writeln!(f, "        expected {:.WIDTH$}", what.expected)?;
                        writeln!(f, "        got      {:.WIDTH$}", what.got)?;
                    }
                    if differences.len() > SHOWN {
                        writeln!(f, "    and {} more differences", differences.len() - SHOWN)?;
                    }
                }
            }
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed));
        let on_purpose = self.count(|outcome| matches!(outcome, Outcome::DiffersOnPurpose(_)));
        let (ran, failed, skipped) = (self.outcomes.len(), self.failures(), self.skipped);
        write!(f, "captures: {ran} ran, {passed} passed, {on_purpose} differ on purpose, {failed} failed, ")?;
        write!(f, "{skipped} skipped")
    }
}
