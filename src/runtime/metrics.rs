//! What was counted, as text for Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::time::UNIX_EPOCH;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::CopilotRuntime;
use crate::meter::{AgentCounts, ConnectionCounts, ConnectionMeter, Measured, OTHERS, ProcessUse};
use crate::runner::Activity;

/// The content type of [`CopilotRuntime::metrics`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl CopilotRuntime {
    /// Counts the connections of a listener into [`CopilotRuntime::metrics`] and [`CopilotRuntime::status`]; without one
    /// they tell of none. Several listeners are counted together.
    #[must_use]
    pub fn connection_meter(&self) -> ConnectionMeter {
        self.shared.meter.listening()
    }

    /// What was counted since the runtime was built, in the OpenMetrics text format that Prometheus reads. Serve it
    /// with [`METRICS_CONTENT_TYPE`], where operators are and nobody else: the names of agents are in it.
    ///
    /// No label holds what clients or agents make up, and of agents no more than a hundred are told apart.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Snapshot::of(self)));
        let mut text = String::new();
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            // Writing into a string does not fail.
            Err(fmt::Error) => String::new(),
        }
    }
}

/// Everything at one moment.
#[derive(Debug)]
struct Snapshot {
    started: f64,
    agents: Vec<AgentCounts>,
    activity: Activity,
    store: Vec<(&'static str, Measured)>,
    waiting_writes: Option<usize>,
    responses: Vec<(usize, u64)>,
    connections: Option<ConnectionCounts>,
    troubles: Vec<(&'static str, u64)>,
    /// Calls to the platform that succeeded and that failed, where there is one.
    calls: Option<(u64, u64)>,
    process: ProcessUse,
}

impl Snapshot {
    fn of(runtime: &CopilotRuntime) -> Snapshot {
        let meter = &runtime.shared.meter;
        let since = meter.started().duration_since(UNIX_EPOCH).unwrap_or_default();
        let intelligence = runtime.intelligence();
        Snapshot {
            started: since.as_secs_f64(),
            agents: meter.agents(),
            activity: runtime.activity(),
            store: meter.store().map(|(call, took)| (call.name(), took)).collect(),
            waiting_writes: runtime.waiting_writes(),
            responses: meter.responses().collect(),
            connections: meter.connections(),
            troubles: intelligence
                .map_or_else(Vec::new, |_| meter.troubles().map(|(what, count)| (what.name(), count)).collect()),
            calls: intelligence.map(|intelligence| intelligence.calls()),
            process: ProcessUse::now(),
        }
    }

    fn agents(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut runs = to.encode_descriptor("copilotkit_runs", "Runs that ended", None, MetricType::Counter)?;
        for agent in &self.agents {
            for (outcome, count) in &agent.outcomes {
                let (outcome, code) = outcome.words();
                let labels = [("agent", &*agent.agent_id), ("outcome", outcome), ("code", code)];
                counter(&mut runs, &labels, *count)?;
            }
        }
        let mut events = to.encode_descriptor("copilotkit_events", "Events of runs", None, MetricType::Counter)?;
        for agent in &self.agents {
            counter(&mut events, &[("agent", &*agent.agent_id)], agent.events)?;
        }
        let mut bytes =
            to.encode_descriptor("copilotkit_event_bytes", "Bytes of the events", None, MetricType::Counter)?;
        for agent in &self.agents {
            counter(&mut bytes, &[("agent", &*agent.agent_id)], agent.bytes)?;
        }
        let help = "From a run's request to its first event";
        let mut first =
            to.encode_descriptor("copilotkit_run_first_event_seconds", help, None, MetricType::Histogram)?;
        for agent in &self.agents {
            histogram(&mut first, &[("agent", &*agent.agent_id)], &agent.first_event)?;
        }
        let help = "From a run's request to its end";
        let mut duration = to.encode_descriptor("copilotkit_run_seconds", help, None, MetricType::Histogram)?;
        for agent in &self.agents {
            histogram(&mut duration, &[("agent", &*agent.agent_id)], &agent.duration)?;
        }
        Ok(())
    }

    fn activity(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let count = |waits| {
            // Those of agents that ran say zero, so that what they said before does not stay.
            let mut counts: BTreeMap<&str, u64> = self.agents.iter().map(|agent| (&*agent.agent_id, 0)).collect();
            for run in self.activity.runs.iter().filter(|run| run.waits == waits) {
                let is_known = counts.contains_key(&*run.agent_id);
                *counts.entry(if is_known { &*run.agent_id } else { OTHERS }).or_default() += 1;
            }
            counts
        };
        for (name, help, waits) in
            [("copilotkit_live_runs", "Runs under way", false), ("copilotkit_queued_runs", "Runs that wait", true)]
        {
            let mut gauges = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (agent, runs) in count(waits) {
                gauge(&mut gauges, &[("agent", agent)], runs)?;
            }
        }
        let watchers = self.activity.runs.iter().map(|run| run.watchers).sum::<usize>();
        let watchers = watchers + self.activity.watchers_elsewhere;
        let help = "Clients that watch a run";
        gauge(&mut to.encode_descriptor("copilotkit_watchers", help, None, MetricType::Gauge)?, &[], watchers as u64)
    }

    fn store(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "How long the store took for a call of a run";
        let mut seconds = to.encode_descriptor("copilotkit_store_seconds", help, None, MetricType::Histogram)?;
        for (call, took) in &self.store {
            histogram(&mut seconds, &[("call", call)], took)?;
        }
        if let Some(waiting) = self.waiting_writes {
            let help = "Calls that wait for their turn to write";
            let mut gauges = to.encode_descriptor("copilotkit_store_waiting_writes", help, None, MetricType::Gauge)?;
            gauge(&mut gauges, &[], waiting as u64)?;
        }
        Ok(())
    }

    fn responses(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Responses by status";
        let mut responses = to.encode_descriptor("copilotkit_http_responses", help, None, MetricType::Counter)?;
        for (status, count) in &self.responses {
            counter(&mut responses, &[("status", &*status.to_string())], *count)?;
        }
        Ok(())
    }

    fn connections(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(ConnectionCounts { open, accepted, full }) = self.connections else { return Ok(()) };
        let help = "Connections that are open";
        gauge(&mut to.encode_descriptor("copilotkit_open_connections", help, None, MetricType::Gauge)?, &[], open)?;
        for (name, help, count) in [
            ("copilotkit_connections", "Connections that were accepted", accepted),
            ("copilotkit_connections_full", "How often as many were open as may be", full),
        ] {
            counter(&mut to.encode_descriptor(name, help, None, MetricType::Counter)?, &[], count)?;
        }
        Ok(())
    }

    fn platform(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some((succeeded, failed)) = self.calls else { return Ok(()) };
        let help = "Calls to the Intelligence platform";
        let mut calls = to.encode_descriptor("copilotkit_platform_calls", help, None, MetricType::Counter)?;
        counter(&mut calls, &[("outcome", "succeeded")], succeeded)?;
        counter(&mut calls, &[("outcome", "failed")], failed)?;
        let help = "What was lost between runs and the platform, and tried again";
        let mut troubles = to.encode_descriptor("copilotkit_platform_retries", help, None, MetricType::Counter)?;
        for (what, count) in &self.troubles {
            counter(&mut troubles, &[("what", what)], *count)?;
        }
        Ok(())
    }

    fn process(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The program";
        let mut build = to.encode_descriptor("copilotkit_build_info", help, None, MetricType::Gauge)?;
        gauge(&mut build, &[("version", CopilotRuntime::version())], 1)?;
        let help = "When the runtime was built, in seconds since 1970";
        let mut started = to.encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?;
        started.encode_gauge(&self.started)?;
        if let Some(bytes) = self.process.resident_bytes {
            let help = "Memory in RAM";
            let mut resident = to.encode_descriptor("process_resident_memory_bytes", help, None, MetricType::Gauge)?;
            gauge(&mut resident, &[], bytes)?;
        }
        if let Some(files) = self.process.open_files {
            let help = "Open sockets and files";
            gauge(&mut to.encode_descriptor("process_open_fds", help, None, MetricType::Gauge)?, &[], files)?;
        }
        Ok(())
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut to)?;
        self.agents(&mut to)?;
        self.activity(&mut to)?;
        self.store(&mut to)?;
        self.responses(&mut to)?;
        self.connections(&mut to)?;
        self.platform(&mut to)
    }
}

type Labels<'l> = [(&'static str, &'l str)];

fn counter(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, count: u64) -> fmt::Result {
    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, value: u64) -> fmt::Result {
    #[expect(clippy::cast_precision_loss, reason = "all are far smaller")]
    family.encode_family(&labels)?.encode_gauge(&(value as f64))
}

fn histogram(family: &mut MetricEncoder<'_>, labels: &Labels<'_>, measured: &Measured) -> fmt::Result {
    let Measured { seconds, count, buckets } = measured;
    family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(*seconds, *count, buckets, None)
}
