//! What the runner needs of the lock on a run's thread.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use crate::intelligence::RunLock;

/// How long a run waits for its lock to be released: its last events wait with it.
const RELEASE: Duration = Duration::from_secs(10);

/// The lock that lets a run have its thread.
pub(crate) trait Lock: Send + Sync + 'static {
    /// Keeps the lock; ends when it is lost, with the reason.
    fn renew(&self) -> impl Future<Output = String> + Send;

    /// Gives the thread back, once.
    fn release(&self) -> impl Future<Output = ()> + Send;
}

impl Lock for RunLock {
    async fn renew(&self) -> String {
        RunLock::renew(self).await.to_string()
    }

    async fn release(&self) {
        RunLock::release(self).await;
    }
}

/// Gives the thread back, in bounded time.
pub(super) async fn release(lock: &impl Lock) {
    if timeout(RELEASE, lock.release()).await.is_err() {
        warn!("the platform takes its time to release a lock; it ends by itself");
    }
}
