//! Who may run on a thread: one run at a time, and others as their policy says.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::run::{LiveRun, Phase, StopReason};
use super::{Shared, WhenBusy};
use crate::meter::StoreCall;
use crate::runner::{AskedStop, BeginError, Begun, NewRun, RunRefused, StopKind, StoreError, ThreadKey};

/// How often a run of another process is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(25);

/// The threads on which runs of this process are, and whose turn it is.
#[derive(Default)]
pub(super) struct Places {
    places: Mutex<HashMap<ThreadKey, Place>>,
}

struct Place {
    /// The run whose turn it is, until it is sealed.
    holder: Arc<LiveRun>,
    /// Those behind it, the next one first.
    waiting: VecDeque<Arc<LiveRun>>,
}

impl Place {
    /// The one whose turn it is, and those that wait.
    fn runs(&self) -> impl DoubleEndedIterator<Item = &Arc<LiveRun>> {
        std::iter::once(&self.holder).chain(&self.waiting)
    }
}

/// Whom a stop means.
pub(super) enum Meant {
    Run(Arc<LiveRun>),
    /// The thread is held, but not by a run of that id.
    Other,
    /// No run that has begun here; perhaps one of another process.
    Elsewhere,
}

/// Why a run did not begin.
pub(super) enum NotBegun {
    /// It was asked to stop while it waited.
    Stopped,
    Busy,
    QueueFull,
    QueueTimeout,
    Store(StoreError),
}

impl Places {
    /// One atomic decision per thread: the run holds it, waits for it, or is refused. Whom it displaces is stopped.
    pub(super) fn admit(&self, run: &Arc<LiveRun>, closing: &CancellationToken) -> Result<(), RunRefused> {
        let mut places = self.places.lock();
        // Under the lock: nobody comes after a shutdown has begun.
        if closing.is_cancelled() {
            return Err(RunRefused::ShuttingDown);
        }
        let place = match places.entry(run.log.thread.clone()) {
            Entry::Vacant(free) => {
                free.insert(Place { holder: run.clone(), waiting: VecDeque::new() });
                return Ok(());
            }
            Entry::Occupied(held) => held.into_mut(),
        };
        let (position, displaced) = match run.when_busy {
            WhenBusy::Reject => return Err(RunRefused::Busy),
            WhenBusy::Enqueue { max, .. } => {
                // One that holds the thread here may itself wait for another process.
                let ahead = place.waiting.len() + usize::from(place.holder.phase() == Phase::WaitingElsewhere);
                if ahead >= max {
                    return Err(RunRefused::QueueFull);
                }
                run.enter(Phase::Waiting);
                place.waiting.push_back(run.clone());
                (ahead + 1, Vec::new())
            }
            WhenBusy::Interrupt | WhenBusy::Rollback => {
                // Also those that wait to interrupt: they would be the active run by then.
                let displaced = place.waiting.iter().filter(|waiting| waiting.interrupts()).cloned();
                let displaced = displaced.chain([place.holder.clone()]).collect();
                run.enter(Phase::Waiting);
                place.waiting.push_front(run.clone());
                (1, displaced)
            }
        };
        drop(places);
        let thread = &run.log.thread;
        info!(thread.id = %thread.id, user.id = %thread.owner, run.id = %run.run_id, agent.id = %run.agent_id, position, "The run waits for its thread");
        for other in displaced {
            other.ask_to_stop(run.stops_others_as());
        }
        Ok(())
    }

    /// From here on no run is admitted.
    pub(super) fn refuse(&self, closing: &CancellationToken) {
        let _places = self.places.lock();
        closing.cancel();
    }

    /// The run has ended, or waits no more; the next one's turn comes.
    pub(super) fn leave(&self, run: &Arc<LiveRun>) {
        let mut places = self.places.lock();
        let Entry::Occupied(mut place) = places.entry(run.log.thread.clone()) else { return };
        if !Arc::ptr_eq(&place.get().holder, run) {
            place.get_mut().waiting.retain(|waiting| !Arc::ptr_eq(waiting, run));
            return;
        }
        match place.get_mut().waiting.pop_front() {
            Some(next) => {
                next.enter(Phase::Starting);
                place.get_mut().holder = next;
            }
            None => {
                place.remove();
            }
        }
    }

    /// The run whose turn it is on a thread.
    pub(super) fn holder(&self, thread: &ThreadKey) -> Option<Arc<LiveRun>> {
        self.places.lock().get(thread).map(|place| place.holder.clone())
    }

    /// Whom a stop means: the run of that id, the one whose turn it is before those that wait; without an id the
    /// one that runs.
    pub(super) fn meant(&self, thread: &ThreadKey, run_id: Option<&str>) -> Meant {
        let places = self.places.lock();
        let Some(place) = places.get(thread) else { return Meant::Elsewhere };
        let here = place.holder.phase() != Phase::WaitingElsewhere;
        let found = match run_id {
            Some(id) => place.runs().find(|run| *run.run_id == *id),
            None => Some(&place.holder).filter(|_| here),
        };
        match found {
            Some(run) => Meant::Run(run.clone()),
            None if here => Meant::Other,
            None => Meant::Elsewhere,
        }
    }

    /// Every run, those that wait included.
    pub(super) fn all(&self) -> Vec<Arc<LiveRun>> {
        let places = self.places.lock();
        places.values().flat_map(Place::runs).cloned().collect()
    }

