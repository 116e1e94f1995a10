//! Several processes on one file, and what becomes of the runs of one that is gone.

use std::time::Instant;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::agui::{Cuts, MessageList};
use crate::runner::{AskedStop, RunPhase, StopKind, StoreError, codes};

/// The code and message of a run's last event.
fn error_of(run: &StoredRun) -> (String, String) {
    let last: Value = serde_json::from_str(texts(&run.frames).last().unwrap()).unwrap();
    assert_eq!(last["type"], "RUN_ERROR");
    (last["code"].as_str().unwrap().to_owned(), last["message"].as_str().unwrap().to_owned())
}

/// A run of `thread` that its process left open.
async fn abandoned(place: &TempFile, thread: &str, events: &[Event]) -> Begun {
    let store = open(place);
    let begun = begin(&store, thread, "r").await;
    if !events.is_empty() {
        store.append(&begun.run, answer(&begun, events)).await.unwrap();
    }
    store.kill().await;
    begun
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    let said = answer(&begun, &[Event::run_finished("t", "r")]);
    let sealed = SealedRun { frames: said.clone(), state: Some(Arc::new(json!({"n": 1}))), ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(&place);
    assert_eq!(history(&store, "t").await[0].frames, said);
    let next = begin(&store, "t", "r2").await;
    assert_eq!((next.known, next.state.as_deref()), (vec![true], Some(&json!({"n": 1}))));
    assert!(next.run.number > begun.run.number);
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    assert!(place.names().iter().any(|name| name.contains("-holder-")));
    seal(&store, &begun, Frames::default()).await;
    store.close().await;
    assert_eq!(place.names(), ["threads.db"]);
    let late = store.append(&begun.run, Frames::default()).await;
    assert_eq!(late, Err(StoreError::Failed("the store is closed".to_owned())));
    assert!(store.thread(&"t".into()).await.is_err());
}

#[tokio::test]
async fn a_new_file_is_made_once_however_many_open_it() {
    for _ in 0..20 {
        let place = TempFile::new();
        let path = place.path().to_owned();
        let open = move || SqliteStore::open(&path, &SqliteOptions::default()).map(drop);
        let opened: Vec<_> = (0..8).map(|_| std::thread::spawn(open.clone())).collect();
        opened.into_iter().for_each(|one| one.join().unwrap().unwrap());
    }
}

#[tokio::test]
async fn a_run_whose_process_was_killed_is_closed_with_all_it_said() {
    let place = TempFile::new();
    let said = [Event::text_start("a"), Event::text_content("a", "Hel"), Event::text_content("a", "lo")];
    let begun = abandoned(&place, "t", &said).await;
    let store = open(&place);
    assert_eq!(store.active(&"t".into()).await.unwrap(), None);
    let runs = history(&store, "t").await;
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].number, runs[0].said), (begun.run.number, 6), "four said, two owed");
    let events = texts(&runs[0].frames);
    assert!(events[0].contains("RUN_STARTED") && events[0].contains("hello"));
    assert_eq!(
        events[1..4],
        [Event::text_start("a"), Event::text_content("a", "Hello"), Event::text_end("a")]
            .map(|event| event.to_string())
    );
    assert_eq!(error_of(&runs[0]).0, codes::RUN_INTERRUPTED);
    assert_eq!(events.len(), 5);
    let rest = Cuts::from(runs[0].cuts.clone()).rest(&runs[0].frames, 3, 0).unwrap();
    assert_eq!(rest[0].1, Event::text_content("a", "lo").json(), "who saw three goes on there");
    assert_eq!(begin(&store, "t", "r2").await.known, [true]);
}

#[tokio::test]
async fn what_the_user_asked_is_kept_before_the_agent_said_anything() {
    let place = TempFile::new();
    abandoned(&place, "t", &[]).await;
    let runs = history(&open(&place), "t").await;
    let mut messages = MessageList::default();
    runs[0].frames.events().for_each(|json| messages.apply(&Event::parse(json).unwrap()));
    assert_eq!(messages.to_rest(), r#"[{"id":"hello","role":"user","content":"hello"}]"#);
    assert_eq!((error_of(&runs[0]).0.as_str(), runs[0].said), (codes::RUN_INTERRUPTED, 2));
}

#[tokio::test]
async fn a_message_the_agent_left_out_of_its_own_input_is_not_lost() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    let own = Event::run_started("t", "r").with_field("input", r#"{"threadId":"t","runId":"r","messages":[]}"#);
    store.append(&begun.run, Frames::of(&[own])).await.unwrap();
    store.kill().await;
    let store = open(&place);
    let unsaid: Vec<_> = history(&store, "t").await[0].unsaid.iter().map(|message| message.id().to_owned()).collect();
    assert_eq!(unsaid, ["hello"]);
}

#[tokio::test]
async fn a_run_that_had_said_its_end_is_closed_as_it_is() {
    let place = TempFile::new();
    let begun = abandoned(&place, "t", &[Event::run_finished("t", "r")]).await;
    let runs = history(&open(&place), "t").await;
    assert_eq!(runs[0].frames, answer(&begun, &[Event::run_finished("t", "r")]));
    assert_eq!(runs[0].said, 2);
}

#[tokio::test]
async fn an_interrupted_run_leaves_the_state_it_had_come_to() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    store.seal(&begun.run, SealedRun { state: Some(Arc::new(json!({"a": 1}))), ..SealedRun::default() }).await.unwrap();
    store.close().await;
    abandoned(&place, "t", &[Event::state_delta(&json!([{"op": "add", "path": "/b", "value": 2}]))]).await;
    let state = open(&place).state(&"t".into()).await.unwrap();
    assert_eq!(state.as_deref(), Some(&json!({"a": 1, "b": 2})));
}

