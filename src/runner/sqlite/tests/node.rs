//! A file of the Node runtime's SQLite runner.

use serde_json::json;

use super::*;
use crate::agui::MessageList;
use crate::runner::{Owner, ThreadQuery};

const SCHEMA: &str = "
    CREATE TABLE agent_runs (id INTEGER PRIMARY KEY AUTOINCREMENT, thread_id TEXT NOT NULL, run_id TEXT NOT NULL UNIQUE,
        parent_run_id TEXT, events TEXT NOT NULL, input TEXT NOT NULL, created_at INTEGER NOT NULL,
        version INTEGER NOT NULL);
    CREATE TABLE run_state (thread_id TEXT PRIMARY KEY, is_running INTEGER DEFAULT 0, current_run_id TEXT,
        updated_at INTEGER NOT NULL);
    CREATE INDEX idx_thread_id ON agent_runs(thread_id);
    CREATE INDEX idx_parent_run_id ON agent_runs(parent_run_id);
    CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL);
    INSERT INTO schema_version VALUES (1, 1);
    INSERT INTO run_state VALUES ('t', 1, 'killed', 1);";

/// A run as Node writes it: its events shortened, its input whole.
struct Run {
    thread: &'static str,
    id: &'static str,
    parent: Option<&'static str>,
    at: i64,
    said: Vec<serde_json::Value>,
    messages: Vec<serde_json::Value>,
}

fn write(place: &TempFile, runs: &[Run]) {
    let connection = place.connect();
    connection.execute_batch(SCHEMA).unwrap();
    for run in runs {
        let input = json!({"threadId": run.thread, "runId": run.id, "state": {}, "messages": run.messages,
            "tools": [], "context": [], "forwardedProps": {}});
        let row = (run.thread, run.id, run.parent, json!(run.said).to_string(), input.to_string(), run.at);
        let sql = "INSERT INTO agent_runs (thread_id, run_id, parent_run_id, events, input, created_at, version)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)";
        connection.execute(sql, row).unwrap();
    }
}

fn user(id: &str) -> serde_json::Value {
    json!({"id": id, "role": "user", "content": id})
}

/// A run that went well, with a message the thread did not know.
fn run(thread: &'static str, id: &'static str, parent: Option<&'static str>, at: i64) -> Run {
    let input = json!({"threadId": thread, "runId": id, "state": {}, "messages": [user(id)], "tools": [],
        "context": [], "forwardedProps": {}});
    let answer = format!("a-{id}");
    let said = vec![
        json!({"type": "RUN_STARTED", "threadId": thread, "runId": id, "input": input}),
        json!({"type": "TEXT_MESSAGE_START", "messageId": answer, "role": "assistant"}),
        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": answer, "delta": "hi"}),
        json!({"type": "TEXT_MESSAGE_END", "messageId": answer}),
        json!({"type": "RUN_FINISHED", "threadId": thread, "runId": id}),
    ];
    Run { thread, id, parent, at, said, messages: vec![user(id)] }
}

fn kinds(run: &StoredRun) -> Vec<String> {
    let kind =
        |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap()["type"].as_str().unwrap().into();
    texts(&run.frames).into_iter().map(kind).collect()
}

#[tokio::test]
async fn its_threads_are_there_as_it_replayed_them() {
    let place = TempFile::new();
    let mut second = run("t", "r2", Some("r1"), 20);
    second.messages = vec![user("r1"), json!({"id": "a-r1", "role": "assistant", "content": "hi"}), user("r2")];
    let orphan = run("t", "r3", Some("nobody"), 30);
    write(&place, &[run("u", "r0", None, 15), run("t", "r1", None, 10), second, orphan]);
    let store = open(&place);
    let threads = store.list(ThreadQuery::of(Owner::anonymous())).await.unwrap().threads;
    let listed: Vec<_> = threads.iter().map(|one| (&*one.key.id, one.created_at, one.updated_at)).collect();
    assert_eq!(listed, [("t", 10, 20), ("u", 15, 15)]);
    assert_eq!(&*threads[0].agent_id, "default");
    let runs = history(&store, "t").await;
    let expected = [run("t", "r1", None, 0), run("t", "r2", None, 0)].map(|run| run.said);
    for (run, expected) in runs.iter().zip(&expected) {
        assert_eq!(texts(&run.frames), expected.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    assert_eq!(runs.len(), 2);
    let next = store.begin(new_run("t", "r4", "a-r1")).await.unwrap();
    assert_eq!(next.known, [true], "a thread that was running when Node was killed is free, and knows what was said");
    store.close().await;
    let store = open(&place);
    assert_eq!(history(&store, "t").await.len(), 3, "they are taken over once");
    let theirs = place.connect().query_row("SELECT count(*) FROM agent_runs", [], |row| row.get::<_, i64>(0));
    assert_eq!(theirs.unwrap(), 4, "and stay where they were");
}

#[tokio::test]
async fn what_it_broke_is_repaired() {
    let place = TempFile::new();
    let mut stopped = run("stopped", "r1", None, 1);
    stopped.said[4] = json!({"type": "RUN_FINISHED"});
    let mut failed = run("failed", "r2", None, 2);
    failed.said[4] = json!({"type": "RUN_ERROR", "message": "no"});
    // A message open when the run failed: behind its end, and without an end of its own.
    let end = failed.said.remove(4);
    failed.said.truncate(3);
    failed.said.insert(1, end);
    let mut at_once = run("at once", "r3", None, 3);
    at_once.said = vec![json!({"type": "RUN_ERROR", "message": "no"})];
    let mut broken = run("broken state", "r4", None, 4);
    broken.said.insert(1, json!({"type": "STATE_DELTA", "delta": [{"op": "remove", "path": "/nothing"}]}));
    broken.said.insert(1, json!({"type": "STATE_SNAPSHOT", "snapshot": {"n": 1}}));
    write(&place, &[stopped, failed, at_once, broken]);
    let store = open(&place);
    let last = |runs: &[StoredRun]| texts(&runs[0].frames).pop().unwrap();
    let stopped = history(&store, "stopped").await;
    assert_eq!(last(&stopped), r#"{"type":"RUN_FINISHED","threadId":"stopped","runId":"r1"}"#);
    let failed = history(&store, "failed").await;
    let text = ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_ERROR"];
    assert_eq!(kinds(&failed[0]), text);
    let at_once = history(&store, "at once").await;
    assert_eq!(kinds(&at_once[0]), ["RUN_STARTED", "RUN_ERROR"]);
    let mut messages = MessageList::default();
    at_once[0].frames.events().for_each(|json| messages.apply(&Event::parse(json).unwrap()));
    assert_eq!(messages.texts(), ["r3"], "what the user asked is not lost");
    assert_eq!(store.state(&"broken state".into()).await.unwrap().as_deref(), Some(&json!({"n": 1})));
}

#[tokio::test]
async fn a_file_it_never_wrote_to_is_taken_as_it_is() {
    let place = TempFile::new();
    write(&place, &[]);
    let store = open(&place);
    assert_eq!(begin(&store, "t", "r").await.known, [false]);
}
