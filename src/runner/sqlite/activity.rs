//! The order of threads by their last activity.

use std::time::{SystemTime, UNIX_EPOCH};

/// How many bits tell processes apart that do something in the same microsecond.
const PROCESS_BITS: u32 = 10;

/// Numbers what this process does with threads: a later activity has a larger number, also within a microsecond and when
/// the clock is set back. Processes on one file go by the same clock, and never give the same number: pages of a list
/// begin behind a number.
#[derive(Debug, Default)]
pub(super) struct Activity {
    last: i64,
}

impl Activity {
    /// The number of something done now, under a lease's epoch.
    pub(super) fn next(&mut self, epoch: i64) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(i64::try_from(since.as_micros()).unwrap_or_default(), epoch)
    }

    fn at(&mut self, micros: i64, epoch: i64) -> i64 {
        let last = self.last >> PROCESS_BITS;
        let micros = micros.max(last + 1).min(i64::MAX >> PROCESS_BITS);
        self.last = micros << PROCESS_BITS | epoch & ((1 << PROCESS_BITS) - 1);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_later_activity_has_a_larger_number_whatever_the_clock_says(
            steps in prop::collection::vec((0..4_000_000_000_000_000_i64, 0..5000_i64), 1..50),
        ) {
            let mut activity = Activity::default();
            let mut last = 0;
            for (micros, epoch) in steps {
                let next = activity.at(micros, epoch);
                prop_assert!(next > last);
                last = next;
            }
        }

        #[test]
        fn processes_side_by_side_give_no_number_twice(
            steps in prop::collection::vec((0..50_i64, any::<bool>()), 1..100),
        ) {
            let (mut one, mut two) = (Activity::default(), Activity::default());
            let mut given = std::collections::HashSet::new();
            for (micros, first) in steps {
                let number = if first { one.at(micros, 7) } else { two.at(micros, 8) };
                prop_assert!(given.insert(number));
            }
        }
    }
}
