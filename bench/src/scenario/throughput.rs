//! 1: how many events a server can send, and what each costs.

use super::lab::Lab;
use super::saturation::{Saturation, Unit};
use crate::failure::Result;
use crate::load::Workload;
use crate::play::Props;
use crate::report::{Chapter, Target};
use crate::server::Kind;

/// Runs of this many deltas are the common measure of all scenarios.
pub(super) const PROPS: &str = r#"{"deltas":100}"#;

/// Events of such a run.
pub(super) fn events() -> u64 {
    Props { deltas: 100, ..Props::default() }.events()
}

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let servers = lab.start(&[Kind::Ours, Kind::Node, Kind::Bare, Kind::BareWhole]).await?;
    let saturation = Saturation {
        request: Workload::runs(PROPS).run(),
        events: events(),
        unit: Unit::Event,
        rate: Target::TimesNode(30.0),
        cpu: Target::TimesBare(2.0),
    };
    let title = "1. Closed loop, 16 clients, runs of 100 deltas".into();
    Ok(Chapter { title, metrics: saturation.measure(lab, &servers).await? })
}
