//! A closed loop and its lines of the table: how much a server can do, and what it costs.

use super::lab::Lab;
use crate::failure::Result;
use crate::load::Request;
use crate::load::closed_loop::Measured;
use crate::report::{Metric, Target};
use crate::server::Running;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Event,
    Run,
    Answer,
}

/// What every server is asked for, and what is expected of ours.
pub(super) struct Saturation {
    pub(super) request: Request,
    /// Events in the right answer; 0 for answers without events.
    pub(super) events: u64,
    pub(super) unit: Unit,
    pub(super) rate: Target,
    pub(super) cpu: Target,
}

impl Saturation {
    /// Warms the servers up and measures them.
    pub(super) async fn measure(self, lab: &Lab, servers: &[Running]) -> Result<Vec<Metric>> {
        lab.warm_up(servers, &self.request).await?;
        let [rate, cpu, runs, per_cpu_second, busy, waiting, generator] = lab
            .rounds(servers, async |server| {
                let measured = lab.load(server, self.request.clone(), self.events).measure().await?;
                let (rate, cpu) = self.unit.rate_and_cpu(&measured);
                let [busy, waiting, generator] = conditions(&measured);
                Ok([rate, cpu, measured.answers_per_second(), 1e6 / cpu, busy, waiting, generator])
            })
            .await?;
        let unit = self.unit.name();
        let mut metrics = vec![Metric::new(&format!("{unit}s/s"), rate, self.rate)];
        if let Unit::Event = self.unit {
            metrics.push(Metric::new("runs/s", runs, Target::None));
        }
        metrics.extend([
            Metric::new(&format!("server CPU, µs/{unit}"), cpu, self.cpu),
            Metric::new(&format!("{unit}s per second of server CPU"), per_cpu_second, Target::None),
            Metric::new("server on its core, %", busy, Target::None),
            Metric::new("server waiting for its core, %", waiting, Target::None),
            Metric::new("load generator on its core, %", generator, Target::None),
        ]);
        Ok(metrics)
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Event => "event",
            Unit::Run => "run",
            Unit::Answer => "answer",
        }
    }

    fn rate_and_cpu(self, measured: &Measured) -> (f64, f64) {
        match self {
            Unit::Event => (measured.events_per_second(), measured.cpu_per_event()),
            Unit::Run | Unit::Answer => (measured.answers_per_second(), measured.cpu_per_answer()),
        }
    }
}

/// How undisturbed a window was. A server that waits shares its core with strangers; one that
/// neither runs nor waits has nothing to do: the generator is the limit.
fn conditions(measured: &Measured) -> [f64; 3] {
    let parts = [measured.server.cpu, measured.server.waiting, measured.generator.cpu];
    parts.map(|part| measured.share(part))
}
