//! A run of this process, from its admission to its end.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::WhenBusy;
use super::log::Log;
use crate::agui::Frames;
use crate::runner::{ActiveNow, AskedStop, OpenRun, RunMeter, RunRequest};

/// A run that holds its thread in this process, or waits for it.
pub(super) struct LiveRun {
    pub(super) run_id: Arc<str>,
    pub(super) agent_id: Arc<str>,
    pub(super) when_busy: WhenBusy,
    pub(super) log: Arc<Log>,
    pub(super) meter: RunMeter,
    since: Instant,
    /// Signalled with the stop.
    pub(super) stopped: CancellationToken,
    standing: Mutex<Standing>,
    /// Signalled when the phase changes.
    changed: Notify,
}

#[derive(Debug)]
struct Standing {
    phase: Phase,
    stop: Option<StopReason>,
    /// A stop that others asked for while the store had not said yet which run it is.
    asked: Option<AskedStop>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for another run of this process.
    Waiting,
    /// It holds the thread here, and the store has been asked to begin it.
    Starting,
    /// It holds the thread here, and waits for a run of another process.
    WaitingElsewhere,
    Begun,
    /// The thread is free of it.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    User,
    /// As by a user, and the run leaves no history.
    RolledBack,
    /// As rolled back, and what waited for the thread did so in vain.
    Deleted,
    Shutdown,
}

impl StopReason {
    pub(super) fn leaves_no_history(self) -> bool {
        matches!(self, StopReason::RolledBack | StopReason::Deleted)
    }
}

impl LiveRun {
    /// A run that is about to start.
    pub(super) fn new(request: &RunRequest, when_busy: WhenBusy, max_log_bytes: usize) -> LiveRun {
        LiveRun {
            run_id: request.input.run_id.as_str().into(),
            agent_id: request.agent_id.clone(),
            when_busy,
            log: Arc::new(Log::new(request.thread(), 0, max_log_bytes)),
            meter: request.meter.clone(),
            since: Instant::now(),
            // Not a child of a common token: signalling one run must cost nothing to the others.
            stopped: CancellationToken::new(),
            standing: Mutex::new(Standing { phase: Phase::Starting, stop: None, asked: None }),
            changed: Notify::new(),
        }
    }

    /// Whether this call is the one that stops the run.
    pub(super) fn ask_to_stop(&self, reason: StopReason) -> bool {
        let mut standing = self.standing.lock();
        // Also one that is stopping already must leave no history.
        let first = standing.stop.is_none();
        if first || reason.leaves_no_history() {
            standing.stop = Some(reason);
        }
        drop(standing);
        self.stopped.cancel();
        first
    }

    /// Why the run was stopped, if it was.
    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        self.standing.lock().stop
    }

    /// Somebody else asks a run of the thread to stop. Whether it is this one; if that is not known yet, it is told
    /// when the run has [begun](LiveRun::begun).
    pub(super) fn is_asked(&self, stop: &AskedStop) -> bool {
        let mut standing = self.standing.lock();
        if standing.phase == Phase::Starting {
            standing.asked = Some(stop.clone());
            return false;
        }
        drop(standing);
        self.log.run().is_some_and(|run| run == stop.run)
    }

    /// Makes visible what the run said next, and the store keeps.
    pub(super) fn show(&self, frames: Frames) {
        self.meter.said(frames.count(), frames.bytes().len());
        self.log.publish(frames);
    }

    /// The run as operators see it.
    pub(super) fn now(&self) -> ActiveNow {
        ActiveNow {
            waits: matches!(self.phase(), Phase::Waiting | Phase::WaitingElsewhere),
            age: self.since.elapsed(),
            events: self.log.said(),
            watchers: self.log.watchers(),
            ..ActiveNow::new(self.log.thread.clone(), self.run_id.clone(), self.agent_id.clone())
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.standing.lock().phase
    }

    /// The run has come further.
    pub(super) fn enter(&self, phase: Phase) {
        self.standing.lock().phase = phase;
        self.changed.notify_waiters();
    }

    /// The store has begun it, as this run. Answers what it was asked meanwhile.
    pub(super) fn begun(&self, run: &OpenRun) -> Option<AskedStop> {
        self.log.begun(run.number);
        let mut standing = self.standing.lock();
        standing.phase = Phase::Begun;
        let asked = standing.asked.take();
        drop(standing);
        self.changed.notify_waiters();
        asked
    }

    /// Waits for a phase that is not this one.
    pub(super) async fn leaves(&self, phase: Phase) -> Phase {
        let mut now = self.phase();
        while now == phase {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            now = self.phase();
            if now == phase {
                changed.await;
            }
        }
        now
    }
}
