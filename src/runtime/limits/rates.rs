//! How often something may happen, by key: a bucket of tokens for each, in a bounded table.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How many buckets there may be. Those who come when none can be spared share one.
const MOST: usize = 65_536;

/// Buckets that all refill at one rate and hold the same.
pub(super) struct Rates<K> {
    /// The time in which a token comes.
    interval: Duration,
    /// The time in which an empty bucket is full.
    whole: Duration,
    most: usize,
    buckets: Mutex<Buckets<K>>,
}

/// A bucket is told by the time when it is full again. One that is full needs no place: as if it had never been.
struct Buckets<K> {
    full_at: HashMap<K, Instant>,
    /// The bucket of those who have none of their own.
    shared: Option<Instant>,
    /// Before this time no bucket is full.
    none_full_before: Option<Instant>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// Buckets of `burst` tokens, of which `per_second` come back. `None` if that cannot work.
    pub(super) fn new(per_second: f64, burst: u32) -> Option<Rates<K>> {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
        let whole = interval.checked_mul(burst)?;
        // A year: sums with the clock must not overflow.
        let works = burst != 0 && !interval.is_zero() && whole <= Duration::from_secs(365 * 86400);
        let buckets = Buckets { full_at: HashMap::new(), shared: None, none_full_before: None };
        works.then(|| Rates { interval, whole, most: MOST, buckets: Mutex::new(buckets) })
    }

    /// Takes a token, or tells how long it takes until there is one.
    pub(super) fn take(&self, key: &K) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        if let Some(full_at) = buckets.full_at.get_mut(key) {
            return self.spend(full_at, now);
        }
        if buckets.has_room(self.most, now) {
            return self.spend(buckets.full_at.entry(key.clone()).or_insert(now), now);
        }
        self.spend(buckets.shared.get_or_insert(now), now)
    }

    fn spend(&self, full_at: &mut Instant, now: Instant) -> Result<(), Duration> {
        let next = (*full_at).max(now) + self.interval;
        match next.duration_since(now).checked_sub(self.whole) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = next;
                Ok(())
            }
        }
    }
}

impl<K> Buckets<K> {
    /// Whether there is a place for one more. Full buckets go when places are short; while none is full, nobody looks.
    fn has_room(&mut self, most: usize, now: Instant) -> bool {
        if self.full_at.len() < most {
            return true;
        }
        if self.none_full_before.is_some_and(|time| now < time) {
            return false;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        self.none_full_before = self.full_at.values().min().copied();
        self.full_at.len() < most
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn rates(per_second: f64, burst: u32) -> Rates<u64> {
        Rates::new(per_second, burst).expect("a rate that works")
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_so_many_a_second() {
        let rates = rates(2.0, 3);
        for _ in 0..3 {
            assert_eq!(rates.take(&1), Ok(()));
        }
        assert_eq!(rates.take(&1), Err(SECOND / 2));
        assert_eq!(rates.take(&2), Ok(()), "others have buckets of their own");
        advance(SECOND / 2).await;
        assert_eq!(rates.take(&1), Ok(()), "who was refused has spent nothing");
        assert_eq!(rates.take(&1), Err(SECOND / 2));
        advance(SECOND * 100).await;
        let passed = (0..10).filter(|_| rates.take(&1).is_ok()).count();
        assert_eq!(passed, 3, "no more than a burst is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_takes_no_more_than_the_table_holds() {
        let rates = Rates { most: 10, ..rates(1.0, 2) };
        let passed = (0..1000).filter(|key| rates.take(key).is_ok()).count();
        assert_eq!(passed, 12, "a bucket each, and one for all the others");
        assert_eq!(rates.buckets.lock().full_at.len(), 10);
        assert_eq!(rates.take(&0), Ok(()), "who was there before keeps the bucket");
        // Now all but the first are full, and go.
        advance(SECOND).await;
        assert_eq!(rates.take(&5000), Ok(()));
        assert_eq!(rates.buckets.lock().full_at.len(), 2);
    }

    #[test]
    fn rates_that_cannot_work_are_told() {
        for (per_second, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 0), (1e-9, u32::MAX)]
        {
            assert!(Rates::<u64>::new(per_second, burst).is_none(), "{per_second} {burst}");
        }
    }
}
