//! Ending a run in the store. Its thread is busy until that is done, so a store that fails is asked again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tracing::{Instrument, error, info};

use super::Shared;
use crate::runner::{OpenRun, SealedRun, StoreError};

/// The first time between two attempts; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How a run ends in the store.
#[derive(Clone)]
pub(super) enum Close {
    Seal(SealedRun),
    Discard,
}

/// Ends a run. If the store fails now, it is asked again behind the caller's back, and the failure is answered.
pub(super) async fn close(shared: &Arc<Shared>, run: &OpenRun, how: &Close) -> Result<(), StoreError> {
    let result = attempt(shared, run, how).await;
    if let Err(StoreError::Failed(_)) = &result {
        shared.tasks.spawn(insist(shared.clone(), run.clone(), how.clone()).in_current_span());
    }
    result
}

/// Ends a run of which nobody knows what it said.
pub(super) fn give_up(shared: &Arc<Shared>, run: OpenRun) {
    shared.tasks.spawn(insist(shared.clone(), run, Close::Discard).in_current_span());
}

fn attempt<'s>(shared: &'s Shared, run: &OpenRun, how: &Close) -> BoxFuture<'s, Result<(), StoreError>> {
    match how {
        Close::Seal(sealed) => shared.store.seal(run, sealed.clone()),
        Close::Discard => shared.store.discard(run),
    }
}

/// Tries until it is done, or the runtime shuts down: then it is closed as the run of a process that died.
async fn insist(shared: Arc<Shared>, run: OpenRun, how: Close) {
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(MAX_PAUSE);
        match attempt(&shared, &run, &how).await {
            Ok(()) => {
                info!("a run that the store could not close is closed now");
                return;
            }
            Err(StoreError::LeaseLost) => return,
            Err(StoreError::Failed(failure)) => {
                error!(error = failure, "a run cannot be closed, and its thread is busy until it is");
            }
        }
    }
}
