//! 1 and 12: how many events a server can send, and what each costs.

use super::lab::{DURABLE, Lab};
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
    let title = "1. Closed loop, 16 clients, runs of 100 deltas";
    let (rate, cpu) = (Target::AtLeastTimes(30.0, Kind::Node), Target::AtMostTimes(2.0, Kind::Bare));
    chapter(lab, title, &[Kind::Ours, Kind::Node, Kind::Bare, Kind::BareWhole], rate, cpu).await
}

/// The same with threads that are kept.
pub(super) async fn durable(lab: &Lab) -> Result<Chapter> {
    let title = "12. Closed loop, 16 clients, runs of 100 deltas";
    chapter(lab, title, DURABLE, Target::AtLeastTimes(0.5, Kind::Ours), Target::None).await
}

async fn chapter(lab: &Lab, title: &str, kinds: &[Kind], rate: Target, cpu: Target) -> Result<Chapter> {
    let servers = lab.start(kinds).await?;
    let saturation =
        Saturation { request: Workload::runs(PROPS).run(), events: events(), unit: Unit::Event, rate, cpu };
    Ok(Chapter { title: title.into(), metrics: saturation.measure(lab, &servers).await? })
}
