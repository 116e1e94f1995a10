//! What every scenario needs: the servers, and rounds in which they take turns.

use crate::failure::Result;
use crate::load::Request;
use crate::load::closed_loop::ClosedLoop;
use crate::process::{Pid, usage};
use crate::report::Samples;
use crate::server::{Kind, Program, Running};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Clients of every closed loop that does not say otherwise.
const CLIENTS: usize = 16;

/// How long the servers must have done nothing of their own before the next has its turn, what still counts as
/// nothing, and how long that is waited for.
const QUIET: Duration = Duration::from_millis(200);
const NOTHING: Duration = Duration::from_millis(4);
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers of the scenarios about threads that are kept.
pub(super) const DURABLE: &[Kind] = &[Kind::OursDurable, Kind::Ours, Kind::NodeDurable];

/// The servers and how long they are measured.
#[derive(Clone, Debug)]
pub struct Lab {
    /// The servers to compare.
    pub programs: Vec<Program>,
    /// The AG-UI server behind the agent `remote`.
    pub upstream: Program,
    /// Where those that keep threads have their files.
    pub databases: PathBuf,
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub window: Duration,
    /// Load before the first turn, for compilers and caches.
    pub warm_up: Duration,
}

/// Something that has its turn in a round.
pub(super) trait Subject {
    fn kind(&self) -> Kind;
    /// The process it is, if it runs all the time.
    fn process(&self) -> Option<Pid>;
}

impl Subject for Running {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn process(&self) -> Option<Pid> {
        Some(self.pid())
    }
}

impl Subject for Program {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn process(&self) -> Option<Pid> {
        None
    }
}

impl Lab {
    /// Starts the servers of these kinds, as far as they take part.
    pub(super) async fn start(&self, kinds: &[Kind]) -> Result<Vec<Running>> {
        let mut running = Vec::new();
        for program in self.only(kinds) {
            running.push(program.start().await?);
        }
        Ok(running)
    }

    /// The servers of these kinds, as far as they take part.
    pub(super) fn only(&self, kinds: &[Kind]) -> Vec<Program> {
        self.programs.iter().filter(|program| kinds.contains(&program.kind)).cloned().collect()
    }

    /// A closed loop against this server.
    pub(super) fn load(&self, server: &Running, request: Request, events: u64) -> ClosedLoop {
        ClosedLoop {
            target: server.target,
            pid: server.pid(),
            clients: CLIENTS,
            request,
            lines: 2 * events,
            window: self.window,
        }
    }

    /// Loads each server once without measuring.
    pub(super) async fn warm_up(&self, servers: &[Running], request: &Request) -> Result<()> {
        for server in servers {
            let load = self.load(server, request.clone(), 0);
            ClosedLoop { window: self.warm_up, ..load }.measure().await?;
        }
        Ok(())
    }

    /// Gives each subject its turn, round after round, and sorts the values by subject.
    pub(super) async fn rounds<S: Subject, const N: usize>(
        &self,
        subjects: &[S],
        measure: impl AsyncFn(&S) -> Result<[f64; N]>,
    ) -> Result<[Samples; N]> {
        let mut samples = [const { Samples::new() }; N];
        for round in 1..=self.rounds {
            for subject in subjects {
                until_quiet(subjects).await?;
                let values = measure(subject).await?;
                eprintln!("  round {round}, {}: {values:.3?}", subject.kind().name());
                for (samples, value) in samples.iter_mut().zip(values) {
                    samples.entry(subject.kind()).or_default().push(value);
                }
            }
        }
        Ok(samples)
    }
}

/// Waits until no server does anything: what one puts off until nobody asks, the others would pay for on its core.
async fn until_quiet<S: Subject>(subjects: &[S]) -> Result<()> {
    let processes: Vec<Pid> = subjects.iter().filter_map(Subject::process).collect();
    let used = || processes.iter().map(|pid| Ok(usage(*pid)?.cpu)).sum::<Result<Duration>>();
    let begun = Instant::now();
    let mut before = used()?;
    while !processes.is_empty() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(QUIET).await;
        let now = used()?;
        if now.saturating_sub(before) <= NOTHING {
            return Ok(());
        }
        before = now;
    }
    Ok(())
}
