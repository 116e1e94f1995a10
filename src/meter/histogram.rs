//! Times, counted by how long they were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of what the store's calls take, in microseconds.
pub(super) const STORE: [u64; 13] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];
/// Of the time to an agent's first event.
pub(super) const FIRST_EVENT: [u64; 13] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000,
];
/// Of a run.
pub(super) const RUN: [u64; 13] = [
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
];

/// A histogram that many may add to at once.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is beyond.
    counts: Box<[AtomicU64]>,
    micros: AtomicU64,
}

/// What a histogram holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// The sum of the times in seconds.
    pub(crate) seconds: f64,
    pub(crate) count: u64,
    /// How many fell under each bound, in seconds, and over those below it. The last bound is no bound.
    pub(crate) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(super) fn of(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, micros: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = self.bounds.partition_point(|bound| *bound < micros);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Measured {
        let bounds = self.bounds.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Measured {
            seconds: seconds(self.micros.load(Ordering::Relaxed)),
            // Not counted for itself, so that it is always the sum of the buckets.
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

impl Measured {
    /// A bound that this part of all did not exceed; `None` if nothing was measured, or no bound is so large.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "no count is so large that it mattered")]
        let wanted = part * self.count as f64;
        let mut below = 0;
        let reached = self.buckets.iter().find(|(_, count)| {
            below += count;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let reaches = below as f64 >= wanted;
            reaches
        });
        reached.map(|(bound, _)| *bound).filter(|bound| self.count > 0 && *bound < f64::INFINITY)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a microsecond in centuries")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_falls_under_the_first_bound_that_holds_it() {
        let histogram = Histogram::of(&[10, 100]);
        for micros in [0, 10, 11, 100, 101, 5000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!(read.buckets, [(1e-5, 2), (1e-4, 2), (f64::INFINITY, 2)]);
        assert_eq!((read.count, read.seconds), (6, 0.005_222));
    }

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let histogram = Histogram::of(&[10, 100, 1000]);
        assert_eq!(histogram.read().quantile(0.5), None);
        for micros in [1, 2, 50, 60, 900] {
            histogram.observe(Duration::from_micros(micros));
        }
        let read = histogram.read();
        assert_eq!(read.quantile(0.4), Some(1e-5));
        assert_eq!(read.quantile(0.5), Some(1e-4));
        assert_eq!(read.quantile(0.95), Some(1e-3));
        histogram.observe(Duration::from_secs(1));
        assert_eq!(histogram.read().quantile(1.0), None);
    }
}
