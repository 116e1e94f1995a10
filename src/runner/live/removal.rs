//! Threads that are deleted: what runs on them ends, and what waits for them, in every process.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Shared;
use super::admission::{LOOK, stop_lost};
use crate::runner::{AskedStop, OpenRun, Owner, StopKind, StoreError, ThreadKey, ThreadStore};

/// How long a deletion waits for other processes to end their runs. One that does not hear of it in time goes on with
/// runs that are not kept.
const HEARING: Duration = Duration::from_secs(1);

/// What is deleted.
#[derive(Clone, Copy)]
pub(crate) enum Removed<'k> {
    /// A thread.
    Thread(&'k ThreadKey),
    /// Every thread of an owner.
    Owner(&'k Owner),
}

impl Removed<'_> {
    fn holds(self, thread: &ThreadKey) -> bool {
        match self {
            Removed::Thread(key) => key == thread,
            Removed::Owner(owner) => *owner == thread.owner,
        }
    }

    async fn open_runs(self, store: &dyn ThreadStore) -> Result<Vec<OpenRun>, StoreError> {
        match self {
            Removed::Thread(key) => Ok(store.active(key).await?.into_iter().map(|active| active.run).collect()),
            Removed::Owner(owner) => store.open_runs(owner).await,
        }
    }
}

/// Deletes a thread. False if there is none.
pub(super) async fn delete(shared: &Shared, thread: &ThreadKey) -> Result<bool, StoreError> {
    // Before its runs end: with the only one the thread may go.
    let was_there = shared.store.thread(thread).await?.is_some();
    end(shared, Removed::Thread(thread)).await?;
    let is_deleted = shared.store.delete(thread).await?;
    end_latecomers(shared, Removed::Thread(thread)).await;
    Ok(was_there || is_deleted)
}

/// Deletes every thread of an owner.
pub(super) async fn clear(shared: &Shared, owner: &Owner) -> Result<(), StoreError> {
    end(shared, Removed::Owner(owner)).await?;
    shared.store.clear(owner).await?;
    end_latecomers(shared, Removed::Owner(owner)).await;
    Ok(())
}

async fn end(shared: &Shared, removed: Removed<'_>) -> Result<(), StoreError> {
    shared.places.end(|thread| removed.holds(thread));
    let is_mine = |run: &OpenRun| {
        let holder = shared.places.holder(&run.thread);
        holder.and_then(|holder| holder.log.run()).is_some_and(|held| held == *run)
    };
    end_elsewhere(&*shared.store, removed, is_mine).await
}

/// Asks the processes that hold runs to end them, with what waits behind them, and gives them time for it.
pub(crate) async fn end_elsewhere(
    store: &dyn ThreadStore,
    removed: Removed<'_>,
    is_mine: impl Fn(&OpenRun) -> bool,
) -> Result<(), StoreError> {
    let give_up = Instant::now() + HEARING;
    let mut asked = HashSet::new();
    loop {
        let mut open = removed.open_runs(store).await?;
        open.retain(|run| !is_mine(run));
        if open.is_empty() || Instant::now() >= give_up {
            return Ok(());
        }
        for run in open {
            if asked.insert(run.clone()) {
                store.ask_to_stop(AskedStop { run, how: StopKind::Delete }).await?;
            }
        }
        sleep(LOOK).await;
    }
}

/// Ends runs that began while their thread was deleted under them.
async fn end_latecomers(shared: &Shared, removed: Removed<'_>) {
    let threads: HashSet<_> = shared.places.all().iter().map(|run| run.log.thread.clone()).collect();
    for thread in threads.iter().filter(|thread| removed.holds(thread)) {
        stop_lost(shared, thread).await;
    }
}
