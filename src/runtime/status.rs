//! What the runtime does now, for an operator's terminal.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::CopilotRuntime;
use crate::meter::{ProcessUse, StoreCall};
use crate::runner::ActiveNow;

/// How many live runs are listed; the others are counted.
const LISTED: usize = 1000;

/// What a runtime does now, and what it has done so far. It names users and threads: show it to operators only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Status {
    /// The runtime's version.
    pub version: String,
    /// How long ago it was built.
    pub uptime_seconds: f64,
    /// The process's memory in RAM, where the system tells.
    pub resident_bytes: Option<u64>,
    /// The process's open sockets and files, where the system tells.
    pub open_files: Option<u64>,
    /// Connections that are open, where a listener counts them.
    pub open_connections: Option<u64>,
    /// Whether every check passed.
    pub ready: bool,
    /// Which checks failed, and why.
    pub problems: Vec<String>,
    /// Runs under way.
    pub live_runs: usize,
    /// Runs that wait for their thread.
    pub queued_runs: usize,
    /// Who watches a run here.
    pub watchers: usize,
    /// Calls that wait for their turn to write, where threads are kept here.
    pub waiting_writes: Option<usize>,
    /// Runs that ended.
    pub runs: u64,
    /// Those among them that failed or were refused.
    pub failed_runs: u64,
    /// Events of all runs.
    pub events: u64,
    /// Bytes of the events.
    pub event_bytes: u64,
    /// What half of the appends to the store took at most.
    pub append_p50_seconds: Option<f64>,
    /// What all but one in twenty took at most.
    pub append_p95_seconds: Option<f64>,
    /// The runs of [`Status::live_runs`] and [`Status::queued_runs`], the oldest first, up to a thousand.
    pub oldest_runs: Vec<LiveNow>,
}

/// A run that is under way or waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LiveNow {
    /// The agent.
    pub agent: String,
    /// The user; empty where users are not told apart.
    pub user: String,
    /// The thread.
    pub thread: String,
    /// The run.
    pub run: String,
    /// Whether it waits for its thread.
    pub waits: bool,
    /// How long ago it was asked for.
    pub age_seconds: f64,
    /// How many events it has said.
    pub events: u64,
    /// How many watch it here.
    pub watchers: usize,
}

impl CopilotRuntime {
    /// What it does now.
    pub async fn status(&self) -> Status {
        let readiness = self.readiness().await;
        let meter = &self.shared.meter;
        let (process, activity, agents) = (ProcessUse::now(), self.activity(), meter.agents());
        let outcomes = || agents.iter().flat_map(|agent| &agent.outcomes);
        let append = meter.store().find(|(call, _)| *call == StoreCall::Append).map(|(_, took)| took);
        let quantile = |part| append.as_ref().and_then(|took| took.quantile(part));
        let queued = activity.runs.iter().filter(|run| run.waits).count();
        let watching: usize = activity.runs.iter().map(|run| run.watchers).sum();
        let live = activity.runs.len() - queued;
        let mut oldest = activity.runs;
        oldest.sort_by_key(|run| Reverse(run.age));
        oldest.truncate(LISTED);
        let failed = readiness.checks.into_iter().filter(|check| !check.ok);
        Status {
            version: CopilotRuntime::version().to_owned(),
            uptime_seconds: meter.started().elapsed().unwrap_or_default().as_secs_f64(),
            resident_bytes: process.resident_bytes,
            open_files: process.open_files,
            open_connections: meter.connections().map(|connections| connections.open),
            ready: readiness.ready,
            problems: failed.map(|check| format!("{}: {}", check.name, check.reason.unwrap_or_default())).collect(),
            live_runs: live,
            queued_runs: queued,
            watchers: watching + activity.watchers_elsewhere,
            waiting_writes: self.waiting_writes(),
            runs: outcomes().map(|(_, count)| count).sum(),
            failed_runs: outcomes().filter(|(outcome, _)| outcome.is_failure()).map(|(_, count)| count).sum(),
            events: agents.iter().map(|agent| agent.events).sum(),
            event_bytes: agents.iter().map(|agent| agent.bytes).sum(),
            append_p50_seconds: quantile(0.5),
            append_p95_seconds: quantile(0.95),
            oldest_runs: oldest.iter().map(LiveNow::of).collect(),
        }
    }
}

impl LiveNow {
    fn of(run: &ActiveNow) -> LiveNow {
        LiveNow {
            agent: run.agent_id.to_string(),
            user: run.thread.owner.to_string(),
            thread: run.thread.id.to_string(),
            run: run.run_id.to_string(),
            waits: run.waits,
            age_seconds: run.age.as_secs_f64(),
            events: run.events,
            watchers: run.watchers,
        }
    }
}
