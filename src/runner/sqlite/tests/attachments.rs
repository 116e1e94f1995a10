//! Long strings are in the file once, and gone with their thread.

use super::*;

/// How often something stands in the file, once its log is worked in.
fn count(place: &TempFile, needle: &[u8]) -> usize {
    place.connect().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let bytes = std::fs::read(place.path()).unwrap();
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}

/// A message with an attachment: a beginning that can be found in the file, and much behind it.
fn attached(id: &str, attachment: &str) -> Message {
    let part = format!(r#"{{"type":"binary","mimeType":"image/png","data":"{attachment}"}}"#);
    Message::parse(&format!(r#"{{"id":"{id}","role":"user","content":[{part}]}}"#)).unwrap()
}

fn run_with(thread: &str, messages: Vec<Message>) -> NewRun {
    let mut run = new_run(thread, "r", "hello");
    Arc::make_mut(&mut run.input).messages = messages;
    run
}

#[tokio::test]
async fn an_attachment_is_in_the_file_once_and_reads_back_byte_for_byte() {
    let place = TempFile::new();
    let store = open(&place);
    let attachment = format!("NEEDLE{}", "iVBORw0KGgo=".repeat(20_000));
    let mut kept = Vec::new();
    for id in ["u1", "u2"] {
        let begun = store.begin(run_with("t", vec![attached(id, &attachment)])).await.unwrap();
        let frames = answer(&begun, &[Event::run_finished("t", "r")]);
        store.append(&begun.run, frames.clone()).await.unwrap();
        assert_eq!(store.said(&begun.run, 0).await.unwrap().frames, frames);
        assert_eq!(count(&place, b"NEEDLE"), 1, "while {id} is open");
        let sealed =
            SealedRun { frames: frames.clone(), unsaid: vec![attached("u3", &attachment)], ..SealedRun::default() };
        store.seal(&begun.run, sealed).await.unwrap();
        kept.push(frames);
    }
    assert_eq!(count(&place, b"NEEDLE"), 1);
    let runs = history(&store, "t").await;
    assert_eq!(runs.iter().map(|run| run.frames.clone()).collect::<Vec<_>>(), kept);
    assert!(runs.iter().all(|run| *run.unsaid == [attached("u3", &attachment)]));
    // Another thread has its own, and keeps it when this one goes.
    let elsewhere = store.begin(run_with("other", vec![attached("u1", &attachment)])).await.unwrap();
    assert_eq!(count(&place, b"NEEDLE"), 2);
    store.delete(&"t".into()).await.unwrap();
    assert_eq!(count(&place, b"NEEDLE"), 1);
    store.discard(&elsewhere.run).await.unwrap();
    assert_eq!(count(&place, b"NEEDLE"), 0);
}

#[tokio::test]
async fn a_long_string_that_only_a_discarded_run_had_goes_with_it() {
    let place = TempFile::new();
    let store = open(&place);
    let (early, late) = (format!("EARLY{}", "x".repeat(9000)), format!("LATE{}", "x".repeat(9000)));
    let first = store.begin(run_with("t", vec![attached("u1", &early)])).await.unwrap();
    seal(&store, &first, answer(&first, &[])).await;
    let second = store.begin(run_with("t", vec![attached("u2", &early), attached("u3", &late)])).await.unwrap();
    assert_eq!((count(&place, b"EARLY"), count(&place, b"LATE")), (1, 1));
    store.discard(&second.run).await.unwrap();
    assert_eq!((count(&place, b"EARLY"), count(&place, b"LATE")), (1, 0));
    assert_eq!(history(&store, "t").await[0].frames, answer(&first, &[]));
}

#[tokio::test]
async fn long_strings_that_the_shortened_run_no_longer_has_are_dropped() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    let piece = |name: &str| Event::text_content("m", &format!("{name}{}", "x".repeat(9000)));
    store.append(&begun.run, Frames::of(&[piece("ONE"), piece("TWO")])).await.unwrap();
    assert_eq!((count(&place, b"ONE"), count(&place, b"TWO")), (1, 1));
    seal(&store, &begun, Frames::of(&[piece("TWO")])).await;
    assert_eq!((count(&place, b"ONE"), count(&place, b"TWO")), (0, 1));
}