#[tokio::test]
async fn a_busy_thread_is_busy_for_every_process() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    let begun = begin(&one, "t", "r").await;
    assert!(matches!(two.begin(new_run("t", "r2", "hi")).await, Err(BeginError::Busy)));
    let active = two.active(&"t".into()).await.unwrap().unwrap();
    assert_eq!((&active.run, &*active.run_id), (&begun.run, "r"));
    seal(&one, &begun, Frames::default()).await;
    begin(&two, "t", "r2").await;
}

#[tokio::test]
async fn what_one_process_keeps_another_reads() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    let begun = begin(&one, "t", "r").await;
    let mut read = 0;
    for text in ["a", "b", "c"] {
        one.append(&begun.run, Frames::of(&[Event::text_content("m", text)])).await.unwrap();
        let said = two.said(&begun.run, read).await.unwrap();
        assert_eq!(texts(&said.frames), [Event::text_content("m", text).to_string()]);
        read += said.frames.count() as u64;
    }
    seal(&one, &begun, Frames::default()).await;
    assert_eq!(two.said(&begun.run, read).await.unwrap().phase, RunPhase::Sealed);
}

#[tokio::test]
async fn a_process_that_is_gone_frees_its_threads_at_once() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    begin(&one, "t", "r").await;
    one.kill().await;
    // Nobody waited for a lease: this asks, and gets the thread.
    let next = begin(&two, "t", "r2").await;
    assert_eq!(next.known, [true]);
    assert_eq!(error_of(&history(&two, "t").await[0]).0, codes::RUN_INTERRUPTED);
}

