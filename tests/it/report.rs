//! What a replay of recordings came to, for people.

use std::fmt;

/// How a case went.
pub(crate) enum Outcome {
    Passed,
    /// Answered as `intended.rs` says.
    DiffersOnPurpose(String),
    /// Each difference as text of one or several lines.
    Failed(Vec<String>),
    /// Listed in `intended.rs`, but answered as recorded.
    Outlived(&'static str),
    /// It could not be played to its end.
    Broken(String),
}

impl Outcome {
    /// What is left unlike when it was compared with what is intended, and why that is.
    pub(crate) fn of<D: fmt::Display>(unlike: &[D], because: &[&str]) -> Outcome {
        match (unlike.is_empty(), because.is_empty()) {
            (false, _) => Outcome::Failed(unlike.iter().map(D::to_string).collect()),
            (true, true) => Outcome::Passed,
            (true, false) => Outcome::DiffersOnPurpose(because.join("; ")),
        }
    }
}

pub(crate) struct Report {
    /// What the recordings are called.
    pub(crate) of: &'static str,
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

/// Differences shown of one case.
const SHOWN: usize = 8;
/// Characters shown of one value.
pub(crate) const WIDTH: usize = 600;

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
                    for difference in differences.iter().take(SHOWN) {
                        writeln!(f, "    {}", difference.replace('\n', "\n        "))?;
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
        write!(f, "{}: {ran} ran, {passed} passed, {on_purpose} differ on purpose, {failed} failed, ", self.of)?;
        write!(f, "{skipped} skipped")
    }
}
