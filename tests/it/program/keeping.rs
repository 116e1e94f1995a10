//! What the program keeps, through kills and restarts, and the commands that look after it.

use std::fs;

use serde_json::{Value, json};

use super::place::{FAST, Place, message};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// As the program prints them, or as a server answers.
fn ids(list: &Value) -> Vec<&str> {
    let threads = list["threads"].as_array().expect("a list").iter();
    threads.filter_map(|thread| thread.get("threadId").or(thread.get("id"))?.as_str()).collect()
}

#[test]
fn the_start_says_where_threads_are_kept() {
    let place = Place::new();
    let memory = place.serve(&["--database", "memory"]).banner.clone();
    assert!(memory.contains("  threads       in memory, at most 1000: lost when the program stops\n"), "{memory}");
    assert_eq!(place.files(), [""; 0]);
    let file = place.serve(&[]).banner.clone();
    assert!(file.contains("  threads       copilotkit.db\n"), "{file}");
    assert!(place.path("copilotkit.db").exists());
}

#[test]
#[cfg(unix)]
fn a_new_database_and_its_copies_are_for_their_owner_only() {
    let place = Place::new();
    let _served = place.serve(&[]);
    place.said(&["db", "backup", "copy.db"]);
    for file in ["copilotkit.db", "copilotkit.db-wal", "copilotkit.db-shm", "copy.db"] {
        let of_file = fs::metadata(place.path(file)).expect("a file").permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&of_file);
        assert_eq!(mode & 0o077, 0, "{file} {mode:o}");
    }
}

#[test]
fn a_file_that_is_no_database_is_one_clear_line() {
    let place = Place::new();
    place.write("notes.txt", &"these are notes and no database\n".repeat(100));
    let nowhere = place.path("none").join("threads.db");
    for (path, why) in
        [("notes.txt", "notes.txt is no SQLite database"), (nowhere.to_str().expect("text"), "cannot be")]
    {
        for args in [&["--bind", "127.0.0.1:0"][..], &["threads", "list"]] {
            let (code, said) = place.refused(&[args, &["--database", path]].concat());
            assert_eq!(code, Some(1));
            let is_missing = args[0] == "threads" && path != "notes.txt";
            assert!(said.contains(if is_missing { "there is no database" } else { why }), "{said}");
            assert_eq!(said.trim().lines().count(), 1, "{said}");
        }
    }
    assert_eq!(place.files(), ["notes.txt"]);
}

#[tokio::test]
async fn threads_survive_a_kill() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&[]);
    served.says("", "t1", "first").await;
    let before = served.replayed("", "t1").await;
    served.kill();
    let served = place.serve(&[]);
    assert_eq!(served.replayed("", "t1").await, before);
    served.says("", "t1", "second").await;
}

#[tokio::test]
async fn a_run_cut_off_by_a_kill_is_closed_and_its_thread_free() {
    let place = Place::new();
    let served = place.serve(&[]);
    let request = crate::serve::client().post(served.url("/agent/default/run")).body(message("t1", "hello"));
    let mut answer = request.send().await.expect("a response");
    let mut shown = String::new();
    while !shown.contains("TEXT_MESSAGE_CONTENT") {
        let chunk = answer.chunk().await.expect("a stream").expect("the run goes on");
        shown += &String::from_utf8_lossy(&chunk);
    }
    served.kill();
    while let Ok(Some(chunk)) = answer.chunk().await {
        shown += &String::from_utf8_lossy(&chunk);
    }
    let whole = shown.rfind("\n\n").map_or("", |end| &shown[..end]);
    let served = place.serve(&[]);
    let replayed = served.replayed("", "t1").await;
    assert!(replayed.contains("RUN_INTERRUPTED"), "{replayed}");
    // Replay joins the pieces of a text.
    let deltas = |events: &str| -> String {
        let events = events.lines().filter_map(|line| line.strip_prefix("data: ")).map(json);
        events.filter_map(|event| event["delta"].as_str().map(str::to_owned)).collect()
    };
    assert!(!deltas(whole).is_empty() && deltas(&replayed).starts_with(&deltas(whole)), "{replayed}\n{whole}");
    place.write("copilotkit.toml", FAST);
    drop(served);
    place.serve(&[]).says("", "t1", "again").await;
}

#[tokio::test]
async fn commands_work_beside_a_server() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&[]);
    served.says("", "t1", "first words").await;
    served.says("", "t2", "other words").await;

    let table = place.said(&["threads", "list"]);
    assert!(table.lines().count() == 3 && table.starts_with("ID  USER  AGENT"), "{table}");
    assert_eq!(ids(&json(&place.said(&["threads", "list", "--json"]))), ["t2", "t1"]);
    assert_eq!(ids(&json(&place.said(&["threads", "list", "--json", "--query", "first"]))), ["t1"]);
    assert!(place.said(&["threads", "show", "t1"]).contains("user:\n  first words\n"));
    let exported = place.said(&["threads", "export", "--all"]);
    assert_eq!(exported.lines().map(|line| json(line)["threadId"].clone()).collect::<Vec<_>>(), ["t2", "t1"]);

    // The running server takes notice at once.
    assert_eq!(place.said(&["threads", "delete", "t2", "--yes"]), "Deleted 1 thread\n");
    let (_, list) = served.get("", "/threads?agentId=default").await;
    assert_eq!(ids(&json(&list)), ["t1"]);
    assert_eq!(served.replayed("", "t2").await, "");
    served.says("", "t2", "anew").await;
}

