//! Deletes threads that are older, or more, than the settings allow.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use super::config::Retention;
use crate::runner::{Owner, StoreError, ThreadEntry, ThreadQuery, ThreadStore};

/// How often threads are looked through.
const EVERY: Duration = Duration::from_secs(3600);

/// How many are looked at together.
const BATCH: usize = 500;

/// Sweeps at once, and then every hour, for ever.
pub(super) async fn sweep_every_hour(store: &dyn ThreadStore, retention: Retention) {
    let mut hours = interval(EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hours.tick().await;
        match sweep(store, retention, Timestamp::now()).await {
            Ok(0) => tracing::debug!("no thread is past its retention"),
            Ok(deleted) => tracing::info!(deleted, "deleted threads past their retention"),
            Err(error) => tracing::warn!(%error, "threads past their retention cannot be deleted; trying in an hour"),
        }
    }
}

/// Deletes what is to go by a moment, and says how many threads that were.
async fn sweep(store: &dyn ThreadStore, retention: Retention, now: Timestamp) -> Result<usize, StoreError> {
    let age = retention.max_age.map_or(i64::MAX, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let oldest = now.as_millisecond().saturating_sub(age);
    let most = retention.max_threads_per_user.unwrap_or(usize::MAX);
    let mut counts: HashMap<Owner, usize> = HashMap::new();
    let mut deleted = 0;
    let mut query = ThreadQuery { include_archived: true, limit: BATCH, ..ThreadQuery::everybody() };
    loop {
        // The newest activity first, so those that come later are beyond what a user may have.
        let page = store.list(query.clone()).await?;
        for thread in &page.threads {
            let count = counts.entry(thread.key.owner.clone()).or_default();
            *count += 1;
            if (*count > most || thread.updated_at < oldest) && delete_unused(store, thread).await? {
                deleted += 1;
            }
        }
        query.after = page.next;
        if query.after.is_none() {
            return Ok(deleted);
        }
    }
}

/// Deletes a thread unless somebody came back to it since it was listed.
async fn delete_unused(store: &dyn ThreadStore, thread: &ThreadEntry) -> Result<bool, StoreError> {
    let now = store.thread(&thread.key).await?;
    let is_as_listed = now.is_some_and(|now| now.updated_at == thread.updated_at);
    Ok(is_as_listed && store.active(&thread.key).await?.is_none() && store.delete(&thread.key).await?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::agui::RunAgentInput;
    use crate::runner::{Begun, MemoryLimits, MemoryStore, NewRun, SealedRun, ThreadKey};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn begun(store: &MemoryStore, user: &str, id: &str) -> Begun {
        let input = Arc::new(RunAgentInput::new(id, "r"));
        let thread = ThreadKey::new(Owner::of(user), id);
        let run = NewRun { thread, run_id: "r".into(), agent_id: "a".into(), input, name: None };
        store.begin(run).await.expect("a free thread")
    }

    async fn store_with(threads: &[(&str, &str)]) -> MemoryStore {
        let store = MemoryStore::new(MemoryLimits { max_threads: 10 * BATCH, ..MemoryLimits::default() });
        for (user, id) in threads {
            let begun = begun(&store, user, id).await;
            store.seal(&begun.run, SealedRun::default()).await.expect("an open run");
        }
        store
    }

    async fn left(store: &MemoryStore) -> Vec<String> {
        let list = store.list(ThreadQuery::everybody()).await.expect("a list");
        list.threads.iter().map(|thread| format!("{}/{}", thread.key.owner, thread.key.id)).collect()
    }

    fn in_an_hour() -> Timestamp {
        Timestamp::now().saturating_add(HOUR).expect("a time")
    }

    #[tokio::test]
    async fn threads_without_activity_for_too_long_go() {
        let store = store_with(&[("ada", "1"), ("bob", "2")]).await;
        let keep = Retention { max_age: Some(2 * HOUR), max_threads_per_user: None };
        assert_eq!(sweep(&store, keep, in_an_hour()).await, Ok(0));
        let drop = Retention { max_age: Some(HOUR / 2), max_threads_per_user: None };
        assert_eq!(sweep(&store, drop, in_an_hour()).await, Ok(2));
        assert!(left(&store).await.is_empty());
    }

    #[tokio::test]
    async fn a_thread_that_is_in_use_stays() {
        let store = store_with(&[]).await;
        let _open = begun(&store, "ada", "1").await;
        let drop = Retention { max_age: Some(HOUR / 2), max_threads_per_user: None };
        assert_eq!(sweep(&store, drop, in_an_hour()).await, Ok(0));
        assert_eq!(left(&store).await, ["ada/1"]);
    }

    #[tokio::test]
    async fn each_user_keeps_the_most_recently_active() {
        let mut threads = vec![("ada", "1"), ("bob", "1"), ("ada", "2"), ("ada", "3"), ("bob", "2")];
        // More than a batch, so that pages follow each other.
        let many: Vec<String> = (0..2 * BATCH).map(|n| format!("{n}")).collect();
        threads.extend(many.iter().map(|id| ("eve", id.as_str())));
        let store = store_with(&threads).await;
        let two = Retention { max_age: None, max_threads_per_user: Some(2) };
        assert_eq!(sweep(&store, two, Timestamp::now()).await, Ok(1 + 2 * BATCH - 2));
        let last = [format!("eve/{}", 2 * BATCH - 1), format!("eve/{}", 2 * BATCH - 2)];
        assert_eq!(left(&store).await, [&last[0], &last[1], "bob/2", "ada/3", "ada/2", "bob/1"]);
        assert_eq!(sweep(&store, two, Timestamp::now()).await, Ok(0));
    }
}
