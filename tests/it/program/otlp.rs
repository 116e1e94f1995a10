//! Spans on their way to a collector.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;

use super::place::{Place, message};
use crate::serve::{Server, client};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

/// Hears what is posted to it.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

impl Heard {
    fn note(&self, headers: HeaderMap, body: Bytes) {
        self.0.lock().push((headers, body));
    }

    /// Whether these bytes were in any body.
    fn holds(&self, bytes: &[u8]) -> bool {
        self.0.lock().iter().any(|(_, body)| body.windows(bytes.len()).any(|part| part == bytes))
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

async fn collector() -> (Server, Heard) {
    let heard = Heard::default();
    let hears = heard.clone();
    let take = post(async move |headers: HeaderMap, body: Bytes| {
        hears.note(headers, body);
        ([("content-type", "application/x-protobuf")], "")
    });
    (Server::start(Router::new().route("/v1/traces", take)).await, heard)
}

async fn agent() -> (Server, Heard) {
    let heard = Heard::default();
    let hears = heard.clone();
    let run = post(async move |headers: HeaderMap, body: Bytes| {
        hears.note(headers, body);
        let events = "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t\",\"runId\":\"hello\"}\n\n\
                      data: {\"type\":\"RUN_FINISHED\",\"threadId\":\"t\",\"runId\":\"hello\"}\n\n";
        ([("content-type", "text/event-stream")], events)
    });
    (Server::start(Router::new().route("/agent", run)).await, heard)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn spans_continue_the_clients_trace_and_the_agent_is_called_under_the_run() {
    let ((collector, spans), (agent, calls)) = (collector().await, agent().await);
    let place = Place::new();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url("")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme".to_owned()),
        ("OTEL_SERVICE_NAME", "the-service".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut served = place.serve_with(&["--agent", &agent.url("/agent"), "--agent", "demo=demo"], &variables);
    let request = client().post(served.url("/agent/default/run")).header("content-type", "application/json");
    let request = request.header("traceparent", format!("00-{TRACE}-{CLIENT}-01")).header("tracestate", "vendor=1");
    let said = request.body(message("t", "hello")).send().await.expect("an answer").text().await.expect("a body");
    assert!(said.contains("RUN_FINISHED"), "{said}");

    let told = calls.0.lock()[0].0.clone();
    let parent = told["traceparent"].to_str().expect("text").to_owned();
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));
    assert_ne!(parts[2], CLIENT, "the run is between the client and the agent");
    assert_eq!(told["tracestate"], "vendor=1");

    served.tell("-TERM");
    assert_eq!(served.ended(), Some(0));
    for bytes in
        [&hex(TRACE)[..], &hex(CLIENT), &hex(parts[2]), b"the-service", b"request", b"run", b"thread.id", b"hello"]
    {
        assert!(spans.holds(bytes), "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(spans.0.lock()[0].0["x-tenant"], "acme");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn a_collector_that_does_not_answer_does_not_hold_the_program() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let place = Place::new();
    place.write("copilotkit.toml", &format!("[otlp]\nendpoint = \"http://{}\"\n", silent.local_addr().expect("one")));
    let mut served = place.serve(&[]);
    served.says("", "t", "hello").await;
    let asked = Instant::now();
    served.tell("-TERM");
    assert_eq!(served.ended(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn nothing_is_sent_unless_it_is_told_where_to() {
    let (collector, spans) = collector().await;
    let place = Place::new();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url("")), ("OTEL_SDK_DISABLED", "true".to_owned())];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut served = place.serve_with(&[], &variables);
    served.says("", "t", "hello").await;
    served.tell("-TERM");
    assert_eq!(served.ended(), Some(0));
    assert!(spans.0.lock().is_empty());
}
