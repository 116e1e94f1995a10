//! A gateway that takes one event at a time.

use std::path::Path;

use super::{compare, file, hurry, play};

/// What was recorded with a gateway that takes batches, in front of one that does not.
#[test]
fn without_batches_the_same_events_come_one_by_one() {
    let all = file::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/intelligence"));
    for scenario in ["chat-run-new-thread", "fault-runner-planned-restart", "fault-event-permanent", "stop-from-http"] {
        let mut transcript = all.iter().find(|one| one.scenario == scenario).expect("a transcript").clone();
        transcript.platform_options.batch = Some(false);
        let played = hurry::runtime().block_on(play::play(&transcript)).expect("a play");
        assert_eq!(played.violations, [""; 0], "{scenario}");
        let found = compare::differences(&transcript, &played);
        assert!(found.is_empty(), "{scenario}: {found:#?}");
        let pushes = played.entries.iter().filter(|entry| !entry.pushed().is_empty());
        assert!(pushes.map(|entry| entry.event()).all(|event| event == "event"), "{scenario}");
    }
}
