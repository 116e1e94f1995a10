//! 5 and 13: how long one run takes when nothing else happens.

use super::lab::{DURABLE, Lab};
use super::throughput::PROPS;
use crate::failure::Result;
use crate::load::{Workload, single};
use crate::report::{Chapter, Metric, Target};
use crate::server::Kind;

/// Runs per turn.
const RUNS: usize = 500;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let title = "5. One client, one run of 100 deltas at a time";
    chapter(lab, title, &[Kind::Ours, Kind::Node, Kind::Bare], Target::AtMost(0.5)).await
}

/// The same with threads that are kept.
pub(super) async fn durable(lab: &Lab) -> Result<Chapter> {
    let title = "13. One client, one run of 100 deltas at a time";
    chapter(lab, title, DURABLE, Target::AtMost(2.0)).await
}

async fn chapter(lab: &Lab, title: &str, kinds: &[Kind], target: Target) -> Result<Chapter> {
    let servers = lab.start(kinds).await?;
    let request = Workload::runs(PROPS).run();
    lab.warm_up(&servers, &request).await?;
    let [p50, p99, first, first_p99] = lab
        .rounds(&servers, async |server| {
            let times = single::measure_within(server.target, request.clone(), RUNS, lab.window).await?;
            let (whole, first) = (times.whole, times.first);
            Ok([whole.quantile(0.5), whole.quantile(0.99), first.quantile(0.5), first.quantile(0.99)])
        })
        .await?;
    Ok(Chapter {
        title: title.into(),
        metrics: vec![
            Metric::new("run p50, ms", p50, target),
            Metric::new("run p99, ms", p99, Target::None),
            Metric::new("time to first event p50, ms", first, Target::None),
            Metric::new("time to first event p99, ms", first_p99, Target::None),
        ],
    })
}
