//! Threads in RAM: the runner, and how much it keeps (rest-sse.md chapter 13.6).

mod ids;
mod search;
mod stops;
mod store;
mod thread;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    Activity, AgentRunner, ConnectRequest, FrameStream, LiveRunner, Owner, RunOptions, RunRefused, RunRequest,
    RunnerError, StopRequest, Stopped, ThreadKey, ThreadStore,
};

pub use store::MemoryStore;

/// Runs agents and keeps their threads in RAM.
///
/// ```
/// use copilotkit_runtime::runner::{MemoryLimits, MemoryRunner};
///
/// let limits = MemoryLimits { max_threads: 10, ..MemoryLimits::default() };
/// let runner = MemoryRunner::with_limits(limits);
/// ```
#[derive(Clone, Debug)]
pub struct MemoryRunner {
    engine: LiveRunner,
}

impl MemoryRunner {
    /// A runner with the default limits.
    #[must_use]
    pub fn new() -> MemoryRunner {
        MemoryRunner::with_limits(MemoryLimits::default())
    }

    /// A runner with limits of its own.
    #[must_use]
    pub fn with_limits(limits: MemoryLimits) -> MemoryRunner {
        MemoryRunner::with_options(limits, RunOptions::default())
    }

    /// A runner with limits and run options of its own.
    #[must_use]
    pub fn with_options(limits: MemoryLimits, options: RunOptions) -> MemoryRunner {
        MemoryRunner { engine: LiveRunner::new(Arc::new(MemoryStore::new(limits)), options) }
    }
}

impl Default for MemoryRunner {
    fn default() -> MemoryRunner {
        MemoryRunner::new()
    }
}

impl AgentRunner for MemoryRunner {
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        self.engine.run(request)
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        self.engine.connect(request)
    }
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        self.engine.stop(request)
    }
    fn threads(&self) -> Option<&dyn ThreadStore> {
        self.engine.threads()
    }
    fn delete_thread<'r>(&'r self, thread: &'r ThreadKey) -> BoxFuture<'r, Result<bool, RunnerError>> {
        self.engine.delete_thread(thread)
    }
    fn clear_threads<'r>(&'r self, owner: &'r Owner) -> BoxFuture<'r, Result<(), RunnerError>> {
        self.engine.clear_threads(owner)
    }
    fn activity(&self) -> Activity {
        self.engine.activity()
    }
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        self.engine.shutdown(deadline)
    }
}

/// How much a [`MemoryStore`] keeps. The thread in use and threads with an open run are never evicted, so
/// the limits may be exceeded by those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Threads; the least recently used go first. Default: 1,000.
    pub max_threads: usize,
    /// Runs a thread keeps for replay; the oldest go first, their messages stay readable. 0 is no limit. Default: 100.
    pub max_runs_per_thread: usize,
    /// Bytes of events, live ones included, over all threads. Default: 512 MiB.
    pub max_bytes: usize,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits { max_threads: 1000, max_runs_per_thread: 100, max_bytes: 512 * 1024 * 1024 }
    }
}