    /// Somebody else asks a run to stop.
    pub(super) fn are_asked(&self, stop: &AskedStop) {
        let Some(run) = self.holder(&stop.run.thread).filter(|holder| holder.is_asked(stop)) else { return };
        match stop.how {
            StopKind::End => drop(run.ask_to_stop(StopReason::User)),
            StopKind::Forget => drop(run.ask_to_stop(StopReason::RolledBack)),
            StopKind::Delete => self.end(|thread| *thread == stop.run.thread),
        }
    }

    /// Ends what runs on threads, and what waits for them, as they are deleted.
    pub(super) fn end(&self, is_deleted: impl Fn(&ThreadKey) -> bool) {
        let places = self.places.lock();
        let deleted = places.iter().filter(|(thread, _)| is_deleted(thread));
        // Those that wait first: no turn is to come while the one before ends.
        let runs: Vec<_> = deleted.flat_map(|(_, place)| place.runs().rev()).cloned().collect();
        drop(places);
        for run in runs {
            run.ask_to_stop(StopReason::Deleted);
        }
    }

    /// How many threads are held.
    pub(super) fn len(&self) -> usize {
        self.places.lock().len()
    }
}

impl LiveRun {
    fn interrupts(&self) -> bool {
        matches!(self.when_busy, WhenBusy::Interrupt | WhenBusy::Rollback)
    }

    fn stops_others_as(&self) -> StopReason {
        if self.when_busy == WhenBusy::Rollback { StopReason::RolledBack } else { StopReason::User }
    }
}

/// Frees a thread from a run that is not the store's any more: another process took this one for dead, or the thread
/// was deleted. The run itself learns it when its agent speaks, which may be never. False if there is no such run.
pub(super) async fn free_from_lost(shared: &Shared, thread: &ThreadKey) -> bool {
    match stop_lost(shared, thread).await {
        Some(lost) => lost.leaves(Phase::Begun).await == Phase::Over,
        None => false,
    }
}

pub(super) async fn stop_lost(shared: &Shared, thread: &ThreadKey) -> Option<Arc<LiveRun>> {
    let holder = shared.places.holder(thread)?;
    let run = holder.log.run()?;
    // A store that fails tells nothing.
    let active = shared.store.active(thread).await.ok()?;
    if active.is_some_and(|active| active.run == run) {
        return None;
    }
    holder.ask_to_stop(StopReason::User);
    Some(holder)
}

/// Waits for the run's turn, here and among the processes that share the store, and begins it.
///
/// What waits is boxed: few runs do, and all would carry the room for it as long as they live.
pub(super) async fn begin(shared: &Shared, run: &LiveRun, new: NewRun) -> Result<Begun, NotBegun> {
    let give_up = Patience::of(run);
    if run.phase() == Phase::Waiting {
        let turn = async {
            stop_lost(shared, &run.log.thread).await;
            Ok(run.leaves(Phase::Waiting).await)
        };
        Box::pin(give_up.or(run, turn)).await?;
    }
    let mut interrupted = None;
    loop {
        match run.meter.timed(StoreCall::Begin, shared.store.begin(new.clone())).await {
            Ok(begun) => {
                if let Some(stop) = run.begun(&begun.run) {
                    shared.places.are_asked(&stop);
                }
                return Ok(begun);
            }
            Err(BeginError::Store(failure)) => return Err(NotBegun::Store(failure)),
            Err(BeginError::Busy) => {}
        }
        match run.when_busy {
            WhenBusy::Reject => return Err(NotBegun::Busy),
            WhenBusy::Enqueue { max: 0, .. } => return Err(NotBegun::QueueFull),
            WhenBusy::Enqueue { .. } | WhenBusy::Interrupt | WhenBusy::Rollback => {}
        }
        run.enter(Phase::WaitingElsewhere);
        Box::pin(give_up.or(run, other_process(shared, run, &mut interrupted))).await?;
        run.enter(Phase::Starting);
    }
}

/// Waits until no run of another process is open on the thread. `interrupted` is the number of the one that was
/// asked to stop.
async fn other_process(shared: &Shared, run: &LiveRun, interrupted: &mut Option<u64>) -> Result<(), NotBegun> {
    info!(position = 1, "The run waits for one of another process");
    let store = &shared.store;
    while let Some(active) = store.active(&run.log.thread).await.map_err(NotBegun::Store)? {
        if run.interrupts() && interrupted.replace(active.run.number) != Some(active.run.number) {
            let how = if run.when_busy == WhenBusy::Rollback { StopKind::Forget } else { StopKind::End };
            store.ask_to_stop(AskedStop { run: active.run, how }).await.map_err(NotBegun::Store)?;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// How long a run waits.
struct Patience {
    until: Option<Instant>,
}

impl Patience {
    fn of(run: &LiveRun) -> Patience {
        let until = match run.when_busy {
            // A time no clock can tell is for ever.
            WhenBusy::Enqueue { timeout, .. } => Instant::now().checked_add(timeout),
            WhenBusy::Reject | WhenBusy::Interrupt | WhenBusy::Rollback => None,
        };
        Patience { until }
    }

    /// What is waited for, unless the run is stopped or patience ends before.
    async fn or<T>(&self, run: &LiveRun, coming: impl Future<Output = Result<T, NotBegun>>) -> Result<T, NotBegun> {
        let end = async {
            match self.until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = run.stopped.cancelled() => Err(NotBegun::Stopped),
            come = coming => come,
            () = end => Err(NotBegun::QueueTimeout),
        }
    }
}
