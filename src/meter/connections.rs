//! The meter of a listener's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the connections of a listener. A clone counts for the same; one by [`ConnectionMeter::default`] counts for
/// nobody.
///
/// A listener of your own may use it, so that the runtime's metrics know its connections.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMeter(Option<Arc<Counting>>);

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
#[must_use = "it counts as closed at once"]
pub struct OpenConnection(Option<Arc<Counting>>);

#[derive(Debug, Default)]
struct Counting {
    open: AtomicU64,
    accepted: AtomicU64,
    full: AtomicU64,
}

/// What was counted of connections so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionCounts {
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    /// How often as many were open as may be.
    pub(crate) full: u64,
}

impl ConnectionMeter {
    pub(super) fn counting() -> ConnectionMeter {
        ConnectionMeter(Some(Arc::default()))
    }

    /// A connection was accepted.
    pub fn opened(&self) -> OpenConnection {
        if let Some(counting) = &self.0 {
            counting.accepted.fetch_add(1, Ordering::Relaxed);
            counting.open.fetch_add(1, Ordering::Relaxed);
        }
        OpenConnection(self.0.clone())
    }

    /// As many are open as may be: the next has to wait, or is refused.
    pub fn full(&self) {
        if let Some(counting) = &self.0 {
            counting.full.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> Option<ConnectionCounts> {
        let Counting { open, accepted, full } = &**self.0.as_ref()?;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(ConnectionCounts { open: read(open), accepted: read(accepted), full: read(full) })
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if let Some(counting) = &self.0 {
            counting.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
