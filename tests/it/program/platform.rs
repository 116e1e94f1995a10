//! The program on an Intelligence platform: what turns it on, and what it refuses.

use std::process::Output;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::place::Place;

const KEY: (&str, &str) = ("COPILOTKIT_INTELLIGENCE_API_KEY", "cpk-s3cret");

fn checked(variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let place = Place::new();
    let mut command = place.command(&["check"]);
    let output: Output = command.args(args).envs(variables.iter().copied()).output().expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("text");
    assert!(!said.contains("s3cret"), "{said}");
    assert_eq!(place.files(), [""; 0]);
    (output.status.code(), said)
}

#[test]
fn a_key_puts_the_program_on_the_platform() {
    let users = ["--user-header", "x-user"];
    let (code, said) = checked(&[KEY], &users);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("threads       on the managed Intelligence platform\n"), "{said}");
    let own = [
        KEY,
        ("COPILOTKIT_INTELLIGENCE_API_URL", "https://api.platform.example"),
        ("COPILOTKIT_INTELLIGENCE_WS_URL", "wss://platform.example"),
    ];
    let (code, said) = checked(&own, &users);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("on the Intelligence platform at https://api.platform.example/\n"), "{said}");
}

#[test]
fn a_platform_half_of_ones_own_is_warned_of() {
    let half = [KEY, ("COPILOTKIT_INTELLIGENCE_API_URL", "https://api.platform.example")];
    let (code, said) = checked(&half, &["--user-header", "x-user"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(" WARN "), "{said}");
    assert!(said.contains("wss://realtime.intelligence.copilotkit.ai"), "{said}");
}

#[test]
fn older_names_of_the_variables_are_understood() {
    let users = ["--user-header", "x-user"];
    let older = [("COPILOTKIT_CLOUD_API_KEY", "cpk-s3cret"), ("COPILOTKIT_CLOUD_ORG_ID", "org-1")];
    let (code, said) = checked(&older, &users);
    assert!(code == Some(0) && said.contains("Intelligence platform"), "{said}");
    // The newer name wins, and an empty variable is none.
    let both = [("COPILOTKIT_CLOUD_API_KEY", "bad\nkey"), KEY];
    assert_eq!(checked(&both, &users).0, Some(0));
    let empty = [("COPILOTKIT_CLOUD_API_KEY", ""), ("COPILOTKIT_CLOUD_ORG_ID", "org-1")];
    assert!(!checked(&empty, &users).1.contains("Intelligence"));
}

#[test]
fn without_a_way_to_know_users_it_says_what_to_do() {
    let (code, said) = checked(&[KEY], &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("COPILOTKIT_INTELLIGENCE_API_KEY: users.header: "), "{said}");
    assert!(said.contains("--user-header"), "{said}");
}

#[test]
fn a_database_beside_the_platform_is_refused() {
    let (code, said) = checked(&[KEY], &["--user-header", "x-user", "--database", "threads.db"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("--database: runner.database: threads and runs are kept by the Intelligence"), "{said}");
    let (code, said) = checked(&[KEY, ("COPILOTKIT_DATABASE", "threads.db")], &["--user-header", "x-user"]);
    assert!(code == Some(1) && said.contains("COPILOTKIT_DATABASE: "), "{said}");
}

#[test]
fn commands_on_a_database_want_it_named() {
    let place = Place::new();
    place.write("copilotkit.toml", "[intelligence]\napi_key = \"cpk-s3cret\"\n[users]\nheader = \"x-user\"\n");
    let (code, said) = place.refused(&["threads", "list"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("threads are kept by the Intelligence platform") && said.contains("--database"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn the_platform_is_reached_by_way_of_the_usual_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let entitlement = json!({"active": true, "source": "selfHostedDeploymentLicense", "features": {}, "limits": {}});
    let answer = json!({"status": "ready", "entitlement": entitlement}).to_string();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = proxy.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await.expect("an answer");
        String::from_utf8(request).expect("text")
    });
    let place = Place::new();
    let variables = [
        KEY,
        ("COPILOTKIT_INTELLIGENCE_API_URL", "http://platform.invalid"),
        ("COPILOTKIT_INTELLIGENCE_WS_URL", "ws://platform.invalid"),
        ("HTTP_PROXY", address.as_str()),
    ];
    let served = place.serve_with(&["--user-header", "x-user"], &variables);
    let (status, body) = served.get("ada", "/info").await;
    assert_eq!(status, 200, "{body}");
    let info: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&info["mode"], &info["licenseStatus"]), (&json!("intelligence"), &json!("valid")), "{info}");
    let asked = tasks.join_next().await.expect("a request").expect("no panic");
    assert!(asked.starts_with("GET http://platform.invalid/api/entitlements/runtime HTTP/1.1\r\n"), "{asked}");
    assert_eq!(place.files(), [""; 0], "the program keeps nothing");
}
