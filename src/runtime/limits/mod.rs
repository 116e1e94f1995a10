//! How much one client may ask for: how often, how many runs at once, and how large; and how long a run may take for it.

mod counts;
mod input;
mod rates;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use self::counts::{Counts, Held};
use self::rates::Rates;
use super::{BuildError, Caller, CopilotRuntime};
use crate::agui::RunAgentInput;
use crate::runner::{AgentBounds, FrameStream, Owner, RunPass, ThreadKey};

use self::input::InputLimit;
pub(crate) use self::input::OverLimit;

/// How long a client is told to wait for a run or a watcher to end: nobody knows, so it may ask soon.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What one client may ask of a runtime. Everything is counted in this process alone.
///
/// A client is the user, where [`identify_user`](super::Builder::identify_user) tells users apart; otherwise it is the
/// address the request comes from (see [`PeerAddress`](crate::http::PeerAddress)).
///
/// ```
/// use copilotkit_runtime::agent::DemoAgent;
/// use copilotkit_runtime::{CopilotRuntime, Limits};
///
/// let mut limits = Limits::default();
/// limits.requests_per_second = Some(5.0);
/// limits.concurrent_runs = Some(4);
/// let runtime = CopilotRuntime::builder().agent("default", DemoAgent::new()).limits(limits).build()?;
/// # Ok::<(), copilotkit_runtime::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// How many requests a client may send in a second, in the long run; more are answered 429 with `RATE_LIMITED`.
    /// Default: as many as it likes.
    pub requests_per_second: Option<f64>,
    /// How many of them may come at once, after a time of silence. Default: 50.
    pub burst: u32,
    /// How many runs a client may have at once, those that wait for their thread included, from its request to the
    /// end of the run; one more is answered 429 with `TOO_MANY_RUNS`. Default: as many as it likes.
    pub concurrent_runs: Option<usize>,
    /// How many clients may be connected to one thread at once; one more is answered 429 with `TOO_MANY_WATCHERS`.
    /// Default: 10 000.
    pub watchers_per_thread: usize,
    /// How many messages a request may hold; more are answered 413. Default: 100 000.
    pub messages: usize,
    /// How many tools a request may offer; more are answered 413. Default: 10 000.
    pub tools: usize,
    /// How many bytes the id of a thread, run or message may have; a longer one is answered 400. Default: 4096.
    pub id_bytes: usize,
    /// How long a run may take, whatever its agent is, before it fails with `AGENT_TOTAL_TIMEOUT`. The wait for its
    /// thread does not count. Default: as long as it likes.
    pub run_time: Option<Duration>,
    /// How many bytes one event of an agent may have; a larger one fails the run with `AGENT_EVENT_TOO_LARGE`.
    /// Default: 32 MiB.
    pub event_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        let AgentBounds { run_time, event_bytes } = AgentBounds::default();
        Limits {
            requests_per_second: None,
            burst: 50,
            concurrent_runs: None,
            watchers_per_thread: 10_000,
            messages: 100_000,
            tools: 10_000,
            id_bytes: 4096,
            run_time,
            event_bytes,
        }
    }
}

/// A client has as much as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    #[error("too many requests in a short time")]
    Requests { wait: Duration },
    #[error("{0} runs are under way, as many as one client may have at once")]
    Runs(usize),
    #[error("{0} clients watch this thread, as many as may at once")]
    Watchers(usize),
}

/// A client sent more requests than it may.
pub(crate) const RATE_LIMITED: &str = "RATE_LIMITED";
/// A client has as many runs as it may have at once.
pub(crate) const TOO_MANY_RUNS: &str = "TOO_MANY_RUNS";
/// As many clients watch a thread as may at once.
pub(crate) const TOO_MANY_WATCHERS: &str = "TOO_MANY_WATCHERS";

impl TooMany {
    /// The stable code of the answer.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            TooMany::Requests { .. } => RATE_LIMITED,
            TooMany::Runs(_) => TOO_MANY_RUNS,
            TooMany::Watchers(_) => TOO_MANY_WATCHERS,
        }
    }

    /// When it is worth to ask again.
    pub(crate) fn wait(&self) -> Duration {
        match self {
            TooMany::Requests { wait } => *wait,
            TooMany::Runs(_) | TooMany::Watchers(_) => ASK_AGAIN,
        }
    }
}

