//! Plays recorded traffic of the reference runtime against this library, over loopback, and compares.
//!
//! `CAPTURES_DIR` names another folder of recordings in the same format, `CAPTURES_ONLY` a part of the names of the
//! cases to play. See `tests/captures/README.md`.

mod case;
mod client;
mod compare;
mod intended;
mod observed;
mod ours;
mod play;
mod proof;
mod report;
mod scripts;
mod spelling;
mod sse;
mod upstream;
mod values;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use self::case::{Case, RunnerKind};
use self::report::{Outcome, Report};
use self::scripts::Scripts;

/// Cases under way at a time. They mostly wait.
const AT_A_TIME: usize = 12;

/// The recordings that come with this repository.
fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/rest-sse")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_traffic_is_answered_alike() {
    let dir = env::var_os("CAPTURES_DIR").map_or_else(bundled, PathBuf::from);
    let wanted = env::var("CAPTURES_ONLY").unwrap_or_default();
    let recordings = case::load(&dir, &bundled());
    let can_play = |case: &Case| cfg!(feature = "sqlite") || case.server.runtime.runner != RunnerKind::Sqlite;
    let (chosen, skipped): (Vec<_>, Vec<_>) =
        recordings.cases.into_iter().partition(|case| case.name.contains(&wanted) && can_play(case));
    assert!(!chosen.is_empty(), "no case in {} has `{wanted}` in its name", dir.display());
    let scripts = &recordings.scripts;
    let outcomes = stream::iter(chosen)
        .map(async |case| (case.name.clone(), outcome(case, scripts).await))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let report = Report { outcomes, skipped: skipped.len() };
    println!("{report}");
    assert!(report.failures() == 0, "{} cases failed, see above", report.failures());
}

async fn outcome(case: Arc<Case>, scripts: &Arc<Scripts>) -> Outcome {
    let played = match play::play(case.clone(), scripts).await {
        Ok(played) => played,
        Err(why) => return Outcome::Broken(why),
    };
    let mut found = compare::differences(&case, scripts, &played);
    let steps = intended::steps(&case);
    let because: Vec<_> = steps.iter().map(|step| step.because).collect();
    for step in steps {
        if found.is_empty() {
            return Outcome::Outlived(step.because);
        }
        found = compare::differences(&step.ours, scripts, &played);
    }
    match (found.is_empty(), because.is_empty()) {
        (false, _) => Outcome::Failed(found),
        (true, true) => Outcome::Passed,
        (true, false) => Outcome::DiffersOnPurpose(because.join("; ")),
    }
}