#[tokio::test]
async fn exit_codes_tell_what_is_wrong() {
    let place = Place::new();
    assert_eq!(place.refused(&["threads", "list"]).0, Some(1), "there is no database");
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&[]);
    served.says("", "t1", "words").await;
    assert_eq!(place.refused(&["threads", "show", "t9"]).0, Some(1), "there is no such thread");
    assert_eq!(place.refused(&["users", "export", "ada"]).0, Some(1), "there is no such user");
    assert_eq!(place.refused(&["threads", "delete", "t1"]).0, Some(2), "nobody can be asked");
    assert_eq!(place.refused(&["threads", "export"]).0, Some(2), "which thread?");
    assert_eq!(place.refused(&["threads", "list", "--database", "memory"]).0, Some(2), "nothing to list");
    assert_eq!(place.refused(&["threads", "show", "t1"]).0, Some(0));
}

#[tokio::test]
async fn a_backup_made_beside_a_server_serves() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&[]);
    served.says("", "t1", "first words").await;
    let replayed = served.replayed("", "t1").await;
    assert!(place.said(&["db", "backup", "copy.db"]).starts_with("Copied copilotkit.db to copy.db ("));
    served.says("", "t2", "later words").await;
    assert_eq!(place.refused(&["db", "backup", "copy.db"]).0, Some(2), "it is there already");
    drop(served);
    let copy = place.serve(&["--database", "copy.db"]);
    assert_eq!(copy.replayed("", "t1").await, replayed);
    assert_eq!(copy.replayed("", "t2").await, "");
    assert!(place.said(&["db", "check", "--database", "copy.db"]).contains("copy.db is fine: 1 thread, 1 run"));
}

#[tokio::test]
async fn a_check_finds_damage_and_a_vacuum_runs_beside_a_server() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&[]);
    for n in 0..20 {
        served.says("", &format!("t{n}"), "many words make a file of many pages").await;
    }
    assert!(place.said(&["db", "vacuum"]).starts_with("copilotkit.db is smaller by "));
    let told = json!({ "ok": true, "threads": 20, "runs": 20, "problems": [] });
    assert_eq!(json(&place.said(&["db", "check", "--json"])), told);
    place.said(&["db", "backup", "damaged.db"]);
    let mut bytes = fs::read(place.path("damaged.db")).expect("a file");
    // From the second page on: the first says what kind of file it is.
    let middle = bytes.len() / 2;
    bytes[4096..middle].fill(0xa5);
    fs::write(place.path("damaged.db"), bytes).expect("a file");
    let (code, said) = place.refused(&["db", "check", "--database", "damaged.db"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("damaged.db is damaged") && said.contains("restore a backup"), "{said}");
}

#[tokio::test]
async fn two_servers_share_a_file() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let (one, other) = (place.serve(&[]), place.serve(&[]));
    one.says("", "t1", "from one").await;
    other.says("", "t1", "from the other").await;
    assert_eq!(one.replayed("", "t1").await, other.replayed("", "t1").await);
    assert!(one.replayed("", "t1").await.contains("from the other"));
}

#[tokio::test]
#[cfg(unix)]
async fn a_server_that_stops_leaves_nothing_but_the_database() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let mut served = place.serve(&[]);
    served.says("", "t1", "words").await;
    served.tell("-TERM");
    assert_eq!(served.ended(), Some(0));
    assert_eq!(place.files(), ["copilotkit.db", "copilotkit.toml"]);
}

#[tokio::test]
async fn threads_past_their_retention_are_deleted_at_the_start() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&[]);
    for thread in ["t1", "t2", "t3"] {
        served.says("", thread, "words").await;
    }
    drop(served);
    place.write("copilotkit.toml", &format!("{FAST}[retention]\nmax_threads_per_user = 2\n"));
    let served = place.serve(&[]);
    assert!(served.banner.contains("  deletes       threads beyond 2 of a user\n"), "{}", served.banner);
    loop {
        let list = json(&place.said(&["threads", "list", "--json"]));
        if ids(&list) == ["t3", "t2"] {
            break;
        }
        assert_eq!(ids(&list), ["t3", "t2", "t1"]);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_request_chooses_a_policy_only_if_it_may() {
    let place = Place::new();
    let mut interrupting: Value = json(&message("t1", "second"));
    interrupting["forwardedProps"] = json!({ "whenBusy": "interrupt" });
    for (is_allowed, ends_with) in [(false, "THREAD_BUSY"), (true, "RUN_FINISHED")] {
        let settings = format!("[runner]\nallow_request_policy = {is_allowed}\n[agents.default]\nkind = \"demo\"\n");
        place.write("copilotkit.toml", &format!("{settings}pace = 0\n[agents.slow]\nkind = \"demo\"\npace = \"1h\"\n"));
        let served = place.serve(&[]);
        let first = crate::serve::client().post(served.url("/agent/slow/run")).body(message("t1", "first"));
        let mut first = first.send().await.expect("a response");
        assert!(first.chunk().await.expect("a stream").is_some(), "the thread is busy");
        let (_, answer) = served.post("", "/agent/default/run", interrupting.to_string()).await;
        assert!(answer.contains(ends_with), "{answer}");
    }
}