/// Who is counted as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    User(Owner),
    Address(IpAddr),
    /// All of whom nothing is known.
    Unknown,
}

impl Client {
    /// The client behind a request: the user, or else where it comes from.
    pub(crate) fn of(caller: Option<&Caller>, address: Option<IpAddr>) -> Client {
        match (caller, address) {
            (Some(caller), _) if !caller.user_id().is_empty() => Client::User(caller.owner().clone()),
            (_, Some(address)) => Client::Address(network(address)),
            (_, None) => Client::Unknown,
        }
    }
}

/// What one client has of the internet: of IPv6 a network, in which it may choose its addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The limits of a runtime, and what counts against them now.
pub(super) struct Gate {
    limits: Limits,
    rates: Option<Rates<Client>>,
    runs: Counts<Client>,
    watchers: Counts<ThreadKey>,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Result<Gate, BuildError> {
        let rates = match limits.requests_per_second {
            Some(rate) => Some(Rates::new(rate, limits.burst).ok_or(BuildError::InvalidRate)?),
            None => None,
        };
        Ok(Gate { limits, rates, runs: Counts::default(), watchers: Counts::default() })
    }
}

/// Somebody's place among those who watch a thread; dropping it frees the place.
pub(crate) struct Watching {
    _place: Held<ThreadKey>,
}

impl Watching {
    /// The stream, for as long as it is watched.
    pub(super) fn during(self, stream: FrameStream) -> FrameStream {
        let watched = move |frames| {
            let _watching = &self;
            frames
        };
        stream.map(watched).boxed()
    }
}

impl CopilotRuntime {
    /// Whether requests and runs are counted by client at all.
    pub(crate) fn counts_clients(&self) -> bool {
        let gate = &self.shared.gate;
        gate.rates.is_some() || gate.limits.concurrent_runs.is_some()
    }

    /// Counts a request.
    pub(crate) fn count_request(&self, client: &Client) -> Result<(), TooMany> {
        match &self.shared.gate.rates {
            Some(rates) => rates.take(client).map_err(|wait| TooMany::Requests { wait }),
            None => Ok(()),
        }
    }

    /// Counts a run of a client, until it has ended.
    pub(crate) fn count_run(&self, client: &Client) -> Result<RunPass, TooMany> {
        let gate = &self.shared.gate;
        let Some(max) = gate.limits.concurrent_runs else { return Ok(RunPass::default()) };
        let place = gate.runs.take(client.clone(), max).ok_or(TooMany::Runs(max))?;
        Ok(RunPass::holding(Arc::new(place)))
    }

    /// Counts a client that watches a thread, until it leaves.
    pub(crate) fn count_watcher(&self, caller: &Caller, thread_id: &str) -> Result<Watching, TooMany> {
        let gate = &self.shared.gate;
        let max = gate.limits.watchers_per_thread;
        let place = gate.watchers.take(caller.thread(thread_id), max).ok_or(TooMany::Watchers(max))?;
        Ok(Watching { _place: place })
    }

    /// What holds for a run, whatever its agent is.
    pub(super) fn bounds(&self) -> AgentBounds {
        let Limits { run_time, event_bytes, .. } = self.shared.gate.limits;
        AgentBounds { run_time, event_bytes }
    }

    /// Checks what a client posted.
    pub(crate) fn check_input(&self, input: &RunAgentInput) -> Result<(), OverLimit> {
        let Limits { messages, tools, id_bytes, .. } = self.shared.gate.limits;
        InputLimit { messages, tools, id_bytes }.check(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_user_or_its_network() {
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let caller = Caller::of("ada");
        assert_eq!(Client::of(Some(&caller), address("10.0.0.1")), Client::of(Some(&caller), None));
        let nobody = Caller::of("");
        let from = |text| Client::of(Some(&nobody), address(text));
        assert_ne!(from("10.0.0.1"), from("10.0.0.2"));
        assert_eq!(from("10.0.0.1"), from("::ffff:10.0.0.1"));
        assert_eq!(from("2001:db8::1"), from("2001:db8:0:0:ffff::2"), "the same network");
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("2001:db8::1"), Client::of(None, address("2001:db8::1")));
        assert_eq!(Client::of(None, None), Client::Unknown);
    }
}
