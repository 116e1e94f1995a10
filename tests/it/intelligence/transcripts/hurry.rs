//! The clock of a play. It stands still while anything happens, however slow the machine is, and is put forward, bit
//! by bit, when nothing does: then only a timer can be next. Everything a transcript is about runs on one thread.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;
use tokio::time::advance;

/// Nothing has happened in so many rounds of waiting: nothing will without the clock. In every round everything that
/// is ready goes on.
const QUIET: u32 = 6;
const ROUND: Duration = Duration::from_micros(1500);
/// How far the clock is put forward first, and then ever further up to a limit, until something happens.
const FIRST_STEP: Duration = Duration::from_millis(5);
const LAST_STEP: Duration = Duration::from_millis(200);
/// The longest timer there is, and some.
const LONGEST: Duration = Duration::from_secs(70);

/// A runtime whose clock stands still.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

/// Keeps the clock from moving by itself, which it otherwise does whenever all tasks wait, also for a socket.
pub(crate) struct Held(#[expect(dead_code, reason = "the clock is held until this is dropped")] mpsc::Sender<()>);

pub(crate) fn hold() -> Held {
    let (held, until_dropped) = mpsc::channel();
    // A clock does not move by itself while a thread works for its runtime.
    spawn_blocking(move || until_dropped.recv());
    Held(held)
}

/// Waits until something holds, or until no timer can make it so. `changed` tells of everything that happens.
pub(crate) async fn until(mut holds: impl FnMut() -> bool, mut changed: impl AsyncFnMut()) -> bool {
    let (mut forward, mut step) = (Duration::ZERO, FIRST_STEP);
    while !holds() {
        let mut is_quiet = true;
        for _ in 0..QUIET {
            tokio::select! {
                biased;
                () = changed() => {
                    is_quiet = false;
                    break;
                }
                () = round() => {}
            }
        }
        if !is_quiet {
            (forward, step) = (Duration::ZERO, FIRST_STEP);
        } else if forward < LONGEST {
            advance(step).await;
            forward += step;
            step = LAST_STEP.min(step * 2);
        } else {
            return false;
        }
    }
    true
}

/// What still happens by itself, happens.
pub(crate) async fn settle() {
    for _ in 0..4 * QUIET {
        round().await;
    }
}

/// A moment of real time.
async fn round() {
    spawn_blocking(|| thread::sleep(ROUND)).await.expect("a sleep");
}
