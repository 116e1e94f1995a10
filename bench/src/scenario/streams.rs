//! 6 and 15: how much later a token arrives than the agent emitted it, with many streams open.

use super::lab::Lab;
use crate::failure::Result;
use crate::load::Workload;
use crate::load::paced::Paced;
use crate::report::{Chapter, Metric, Target};
use crate::server::Kind;
use std::time::Duration;

/// Streams at a time.
const STREAMS: usize = 1000;

/// 20 tokens per second and stream.
const EVERY: Duration = Duration::from_millis(50);

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    chapter(lab, "6. 1,000 streams of 20 tokens/s", &[Kind::Ours, Kind::Bare], 1.0).await
}

/// The same with threads that are kept.
pub(super) async fn durable(lab: &Lab) -> Result<Chapter> {
    chapter(lab, "15. 1,000 streams of 20 tokens/s", &[Kind::OursDurable, Kind::Ours], 5.0).await
}

/// Not Node: it can't keep this pace, and a late delta is stamped late, which would flatter it.
async fn chapter(lab: &Lab, title: &str, kinds: &[Kind], p99_within: f64) -> Result<Chapter> {
    let servers = lab.start(kinds).await?;
    let [p50, p99, delivered, cpu] = lab
        .rounds(&servers, async |server| {
            let paced =
                Paced { target: server.target, pid: server.pid(), streams: STREAMS, every: EVERY, window: lab.window };
            let request = Workload::runs(paced.props()).run();
            let measured = paced.measure(request).await?;
            let added = measured.added;
            Ok([added.quantile(0.5), added.quantile(0.99), measured.delivered, measured.cpu_per_delta])
        })
        .await?;
    Ok(Chapter {
        title: title.into(),
        metrics: vec![
            Metric::new("added latency per token p50, ms", p50, Target::None),
            Metric::new("added latency per token p99, ms", p99, Target::AtMost(p99_within)),
            Metric::new("tokens delivered, % of due", delivered, Target::None),
            Metric::new("server CPU, µs/token", cpu, Target::None),
        ],
    })
}
