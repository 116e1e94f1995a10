//! What goes wrong with files: the run ends with a text that says what to do, other threads go on, and nothing that was
//! kept is lost.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::*;
use crate::agent::FunctionAgent;
use crate::runner::{
    AgentRunner, ConnectRequest, FrameStream, LiveRunner, OpenError, RunOptions, RunRequest, SqliteRunner, StoreError,
    ThreadQuery, codes,
};

/// An engine over a store.
fn engine(store: &Arc<SqliteStore>) -> LiveRunner {
    LiveRunner::new(store.clone(), RunOptions::default())
}

/// Runs an agent that says a text, and answers what the client saw.
async fn talk(engine: &LiveRunner, thread: &str, text: &str) -> Vec<Value> {
    let said = text.to_owned();
    let agent = FunctionAgent::new(move |call| {
        let input = call.input;
        let events = [
            Event::run_started(&input.thread_id, &input.run_id),
            Event::text_start("a"),
            Event::text_content("a", &said),
            Event::text_end("a"),
            Event::run_finished(&input.thread_id, &input.run_id),
        ];
        tokio_stream::iter(events.map(Ok)).then(async |event| {
            // One by one, not all at the end.
            tokio::task::yield_now().await;
            event
        })
    });
    let input = (*new_run(thread, "r", "hello").input).clone();
    let stream = engine.run(RunRequest::new("agent", Arc::new(agent), input)).await.unwrap();
    values(stream).await
}

async fn replay(engine: &LiveRunner, thread: &str) -> Vec<Value> {
    match engine.connect(ConnectRequest::new(thread)).await {
        Ok(stream) => values(stream).await,
        Err(error) => vec![serde_json::json!({"type": "RUN_ERROR", "message": error.to_string()})],
    }
}

async fn values(stream: FrameStream) -> Vec<Value> {
    let events = stream.flat_map(|frames| stream::iter(frames.events().collect::<Vec<_>>()));
    events.map(|json| serde_json::from_slice(&json).unwrap()).collect().await
}

/// Leaves room for a little more on the disk.
async fn fill_disk(store: &SqliteStore) {
    let pages = store.place.as_ref().unwrap().connect().query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0));
    store.set("max_page_count", pages.unwrap() + 20).await;
}

/// The run ended well.
#[track_caller]
fn finished(events: &[Value]) {
    assert_eq!(events.last().unwrap()["type"], "RUN_FINISHED", "{events:?}");
}

/// The run ended because of the store, with this in its text.
#[track_caller]
fn failed(events: &[Value], text: &str) {
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["code"]), (&"RUN_ERROR".into(), &codes::STORE_FAILED.into()));
    assert!(last["message"].as_str().unwrap().contains(text), "{last}");
    assert_eq!(events.iter().filter(|event| event["type"] == "RUN_ERROR").count(), 1);
}

#[tokio::test]
async fn a_full_disk_ends_the_run_and_nothing_else() {
    let store = Arc::new(fresh());
    let engine = engine(&store);
    finished(&talk(&engine, "kept", "before").await);
    fill_disk(&store).await;
    failed(&talk(&engine, "large", &"x".repeat(1_000_000)).await, "no room left on the disk");
    let replayed = replay(&engine, "kept").await;
    finished(&replayed);
    assert_eq!(replayed[2]["delta"], "before");
    finished(&talk(&engine, "kept", "meanwhile").await);
    assert!(store.list(ThreadQuery::everybody()).await.unwrap().threads.iter().any(|thread| &*thread.key.id == "kept"));
    store.set("max_page_count", 1_000_000).await;
    finished(&talk(&engine, "other", &"x".repeat(1_000_000)).await);
}

#[tokio::test]
async fn one_that_does_not_fit_spoils_nothing_for_those_committed_with_it() {
    let store = fresh();
    let (large, small) = (begin(&store, "large", "r").await, begin(&store, "small", "r").await);
    fill_disk(&store).await;
    let much = Frames::of(&[Event::text_content("m", &"x".repeat(1_000_000))]);
    let little = Frames::of(&[Event::text_content("m", "x")]);
    // They wait for the writer together.
    let (first, second, third) = tokio::join!(
        store.append(&small.run, little.clone()),
        store.append(&large.run, much),
        store.append(&small.run, little.clone())
    );
    assert!(matches!(second, Err(StoreError::Failed(text)) if text.contains("no room left")));
    assert_eq!((first, third), (Ok(()), Ok(())));
    assert_eq!(store.said(&small.run, 0).await.unwrap().frames.count(), 2);
    assert_eq!(store.said(&large.run, 0).await.unwrap().frames.count(), 0);
}

