//! What is counted while the runtime works: relaxed atomics, touched once for a batch of events or a call of the store.
//!
//! Nothing here knows how it is shown, and nothing leaves the process by itself.

mod connections;
mod histogram;
mod process;
mod run;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;

pub(crate) use self::connections::ConnectionCounts;
pub use self::connections::{ConnectionMeter, OpenConnection};
pub(crate) use self::histogram::{Histogram, Measured};
pub(crate) use self::process::ProcessUse;
pub use self::run::{Outcome, RunMeter};
pub(crate) use self::run::{PlatformTrouble, StoreCall};

/// How many agents are told apart. Where agents are resolved per request there may be one for every customer, and
/// each would cost whoever collects the numbers.
const MAX_AGENTS: usize = 100;

/// What the agents beyond [`MAX_AGENTS`] are counted as.
pub(crate) const OTHERS: &str = "(others)";

/// Status codes have three digits, and begin with 1 to 5.
const STATUSES: usize = 500;
const FIRST_STATUS: usize = 100;

/// Everything a runtime counts.
#[derive(Debug)]
pub(crate) struct Meter {
    started: SystemTime,
    agents: RwLock<BTreeMap<Arc<str>, Arc<AgentMeter>>>,
    store: [Histogram; StoreCall::ALL.len()],
    troubles: [AtomicU64; PlatformTrouble::ALL.len()],
    responses: [AtomicU64; STATUSES],
    /// Of a listener, if one counts.
    connections: OnceLock<ConnectionMeter>,
}

/// What is counted of one agent.
#[derive(Debug)]
pub(crate) struct AgentMeter {
    outcomes: parking_lot::Mutex<BTreeMap<Outcome, u64>>,
    events: AtomicU64,
    bytes: AtomicU64,
    /// From the request to what the agent says first.
    first_event: Histogram,
    /// From the request to the end.
    duration: Histogram,
}

/// What was counted of one agent so far.
#[derive(Debug)]
pub(crate) struct AgentCounts {
    pub(crate) agent_id: Arc<str>,
    pub(crate) outcomes: Vec<(Outcome, u64)>,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) first_event: Measured,
    pub(crate) duration: Measured,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter {
            started: SystemTime::now(),
            agents: RwLock::default(),
            store: std::array::from_fn(|_| Histogram::of(&histogram::STORE)),
            troubles: Default::default(),
            responses: std::array::from_fn(|_| AtomicU64::new(0)),
            connections: OnceLock::new(),
        }
    }
}

impl Meter {
    /// The meter of a run that was asked for just now.
    pub(crate) fn run(self: &Arc<Self>, agent_id: &Arc<str>) -> RunMeter {
        RunMeter::new(self.clone(), self.agent(agent_id))
    }

    fn agent(&self, id: &Arc<str>) -> Arc<AgentMeter> {
        if let Some(known) = self.agents.read().get(id) {
            return known.clone();
        }
        let mut agents = self.agents.write();
        let id = if agents.len() < MAX_AGENTS { id.clone() } else { OTHERS.into() };
        agents.entry(id).or_default().clone()
    }

    /// A request was answered with this status.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(count) = usize::from(status).checked_sub(FIRST_STATUS).and_then(|at| self.responses.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn trouble(&self, what: PlatformTrouble) {
        self.troubles[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn stored(&self, call: StoreCall, took: Duration) {
        self.store[call as usize].observe(took);
    }

    /// The meter of the listeners.
    pub(crate) fn listening(&self) -> ConnectionMeter {
        self.connections.get_or_init(ConnectionMeter::counting).clone()
    }

    /// What was counted of connections, if a listener counts.
    pub(crate) fn connections(&self) -> Option<ConnectionCounts> {
        self.connections.get()?.counts()
    }

    /// When the counting began.
    pub(crate) fn started(&self) -> SystemTime {
        self.started
    }

    /// Every agent that ran, by name.
    pub(crate) fn agents(&self) -> Vec<AgentCounts> {
        let agents: Vec<_> = self.agents.read().iter().map(|(id, agent)| (id.clone(), agent.clone())).collect();
        agents.into_iter().map(|(id, agent)| agent.counts(id)).collect()
    }

    /// How long each kind of call took the store.
    pub(crate) fn store(&self) -> impl Iterator<Item = (StoreCall, Measured)> {
        StoreCall::ALL.into_iter().map(|call| (call, self.store[call as usize].read()))
    }

    /// What went wrong with the platform and was tried again, and how often.
    pub(crate) fn troubles(&self) -> impl Iterator<Item = (PlatformTrouble, u64)> {
        PlatformTrouble::ALL.into_iter().map(|what| (what, self.troubles[what as usize].load(Ordering::Relaxed)))
    }

    /// The statuses that were answered, and how often.
    pub(crate) fn responses(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.responses.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(at, count)| (at + FIRST_STATUS, count))
    }
}

impl Default for AgentMeter {
    fn default() -> AgentMeter {
        AgentMeter {
            outcomes: Default::default(),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            first_event: Histogram::of(&histogram::FIRST_EVENT),
            duration: Histogram::of(&histogram::RUN),
        }
    }
}

impl AgentMeter {
    fn counts(&self, agent_id: Arc<str>) -> AgentCounts {
        AgentCounts {
            agent_id,
            outcomes: self.outcomes.lock().iter().map(|(outcome, count)| (*outcome, *count)).collect(),
            events: self.events.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            first_event: self.first_event.read(),
            duration: self.duration.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_says_is_counted_with_its_agent() {
        let meter = Arc::new(Meter::default());
        let run = meter.run(&"a".into());
        run.said(2, 100);
        run.said(1, 10);
        run.ended(Outcome::Finished);
        meter.run(&"a".into()).ended(Outcome::Failed("STORE_FAILED"));
        let counts = &meter.agents()[0];
        assert_eq!((counts.events, counts.bytes, run.events()), (3, 110, 3));
        assert_eq!(counts.outcomes, [(Outcome::Finished, 1), (Outcome::Failed("STORE_FAILED"), 1)]);
        assert_eq!((counts.first_event.count, counts.duration.count), (1, 2));
    }

    #[test]
    fn a_refused_run_took_no_time() {
        let meter = Arc::new(Meter::default());
        meter.run(&"a".into()).ended(Outcome::Refused("THREAD_BUSY"));
        assert_eq!(meter.agents()[0].duration.count, 0);
    }

    #[test]
    fn a_run_ends_once() {
        let meter = Arc::new(Meter::default());
        let run = meter.run(&"a".into());
        run.ended(Outcome::Stopped);
        run.clone().ended(Outcome::Failed("RUNNER_FAILED"));
        assert_eq!(meter.agents()[0].outcomes, [(Outcome::Stopped, 1)]);
    }

    #[test]
    fn agents_beyond_the_bound_are_counted_together() {
        let meter = Arc::new(Meter::default());
        for n in 0..MAX_AGENTS + 50 {
            meter.run(&format!("agent {n}").into()).ended(Outcome::Finished);
        }
        let agents = meter.agents();
        assert_eq!(agents.len(), MAX_AGENTS + 1);
        let others = agents.iter().find(|agent| *agent.agent_id == *OTHERS).expect("the others");
        assert_eq!(others.outcomes, [(Outcome::Finished, 50)]);
    }

    #[test]
    fn statuses_that_are_none_are_not_counted() {
        let meter = Meter::default();
        for status in [200, 200, 429, 99, 999] {
            meter.answered(status);
        }
        assert_eq!(meter.responses().collect::<Vec<_>>(), [(200, 2), (429, 1)]);
    }
}
