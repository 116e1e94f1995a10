//! Deletes threads that are older, or more, than the settings allow.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::runner::{Retention, SqliteStore};

/// How often threads are looked through.
const EVERY: Duration = Duration::from_secs(3600);

/// Looks through them at once, and then every hour, for ever.
pub(super) async fn keep_to(retention: Retention, store: &SqliteStore) {
    let mut hours = interval(EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        match store.retain(retention).await {
            Ok(0) => tracing::debug!("no thread is past its retention"),
            Ok(deleted) => tracing::info!(deleted, "deleted threads past their retention"),
            Err(error) => tracing::warn!(%error, "threads past their retention cannot be deleted; trying in an hour"),
        }
    }
}
