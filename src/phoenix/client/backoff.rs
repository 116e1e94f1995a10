//! How long to wait before the next attempt.

use std::time::Duration;

/// Waits that double from a base up to a limit.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
    limit: Duration,
    attempts: u32,
}

impl Backoff {
    pub(super) fn new(base: Duration, limit: Duration) -> Backoff {
        Backoff { base, limit, attempts: 0 }
    }

    /// The wait before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.base.saturating_mul(factor).min(self.limit)
    }

    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_begins_anew_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        let waits: Vec<u128> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        (0..100).for_each(|_| assert_eq!(backoff.next().as_secs(), 10));
        backoff.reset();
        assert_eq!(backoff.next().as_millis(), 100);
    }
}
