//! 16: whether a run starts later on a thread with a long past.

use super::lab::Lab;
use crate::failure::Result;
use crate::load::{Workload, single};
use crate::report::{Chapter, Metric, Target};
use crate::server::Kind;

/// Runs the thread has.
const RUNS: usize = 10_000;

/// Runs per turn, on the long thread and on fresh ones.
const STARTS: usize = 100;

const THREAD: &str = "long";

/// Short, so that what follows the start weighs little.
const PROPS: &str = r#"{"deltas":1}"#;

/// Not Node: on SQLite it reads the whole thread before each run, here for most of a minute.
pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let workload = Workload::runs(PROPS);
    let (fresh, long) = (workload.run(), workload.run_on(THREAD));
    let mut servers = Vec::new();
    for program in lab.only(&[Kind::OursDurable, Kind::Ours]) {
        eprintln!("  {}: {RUNS} runs on one thread", program.kind.name());
        let server = program.start().await?;
        single::measure(server.target, long.clone(), RUNS).await?;
        servers.push(server);
    }
    let [fresh, long, later] = lab
        .rounds(&servers, async |server| {
            let on = async |request| {
                let times = single::measure_within(server.target, request, STARTS, lab.window).await?;
                Result::Ok(times.first.quantile(0.5))
            };
            let (fresh, long) = (on(fresh.clone()).await?, on(long.clone()).await?);
            Ok([fresh, long, long - fresh])
        })
        .await?;
    Ok(Chapter {
        title: "16. Start of a run on a thread of 10,000 runs".into(),
        metrics: vec![
            Metric::new("first event on a fresh thread p50, ms", fresh, Target::None),
            Metric::new("first event on the long thread p50, ms", long, Target::None),
            Metric::new("later than on a fresh one, ms", later, Target::AtMost(2.0)),
        ],
    })
}
