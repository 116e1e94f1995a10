//! What operators do with the file.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::*;
use crate::runner::{Owner, Progress, Retention, StoreError, ThreadKey, ThreadPatch, ThreadQuery};

fn of(user: &str, thread: &str) -> ThreadKey {
    ThreadKey::new(Owner::of(user), thread)
}

/// A run of a user's whose every text holds a word of theirs.
fn run_of(user: &str, thread: &str, run: &str) -> NewRun {
    let word = format!("needle{user}");
    let new = new_run(&format!("{word}-{thread}"), run, &format!("{word} {run} asks"));
    NewRun { thread: of(&word, &new.thread.id), name: Some(word.as_str().into()), ..new }
}

/// Says much, in many ways, and leaves one run in three open.
async fn talk(store: &SqliteStore, user: &str, thread: usize, runs: usize) {
    let word = format!("needle{user}");
    for run in 0..runs {
        let begun = store.begin(run_of(user, &thread.to_string(), &run.to_string())).await.unwrap();
        let long = format!("{word} {}", "x".repeat(500 * (run % 12)));
        let id = format!("{word}-{thread}-{run}");
        let said =
            [Event::text_start(&id), Event::text_content(&id, &format!("{word} says {run}")), Event::text_end(&id)];
        store.append(&begun.run, answer(&begun, &said)).await.unwrap();
        store.append(&begun.run, Frames::of(&[Event::text_content(&id, &long)])).await.unwrap();
        if run == runs - 1 && thread.is_multiple_of(3) {
            return;
        }
        let frames = answer(&begun, &[Event::text_start(&id), Event::text_content(&id, &long), Event::text_end(&id)]);
        let sealed = SealedRun {
            said: 5,
            message_ids: vec![id.into()],
            state: Some(Arc::new(json!({"word": word, "n": run}))),
            frames,
            ..SealedRun::default()
        };
        store.seal(&begun.run, sealed).await.unwrap();
    }
}

/// Which files beside the database hold a text.
fn files_with(place: &TempFile, text: &str) -> Vec<String> {
    let holds = |name: &String| {
        let bytes = std::fs::read(place.path().with_file_name(name)).unwrap();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    };
    place.names().into_iter().filter(holds).collect()
}

#[tokio::test]
async fn nothing_a_forgotten_user_said_is_left_in_any_file() {
    let place = TempFile::new();
    let store = open(&place);
    for thread in 0..20 {
        for user in ["ann", "bob"] {
            talk(&store, user, thread, 1 + thread % 7).await;
        }
    }
    let find = async |user: &str| {
        let word = format!("needle{user}");
        let query = ThreadQuery { matching: Some(word.clone()), ..ThreadQuery::of(Owner::of(word)) };
        store.list(query).await.unwrap().threads.len()
    };
    assert_eq!((find("ann").await, find("bob").await), (20, 20));
    assert!(!files_with(&place, "needleann").is_empty());
    // Somebody reads meanwhile.
    let ann = Owner::of("needleann");
    let (forgotten, _) = tokio::join!(store.forget(&ann), find("bob"));
    assert_eq!(forgotten, Ok(20));
    assert_eq!(files_with(&place, "needleann"), [""; 0]);
    let free = place.connect().query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    assert_eq!(free.unwrap(), 0, "the file was written anew: a page may keep what a balanced tree moved off it");
    assert_eq!((find("ann").await, find("bob").await), (0, 20));
    assert_eq!(store.check().await.unwrap().problems, [""; 0]);
    assert_eq!(store.forget(&ann).await, Ok(0));
}

#[tokio::test]
async fn what_a_forgotten_user_said_in_another_process_is_gone_too() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    let pinned = begin(&one, "other", "r").await;
    let begun = one.begin(run_of("ann", "1", "r")).await.unwrap();
    let secret = Frames::of(&[Event::text_content("m", "needleann")]);
    let more = Frames::of(&[Event::text_content("m", "x")]);
    // One row of the tail for both.
    let (said, also) = tokio::join!(one.append(&begun.run, secret), one.append(&pinned.run, more.clone()));
    assert_eq!((said, also), (Ok(()), Ok(())));
    assert_eq!(two.forget(&Owner::of("needleann")).await, Ok(1));
    assert_eq!(files_with(&place, "needleann"), [""; 0]);
    assert_eq!(one.append(&begun.run, more.clone()).await, Ok(()), "it goes on and is not kept");
    one.append(&pinned.run, more).await.unwrap();
    assert_eq!(two.said(&pinned.run, 0).await.unwrap().frames.count(), 2);
}

