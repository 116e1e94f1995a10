//! 4: whether a long message costs more per event than a short one.

use super::lab::Lab;
use super::throughput::{PROPS, events};
use crate::failure::Result;
use crate::load::Workload;
use crate::play::Props;
use crate::report::{Chapter, Metric, Target};
use crate::server::Kind;

/// Deltas of the long message.
const DELTAS: u32 = 20_000;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let servers = lab.start(&[Kind::Ours, Kind::Node, Kind::Bare]).await?;
    let short = Workload::runs(PROPS).run();
    let long = Workload::runs(format!(r#"{{"deltas":{DELTAS}}}"#)).run();
    let long_events = Props { deltas: DELTAS, ..Props::default() }.events();
    lab.warm_up(&servers, &short).await?;
    let [rate, cpu, growth] = lab
        .rounds(&servers, async |server| {
            let short = lab.load(server, short.clone(), events()).measure().await?;
            let long = lab.load(server, long.clone(), long_events).measure_whole_answers().await?;
            let growth = long.cpu_per_event() / short.cpu_per_event();
            Ok([long.events_per_second(), long.cpu_per_event(), growth])
        })
        .await?;
    Ok(Chapter {
        title: "4. One message of 20,000 deltas, one client".into(),
        metrics: vec![
            Metric::new("events/s", rate, Target::None),
            Metric::new("server CPU, µs/event", cpu, Target::None),
            Metric::new("CPU per event ÷ runs of 100", growth, Target::AtMost(1.5)),
        ],
    })
}
