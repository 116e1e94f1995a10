//! The runners a case may ask for.

use std::time::Duration;

use copilotkit_runtime::runner::{
    AgentRunner, ConnectRequest, FrameStream, MemoryLimits, MemoryRunner, RunOptions, RunRefused, RunRequest,
    RunnerError, StopRequest, Stopped, WhenBusy,
};
use futures_util::future::{BoxFuture, ready};
use serde_json::Value;

use crate::captures::case::{Limits, RunnerKind};

/// The in-memory runner.
pub(super) fn memory(kind: RunnerKind, limits: &Limits) -> MemoryRunner {
    let mut options = RunOptions::default();
    if kind == RunnerKind::MemorySupersede {
        options.when_busy = WhenBusy::Rollback;
    }
    let usual = MemoryLimits::default();
    let limits = MemoryLimits {
        max_threads: limit(limits.max_threads.as_ref(), usual.max_threads),
        max_runs_per_thread: limit(limits.max_runs_per_thread.as_ref(), usual.max_runs_per_thread),
        max_bytes: limit(limits.max_bytes.as_ref(), usual.max_bytes),
    };
    MemoryRunner::with_options(limits, options)
}

/// A limit as configured; a malformed one, which this library's types do not admit, is the usual one.
fn limit(configured: Option<&Value>, usual: usize) -> usize {
    configured.and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usual)
}

/// A runner whose threads cannot be read.
#[derive(Default)]
pub(super) struct Minimal(MemoryRunner);

impl AgentRunner for Minimal {
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        self.0.run(request)
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        self.0.connect(request)
    }
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        self.0.stop(request)
    }
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        self.0.shutdown(deadline)
    }
}

/// A runner that fails in everything.
pub(super) struct Failing;

impl AgentRunner for Failing {
    fn run(&self, _: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        Box::pin(ready(Err(RunnerError("runner unavailable".to_owned()).into())))
    }
    fn connect(&self, _: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        Box::pin(ready(Err(RunnerError("runner unavailable".to_owned()))))
    }
    fn stop(&self, _: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        Box::pin(ready(Err(RunnerError("stop failed".to_owned()))))
    }
}