#[tokio::test]
async fn runs_wait_for_a_process_that_writes_the_file_anew() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    let begun = begin(&one, "t", "r").await;
    begin(&two, "u", "r").await;
    let other = place.connect();
    let said = "INSERT INTO rewriting SELECT holder FROM leases WHERE epoch = (SELECT max(epoch) FROM leases)";
    other.execute_batch(&format!("{said}; BEGIN IMMEDIATE")).unwrap();
    let release = async {
        // Longer than a lock of strangers is waited for.
        tokio::time::sleep(Duration::from_millis(6500)).await;
        other.execute_batch("ROLLBACK").unwrap();
    };
    let more = Frames::of(&[Event::text_content("m", "x")]);
    let (kept, ()) = tokio::join!(one.append(&begun.run, more), release);
    assert_eq!(kept, Ok(()));
}

#[tokio::test]
async fn a_thread_of_many_runs_goes_and_runs_go_on_beside_it() {
    let place = TempFile::new();
    let store = open(&place);
    for run in 0..300 {
        let begun = begin(&store, "long", &run.to_string()).await;
        seal(&store, &begun, answer(&begun, &[])).await;
    }
    let (deleted, begun) = tokio::join!(async { store.delete(&"long".into()).await }, begin(&store, "other", "r"));
    assert_eq!(deleted, Ok(true));
    seal(&store, &begun, answer(&begun, &[])).await;
    assert_eq!(history(&store, "other").await.len(), 1);
    for table in ["removed", "events", "payloads"] {
        let left = place.connect().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
        assert_eq!(left.unwrap(), 0, "{table}");
    }
    assert_eq!(store.check().await.unwrap().runs, 1);
}

#[tokio::test]
async fn what_a_crash_left_of_a_deleted_thread_is_swept_away_later() {
    let place = TempFile::new();
    let store = open(&place);
    seal(&store, &begin(&store, "t", "r").await, Frames::default()).await;
    store.close().await;
    let connection = place.connect();
    connection.execute_batch("INSERT INTO removed SELECT id FROM threads; DELETE FROM threads").unwrap();
    let store = open(&place);
    let left = || connection.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0)).unwrap();
    while left() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(store.check().await.unwrap().is_healthy());
}

