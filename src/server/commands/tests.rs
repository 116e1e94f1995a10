//! The commands, each from its words on the command line to what it prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::agui::{Event, Frames, Message, RunAgentInput};
use crate::runner::{Begun, NewRun, Owner, SealedRun, StopKind, ThreadKey, ThreadPatch};

/// A command line without the program's name.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    command: Keeping,
}

/// A database in a directory of its own.
struct Place {
    directory: PathBuf,
    store: SqliteStore,
}

/// What a command printed, and how it ended.
struct Said {
    out: String,
    end: Result<(), Failure>,
}

impl Place {
    fn new() -> Place {
        let directory = std::env::temp_dir().join(format!("copilotkit-commands-{}", Uuid::new_v4()));
        fs::create_dir_all(&directory).expect("a directory");
        let store = SqliteStore::open(directory.join("threads.db"), &SqliteOptions::default()).expect("a new file");
        Place { directory, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Nobody is there to be asked.
    async fn run(&self, line: &[&str]) -> Said {
        self.answering(line, |_| None).await
    }

    async fn answering(&self, line: &[&str], answer: fn(&str) -> Option<bool>) -> Said {
        let command = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).command;
        let mut out = Vec::new();
        let mut console = Console::answering(&mut out, answer);
        let end = dispatch(command, Ok(self.path("threads.db")), &mut console).await;
        Said { out: String::from_utf8(out).expect("text"), end }
    }

    async fn json(&self, line: &[&str]) -> Value {
        let said = self.run(line).await;
        assert!(said.end.is_ok(), "{:?}", said.end);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    }

    async fn begin(&self, user: &str, id: &str, agent: &str, says: &str) -> Begun {
        let mut input = RunAgentInput::new(id, "run-1");
        input.messages = vec![Message::user(&format!("{id}: {says}"), says)];
        let thread = ThreadKey::new(Owner::of(user), id);
        let (input, name) = (Arc::new(input), Some(format!("About {id}").into()));
        let run = NewRun { thread, run_id: "run-1".into(), agent_id: agent.into(), input, name };
        self.store.begin(run).await.expect("a free thread")
    }

    /// A thread on which a user said something and an agent answered.
    async fn talk(&self, user: &str, id: &str, says: &str, answer: &str) {
        let begun = self.begin(user, id, "helper", says).await;
        let sealed = SealedRun {
            frames: spoken(id, answer),
            said: 3,
            unsaid: vec![Message::user(&format!("{id}: {says}"), says)],
            state: Some(Arc::new(json!({ "answered": id }))),
            ..SealedRun::default()
        };
        self.store.seal(&begun.run, sealed).await.expect("an open run");
    }

    async fn archive(&self, user: &str, id: &str) {
        let patch = ThreadPatch { archived: Some(true), ..ThreadPatch::default() };
        self.store.update(&ThreadKey::new(Owner::of(user), id), patch).await.expect("a thread");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spoken(id: &str, text: &str) -> Frames {
    Frames::of(&[Event::text_start(id), Event::text_content(id, text), Event::text_end(id)])
}

fn ids(list: &Value) -> Vec<&str> {
    list["threads"].as_array().expect("a list").iter().filter_map(|thread| thread["threadId"].as_str()).collect()
}

#[tokio::test]
async fn list_shows_a_table_of_the_newest_activity_first() {
    let place = Place::new();
    assert_eq!(place.run(&["threads", "list"]).await.out, "");
    place.talk("", "t1", "hello", "hi").await;
    place.talk("ada", "a-long-id", "hello", "hi").await;
    let out = place.run(&["threads", "list"]).await.out;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert_eq!(lines[0], "ID         USER  AGENT   LAST ACTIVITY              NAME");
    assert!(lines[1].starts_with("a-long-id  ada   helper  2"), "{out}");
    assert!(lines[2].starts_with("t1         -     helper  2") && lines[2].ends_with("  About t1"), "{out}");
}

#[tokio::test]
async fn list_is_narrowed_by_user_agent_words_and_number() {
    let place = Place::new();
    place.talk("ada", "t1", "the weather in Rome", "sunny").await;
    place.talk("ada", "t2", "hello", "hi").await;
    place.talk("bob", "t3", "hello", "hi").await;
    place.archive("bob", "t3").await;
    assert_eq!(ids(&place.json(&["threads", "list", "--json"]).await), ["t2", "t1"]);
    assert_eq!(ids(&place.json(&["threads", "list", "--json", "--archived"]).await), ["t3", "t2", "t1"]);
    assert_eq!(ids(&place.json(&["threads", "list", "--json", "--archived", "--user", "bob"]).await), ["t3"]);
    assert_eq!(ids(&place.json(&["threads", "list", "--json", "--query", "WEATH rom"]).await), ["t1"]);
    assert_eq!(ids(&place.json(&["threads", "list", "--json", "--agent", "other"]).await), [""; 0]);
    let first = place.json(&["threads", "list", "--json", "--limit", "1"]).await;
    assert_eq!((ids(&first), &first["more"]), (vec!["t2"], &json!(true)));
    let all = place.json(&["threads", "list", "--json", "--limit", "0"]).await;
    assert_eq!((ids(&all), &all["more"]), (vec!["t2", "t1"], &json!(false)));
    assert!(place.run(&["threads", "list", "--archived"]).await.out.contains("About t3 (archived)\n"));
}

#[tokio::test]
async fn list_cuts_long_names_for_people_and_never_for_scripts() {
    let place = Place::new();
    let id = "x".repeat(100);
    place.talk("", &id, "hello", "hi").await;
    let out = place.run(&["threads", "list"]).await.out;
    assert!(out.contains(&id) && out.ends_with("x…\n"), "{out}");
    let list = place.json(&["threads", "list", "--json"]).await;
    assert_eq!(list["threads"][0]["name"], json!(format!("About {id}")));
    assert_eq!(list["threads"][0].get("userId"), None);
}

#[tokio::test]
async fn show_prints_the_conversation() {
    let place = Place::new();
    place.talk("ada", "t1", "two\nlines \u{1b}[2J", "hi").await;
    let said = place.run(&["threads", "show", "t1"]).await;
    assert!(said.end.is_ok());
    assert!(
        said.out.starts_with("thread    t1\nname      About t1\nuser      ada\nagent     helper\n"),
        "{}",
        said.out
    );
    let conversation = "archived  no\nruns      1\n\nuser:\n  two\n  lines \u{fffd}[2J\n\nassistant:\n  hi\n";
    assert!(said.out.ends_with(conversation), "{}", said.out);
    let shown = place.json(&["threads", "show", "t1", "--json"]).await;
    assert_eq!(shown["messages"][0]["content"], "two\nlines \u{1b}[2J");
    assert_eq!(shown["messages"][1]["content"], "hi");
    assert_eq!(shown["state"], json!({ "answered": "t1" }));
    assert_eq!((&shown["userId"], &shown["runs"][0]["runId"]), (&json!("ada"), &json!("run-1")));
}

#[tokio::test]
async fn show_and_export_tell_what_a_run_under_way_has_said() {
    let place = Place::new();
    place.talk("", "t1", "hello", "hi").await;
    let open = place.begin("", "t1", "helper", "and now?").await;
    place.store.append(&open.run, spoken("m2", "let me")).await.expect("an open run");
    let out = place.run(&["threads", "show", "t1"]).await.out;
    assert!(out.contains("running   run-1\n") && out.ends_with("assistant:\n  let me\n"), "{out}");
    let exported = place.json(&["threads", "export", "t1"]).await;
    assert_eq!(exported["runs"][1]["endedAt"], Value::Null);
    assert_eq!(exported["runs"][1]["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(exported["messages"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn an_id_that_several_users_have_needs_the_user() {
    let place = Place::new();
    place.talk("ada", "t1", "hello", "hi ada").await;
    place.talk("bob", "t1", "hello", "hi bob").await;
    for line in [&["threads", "show", "t1"][..], &["threads", "export", "t1"], &["threads", "delete", "t1", "--yes"]] {
        let end = place.run(line).await.end.expect_err("two of them");
        assert!(matches!(&end, Failure::Misuse(why) if why.contains("2 users have a thread t1")), "{end}");
    }
    let out = place.run(&["threads", "show", "t1", "--user", "bob"]).await.out;
    assert!(out.contains("hi bob") && !out.contains("ada"), "{out}");
    let end = place.run(&["threads", "show", "t1", "--user", "eve"]).await.end.expect_err("not hers");
    assert!(matches!(&end, Failure::NotFound(why) if why == "eve has no thread t1"), "{end}");
}

#[tokio::test]
async fn export_writes_a_line_for_each_thread_with_all_that_is_kept() {
    let place = Place::new();
    place.talk("ada", "t1", "hello", "hi").await;
    place.talk("bob", "t2", "grüezi", "sali").await;
    place.archive("bob", "t2").await;
    let out = place.run(&["threads", "export", "--all"]).await.out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    let thread = &lines[0];
    assert_eq!((&thread["threadId"], &thread["userId"]), (&json!("t2"), &json!("bob")));
    assert_eq!(thread["archived"], json!(true));
    assert_eq!(
        thread["runs"][0]["events"][1],
        json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": "t2", "delta": "sali" })
    );
    assert_eq!(thread["messages"][0], json!({ "id": "t2: grüezi", "role": "user", "content": "grüezi" }));
    assert_eq!(thread["state"], json!({ "answered": "t2" }));
    assert_eq!(ids(&json!({ "threads": [place.json(&["threads", "export", "t1"]).await] })), ["t1"]);
    let of_user = place.run(&["threads", "export", "--all", "--user", "bob"]).await.out;
    assert_eq!(of_user, format!("{}\n", out.lines().next().unwrap_or_default()));
}

#[tokio::test]
async fn export_reads_a_history_of_many_pages() {
    let place = Place::new();
    let long = "x".repeat(200_000);
    for _ in 0..4 {
        place.talk("", "t1", "hello", &long).await;
    }
    let thread = place.json(&["threads", "export", "t1"]).await;
    assert_eq!(thread["runs"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn export_to_a_file_says_what_was_written() {
    let place = Place::new();
    place.talk("ada", "t1", "hello", "hi").await;
    let file = place.path("out.jsonl");
    let name = file.to_str().expect("text");
    let said = place.run(&["threads", "export", "--all", "--output", name]).await;
    assert_eq!(said.out, format!("Exported 1 thread to {name}\n"));
    assert_eq!(fs::read_to_string(&file).expect("a file"), place.run(&["threads", "export", "t1"]).await.out);
    assert_eq!(
        place.json(&["users", "export", "ada", "--output", name, "--json"]).await,
        json!({ "threads": 1, "file": name })
    );
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).expect("a file").permissions());
        assert_eq!(mode & 0o077, 0, "what people said is nobody else's to read");
    }
    let nowhere = place.path("none").join("out.jsonl");
    let end = place.run(&["threads", "export", "t1", "-o", nowhere.to_str().expect("text")]).await.end;
    assert!(matches!(&end, Err(Failure::Failed(why)) if why.contains("cannot be written")), "{end:?}");
}

#[tokio::test]
async fn deleting_asks_unless_told_not_to() {
    let place = Place::new();
    place.talk("", "t1", "hello", "hi").await;
    let unasked = place.run(&["threads", "delete", "t1"]).await.end;
    assert!(matches!(&unasked, Err(Failure::Misuse(why)) if why.contains("--yes")), "{unasked:?}");
    let refused = place.answering(&["threads", "delete", "t1"], |_| Some(false)).await.end;
    assert!(matches!(&refused, Err(Failure::Failed(why)) if why == "nothing was deleted"), "{refused:?}");
    assert_eq!(ids(&place.json(&["threads", "list", "--json"]).await), ["t1"]);
    let agreed = place.answering(&["threads", "delete", "t1"], |what| Some(what == "Delete 1 thread")).await;
    assert!(agreed.end.is_ok());
    assert_eq!(agreed.out, "Deleted 1 thread\n");
    assert_eq!(ids(&place.json(&["threads", "list", "--json"]).await), [""; 0]);
}

#[tokio::test]
async fn deleting_tells_which_threads_are_not_there() {
    let place = Place::new();
    place.talk("", "t1", "hello", "hi").await;
    let said = place.run(&["threads", "delete", "t1", "t2", "t1", "t3", "--yes", "--json"]).await;
    let out: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(out, json!({ "deleted": ["t1"], "missing": ["t2", "t3"] }));
    assert!(matches!(&said.end, Err(Failure::NotFound(why)) if why == "there is no thread t2, t3"), "{:?}", said.end);
}

/// A server that runs an agent on a thread of the same file ends the run when it is asked to.
#[tokio::test]
async fn deleting_ends_what_a_server_runs() {
    let place = Place::new();
    for line in [&["threads", "delete", "t", "--yes"], &["users", "delete", "ada", "--yes"]] {
        let mut asked = place.store.stop_requests();
        let run = place.begin("ada", "t", "helper", "Hello").await.run;
        let serving = async {
            let stop = asked.next().await.expect("the store goes on");
            assert_eq!((&stop.run, stop.how), (&run, StopKind::Delete));
            place.store.discard(&run).await.expect("its own run");
        };
        let (said, ()) = tokio::join!(place.run(line), serving);
        assert!(said.end.is_ok() && said.out.starts_with("Deleted 1 thread"), "{line:?}: {}", said.out);
        assert_eq!(place.store.thread(&run.thread).await, Ok(None));
    }
}

#[tokio::test]
async fn a_user_is_exported_and_deleted_and_nobody_else() {
    let place = Place::new();
    place.talk("ada", "t1", "hello", "hi").await;
    place.talk("ada", "t2", "hello", "hi").await;
    place.archive("ada", "t2").await;
    place.talk("bob", "t1", "hello", "hi").await;
    let exported = place.run(&["users", "export", "ada"]).await.out;
    assert_eq!(exported.lines().count(), 2);
    assert!(!exported.contains("bob"));
    let unasked = place.run(&["users", "delete", "ada"]).await.end;
    assert!(matches!(&unasked, Err(Failure::Misuse(why)) if why.starts_with("Delete 2 threads of ada")), "{unasked:?}");
    let deleted = place.json(&["users", "delete", "ada", "--yes", "--json"]).await;
    assert_eq!(deleted, json!({ "user": "ada", "deleted": 2 }));
    for line in [&["users", "delete", "ada", "--yes"][..], &["users", "export", "ada"]] {
        let end = place.run(line).await.end;
        assert!(matches!(&end, Err(Failure::NotFound(why)) if why == "nothing is kept of ada"), "{end:?}");
    }
    assert_eq!(place.run(&["users", "export", "bob"]).await.out.lines().count(), 1);
}

#[tokio::test]
async fn a_check_of_a_sound_database_finds_nothing() {
    let place = Place::new();
    place.talk("", "t1", "hello", "hi").await;
    assert!(place.run(&["db", "check"]).await.out.ends_with("threads.db is fine: 1 thread, 1 run\n"));
    let told = json!({ "ok": true, "threads": 1, "runs": 1, "problems": [] });
    assert_eq!(place.json(&["db", "check", "--json"]).await, told);
}

#[tokio::test]
async fn a_backup_is_a_database_and_overwrites_none() {
    let place = Place::new();
    place.talk("", "t1", "hello", "hi").await;
    let copy = place.path("copy.db");
    let name = copy.to_str().expect("text");
    let copied = place.json(&["db", "backup", name, "--json"]).await;
    assert_eq!(copied["file"], json!(name));
    assert_eq!(copied["bytes"].as_u64(), Some(fs::metadata(&copy).expect("a file").len()));
    place.talk("", "t2", "hello", "hi").await;
    let store = SqliteStore::open(&copy, &SqliteOptions::default()).expect("a database");
    assert!(store.thread(&"t1".into()).await.expect("it can be read").is_some());
    assert!(store.thread(&"t2".into()).await.expect("it can be read").is_none());
    let again = place.run(&["db", "backup", name]).await.end;
    assert!(matches!(&again, Err(Failure::Misuse(why)) if why.contains("is there already")), "{again:?}");
}

#[tokio::test]
async fn a_vacuum_gives_room_back() {
    let place = Place::new();
    for n in 0..20 {
        place.talk("", &format!("t{n}"), "hello", &"no two words alike ".repeat(5000 + n)).await;
    }
    place.json(&["db", "vacuum", "--json"]).await;
    for n in 0..20 {
        place.json(&["threads", "delete", &format!("t{n}"), "--yes", "--json"]).await;
    }
    let before = fs::metadata(place.path("threads.db")).expect("a file").len();
    let vacuumed = place.json(&["db", "vacuum", "--json"]).await;
    let after = fs::metadata(place.path("threads.db")).expect("a file").len();
    assert!(after < before, "{before} {after}");
    assert!(vacuumed["bytesFreed"].as_u64() > Some(0), "{vacuumed}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_made() {
    let path = std::env::temp_dir().join(format!("copilotkit-none-{}.db", Uuid::new_v4()));
    let listed = Line::parse_from(["threads", "list"]).command;
    let end = run(listed, Ok(Database::File(path.clone()))).await.expect_err("nothing is there");
    assert!(matches!(&end, Failure::NotFound(why) if why.contains(&path.display().to_string())), "{end}");
    assert!(!Path::new(&path).exists());
    let listed = Line::parse_from(["threads", "list"]).command;
    let end = run(listed, Ok(Database::Memory)).await.expect_err("nothing can be reached");
    assert!(matches!(&end, Failure::Misuse(why) if why.contains("--database PATH")), "{end}");
}
