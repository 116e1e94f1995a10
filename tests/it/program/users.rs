//! Users, whom a proxy names in a header.

use serde_json::Value;

use super::place::{FAST, Place, message};
use crate::serve::client;

const WITH_USERS: &[&str] = &["--user-header", "x-user"];

#[test]
fn other_machines_are_let_in_only_if_users_are_told_apart_or_everybody_may_do_everything() {
    let place = Place::new();
    for args in [&["--bind", "0.0.0.0:0"][..], &["check", "--bind", "0.0.0.0:0"]] {
        let (code, said) = place.refused(args);
        assert_eq!(code, Some(1));
        assert!(said.contains("other machines reach 0.0.0.0"), "{said}");
        assert!(said.contains("--user-header") && said.contains("--allow-anonymous"), "{said}");
    }
    assert_eq!(place.files(), [""; 0]);
    let open = place.said(&["check", "--bind", "0.0.0.0:0", "--allow-anonymous"]);
    assert!(open.contains("not told apart: everybody may read every thread"), "{open}");
    let users = place.said(&["check", "--bind", "0.0.0.0:0", "--user-header", "x-user"]);
    assert!(users.contains("told apart by the header x-user"), "{users}");
}

#[tokio::test]
async fn a_request_without_a_user_is_refused() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(WITH_USERS);
    let (status, body) = served.post("", "/agent/default/run", message("t1", "hello")).await;
    assert_eq!(status, 401, "{body}");
    assert_eq!(served.get("", "/threads?agentId=default").await.0, 401);
    served.says("ada", "t1", "hello").await;
}

#[tokio::test]
async fn users_see_their_own_threads_only() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(WITH_USERS);
    served.says("ada", "t1", "ada's words").await;
    served.says("bob", "t1", "bob's words").await;
    assert!(served.replayed("ada", "t1").await.contains("ada's words"));
    assert!(!served.replayed("ada", "t1").await.contains("bob's words"));
    let table = place.said(&["threads", "list"]);
    assert!(table.contains("t1  ada   default") && table.contains("t1  bob   default"), "{table}");
    let (code, said) = place.refused(&["threads", "show", "t1"]);
    assert!(code == Some(2) && said.contains("--user"), "{said}");
    assert!(place.said(&["threads", "show", "t1", "--user", "bob"]).contains("bob's words"));
}

/// Whether any file holds text of one user: a message, an attachment, the words of a search.
fn something_of_ada(place: &Place) -> bool {
    let bytes = place.bytes();
    ["xylophone", "XYLOPHONE", "attached-by-ada", "Zirkuszelt"].iter().any(|words| {
        let words = words.as_bytes();
        bytes.windows(words.len()).any(|window| window == words)
    })
}

#[tokio::test]
async fn a_deleted_user_leaves_no_text_in_any_file() {
    let place = Place::new();
    place.write("copilotkit.toml", &format!("{FAST}[agents.slow]\nkind = \"demo\"\n"));
    let served = place.serve(WITH_USERS);
    for n in 0..10 {
        served.says("ada", &format!("t{n}"), &format!("XYLOPHONE {n}")).await;
        served.says("bob", &format!("t{n}"), &format!("bassoon {n}")).await;
    }
    let image = "attached-by-ada".repeat(10_000);
    let mut body: Value = serde_json::from_str(&message("t1", "xylophone picture")).expect("JSON");
    body["messages"][0]["content"] = serde_json::json!([
        { "type": "text", "text": "look" },
        { "type": "image", "source": { "type": "data", "value": image, "mimeType": "image/png" } },
    ]);
    assert_eq!(served.post("ada", "/agent/default/run", body.to_string()).await.0, 200);
    served.says("ada", "t2", "Zirkuszelt").await;
    // A search has its words in an index of its own.
    assert!(place.said(&["threads", "list", "--query", "xylophone"]).contains("ada"));
    assert!(something_of_ada(&place));
    // Somebody else's run goes on writing meanwhile.
    let slow = client().post(served.url("/agent/slow/run")).header("x-user", "bob").body(message("t9", "bob waits"));
    let mut bob = slow.send().await.expect("a response");
    assert!(bob.chunk().await.expect("a stream").is_some());

    assert_eq!(place.said(&["users", "delete", "ada", "--yes"]), "Deleted 10 threads of ada\n");
    assert!(!something_of_ada(&place), "while a server uses the file");
    assert_eq!(served.replayed("ada", "t1").await, "");
    assert!(served.replayed("bob", "t1").await.contains("bassoon 1"));
    while bob.chunk().await.expect("a stream").is_some() {}
    served.says("bob", "t1", "more").await;
    assert!(!something_of_ada(&place), "and when it goes on writing");
    drop(served);
    assert!(!something_of_ada(&place), "and after it");
    assert_eq!(place.refused(&["users", "export", "ada"]).0, Some(1));
    assert_eq!(place.said(&["users", "export", "bob"]).lines().count(), 10);
}