#[tokio::test]
async fn a_file_that_became_read_only_is_still_read() {
    let store = Arc::new(fresh());
    let engine = engine(&store);
    finished(&talk(&engine, "t", "before").await);
    store.set("query_only", 1).await;
    failed(&talk(&engine, "t", "after").await, "give this program write access");
    finished(&replay(&engine, "t").await);
}

#[tokio::test]
async fn a_locked_file_ends_the_run_and_is_still_read() {
    let place = TempFile::new();
    let store = Arc::new(open(&place));
    let engine = engine(&store);
    finished(&talk(&engine, "t", "before").await);
    let other = place.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (ended, replayed) = tokio::join!(talk(&engine, "u", "after"), replay(&engine, "t"));
    finished(&replayed);
    failed(&ended, "is locked by another program");
    other.execute_batch("ROLLBACK").unwrap();
    finished(&talk(&engine, "u", "after").await);
}

/// Overwrites the beginning of a page of a table.
fn damage(place: &TempFile, table: &str, kind: &str, bytes: &[u8]) {
    let connection = place.connect();
    connection.pragma_update(None, "journal_mode", "DELETE").unwrap();
    let page = "SELECT pageno - 1 FROM dbstat WHERE name = ?1 AND pagetype = ?2 LIMIT 1";
    let page: i64 = connection.query_row(page, [table, kind], |row| row.get(0)).unwrap();
    drop(connection);
    let mut file = OpenOptions::new().write(true).open(place.path()).unwrap();
    file.seek(SeekFrom::Start(page.unsigned_abs() * 4096)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test]
async fn a_damaged_part_of_the_file_is_told_and_the_rest_goes_on() {
    let place = TempFile::new();
    let store = Arc::new(open(&place));
    // Too long for one page: parts of it lie on pages of their own.
    finished(&talk(&engine(&store), "broken", &"x".repeat(20_000)).await);
    finished(&talk(&engine(&store), "whole", "before").await);
    store.close().await;
    damage(&place, "payloads", "overflow", &[0xff; 4]);
    let engine = engine(&Arc::new(open(&place)));
    let replayed = replay(&engine, "broken").await;
    let text = replayed.last().unwrap()["message"].as_str().unwrap();
    assert!(text.contains("is damaged") && text.contains("restore a backup"), "{text}");
    finished(&replay(&engine, "whole").await);
    finished(&talk(&engine, "whole", "after").await);
}

#[tokio::test]
async fn a_table_that_is_damaged_ends_the_run() {
    let place = TempFile::new();
    let store = open(&place);
    seal(&store, &begin(&store, "t", "r").await, Frames::of(&[Event::run_finished("t", "r")])).await;
    store.close().await;
    damage(&place, "tail", "leaf", &[0; 8]);
    let engine = engine(&Arc::new(open(&place)));
    failed(&talk(&engine, "u", "hi").await, "is damaged");
    finished(&replay(&engine, "t").await);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let place = TempFile::new();
    let refused = async |path: &std::path::Path| SqliteRunner::open(path).await.unwrap_err();
    for none in ["", ":memory:"] {
        assert_eq!(refused(none.as_ref()).await, OpenError::NoFile);
    }
    let text = refused(&place.path().join("nowhere/threads.db")).await.to_string();
    assert!(text.contains("check that its directory exists"), "{text}");
    std::fs::write(place.path(), "no database, but long enough to look like one".repeat(100)).unwrap();
    let text = refused(place.path()).await.to_string();
    assert!(text.contains("is no SQLite database"), "{text}");
    std::fs::remove_file(place.path()).unwrap();

    place.connect().execute_batch("CREATE TABLE theirs (id)").unwrap();
    assert_eq!(refused(place.path()).await, OpenError::Foreign { file: place.path().to_owned() });
    std::fs::remove_file(place.path()).unwrap();

    open(&place).close().await;
    place.connect().pragma_update(None, "user_version", 1000).unwrap();
    let newer = refused(place.path()).await;
    assert!(matches!(newer, OpenError::Newer { found: 1000, .. }));
    assert!(newer.to_string().contains("upgrade this program, or use another file"));
    let version = place.connect().query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), 1000, "it was left alone");
}
