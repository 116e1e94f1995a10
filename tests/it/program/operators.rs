//! What operators see of the program: metrics, probes, and `status`.

use std::io::Write;

use rusqlite::Connection;
use serde_json::Value;

use super::place::{FAST, Place, Served, answer, message};
use crate::exposition::Exposition;
use crate::serve::client;

/// An address for operators on a free port.
const OPEN: [&str; 2] = ["--metrics-bind", "127.0.0.1:0"];

async fn get(url: &str) -> (u16, String) {
    answer(client().get(url)).await
}

async fn json(url: &str) -> (u16, Value) {
    let (status, body) = get(url).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

/// Whether a check passed, and why not.
fn check<'r>(readiness: &'r Value, name: &str) -> (bool, Option<&'r str>) {
    let checks = readiness["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {readiness}"));
    (check["ok"].as_bool().expect("a verdict"), check["reason"].as_str())
}

/// Keeps everybody else from writing into the database.
fn lock(place: &Place) -> Connection {
    let connection = Connection::open(place.path("copilotkit.db")).expect("a database");
    connection.execute_batch("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE").expect("a lock");
    connection
}

/// A run that takes its time.
fn slow_run(served: &Served, thread: &str) -> std::net::TcpStream {
    let body = message(thread, "hello");
    let head = format!(
        "POST /api/copilotkit/agent/default/run HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = served.connect();
    stream.write_all(head.as_bytes()).expect("a request");
    stream
}

const SLOW: &str = "[agents.default]\nkind = \"demo\"\npace = \"1s\"\n";

#[tokio::test]
async fn metrics_are_on_an_address_of_their_own() {
    let place = Place::new();
    place.write("copilotkit.toml", FAST);
    let served = place.serve(&OPEN);
    served.says("", "t", "hello").await;

    let response = client().get(served.operators("/metrics")).send().await.expect("an answer");
    let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), "{content_type}");
    let exposed = Exposition::read(&response.text().await.expect("a body"));
    let labels = [("agent", "default"), ("outcome", "finished"), ("code", "")];
    assert_eq!(exposed.value("copilotkit_runs_total", &labels), 1.0);
    assert_eq!(exposed.value("copilotkit_store_seconds_count", &[("call", "seal")]), 1.0);

    for path in ["/metrics", "/status", "/api/copilotkit/metrics"] {
        assert_eq!(get(&format!("http://{}{path}", served.address)).await.0, 404, "{path}");
    }
    assert_eq!(get(&served.operators("/nothing")).await.0, 404);
}

#[tokio::test]
async fn without_an_address_there_are_no_metrics() {
    let place = Place::new();
    let served = place.serve(&[]);
    assert!(!served.banner.contains("metrics"), "{}", served.banner);
    assert_eq!(get(&format!("http://{}/metrics", served.address)).await.0, 404);
}

