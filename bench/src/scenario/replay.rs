//! 9 and 14: connecting to a thread with a long past.

use super::lab::{DURABLE, Lab};
use crate::failure::{Failure, Result};
use crate::load::{Request, Workload, single};
use crate::report::{Chapter, Metric, Target};
use crate::server::{Kind, Running};

/// Runs of the thread.
const RUNS: usize = 1000;

/// Connects per turn.
const CONNECTS: usize = 50;

const THREAD: &str = "replayed";

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let title = "9. Connect to a thread of 1,000 runs of 20 deltas";
    chapter(lab, title, &[Kind::Ours, Kind::Node, Kind::Bare], 6.0).await
}

/// The same with threads that are kept.
pub(super) async fn durable(lab: &Lab) -> Result<Chapter> {
    chapter(lab, "14. Connect to a thread of 1,000 runs of 20 deltas", DURABLE, 10.0).await
}

async fn chapter(lab: &Lab, title: &str, kinds: &[Kind], whole_within: f64) -> Result<Chapter> {
    let workload = Workload::runs(format!(r#"{{"deltas":20,"replay":{RUNS}}}"#));
    let mut servers = Vec::new();
    for program in lab.only(kinds) {
        let server = program.with_env("MAX_RUNS_PER_THREAD", (2 * RUNS).to_string()).start().await?;
        prepare(&server, &workload).await?;
        servers.push(server);
    }
    let request = workload.connect_to(THREAD);
    let [whole, first] = lab
        .rounds(&servers, async |server| {
            let times = single::measure(server.target, request.clone(), CONNECTS).await?;
            Ok([times.whole.quantile(0.5), times.first.quantile(0.5)])
        })
        .await?;
    Ok(Chapter {
        title: title.into(),
        metrics: vec![
            Metric::new("whole replay p50, ms", whole, Target::AtMost(whole_within)),
            Metric::new("first byte p50, ms", first, Target::AtMost(2.0)),
        ],
    })
}

/// Fills the thread, and makes sure that the server kept all of it.
async fn prepare(server: &Running, workload: &Workload) -> Result<()> {
    eprintln!("  {}: {RUNS} runs on one thread", server.kind.name());
    // Bare stores nothing; it replays what the request asks for.
    if server.kind != Kind::Bare {
        single::measure(server.target, workload.run_on(THREAD), RUNS).await?;
    }
    let mut connect: Request = workload.connect_to(THREAD);
    let replayed = single::fetch(server.target, connect.fresh()).await?;
    let runs = memchr::memmem::find_iter(&replayed, br#""type":"RUN_FINISHED""#).count();
    if runs == RUNS {
        return Ok(());
    }
    Err(Failure::said(format!("{} replays {runs} of {RUNS} runs", server.kind.name())))
}
