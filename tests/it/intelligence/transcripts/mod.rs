//! Plays what browsers said to the reference runtime to this one, in front of the scripted platform, which answers
//! as recorded; then compares what both runtimes said to the platform and to the browsers.
//!
//! `CAPTURES_DIR` names another folder of recordings in the same format, `CAPTURES_ONLY` a part of the names of those
//! to play. See `tests/captures/README.md`.

mod agent;
mod compare;
mod director;
mod file;
mod ids;
pub(crate) mod intended;
mod ours;
mod play;
mod proof;
mod script;
mod setbacks;
mod single;
mod steps;
mod unlike;

use std::env;
use std::sync::Mutex;

use self::file::Transcript;
use super::hurry;
use crate::captures::folder;
use crate::report::{Outcome, Report};

/// Transcripts under way at a time, each on a thread of its own: they mostly wait.
const AT_A_TIME: usize = 4;

#[test]
fn recorded_intelligence_traffic_is_answered_alike() {
    let wanted = env::var("CAPTURES_ONLY").unwrap_or_default();
    let dir = folder("intelligence");
    let (chosen, skipped): (Vec<_>, Vec<_>) =
        file::load(&dir).into_iter().partition(|transcript| transcript.scenario.contains(&wanted));
    assert!(!chosen.is_empty(), "no transcript in {} has `{wanted}` in its name", dir.display());
    let queue = Mutex::new(chosen.into_iter());
    let outcomes = Mutex::new(Vec::new());
    let next = || queue.lock().expect("a queue").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(transcript) = next() {
                    let outcome = outcome(&transcript);
                    outcomes.lock().expect("a list").push((transcript.scenario, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("a list");
    outcomes.sort_by(|a, b| a.0.cmp(&b.0));
    let report = Report { of: "transcripts", outcomes, skipped: skipped.len() };
    println!("{report}");
    assert!(report.failures() == 0, "{} transcripts failed, see above", report.failures());
}

fn outcome(transcript: &Transcript) -> Outcome {
    let played = match hurry::runtime().block_on(play::play(transcript)) {
        Ok(played) => played,
        Err(why) => return Outcome::Broken(why),
    };
    if !played.violations.is_empty() {
        return Outcome::Broken(format!("the platform saw promises broken: {}", played.violations.join("; ")));
    }
    let mut found = compare::differences(transcript, &played);
    let steps = intended::steps(transcript);
    let because: Vec<_> = steps.iter().map(|step| step.because).collect();
    for step in steps {
        if found.is_empty() {
            return Outcome::Outlived(step.because);
        }
        found = compare::differences(&step.ours, &played);
    }
    Outcome::of(&found, &because)
}
