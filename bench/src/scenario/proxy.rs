//! 11: the agent that proxies another AG-UI server. That server shares the generator's core.

use super::lab::Lab;
use super::saturation::{Saturation, Unit};
use super::throughput::{PROPS, events};
use crate::failure::Result;
use crate::load::Workload;
use crate::load::paced::{Measured, Paced};
use crate::report::{Chapter, Metric, Target};
use crate::server::{Kind, Running};
use std::time::Duration;

/// Streams of the paced part.
const STREAMS: usize = 50;

/// 20 tokens per second and stream.
const EVERY: Duration = Duration::from_millis(50);

pub(super) async fn measure(lab: &Lab) -> Result<Vec<Chapter>> {
    let upstream = lab.upstream.start().await?;
    let url = format!("http://{}/agent", upstream.target.address());
    let mut servers = Vec::new();
    for program in lab.only(&[Kind::Ours, Kind::Node]) {
        servers.push(program.with_env("UPSTREAM_URL", url.clone()).start().await?);
    }
    Ok(vec![throughput(lab, &servers).await?, added(lab, &servers, &upstream).await?])
}

async fn throughput(lab: &Lab, servers: &[Running]) -> Result<Chapter> {
    let saturation = Saturation {
        request: Workload::remote(PROPS).run(),
        events: events(),
        unit: Unit::Event,
        rate: Target::AtLeastTimes(5.0, Kind::Node),
        cpu: Target::None,
    };
    let title = "11a. Proxied agent, 16 clients, runs of 100 deltas".into();
    Ok(Chapter { title, metrics: saturation.measure(lab, servers).await? })
}

/// The stamp is the upstream's, so the way from there straight to the generator is taken off.
async fn added(lab: &Lab, servers: &[Running], upstream: &Running) -> Result<Chapter> {
    let paced = |server: &Running| Paced {
        target: server.target,
        pid: server.pid(),
        streams: STREAMS,
        every: EVERY,
        window: lab.window,
    };
    let [p50, p99, direct_p50, direct_p99] = lab
        .rounds(servers, async |server| {
            let request = Workload::remote(paced(server).props());
            let direct: Measured = paced(upstream).measure(request.upstream()).await?;
            let through: Measured = paced(server).measure(request.run()).await?;
            let [direct_p50, direct_p99] = [0.5, 0.99].map(|share| direct.added.quantile(share));
            let [p50, p99] = [0.5, 0.99].map(|share| through.added.quantile(share));
            Ok([p50 - direct_p50, p99 - direct_p99, direct_p50, direct_p99])
        })
        .await?;
    Ok(Chapter {
        title: "11b. Proxied agent, 50 streams of 20 tokens/s".into(),
        metrics: vec![
            Metric::new("added latency per token p50, ms", p50, Target::AtMost(0.15)),
            Metric::new("added latency per token p99, ms", p99, Target::AtMost(1.0)),
            Metric::new("taken off: without a runtime p50, ms", direct_p50, Target::None),
            Metric::new("taken off: without a runtime p99, ms", direct_p99, Target::None),
        ],
    })
}
