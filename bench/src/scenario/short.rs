//! 2: short runs, where the request weighs more than its events.

use super::lab::Lab;
use super::saturation::{Saturation, Unit};
use crate::failure::Result;
use crate::load::Workload;
use crate::play::Props;
use crate::report::{Chapter, Target};
use crate::server::Kind;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let servers = lab.start(&[Kind::Ours, Kind::Node, Kind::Bare]).await?;
    let saturation = Saturation {
        request: Workload::runs(r#"{"deltas":10}"#).run(),
        events: Props { deltas: 10, ..Props::default() }.events(),
        unit: Unit::Run,
        rate: Target::AtLeastTimes(30.0, Kind::Node),
        cpu: Target::None,
    };
    let title = "2. Closed loop, 16 clients, runs of 10 deltas".into();
    Ok(Chapter { title, metrics: saturation.measure(lab, &servers).await? })
}
