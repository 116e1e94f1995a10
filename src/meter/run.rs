//! The meter of one run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{AgentMeter, Meter};

/// Counts what becomes of a run. A clone counts the same run; one by [`RunMeter::default`] counts nothing.
///
/// A runner of your own may use it, so that the runtime's metrics know its runs.
#[derive(Clone, Debug, Default)]
pub struct RunMeter(Option<Arc<Counting>>);

#[derive(Debug)]
struct Counting {
    meter: Arc<Meter>,
    agent: Arc<AgentMeter>,
    /// When the run was asked for.
    since: Instant,
    events: AtomicU64,
    ended: AtomicBool,
}

/// How a run ended. The codes are words of the program: what agents make up is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The agent finished it.
    Finished,
    /// The agent finished it to go on when somebody has decided something.
    Interrupted,
    /// Somebody stopped it.
    Stopped,
    /// It failed, with this code of its `RUN_ERROR`; `AGENT_ERROR` if it is an error the agent told itself.
    Failed(&'static str),
    /// It never began, with this code of its `RUN_ERROR`.
    Refused(&'static str),
}

impl Outcome {
    /// The code of a run that failed because its agent said so.
    pub const AGENT_ERROR: &'static str = "AGENT_ERROR";

    /// The code of a run of which the platform has no terminal event.
    pub(crate) const DELIVERY_FAILED: &'static str = "DELIVERY_FAILED";

    /// Whether it is one that nobody wanted.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Outcome::Failed(_) | Outcome::Refused(_))
    }

    /// What the outcome is called, and its code; empty if there is none.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Outcome::Finished => ("finished", ""),
            Outcome::Interrupted => ("interrupted", ""),
            Outcome::Stopped => ("stopped", ""),
            Outcome::Failed(code) => ("failed", code),
            Outcome::Refused(code) => ("refused", code),
        }
    }
}

/// What a store is asked for while a run is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreCall {
    Begin,
    Append,
    /// Also that a run leaves no history.
    Seal,
}

impl StoreCall {
    pub(crate) const ALL: [StoreCall; 3] = [StoreCall::Begin, StoreCall::Append, StoreCall::Seal];

    pub(crate) fn name(self) -> &'static str {
        match self {
            StoreCall::Begin => "begin",
            StoreCall::Append => "append",
            StoreCall::Seal => "seal",
        }
    }
}

/// What may go wrong between a run and the platform, and is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlatformTrouble {
    /// The socket was lost or could not be opened.
    Socket,
    /// The channel was lost, or the platform does not take the run yet.
    Channel,
    /// An event was not acknowledged in time.
    Push,
    /// The lock of a run was lost.
    Lock,
}

impl PlatformTrouble {
    pub(crate) const ALL: [PlatformTrouble; 4] =
        [PlatformTrouble::Socket, PlatformTrouble::Channel, PlatformTrouble::Push, PlatformTrouble::Lock];

    pub(crate) fn name(self) -> &'static str {
        match self {
            PlatformTrouble::Socket => "socket",
            PlatformTrouble::Channel => "channel",
            PlatformTrouble::Push => "push",
            PlatformTrouble::Lock => "lock",
        }
    }
}

impl RunMeter {
    pub(super) fn new(meter: Arc<Meter>, agent: Arc<AgentMeter>) -> RunMeter {
        let counting =
            Counting { meter, agent, since: Instant::now(), events: AtomicU64::new(0), ended: AtomicBool::new(false) };
        RunMeter(Some(Arc::new(counting)))
    }

    /// The run said so many events of so many bytes. Call it for several at once.
    pub fn said(&self, events: usize, bytes: usize) {
        let Some(counting) = self.0.as_deref().filter(|_| events > 0) else { return };
        let (events, bytes) = (events as u64, bytes as u64);
        if counting.events.fetch_add(events, Ordering::Relaxed) == 0 {
            counting.agent.first_event.observe(counting.since.elapsed());
        }
        counting.agent.events.fetch_add(events, Ordering::Relaxed);
        counting.agent.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The run is over. Only the first call counts.
    pub fn ended(&self, outcome: Outcome) {
        let Some(counting) = self.0.as_deref() else { return };
        if counting.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        *counting.agent.outcomes.lock().entry(outcome).or_default() += 1;
        if !matches!(outcome, Outcome::Refused(_)) {
            counting.agent.duration.observe(counting.since.elapsed());
        }
    }

    /// How many events the run has said.
    pub(crate) fn events(&self) -> u64 {
        self.0.as_ref().map_or(0, |counting| counting.events.load(Ordering::Relaxed))
    }

    /// How long ago the run was asked for.
    pub(crate) fn age(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |counting| counting.since.elapsed())
    }

    /// Has the store do something, and notes how long that took.
    pub(crate) async fn timed<T>(&self, call: StoreCall, work: impl Future<Output = T>) -> T {
        let asked = Instant::now();
        let done = work.await;
        if let Some(counting) = &self.0 {
            counting.meter.stored(call, asked.elapsed());
        }
        done
    }

    /// Something went wrong between this run and the platform.
    pub(crate) fn trouble(&self, what: PlatformTrouble) {
        if let Some(counting) = &self.0 {
            counting.meter.trouble(what);
        }
    }
}
