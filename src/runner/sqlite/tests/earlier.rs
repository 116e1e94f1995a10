//! Files of earlier versions.

use super::*;
use crate::runner::{Owner, ThreadQuery};

#[tokio::test]
async fn threads_of_earlier_versions_stay_in_order_behind_what_comes() {
    let place = TempFile::new();
    let store = open(&place);
    for thread in ["a", "b"] {
        let begun = begin(&store, thread, "r").await;
        seal(&store, &begun, answer(&begun, &[])).await;
    }
    store.close().await;
    let as_it_was = "
        CREATE INDEX threads_of_all ON threads (archived, active);
        CREATE INDEX threads_of_owner ON threads (owner, archived, active);
        CREATE TRIGGER a_thread_was_named AFTER INSERT ON threads WHEN new.name IS NOT NULL BEGIN
            INSERT INTO unsearched (number) VALUES (new.id << 24);
        END;
        UPDATE threads SET active = id;
        PRAGMA user_version = 2;";
    place.connect().execute_batch(as_it_was).unwrap();

    let store = open(&place);
    let begun = begin(&store, "c", "r").await;
    seal(&store, &begun, answer(&begun, &[])).await;
    let listed = store.list(ThreadQuery::of(Owner::anonymous())).await.unwrap();
    let ids: Vec<_> = listed.threads.iter().map(|thread| &*thread.key.id).collect();
    assert_eq!(ids, ["c", "b", "a"]);
    let indexes = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'threads_of_%'";
    assert_eq!(place.connect().query_row(indexes, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}
