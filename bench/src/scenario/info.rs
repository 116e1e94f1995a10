//! 10: the cheapest request.

use super::lab::Lab;
use super::saturation::{Saturation, Unit};
use crate::failure::Result;
use crate::load::Request;
use crate::report::{Chapter, Target};
use crate::server::Kind;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let servers = lab.start(&[Kind::Ours, Kind::Node, Kind::Bare]).await?;
    let saturation = Saturation {
        request: Request::info(),
        events: 0,
        unit: Unit::Answer,
        rate: Target::AtLeastTimes(25.0, Kind::Node),
        cpu: Target::None,
    };
    let title = "10. GET /info, 16 clients".into();
    Ok(Chapter { title, metrics: saturation.measure(lab, &servers).await? })
}