#[tokio::test]
async fn a_run_of_a_process_that_is_gone_is_closed_though_nobody_asks() {
    let place = TempFile::new();
    let one = open(&place);
    let options = SqliteOptions { lease: Duration::from_millis(40), ..SqliteOptions::default() };
    let two = SqliteStore::open(place.path(), &options).unwrap();
    let begun = begin(&one, "t", "r").await;
    one.kill().await;
    while two.said(&begun.run, 0).await.unwrap().phase != RunPhase::Sealed {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Its lock file goes after the commit that others may already have seen.
    while place.names().iter().any(|name| name.contains("-holder-")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_process_that_hangs_loses_its_runs_and_begins_anew() {
    let place = TempFile::new();
    let one = open(&place);
    let begun = begin(&one, "t", "r").await;
    // It renews its lease less often than others are now told to expect.
    place.connect().execute("UPDATE leases SET lasts = 20", []).unwrap();
    let options = SqliteOptions { lease: Duration::from_millis(20), ..SqliteOptions::default() };
    let two = SqliteStore::open(place.path(), &options).unwrap();
    while two.active(&"t".into()).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lost = Err(StoreError::LeaseLost);
    assert_eq!(one.append(&begun.run, Frames::of(&[Event::text_end("m")])).await, lost);
    assert_eq!(one.seal(&begun.run, SealedRun::default()).await, lost);
    assert_eq!(one.discard(&begun.run).await, lost);
    two.close().await;
    let again = begin(&one, "t", "r2").await;
    one.append(&again.run, Frames::of(&[Event::text_end("m")])).await.unwrap();
}

#[tokio::test]
async fn a_stop_asked_for_in_another_process_is_heard_once() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    let mut heard = one.stop_requests();
    let stop = |begun: &Begun, how| AskedStop { run: begun.run.clone(), how };
    let first = begin(&one, "t", "r").await;
    assert!(two.ask_to_stop(stop(&first, StopKind::End)).await.unwrap());
    assert!(!two.ask_to_stop(stop(&first, StopKind::End)).await.unwrap(), "asked already");
    assert_eq!(heard.next().await, Some(stop(&first, StopKind::End)));
    let second = begin(&one, "u", "r").await;
    assert!(two.ask_to_stop(stop(&second, StopKind::Forget)).await.unwrap());
    assert!(!two.ask_to_stop(stop(&second, StopKind::End)).await.unwrap(), "asked for more already");
    assert_eq!(heard.next().await, Some(stop(&second, StopKind::Forget)), "the first is not told again");
    assert!(two.ask_to_stop(stop(&first, StopKind::Forget)).await.unwrap(), "now it is to be forgotten");
    assert_eq!(heard.next().await, Some(stop(&first, StopKind::Forget)));
    let others = one.stop_requests().take(2).collect::<Vec<_>>().await;
    assert!(
        others.contains(&stop(&first, StopKind::Forget)) && others.contains(&stop(&second, StopKind::Forget)),
        "whoever asks hears of all"
    );
    seal(&one, &first, Frames::default()).await;
    assert!(!two.ask_to_stop(stop(&first, StopKind::End)).await.unwrap(), "it is over");
    drop(one);
    assert_eq!(heard.next().await, None, "the store is gone");
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_no_run_open() {
    let place = TempFile::new();
    let one = open(&place);
    begin(&one, "t", "r").await;
    one.close().await;
    let two = open(&place);
    assert_eq!(error_of(&history(&two, "t").await[0]).0, codes::RUN_INTERRUPTED);
}

#[test]
fn lock_files_of_processes_that_took_no_lease_are_swept_away() {
    let place = TempFile::new();
    let left = place.path().with_file_name("threads.db-holder-left");
    std::fs::write(&left, "").unwrap();
    let held = place.path().with_file_name("threads.db-holder-held");
    let lock = std::fs::File::create(&held).unwrap();
    lock.lock().unwrap();
    drop(open(&place));
    assert!(!left.exists() && held.exists());
}

#[test]
fn a_lease_is_dead_when_it_was_not_renewed_while_somebody_looked() {
    use super::super::lease::Lease;
    let place = TempFile::new();
    drop(open(&place));
    let connection = place.connect();
    let lasts = Duration::from_secs(5);
    let lease = || Lease::new(place.path().to_owned(), lasts, Arc::default());
    let (mut one, mut two) = (lease(), lease());
    let epoch = one.hold(&connection).unwrap();
    let run = "INSERT INTO open_runs VALUES (1, 1, ?1, 0, 0, 0, 'r', 'a', '{}')";
    connection.execute(run, [epoch]).unwrap();
    let start = Instant::now();
    let mut dead = |seconds| two.dead(&connection, start + Duration::from_secs_f64(seconds)).unwrap();
    assert_eq!(dead(0.0), [0; 0]);
    assert_eq!(dead(100.0), [0; 0], "nobody looked meanwhile: the disk may have hung for all");
    for seconds in [101.0, 102.0, 103.0] {
        assert_eq!(dead(seconds), [0; 0]);
    }
    one.renew(&connection).unwrap();
    connection.execute("UPDATE leases SET renewed_at = renewed_at + 1", []).unwrap();
    for seconds in [104.0, 105.0, 106.0, 107.0, 108.0] {
        assert_eq!(dead(seconds), [0; 0], "{seconds}");
    }
    assert_eq!(dead(109.0), [epoch]);
    connection.execute("DELETE FROM open_runs", []).unwrap();
    assert_eq!(dead(120.0), [0; 0], "who lives and holds nothing does no harm");
    one.let_go();
    assert_eq!(dead(121.0), [epoch], "where locks do not tell, time does");
}

#[test]
fn who_is_killed_while_it_buries_another_leaves_it_dead_for_the_next() {
    use super::super::lease::Lease;
    let place = TempFile::new();
    drop(open(&place));
    let mut connection = place.connect();
    let lease = || Lease::new(place.path().to_owned(), Duration::from_secs(5), Arc::default());
    let (mut gone, mut killed, mut next) = (lease(), lease(), lease());
    let epoch = gone.hold(&connection).unwrap();
    // Its lock goes with it, the file stays.
    drop(gone);
    assert_eq!(killed.dead(&connection, Instant::now()).unwrap(), [epoch]);
    let transaction = connection.transaction().unwrap();
    killed.bury(&transaction, epoch).unwrap();
    transaction.rollback().unwrap();
    assert_eq!(next.dead(&connection, Instant::now()).unwrap(), [epoch], "at once, as if nobody had been there");
}

#[tokio::test]
async fn of_a_process_that_is_gone_no_lock_file_is_left() {
    let place = TempFile::new();
    let witness = open(&place);
    for thread in ["found when it is opened", "found while it is open"] {
        abandoned(&place, thread, &[]).await;
        if thread.ends_with("is opened") {
            drop(open(&place));
        }
        let next = Instant::now() + Duration::from_secs(60);
        while place.names().iter().any(|name| name.contains("-holder-")) {
            assert!(Instant::now() < next, "{thread}: {:?}", place.names());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    drop(witness);
}