#[tokio::test]
async fn probes_answer_on_both_addresses() {
    let place = Place::new();
    let served = place.serve(&OPEN);
    for base in [served.operators(""), format!("http://{}", served.address)] {
        assert_eq!(json(&format!("{base}/healthz")).await, (200, serde_json::json!({"alive": true})));
        let (status, readiness) = json(&format!("{base}/readyz")).await;
        assert_eq!((status, &readiness["ready"]), (200, &true.into()), "{readiness}");
        assert_eq!((check(&readiness, "store"), check(&readiness, "running")), ((true, None), (true, None)));
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_not_ready() {
    let place = Place::new();
    let served = place.serve(&OPEN);
    let held = lock(&place);
    let (status, readiness) = json(&served.operators("/readyz")).await;
    assert_eq!(status, 503);
    let (ok, reason) = check(&readiness, "store");
    assert!(!ok && reason.is_some(), "{readiness}");
    // Everybody may know that it is so; why, only operators.
    let (status, readiness) = json(&format!("http://{}/readyz", served.address)).await;
    assert_eq!((status, check(&readiness, "store")), (503, (false, None)));
    assert_eq!(get(&served.operators("/healthz")).await.0, 200);
    drop(held);
    for _ in 0..20 {
        if get(&served.operators("/readyz")).await.0 == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    panic!("it did not become ready again");
}

#[tokio::test]
async fn a_platform_that_cannot_be_reached_is_not_ready() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let place = Place::new();
    let variables = [
        ("COPILOTKIT_INTELLIGENCE_API_KEY", "cpk-s3cret".to_owned()),
        ("COPILOTKIT_INTELLIGENCE_API_URL", format!("http://{nobody}")),
        ("COPILOTKIT_INTELLIGENCE_WS_URL", format!("ws://{nobody}")),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let served = place.serve_with(&["--user-header", "x-user", OPEN[0], OPEN[1]], &variables);
    let (status, readiness) = json(&served.operators("/readyz")).await;
    assert_eq!(status, 503);
    let (ok, reason) = check(&readiness, "platform");
    assert!(!ok && reason.is_some_and(|why| why.contains("cannot be reached")), "{readiness}");
    assert!(!readiness.to_string().contains("s3cret"), "{readiness}");
}

#[tokio::test]
#[cfg(unix)]
async fn a_program_told_to_stop_is_not_ready_until_it_is_gone() {
    let place = Place::new();
    place.write("copilotkit.toml", SLOW);
    let mut served = place.serve(&OPEN);
    let _watching = slow_run(&served, "t");
    while json(&served.operators("/status")).await.1["liveRuns"] != 1 {}
    // So that the run cannot end at once.
    let held = lock(&place);
    served.tell("-TERM");
    loop {
        let (status, readiness) = json(&served.operators("/readyz")).await;
        if !check(&readiness, "running").0 {
            assert_eq!(status, 503);
            break;
        }
    }
    drop(held);
    assert_eq!(served.ended(), Some(0));
}

#[tokio::test]
async fn status_shows_what_a_server_does() {
    let place = Place::new();
    place.write("copilotkit.toml", SLOW);
    let served = place.serve(&OPEN);
    let _watching = slow_run(&served, "the-thread");
    while json(&served.operators("/status")).await.1["liveRuns"] != 1 {}
    let at = served.operators("").replace("http://", "");

    let shown = place.said(&["status", "--at", &at]);
    assert!(shown.contains("1 live, 0 waiting, 1 watcher") && shown.contains("memory"), "{shown}");
    assert!(shown.contains(", 1 open connection\n"), "the operators' own do not count: {shown}");
    let row = shown.lines().find(|line| line.contains("the-thread")).unwrap_or_else(|| panic!("{shown}"));
    assert!(row.starts_with("default") && row.contains("runs") && row.contains("hello"), "{row}");
    assert!(!shown.contains('\u{1b}'), "no terminal, nothing to steer: {shown:?}");

    let shown: Value = serde_json::from_str(&place.said(&["status", "--at", &at, "--once", "--json"])).expect("JSON");
    assert_eq!((&shown["liveRuns"], &shown["oldestRuns"][0]["thread"]), (&1.into(), &"the-thread".into()), "{shown}");
    assert_eq!(shown["openConnections"], 1, "{shown}");
    assert!(shown["eventsPerSecond"].is_f64() && shown["ready"] == true, "{shown}");
}

#[tokio::test]
async fn status_finds_the_server_of_the_configuration() {
    let place = Place::new();
    let served = place.serve(&OPEN);
    let at = served.operators("").replace("http://", "");
    // What else is wrong with the configuration is not this command's business.
    place.write("copilotkit.toml", &format!("[metrics]\nbind = \"{at}\"\n[agents.a]\nurl = \"${{MISSING}}\"\n"));
    assert!(place.said(&["status", "--once"]).contains(&at));
    place.write("copilotkit.toml", "[metrics]\nbind = \"nowhere\"\n");
    let (code, said) = place.refused(&["status", "--once"]);
    assert!(code == Some(1) && said.contains("copilotkit.toml:2: metrics.bind: expected HOST:PORT"), "{said}");
}

#[test]
fn status_of_nobody_says_what_to_do() {
    let place = Place::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let (code, said) = place.refused(&["status", "--at", &nobody.to_string()]);
    assert_eq!(code, Some(1));
    assert!(said.contains("nothing listens there") && said.contains("--metrics-bind"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert_eq!(place.files(), [""; 0]);
}

#[tokio::test]
async fn live_runs_are_not_told_to_other_machines() {
    let place = Place::new();
    let served = place.serve(&["--metrics-bind", "0.0.0.0:0"]);
    let address = served.operators("").replace("0.0.0.0", "127.0.0.1").replace("localhost", "127.0.0.1");
    assert_eq!(get(&format!("{address}/metrics")).await.0, 200);
    assert_eq!(get(&format!("{address}/status")).await.0, 404);
    let (code, said) = place.refused(&["status", "--at", &address.replace("http://", "")]);
    assert!(code == Some(1) && said.contains("[metrics] status = true"), "{said}");
}

#[test]
fn an_address_for_operators_that_is_taken_is_one_clear_line() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, said) = place.refused(&["--bind", "127.0.0.1:0", "--metrics-bind", &address]);
    assert_eq!(code, Some(1));
    assert!(said.contains("the port is in use") && said.contains("--metrics-bind"), "{said}");
    assert_eq!(place.files(), [""; 0], "a server that cannot serve makes no database");
}

#[tokio::test]
async fn nothing_is_told_elsewhere_and_info_says_so() {
    let place = Place::new();
    let served = place.serve(&OPEN);
    let (_, info) = served.get("", "/info").await;
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["telemetryDisabled"], true);
}
