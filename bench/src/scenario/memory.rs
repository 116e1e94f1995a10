//! 7: what a server weighs, and what an open stream adds.

use super::lab::Lab;
use super::throughput::PROPS;
use crate::failure::Result;
use crate::load::{Request, Workload, held, single};
use crate::process::resident;
use crate::report::{Chapter, Metric, Target};
use crate::server::{Kind, Program, Running};
use std::time::Duration;
use tokio::time::sleep;

/// Streams held open.
const STREAMS: usize = 2000;

/// Runs before the first look, so that what every server allocates once is not counted.
const RUNS_BEFORE: usize = 200;

/// Before each look.
const SETTLE: Duration = Duration::from_secs(1);

/// A run whose second delta is due in an hour: long after the measurement.
const SILENT: &str = r#"{"deltas":2,"delayMs":3600000}"#;

pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let programs = lab.only(&[Kind::Ours, Kind::Node, Kind::Bare]);
    let [idle, run, watcher] = lab
        .rounds(&programs, async |program| {
            let (idle, run) = held_runs(program).await?;
            Ok([idle, run, watchers(program).await?])
        })
        .await?;
    Ok(Chapter {
        title: "7. Resident memory".into(),
        metrics: vec![
            Metric::new("process idle, MiB", idle, Target::None),
            Metric::new("per open run of 2,000, KiB", run, Target::AtMost(16.0)),
            Metric::new("per watcher of 2,000 of one run, KiB", watcher, Target::AtMost(16.0)),
        ],
    })
}

/// A fresh server's memory in MiB, and KiB per silent run.
async fn held_runs(program: &Program) -> Result<(f64, f64)> {
    let server = program.start().await?;
    sleep(SETTLE).await;
    let idle = resident(server.pid())? as f64 / 1024.0;
    Ok((idle, growth(&server, &Workload::runs(SILENT).run()).await?))
}

/// KiB per watcher of one silent run.
async fn watchers(program: &Program) -> Result<f64> {
    const THREAD: &str = "watched";
    let server = program.start().await?;
    let silent = Workload::runs(SILENT);
    let _live = held::open(server.target, &silent.run_on(THREAD), 1).await?;
    growth(&server, &silent.connect_to(THREAD)).await
}

async fn growth(server: &Running, request: &Request) -> Result<f64> {
    single::measure(server.target, Workload::runs(PROPS).run(), RUNS_BEFORE).await?;
    sleep(SETTLE).await;
    let before = resident(server.pid())?;
    let open = held::open(server.target, request, STREAMS).await?;
    sleep(SETTLE).await;
    let grown = resident(server.pid())?.saturating_sub(before);
    Ok(grown as f64 / open.len() as f64)
}
