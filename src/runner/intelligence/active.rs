//! The runs of this process: one a thread, and how they are asked to stop.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{PlatformStop, StartError};
use crate::runner::{ActiveNow, RunMeter, RunPass};

/// How long the terminal event of a stopped run may take to be acknowledged.
pub(super) const STOP: Duration = Duration::from_secs(60);

type Runs = Arc<Mutex<HashMap<Arc<str>, Arc<ActiveRun>>>>;

/// The active runs, by thread.
#[derive(Default)]
pub(super) struct Active {
    runs: Runs,
}

/// A run that holds its thread in this process.
pub(super) struct ActiveRun {
    /// As operators saw it when it began.
    shown: ActiveNow,
    meter: RunMeter,
    /// Somebody asked it to stop, or it ends anyway.
    ending: AtomicBool,
    stop: CancellationToken,
    end: watch::Sender<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    Acknowledged,
    Failed,
}

/// A run's place among the active ones. Dropping it frees the thread.
pub(super) struct Place {
    runs: Runs,
    run: Arc<ActiveRun>,
    acknowledged: bool,
    pass: RunPass,
}

impl Active {
    /// Gives a run its thread, unless one of this process has it or no run may begin.
    pub(super) fn enter(
        &self,
        shown: ActiveNow,
        meter: RunMeter,
        closing: &CancellationToken,
    ) -> Result<Place, StartError> {
        let mut runs = self.runs.lock();
        // Under the lock: nobody comes after a shutdown has begun.
        if closing.is_cancelled() {
            return Err(StartError::ShuttingDown);
        }
        let Entry::Vacant(free) = runs.entry(shown.thread.id.clone()) else { return Err(StartError::AlreadyRunning) };
        let run = Arc::new(ActiveRun {
            shown,
            meter,
            ending: AtomicBool::new(false),
            stop: CancellationToken::new(),
            end: watch::Sender::new(End::NotYet),
        });
        free.insert(run.clone());
        Ok(Place { runs: self.runs.clone(), run, acknowledged: false, pass: RunPass::default() })
    }

    /// From here on no run is given a thread.
    pub(super) fn refuse(&self, closing: &CancellationToken) {
        let _runs = self.runs.lock();
        closing.cancel();
    }

    /// Stops a run and waits for its end.
    pub(super) async fn stop(&self, thread_id: &str, run_id: Option<&str>) -> PlatformStop {
        let found = self.runs.lock().get(thread_id).cloned();
        let Some(run) = found else { return PlatformStop::NoActiveRun };
        if run_id.is_some_and(|run_id| *run_id != *run.shown.run_id) {
            return PlatformStop::OtherRun;
        }
        let mut end = run.end.subscribe();
        if !run.ask_to_stop() {
            return PlatformStop::NoActiveRun;
        }
        // Without an end in time it is that of now.
        let _ = timeout(STOP, end.wait_for(|end| *end != End::NotYet)).await;
        let end = *end.borrow();
        if end == End::Acknowledged { PlatformStop::Stopped } else { PlatformStop::Unacknowledged }
    }

    /// The runs as operators see them. Who watches them, the platform knows.
    pub(super) fn now(&self) -> Vec<ActiveNow> {
        let runs = self.runs.lock();
        let now =
            |run: &Arc<ActiveRun>| ActiveNow { age: run.meter.age(), events: run.meter.events(), ..run.shown.clone() };
        runs.values().map(now).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.runs.lock().len()
    }
}

impl ActiveRun {
    /// Asks the run to stop; `false` if it ends already.
    pub(super) fn ask_to_stop(&self) -> bool {
        let asked = self.settle();
        if asked {
            self.stop.cancel();
        }
        asked
    }

    /// From here on there is nothing to stop; `false` if that is so already.
    pub(super) fn settle(&self) -> bool {
        !self.ending.swap(true, Ordering::SeqCst)
    }

    /// Signalled when somebody asks the run to stop.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) fn thread_id(&self) -> &str {
        &self.shown.thread.id
    }

    pub(super) fn run_id(&self) -> &str {
        &self.shown.run_id
    }

    pub(super) fn meter(&self) -> &RunMeter {
        &self.meter
    }
}

impl Place {
    pub(super) fn run(&self) -> &Arc<ActiveRun> {
        &self.run
    }

    /// The place, which holds what lasts as long as the run.
    pub(super) fn with(mut self, pass: RunPass) -> Place {
        self.pass = pass;
        self
    }

    /// Frees the thread of a run whose terminal event the platform has.
    pub(super) fn acknowledge(mut self) {
        self.acknowledged = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever sees the end may begin another run at once.
        self.pass = RunPass::default();
        self.runs.lock().remove(&self.run.shown.thread.id);
        let end = if self.acknowledged { End::Acknowledged } else { End::Failed };
        self.run.end.send_replace(end);
    }
}
