//! When to ask for keys. Pure: the time is an argument.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

/// Decides when keys are asked for: when there are none, when they have aged, or when a token names one that is not among
/// them; but only one question at a time, and only so often, whoever sends tokens.
#[derive(Debug)]
pub(super) struct Refresh {
    /// The age at which keys are asked for again.
    pub(super) after: Duration,
    /// The least time between two questions.
    pub(super) interval: Duration,
    asked: Option<Instant>,
    got: Option<Instant>,
    is_asking: bool,
}

impl Refresh {
    pub(super) fn new(after: Duration, interval: Duration) -> Refresh {
        Refresh { after, interval, asked: None, got: None, is_asking: false }
    }

    /// Whether to ask now; then whoever wanted to know has to ask. `is_missing` says that a key was wanted that is not
    /// there.
    pub(super) fn begin(&mut self, now: Instant, is_missing: bool) -> bool {
        let is_wanted = is_missing || self.got.is_none_or(|got| now >= got + self.after);
        let is_allowed = !self.is_asking && self.asked.is_none_or(|asked| now >= asked + self.interval);
        if is_wanted && is_allowed {
            (self.asked, self.is_asking) = (Some(now), true);
        }
        is_wanted && is_allowed
    }

    /// The question is answered: with good keys, or not.
    pub(super) fn end(&mut self, now: Instant, is_good: bool) {
        self.is_asking = false;
        if is_good {
            self.got = Some(now);
        }
    }

    /// Whether an answer is to come.
    pub(super) fn is_asking(&self) -> bool {
        self.is_asking
    }
}
