//! Plays recorded traffic of the reference runtime against this library, over loopback, and compares.
//!
//! `CAPTURES_DIR` names another folder of recordings in the same format, `CAPTURES_ONLY` a part of the names of the
//! cases to play. See `tests/captures/README.md`.

mod case;
mod client;
mod compare;
pub(crate) mod intended;
mod observed;
mod ours;
mod play;
mod proof;
mod scripts;
mod spelling;
mod sse;
mod upstream;
mod values;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;

use self::case::{Case, RunnerKind};
use self::scripts::Scripts;
use crate::report::{Outcome, Report};

/// Cases under way at a time. They mostly wait.
const AT_A_TIME: usize = 12;

/// The recordings of a kind that come with this repository.
fn bundled(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(kind)
}

/// Where the recordings of a kind are: `CAPTURES_DIR`, if it holds any, or its folder of that name.
pub(crate) fn folder(kind: &str) -> PathBuf {
    let Some(named) = env::var_os("CAPTURES_DIR").map(PathBuf::from) else { return bundled(kind) };
    let inside = named.join(kind);
    if inside.is_dir() {
        inside
    } else if holds(&named, kind) {
        named
    } else {
        bundled(kind)
    }
}

/// Whether the JSON files of a folder are of a kind: exchanges are lists, transcripts are objects.
fn holds(dir: &Path, kind: &str) -> bool {
    let listing = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let files = listing.map(|entry| entry.unwrap().path());
    let begins = if kind == "intelligence" { '{' } else { '[' };
    let mut recordings = files.filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    recordings.any(|file| {
        let is_agents = file.file_name().is_some_and(|name| name == "agents.json");
        !is_agents && fs::read_to_string(file).is_ok_and(|text| text.trim_start().starts_with(begins))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_traffic_is_answered_alike() {
    let dir = folder("rest-sse");
    let wanted = env::var("CAPTURES_ONLY").unwrap_or_default();
    let recordings = case::load(&dir, &bundled("rest-sse"));
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
    let report = Report { of: "captures", outcomes, skipped: skipped.len() };
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
    Outcome::of(&found, &because)
}
