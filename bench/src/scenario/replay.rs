//! 9 and 14: connecting to a thread with a long past.

use super::lab::{DURABLE, Lab};
use crate::failure::{Failure, Result};
use crate::load::{Request, Workload, single};
use crate::report::{Chapter, Metric, Target};
use crate::server::{Kind, Program, Running};

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
        servers.push(prepared(program, &workload).await?);
    }
    let request = workload.connect_to(THREAD);
    let [whole, first] = lab
        .rounds(&servers, async |server| {
            let times = single::measure_within(server.target, request.clone(), CONNECTS, lab.window).await?;
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

/// A server with a full thread, which has kept all of it.
async fn prepared(program: Program, workload: &Workload) -> Result<Running> {
    eprintln!("  {}: {RUNS} runs on one thread", program.kind.name());
    let program = program.with_env("MAX_RUNS_PER_THREAD", (2 * RUNS).to_string());
    let server = match program.kind {
        // Bare stores nothing; it replays what the request asks for.
        Kind::Bare => program.start().await?,
        // Run by run it takes minutes, so it writes them into its file itself.
        Kind::NodeDurable => {
            program.with_env("FILL_THREAD", THREAD).with_env("FILL_RUNS", RUNS.to_string()).start().await?
        }
        _ => {
            let server = program.start().await?;
            single::measure(server.target, workload.run_on(THREAD), RUNS).await?;
            server
        }
    };
    let mut connect: Request = workload.connect_to(THREAD);
    let replayed = single::fetch(server.target, connect.fresh()).await?;
    let runs = memchr::memmem::find_iter(&replayed, br#""type":"RUN_FINISHED""#).count();
    if runs == RUNS {
        return Ok(server);
    }
    Err(Failure::said(format!("{} replays {runs} of {RUNS} runs", server.kind.name())))
}
