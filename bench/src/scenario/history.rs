//! 3: what earlier messages in the input cost.

use super::lab::Lab;
use super::throughput::{PROPS, events};
use crate::failure::Result;
use crate::load::Workload;
use crate::report::{Chapter, Metric, Target};
use crate::server::Kind;

/// Earlier messages: a chat of twenty turns.
const MESSAGES: usize = 40;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let servers = lab.start(&[Kind::Ours, Kind::Node, Kind::Bare]).await?;
    let without = Workload::runs(PROPS).run();
    let with = Workload::runs(PROPS).with_history(MESSAGES).run();
    lab.warm_up(&servers, &with).await?;
    let [runs, cpu, growth] = lab
        .rounds(&servers, async |server| {
            let without = lab.load(server, without.clone(), events()).measure().await?;
            let with = lab.load(server, with.clone(), events()).measure().await?;
            let growth = with.cpu_per_answer() / without.cpu_per_answer();
            Ok([with.answers_per_second(), with.cpu_per_answer(), growth])
        })
        .await?;
    Ok(Chapter {
        title: "3. As 1, with 40 earlier messages in the input".into(),
        metrics: vec![
            Metric::new("runs/s", runs, Target::None),
            Metric::new("server CPU, µs/run", cpu, Target::None),
            Metric::new("CPU per run ÷ without them", growth, Target::AtMost(1.15)),
        ],
    })
}