#[tokio::test]
async fn a_backup_is_whole_while_runs_go_on() {
    let place = TempFile::new();
    let store = open(&place);
    talk(&store, "ann", 1, 40).await;
    let open_run = begin(&store, "open", "r").await;
    let copy = place.path().with_file_name("copy.db");
    let seen = Arc::new(AtomicU64::new(0));
    let progress = {
        let seen = seen.clone();
        move |progress: Progress| {
            assert!(progress.done <= progress.total);
            seen.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (backed_up, ()) = tokio::join!(store.backup(&copy, progress), talk(&store, "bob", 1, 40));
    assert_eq!(backed_up, Ok(()));
    store.append(&open_run.run, Frames::of(&[Event::text_end("m")])).await.unwrap();
    let twice = store.backup(&copy, |_| {}).await;
    assert!(matches!(twice, Err(StoreError::Failed(text)) if text.contains("overwrites nothing")));
    assert!(!place.names().iter().any(|name| name.contains("partial")));
    let restored = SqliteStore::open(&copy, &SqliteOptions::default()).unwrap();
    assert!(restored.check().await.unwrap().is_healthy());
    let key = of("needleann", "needleann-1");
    let runs = async |store: &SqliteStore| {
        let runs = store.history(&key, 0, None).await.unwrap().runs;
        runs.into_iter().map(|run| run.frames).collect::<Vec<_>>()
    };
    assert_eq!(runs(&restored).await, runs(&store).await);
    assert_eq!(runs(&restored).await.len(), 40);
    begin(&restored, "open", "r2").await;
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let place = TempFile::new();
    let store = open(&place);
    let nowhere = place.path().join("no directory/copy.db");
    let text = store.backup(&nowhere, |_| {}).await.unwrap_err().to_string();
    assert!(text.contains("cannot be opened"), "{text}");
    assert!(!place.names().iter().any(|name| name.contains("copy")));
}

#[tokio::test]
async fn a_backup_nobody_waits_for_any_more_leaves_nothing() {
    let place = TempFile::new();
    let store = open(&place);
    let much = (0..2000).map(|n| Event::text_content(&n.to_string(), &"x".repeat(1500))).collect::<Vec<_>>();
    seal(&store, &begin(&store, "large", "r").await, Frames::of(&much)).await;
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let progress = move |_: Progress| {
        begun.send(()).ok();
        wait.recv().ok();
    };
    tokio::select! {
        done = store.backup(place.path().with_file_name("copy.db"), progress) => panic!("{done:?}"),
        began = has_begun.recv() => assert_eq!(began, Some(())),
    }
    assert!(place.names().iter().any(|name| name == "copy.db.partial"));
    drop(go_on);
    while place.names().iter().any(|name| name.contains("copy")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_backup_has_no_rows_of_the_tail_that_are_nobodys() {
    let place = TempFile::new();
    let store = open(&place);
    // The run that goes on needs the row, the other does not.
    let (over, open_run) = (begin(&store, "over", "r").await, begin(&store, "open", "r").await);
    let said = Frames::of(&[Event::text_content("m", "x")]);
    let (one, two) = tokio::join!(store.append(&over.run, said.clone()), store.append(&open_run.run, said));
    assert_eq!((one, two), (Ok(()), Ok(())));
    seal(&store, &over, Frames::default()).await;
    let copies = ["while it is open.db", "when it is over.db"].map(|name| place.path().with_file_name(name));
    store.backup(&copies[0], |_| {}).await.unwrap();
    seal(&store, &open_run, Frames::default()).await;
    store.backup(&copies[1], |_| {}).await.unwrap();
    for copy in copies {
        assert_eq!(SqliteStore::check_file(copy).unwrap().problems, [""; 0]);
    }
}

#[tokio::test]
async fn room_of_what_was_deleted_is_given_back_while_runs_go_on() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "large", "r").await;
    let much = (0..2000).map(|n| Event::text_content(&n.to_string(), &"x".repeat(1500))).collect::<Vec<_>>();
    seal(&store, &begun, Frames::of(&much)).await;
    store.delete(&"large".into()).await.unwrap();
    let run = begin(&store, "t", "r").await;
    let given = store.vacuum(|progress| assert!(progress.done <= progress.total)).await.unwrap();
    assert!(given > 2_000_000, "{given}");
    assert!(std::fs::metadata(place.path()).unwrap().len() < 1_000_000);
    seal(&store, &run, answer(&run, &[])).await;
    assert!(store.check().await.unwrap().is_healthy());
    assert_eq!(store.vacuum(|_| {}).await, Ok(0));
}

#[tokio::test]
async fn a_check_tells_what_is_wrong() {
    let place = TempFile::new();
    let store = open(&place);
    seal(&store, &begin(&store, "t", "r").await, Frames::of(&[Event::text_end("m")])).await;
    let report = store.check().await.unwrap();
    assert_eq!((report.threads, report.runs, report.is_healthy()), (1, 1, true));
    store.close().await;
    let connection = place.connect();
    connection
        .execute_batch(
            "UPDATE runs SET count = 7; INSERT INTO states VALUES (99, '1'); UPDATE threads SET next_run = 1",
        )
        .unwrap();
    let report = SqliteStore::check_file(place.path()).unwrap();
    let told = report.problems.join("; ");
    for problem in ["lacks events", "1 states of no thread", "1 threads that would give the number of a run again"] {
        assert!(told.contains(problem), "{told}");
    }
    connection.execute_batch("UPDATE runs SET frames = x'ffffffff00'").unwrap();
    let told = SqliteStore::check_file(place.path()).unwrap().problems.join("; ");
    assert!(told.contains("cannot be read"), "{told}");
    assert!(SqliteStore::check_file(place.path().with_file_name("missing.db")).is_err());
}

#[tokio::test]
async fn a_thread_is_exported_with_everything_as_it_was_said() {
    let store = fresh();
    let key = of("ann", "t");
    let first = store
        .begin(NewRun { thread: key.clone(), name: Some("Rain".into()), ..new_run("t", "r1", "hello") })
        .await
        .unwrap();
    let odd = Event::parse(r#"{"type":"CUSTOM","name":"n","value":1.0e400}"#).unwrap();
    let said =
        answer(&first, &[Event::text_start("a"), Event::text_content("a", "hi"), Event::text_end("a"), odd.clone()]);
    let state = Some(Arc::new(json!({"n": 1})));
    store.seal(&first.run, SealedRun { frames: said.clone(), state, ..SealedRun::default() }).await.unwrap();
    store.begin(NewRun { thread: key.clone(), ..new_run("t", "r2", "more") }).await.unwrap();
    let text = store.export_thread(&key).await.unwrap().unwrap();
    assert!(text.contains(odd.as_str()), "numbers keep their text");
    let thread: Value = serde_json::from_str(&text.replace("1.0e400", "1")).unwrap();
    assert_eq!((&thread["threadId"], &thread["userId"], &thread["name"]), (&json!("t"), &json!("ann"), &json!("Rain")));
    assert_eq!((&thread["state"], &thread["archived"]), (&json!({"n": 1}), &json!(false)));
    assert!(thread["createdAt"].as_str().unwrap().ends_with('Z'));
    let ids: Vec<_> = thread["messages"].as_array().unwrap().iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids, ["hello", "a", "more"]);
    assert_eq!(thread["runs"][0]["events"].as_array().unwrap().len(), 5);
    assert_eq!((&thread["runs"][1]["runId"], &thread["runs"][1]["endedAt"]), (&json!("r2"), &Value::Null));
    assert_eq!(store.export_thread(&of("bob", "t")).await, Ok(None));
}

#[tokio::test]
async fn a_users_threads_are_exported_one_after_the_other() {
    let store = fresh();
    for n in 0..300 {
        let begun =
            store.begin(NewRun { thread: of("ann", &n.to_string()), ..new_run("", "r", "hello") }).await.unwrap();
        seal(&store, &begun, Frames::default()).await;
    }
    let archive = ThreadPatch { archived: Some(true), ..ThreadPatch::default() };
    store.update(&of("ann", "7"), archive).await.unwrap();
    begin(&store, "anonymous", "r").await;
    let all: Vec<String> = store.export_owner(&Owner::of("ann")).try_collect().await.unwrap();
    let ids: std::collections::BTreeSet<String> =
        all.iter().map(|json| serde_json::from_str::<Value>(json).unwrap()["threadId"].to_string()).collect();
    assert_eq!((all.len(), ids.len()), (300, 300));
}

#[tokio::test]
async fn threads_are_kept_by_age_and_by_number_and_never_lost_while_they_run() {
    let place = TempFile::new();
    let store = open(&place);
    for thread in ["a", "b", "c", "d"] {
        let begun = begin(&store, thread, "r").await;
        if thread != "a" {
            seal(&store, &begun, Frames::default()).await;
        }
    }
    let other = store.begin(NewRun { thread: of("ann", "x"), ..new_run("x", "r", "hello") }).await.unwrap();
    seal(&store, &other, Frames::default()).await;
    let names = async || {
        let threads = store.list(ThreadQuery::everybody()).await.unwrap().threads;
        threads.into_iter().map(|thread| thread.key.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(store.retain(Retention::default()).await, Ok(0));
    let two = Retention { max_threads_per_owner: Some(2), ..Retention::default() };
    assert_eq!(store.retain(two).await, Ok(1));
    assert_eq!(names().await, ["x", "d", "c", "a"]);
    place.connect().execute_batch("UPDATE threads SET updated_at = 1 WHERE thread_id IN ('a', 'c', 'x')").unwrap();
    let hour = Retention { max_age: Some(Duration::from_secs(3600)), ..Retention::default() };
    assert_eq!(store.retain(hour).await, Ok(2));
    assert_eq!(names().await, ["d", "a"]);
}

#[tokio::test]
async fn a_file_stays_sound_while_threads_are_renamed_and_deleted() {
    let place = TempFile::new();
    let store = open(&place);
    for thread in 0..40 {
        talk(&store, "ann", thread, 3).await;
    }
    for round in 0..5 {
        for thread in 0..40 {
            let key = of("needleann", &format!("needleann-{thread}"));
            let name = format!("{} renamed", "word ".repeat((thread + round) % 7));
            store.update(&key, ThreadPatch { name: Some(Some(name.into())), ..ThreadPatch::default() }).await.unwrap();
        }
        let key = of("needleann", &format!("needleann-{round}"));
        assert_eq!(store.delete(&key).await, Ok(true));
        let query = ThreadQuery { matching: Some("renamed".into()), ..ThreadQuery::of(Owner::of("needleann")) };
        store.list(query).await.unwrap();
        assert_eq!(store.check().await.unwrap().problems, [""; 0], "round {round}");
    }
}
