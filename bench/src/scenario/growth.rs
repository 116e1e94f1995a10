//! 18: whether a server grows with the threads it has served; 19: what a run takes on disk.

use super::lab::Lab;
use super::throughput::{PROPS, events};
use crate::failure::{Failure, Result};
use crate::load::Workload;
use crate::process::resident;
use crate::report::{Chapter, Metric, Target};
use crate::server::{Kind, Running};

/// Runs, each on a thread of its own.
const RUNS: u64 = 50_000;

/// Where memory is looked at, in per cent of them.
const LOOKS: [u64; 3] = [10, 50, 100];

/// Not Node: it needs minutes for as many runs.
pub(super) async fn memory(lab: &Lab) -> Result<Chapter> {
    let programs = lab.only(&[Kind::OursDurable, Kind::Ours]);
    let [tenth, half, all, grown] = lab
        .rounds(&programs, async |program| {
            let server = program.start().await?;
            let (mut done, mut looks) = (0, [0.0; LOOKS.len()]);
            for (look, share) in looks.iter_mut().zip(LOOKS) {
                let until = RUNS * share / 100;
                runs(lab, &server, until - done).await?;
                done = until;
                *look = resident(server.pid())? as f64 / 1024.0;
            }
            let [tenth, half, all] = looks;
            Ok([tenth, half, all, 100.0 * (all / half - 1.0)])
        })
        .await?;
    Ok(Chapter {
        title: "18. Resident memory over 50,000 threads, a run of 100 deltas each".into(),
        metrics: vec![
            Metric::new("after 10 %, MiB", tenth, Target::None),
            Metric::new("after 50 %, MiB", half, Target::None),
            Metric::new("after all, MiB", all, Target::None),
            Metric::new("grown in the second half, %", grown, Target::AtMost(10.0)),
        ],
    })
}

/// The file grows in steps when its journal is taken over, so many runs must pass.
pub(super) async fn size(lab: &Lab) -> Result<Chapter> {
    let servers = lab.start(&[Kind::OursDurable, Kind::NodeDurable]).await?;
    let [size] = lab
        .rounds(&servers, async |server| {
            let (before, count) = match server.kind {
                // It takes its journal over with each run.
                Kind::NodeDurable => (0, 200),
                _ => (5_000, 10_000),
            };
            runs(lab, server, before).await?;
            let size = database_size(server)?;
            runs(lab, server, count).await?;
            Ok([database_size(server)?.saturating_sub(size) as f64 / count as f64 / 1024.0])
        })
        .await?;
    Ok(Chapter {
        title: "19. Size of the database".into(),
        metrics: vec![Metric::new("per run of 100 deltas, KiB", size, Target::None)],
    })
}

async fn runs(lab: &Lab, server: &Running, count: u64) -> Result<()> {
    lab.load(server, Workload::runs(PROPS).run(), events()).measure_requests(count).await?;
    Ok(())
}

fn database_size(server: &Running) -> Result<u64> {
    server.database().ok_or_else(|| Failure::said(format!("{} has no database", server.kind.name())))?.size()
}
