//! Waiting in a hurry: when nothing happens any more, the clock is put forward until something does. Everything a
//! transcript is about runs on one thread, so that nothing is under way while the clock moves.

use std::time::Duration;

use tokio::time::{advance, pause, resume, sleep, timeout};

/// Nothing has happened in so many rounds of waiting: only a timer can be next. Rounds, and not a time: a machine that
/// is busy elsewhere lets time pass, but in every round everything that is ready goes on.
const QUIET: u32 = 12;
const ROUND: Duration = Duration::from_millis(7);
/// How far the clock is put forward at a time, and what may come of it before the next time.
const STEP: Duration = Duration::from_millis(200);
const MOMENT: u32 = 3;
const SHORT_ROUND: Duration = Duration::from_millis(2);
/// The longest timer there is, and some.
const LONGEST: Duration = Duration::from_secs(70);

/// Waits until something holds, or until nothing can make it so. `changed` tells of everything that happens.
pub(crate) async fn until(mut holds: impl FnMut() -> bool, mut changed: impl AsyncFnMut()) -> bool {
    let mut forward = Duration::ZERO;
    while !holds() {
        let (rounds, length) = if forward.is_zero() { (QUIET, ROUND) } else { (MOMENT, SHORT_ROUND) };
        let mut is_quiet = true;
        for _ in 0..rounds {
            if timeout(length, changed()).await.is_ok() {
                is_quiet = false;
                break;
            }
        }
        if !is_quiet {
            forward = Duration::ZERO;
        } else if forward < LONGEST {
            pause();
            advance(STEP).await;
            resume();
            forward += STEP;
        } else {
            return false;
        }
    }
    true
}

/// What still happens by itself, happens.
pub(crate) async fn settle() {
    sleep(ROUND * QUIET).await;
}
