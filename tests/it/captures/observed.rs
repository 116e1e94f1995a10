//! What happens inside the server while a case is played.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A list several parts write to.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Mutex<Vec<Value>>,
    grown: Notify,
}

impl Recorder {
    pub(crate) fn add(&self, entry: Value) {
        self.0.entries.lock().push(entry);
        self.0.grown.notify_waiters();
    }

    /// Everything seen, once it is `expected` entries or has had its time. Some things are seen only after the
    /// answer has ended.
    pub(crate) async fn settle(&self, expected: usize) -> Vec<Value> {
        let enough = async {
            loop {
                let grown = self.0.grown.notified();
                if self.0.entries.lock().len() >= expected {
                    return;
                }
                grown.await;
            }
        };
        let _ = timeout(Duration::from_secs(3), enough).await;
        self.0.entries.lock().clone()
    }
}
