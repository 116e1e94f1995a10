//! What becomes of a run that nobody watches.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, info};

use super::run::{LiveRun, Phase, StopReason};
use super::{Shared, WhenUnwatched};

/// Stops a run that has begun when it is time to, if it ever is.
pub(super) fn attend(shared: &Shared, run: &Arc<LiveRun>) {
    let patience = match shared.options.when_unwatched {
        // A run costs no task for this.
        WhenUnwatched::KeepRunning => return,
        WhenUnwatched::Stop => Duration::ZERO,
        WhenUnwatched::StopAfter(patience) => patience,
    };
    let run = run.clone();
    let attending = async move {
        tokio::select! {
            _ = run.leaves(Phase::Begun) => {}
            () = left_alone(&run, patience) => {
                if run.ask_to_stop(StopReason::User) {
                    info!("The run was stopped, as nobody watched it");
                }
            }
        }
    };
    shared.tasks.spawn(attending.in_current_span());
}

/// Waits until nobody has watched the run for so long, from its start on.
async fn left_alone(run: &LiveRun, patience: Duration) {
    let start = Instant::now();
    loop {
        let left = run.log.unwatched().await;
        // A time no clock can tell never comes.
        let Some(until) = left.max(start).checked_add(patience) else { return std::future::pending().await };
        sleep_until(until).await;
        if !run.log.is_watched() && run.log.unwatched().await == left {
            return;
        }
    }
}
