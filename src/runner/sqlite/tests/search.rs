//! When threads are found by what was said on them.

use super::*;
use crate::runner::ThreadQuery;

/// Threads by number, on each of which its number was said as a word.
async fn talk(store: &SqliteStore, threads: std::ops::Range<usize>) {
    for n in threads {
        let thread = format!("t{n}");
        let begun = store.begin(new_run(&thread, "r", &format!("word{n}end"))).await.unwrap();
        seal(store, &begun, answer(&begun, &[])).await;
    }
}

async fn found(store: &SqliteStore, text: &str) -> usize {
    let query = ThreadQuery { matching: Some(text.into()), limit: 1000, ..ThreadQuery::everybody() };
    store.list(query).await.unwrap().threads.len()
}

/// Rows that are yet to be made ready.
fn waiting(place: &TempFile) -> i64 {
    place.connect().query_row("SELECT count(*) FROM unsearched", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_search_waits_for_what_was_said_last_and_not_for_all() {
    let place = TempFile::new();
    let store = open(&place);
    talk(&store, 0..20).await;
    // As after a long time in which nobody had the time. There is nothing behind most of them.
    let many = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
        INSERT INTO unsearched (number) SELECT (1000000 + n) << 24 FROM n";
    place.connect().execute_batch(many).unwrap();
    talk(&store, 20..40).await;
    assert_eq!(found(&store, "word39end").await, 1, "what was said last is found at once");
    while found(&store, "word").await < 40 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_was_said_is_made_ready_for_searches_though_nobody_searches() {
    let place = TempFile::new();
    let store = open(&place);
    talk(&store, 0..20).await;
    while waiting(&place) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_was_said_is_made_ready_for_searches_though_runs_never_rest() {
    let place = TempFile::new();
    let store = open(&place);
    talk(&store, 0..20).await;
    let busy = begin(&store, "busy", "r").await;
    while waiting(&place) > 0 {
        store.append(&busy.run, Frames::of(&[Event::text_content("m", "x")])).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_said_before_the_words_were_kept_in_another_way_is_found() {
    let place = TempFile::new();
    talk(&open(&place), 0..20).await;
    let first = "DROP TABLE search; DELETE FROM unsearched; PRAGMA user_version = 1;
        CREATE INDEX threads_of_all ON threads (archived, active);
        CREATE INDEX threads_of_owner ON threads (owner, archived, active);
        CREATE TRIGGER a_thread_was_named AFTER INSERT ON threads WHEN new.name IS NOT NULL BEGIN
            INSERT INTO unsearched (number) VALUES (new.id << 24);
        END;
        CREATE VIRTUAL TABLE search USING fts5 (words, tokenize = 'ascii', detail = 'none', columnsize = 0)";
    place.connect().execute_batch(first).unwrap();
    let store = open(&place);
    assert_eq!(found(&store, "word7end").await, 1);
    assert_eq!(found(&store, "word").await, 20);
    assert_eq!(store.check().await.unwrap().problems, [""; 0]);
}
