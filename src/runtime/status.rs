//! What the runtime does now, for an operator's terminal.

use serde::{Deserialize, Serialize};

use super::CopilotRuntime;
use crate::meter::ProcessUse;
use crate::runner::ActiveNow;

/// How many live runs are listed; the others are counted.
const LISTED: usize = 1000;

/// What a runtime does now, and what it has done so far. It names users and threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) uptime_seconds: f64,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) open_files: Option<u64>,
    pub(crate) ready: bool,
    /// Which checks failed, and why.
    pub(crate) problems: Vec<String>,
    pub(crate) live_runs: usize,
    pub(crate) queued_runs: usize,
    pub(crate) watchers: usize,
    pub(crate) waiting_writes: Option<usize>,
    /// Runs that ended, and among them those that failed or were refused.
    pub(crate) runs: u64,
    pub(crate) failed_runs: u64,
    pub(crate) events: u64,
    pub(crate) event_bytes: u64,
    /// What half of all appends to the store, and all but one in twenty, took at most.
    pub(crate) append_p50_seconds: Option<f64>,
    pub(crate) append_p95_seconds: Option<f64>,
    /// The oldest runs, the longest first.
    pub(crate) oldest_runs: Vec<LiveNow>,
}

/// A run that is under way or waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LiveNow {
    pub(crate) agent: String,
    pub(crate) user: String,
    pub(crate) thread: String,
    pub(crate) run: String,
    pub(crate) waits: bool,
    pub(crate) age_seconds: f64,
    pub(crate) events: u64,
    pub(crate) watchers: usize,
}

impl CopilotRuntime {
    /// What it does now.
    pub(crate) async fn status(&self) -> Status {
        let readiness = self.readiness().await;
        let meter = &self.shared.meter;
        let process = ProcessUse::now();
        let activity = self.activity();
        let agents = meter.agents();
        let outcomes = agents.iter().flat_map(|agent| &agent.outcomes);
        let (ended, failed): (Vec<u64>, Vec<u64>) =
            outcomes.map(|(outcome, count)| (*count, if outcome.is_failure() { *count } else { 0 })).unzip();
        let append = meter.store().find(|(call, _)| call.name() == "append").map(|(_, took)| took);
        let quantile = |part| append.as_ref().and_then(|took| took.quantile(part)).filter(|bound| *bound < f64::MAX);
        let queued = activity.runs.iter().filter(|run| run.waits).count();
        let watching: usize = activity.runs.iter().map(|run| run.watchers).sum();
        let live = activity.runs.len() - queued;
        let mut oldest = activity.runs;
        oldest.sort_by_key(|run| std::cmp::Reverse(run.age));
        oldest.truncate(LISTED);
        Status {
            version: CopilotRuntime::version().to_owned(),
            uptime_seconds: meter.started().elapsed().unwrap_or_default().as_secs_f64(),
            resident_bytes: process.resident_bytes,
            open_files: process.open_files,
            ready: readiness.ready,
            problems: readiness
                .checks
                .into_iter()
                .filter(|check| !check.ok)
                .map(|check| format!("{}: {}", check.name, check.reason.unwrap_or_default()))
                .collect(),
            live_runs: live,
            queued_runs: queued,
            watchers: watching + activity.watchers_elsewhere,
            waiting_writes: self.waiting_writes(),
            runs: ended.iter().sum(),
            failed_runs: failed.iter().sum(),
            events: agents.iter().map(|agent| agent.events).sum(),
            event_bytes: agents.iter().map(|agent| agent.bytes).sum(),
            append_p50_seconds: quantile(0.5),
            append_p95_seconds: quantile(0.95),
            oldest_runs: oldest.into_iter().map(LiveNow::of).collect(),
        }
    }
}

impl LiveNow {
    fn of(run: ActiveNow) -> LiveNow {
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
