//! Runs of other processes that share the store: following them, stopping them, and being asked to stop.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use parking_lot::Mutex;
use tracing::error;

use super::Shared;
use super::admission::LOOK;
use super::log::{End, Log};
use super::watch::Watch;
use crate::agui::{Event, Frames};
use crate::runner::{AskedStop, OpenRun, RunPhase, RunnerError, StopKind, StopRequest, Stopped, codes};

/// The runs of other processes that are watched here. However many watch one, it is read once.
#[derive(Default)]
pub(super) struct Followed {
    logs: Mutex<HashMap<OpenRun, Arc<Log>>>,
}

impl Followed {
    /// How many watch runs of other processes.
    pub(super) fn watchers(&self) -> usize {
        self.logs.lock().values().map(|log| log.watchers()).sum()
    }
}

/// Watches a run of another process behind its first `seen` events.
pub(super) fn follow(shared: &Arc<Shared>, run: OpenRun, seen: u64) -> Watch {
    let mut logs = shared.followed.logs.lock();
    let log = logs.entry(run).or_insert_with_key(|run| {
        let log = Arc::new(Log::new(run.thread.clone(), seen, shared.options.max_log_bytes));
        log.begun(run.number);
        let reading = Reading { shared: shared.clone(), run: run.clone(), log: log.clone(), end: None };
        shared.tasks.spawn(reading.read());
        log
    });
    // Still under the lock: who reads for the watchers must not think there are none.
    Watch::behind(log.clone(), shared.store.clone(), seen)
}

/// Tells the watchers of a run of another process what it says.
struct Reading {
    shared: Arc<Shared>,
    run: OpenRun,
    log: Arc<Log>,
    end: Option<End>,
}

impl Reading {
    async fn read(mut self) {
        let store = self.shared.store.clone();
        while self.is_watched() {
            let said = match store.said(&self.run, self.log.said()).await {
                Ok(said) => said,
                Err(failure) => {
                    error!(thread.id = %self.run.thread.id, user.id = %self.run.thread.owner, error = %failure, "a run of another process could not be followed");
                    self.end = Some(failed(&failure.to_string(), codes::RUNNER_FAILED));
                    return;
                }
            };
            if said.phase != RunPhase::Open {
                // Each watcher lacks another part of it.
                self.end = Some(End::Elsewhere);
                return;
            }
            if !said.frames.is_empty() {
                self.log.publish(said.frames);
                // A store that always has more must not keep this worker from others.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.shared.stopping.cancelled() => {
                    self.end = Some(failed("The runtime is shutting down", codes::RUNTIME_SHUTDOWN));
                    return;
                }
            }
        }
    }

    /// If not, nobody will be: who comes later starts anew.
    fn is_watched(&self) -> bool {
        let mut logs = self.shared.followed.logs.lock();
        let watched = self.log.is_watched();
        if !watched {
            logs.remove(&self.run);
        }
        watched
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut logs = self.shared.followed.logs.lock();
        if logs.get(&self.run).is_some_and(|log| Arc::ptr_eq(log, &self.log)) {
            logs.remove(&self.run);
        }
        drop(logs);
        self.log.end(self.end.take().unwrap_or_else(|| failed("internal error", codes::RUNNER_FAILED)));
    }
}

fn failed(message: &str, code: &'static str) -> End {
    End::Failed(Frames::of(&[Event::run_error(message, code)]))
}

/// Asks the process that holds a thread's open run to stop it.
pub(super) async fn stop(shared: &Shared, request: StopRequest) -> Result<Stopped, RunnerError> {
    let Some(active) = shared.store.active(&request.thread).await? else { return Ok(Stopped::NoActiveRun) };
    if request.run_id.is_some_and(|id| *id != *active.run_id) {
        return Ok(Stopped::OtherRun);
    }
    let first = shared.store.ask_to_stop(AskedStop { run: active.run, how: StopKind::End }).await?;
    Ok(if first { Stopped::Stopping } else { Stopped::NoActiveRun })
}

/// Stops the runs of this process that others ask to stop, until all have ended or nobody has the engine any more.
pub(super) fn heed_stops(shared: &Arc<Shared>) {
    let mut asked = shared.store.stop_requests();
    let (engine, stopping) = (Arc::downgrade(shared), shared.stopping.clone());
    shared.attendants.spawn(async move {
        loop {
            let stop = tokio::select! {
                () = stopping.cancelled() => return,
                stop = asked.next() => stop,
            };
            let (Some(stop), Some(shared)) = (stop, engine.upgrade()) else { return };
            shared.places.are_asked(&stop);
        }
    });
}
