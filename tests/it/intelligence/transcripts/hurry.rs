//! Waiting in a hurry: when nothing happens any more, the clock is put forward until something does. Everything a
//! transcript is about runs on one thread, so that nothing is under way while the clock moves.

use std::time::Duration;

use tokio::time::{advance, pause, resume, sleep, timeout};

/// Nothing has happened for so long: only a timer can be next.
const QUIET: Duration = Duration::from_millis(80);
const STEP: Duration = Duration::from_millis(200);
/// What happens in a moment, when a timer has fired.
const MOMENT: Duration = Duration::from_millis(4);
/// The longest timer there is, and some.
const LONGEST: Duration = Duration::from_secs(70);

/// Waits until something holds, or until nothing can make it so. `changed` tells of everything that happens.
pub(crate) async fn until(mut holds: impl FnMut() -> bool, mut changed: impl AsyncFnMut()) -> bool {
    let mut forward = Duration::ZERO;
    while !holds() {
        if timeout(if forward.is_zero() { QUIET } else { MOMENT }, changed()).await.is_ok() {
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
    sleep(QUIET).await;
}
