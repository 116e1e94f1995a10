use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::net::TcpListener;

use super::upstream::{Script, Seen, Step, Upstream, send};
use super::*;
use crate::agui::{RunAgentInput, SseParser};

const STARTED: &str = r#"{"type":"RUN_STARTED","threadId":"t","runId":"r"}"#;
const FINISHED: &str = r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#;
const TEXT_START: &str = r#"{"type":"TEXT_MESSAGE_START","messageId":"m1","role":"assistant"}"#;

fn call() -> AgentCall {
    AgentCall::new(RunAgentInput {
        thread_id: "t".to_owned(),
        run_id: "r".to_owned(),
        parent_run_id: None,
        state: None,
        messages: Vec::new(),
        tools: Vec::new(),
        context: Vec::new(),
        forwarded_props: None,
        resume: None,
    })
}

/// The JSON of all events, and the failure the stream ended with.
async fn collect(agent: &HttpAgent) -> (Vec<String>, Option<AgentError>) {
    let (mut events, mut failure) = (Vec::new(), None);
    let mut stream = agent.run(call());
    while let Some(item) = stream.next().await {
        assert!(failure.is_none(), "nothing may follow a failure");
        match item {
            Ok(event) => events.push(event.as_str().to_owned()),
            Err(error) => failure = Some(error),
        }
    }
    (events, failure)
}

async fn played(steps: Vec<Step>) -> (Vec<String>, Option<AgentError>) {
    let upstream = Upstream::start(Script::new(steps)).await;
    collect(&HttpAgent::new(&upstream.url).unwrap()).await
}

async fn failure_of(script: Script) -> (String, Option<&'static str>) {
    let upstream = Upstream::start(script).await;
    let (events, failure) = collect(&HttpAgent::new(&upstream.url).unwrap()).await;
    assert!(events.is_empty());
    let failure = failure.unwrap();
    (failure.message().to_owned(), failure.code())
}

fn frame(json: &str) -> Step {
    send(format!("data: {json}\n\n"))
}

#[tokio::test]
async fn plain_answer_is_relayed() {
    let text = [
        r#"{"type":"TEXT_MESSAGE_START","messageId":"m1"}"#,
        r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"hi"}"#,
        r#"{"type":"TEXT_MESSAGE_END","messageId":"m1"}"#,
    ];
    let one_chunk = text.map(|json| format!("data: {json}\n\n")).concat();
    let (events, failure) = played(vec![frame(STARTED), send(one_chunk), frame(FINISHED)]).await;
    assert_eq!(events, [STARTED, TEXT_START, text[1], text[2], FINISHED]);
    assert_eq!(failure, None);
}

#[tokio::test]
async fn events_are_normalised() {
    let (events, failure) = played(vec![
        frame(STARTED),
        frame(r#"{"type":"ACTIVITY_SNAPSHOT","messageId":"a","activityType":"P","content":{}}"#),
        frame(r#"{"type":"TOOL_CALL_START","toolCallId":"t","toolCallName":"f","parentMessageId":null}"#),
        frame(r#"{"type":"TOOL_CALL_END","toolCallId":"t","extra":1}"#),
        frame(
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":null,"usage":[{"model":"m","inputTokens":1,"prompt":"secret"}]}"#,
        ),
    ])
    .await;
    assert_eq!(failure, None);
    assert_eq!(
        events[1..],
        [
            r#"{"type":"ACTIVITY_SNAPSHOT","messageId":"a","activityType":"P","content":{},"replace":true}"#,
            r#"{"type":"TOOL_CALL_START","toolCallId":"t","toolCallName":"f"}"#,
            r#"{"type":"TOOL_CALL_END","toolCallId":"t","extra":1}"#,
            r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","usage":[{"model":"m","inputTokens":1}]}"#,
        ]
    );
}

#[tokio::test]
async fn chunks_may_be_split_anywhere() {
    let text = format!("data: {STARTED}\n\ndata: {{\"type\":\"CUSTOM\",\"name\":\"grün 🦀\"}}\n\n");
    let crab = text.find('🦀').unwrap();
    let parts = [&text.as_bytes()[..20], &text.as_bytes()[20..crab + 2], &text.as_bytes()[crab + 2..]];
    let steps = parts.into_iter().flat_map(|part| [send(part), Step::Pause(15)]).collect();
    let (events, failure) = played(steps).await;
    assert_eq!(events, [STARTED, r#"{"type":"CUSTOM","name":"grün 🦀"}"#]);
    assert_eq!(failure, None);
}

#[tokio::test]
async fn data_lines_are_joined() {
    let (events, failure) = played(vec![
        send("data: {\"type\":\"RUN_STARTED\",\ndata: \"threadId\":\"t\",\"runId\":\"r\"}\n\n"),
        send(format!("data: {FINISHED}")),
    ])
    .await;
    assert_eq!(events, [STARTED, FINISHED]);
    assert_eq!(failure, None);
}

#[tokio::test]
async fn all_line_ends_are_accepted() {
    for end in ["\n", "\r\n", "\r"] {
        let (events, failure) =
            played(vec![send(format!(": hello{end}data: {STARTED}{end}{end}data: {FINISHED}{end}{end}"))]).await;
        assert_eq!(events, [STARTED, FINISHED]);
        assert_eq!(failure, None);
    }
}

#[tokio::test]
async fn events_before_bad_one_are_delivered() {
    for (bad, why) in [
        ("{oops", "The agent sent something that is no event: key must be a string at line 1 column 2"),
        (
            r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1"}"#,
            "The agent sent an invalid event: TEXT_MESSAGE_CONTENT: `delta` is required",
        ),
    ] {
        let together = send(format!("data: {STARTED}\n\ndata: {bad}\n\ndata: {FINISHED}\n\n"));
        let (events, failure) = played(vec![together]).await;
        assert_eq!(events, [STARTED]);
        let failure = failure.unwrap();
        assert_eq!((failure.message(), failure.code()), (why, None));
    }
}

#[tokio::test]
async fn unknown_and_chunk_events_pass() {
    let chunk = r#"{"type":"TEXT_MESSAGE_CHUNK","delta":"b"}"#;
    let unknown = r#"{"type":"NEXT_YEARS_EVENT","x":[1.0]}"#;
    let (events, failure) = played(vec![frame(chunk), frame(unknown), send("data:\n\n")]).await;
    assert_eq!(events, [chunk, unknown]);
    assert_eq!(failure, None);
}

#[tokio::test]
async fn damaged_characters_are_replaced() {
    let (events, _) = played(vec![send(&b"data: {\"type\":\"CUSTOM\",\"name\":\"a\xffb\"}\n\n"[..])]).await;
    assert_eq!(events, ["{\"type\":\"CUSTOM\",\"name\":\"a\u{fffd}b\"}"]);
}

#[tokio::test]
async fn error_status_becomes_failure() {
    let json = "HTTP/1.1 500 Oh\r\ncontent-type: application/json; charset=utf-8";
    let failure = failure_of(Script::with_head(json, vec![send("{\n  \"detail\": \"boom\"\n}")])).await;
    assert_eq!(failure, ("HTTP 500: {\"detail\":\"boom\"}".to_owned(), None));
    let text = "HTTP/1.1 401 No\r\ncontent-type: text/plain";
    assert_eq!(
        failure_of(Script::with_head(text, vec![send("no entry")])).await,
        ("HTTP 401: no entry".to_owned(), None)
    );
    let endless = (0..100).map(|_| send(vec![b'x'; 4096])).chain([Step::Pause(60_000)]).collect();
    let (message, _) = failure_of(Script::with_head(text, endless)).await;
    assert_eq!(message.len(), "HTTP 401: ".len() + MAX_ERROR_BYTES);
}

#[tokio::test]
async fn empty_answer_is_no_events() {
    assert_eq!(played(vec![]).await, (vec![], None));
}

#[tokio::test]
async fn refused_connection_fails() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let agent = HttpAgent::new(&format!("http://{free}/agent?key=secret")).unwrap();
    let (events, failure) = collect(&agent).await;
    assert!(events.is_empty());
    let failure = failure.unwrap();
    assert!(failure.message().starts_with("The agent could not be reached: Connection refused"), "{failure}");
    assert_eq!(failure.code(), None);
}

#[tokio::test]
async fn lost_connection_fails_after_what_came() {
    for pause in [0, 60] {
        let text = r#"{"type":"TEXT_MESSAGE_START","messageId":"m1"}"#;
        let (events, failure) =
            played(vec![frame(STARTED), frame(text), send("data: {\"type\""), Step::Pause(pause), Step::Destroy]).await;
        assert_eq!(events, [STARTED, TEXT_START]);
        let failure = failure.unwrap();
        assert!(failure.message().starts_with("The connection to the agent was lost: "), "{failure}");
        assert_eq!(failure.code(), None);
    }
}

#[tokio::test]
async fn request_is_input_and_headers() {
    let mut upstream = Upstream::start(Script::new(vec![frame(STARTED), frame(FINISHED)])).await;
    let agent = HttpAgent::new(&upstream.url).unwrap();
    let agent = agent.header("Authorization", "Bearer svc").unwrap().header("Accept", "x/y").unwrap();
    let mut call = call();
    for (name, value) in [("authorization", "Bearer user"), ("x-tenant", "acme"), ("content-type", "text/x")] {
        call.headers.insert(name, value.parse().unwrap());
    }
    assert_eq!(agent.run(call).count().await, 2);
    let (head, body) = upstream.request().await;
    assert!(head.starts_with("POST /agent?x=1 HTTP/1.1\r\n"));
    let mut lines: Vec<&str> = head.lines().skip(1).filter(|line| !line.starts_with("host")).collect();
    lines.sort_unstable();
    let agent_line = format!("user-agent: {USER_AGENT}");
    assert_eq!(
        lines,
        [
            "accept: text/event-stream",
            "authorization: Bearer svc",
            &format!("content-length: {}", body.to_string().len()),
            "content-type: application/json",
            &agent_line,
            "x-tenant: acme",
        ]
    );
    assert_eq!((&body["threadId"], &body["runId"], &body["messages"]), (&json!("t"), &json!("r"), &json!([])));
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::start(Script::new(vec![frame(FINISHED)])).await;
    let agent = HttpAgent::new(&upstream.url).unwrap();
    for _ in 0..3 {
        assert_eq!(collect(&agent.clone()).await, (vec![FINISHED.to_owned()], None));
    }
    assert_eq!(upstream.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn binary_answer_is_decoded() {
    let bytes = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proto/events.bin"));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.ag-ui.event+proto";
    let steps = bytes.chunks(700).map(send).collect();
    let upstream = Upstream::start(Script::with_head(head, steps)).await;
    let (events, failure) = collect(&HttpAgent::new(&upstream.url).unwrap()).await;
    assert_eq!(failure, None);
    assert_eq!(events.len(), 33);
    assert_eq!(events[1], TEXT_START);
    let cut = Upstream::start(Script::with_head(head, vec![send(&bytes[..bytes.len() - 1])])).await;
    let (events, failure) = collect(&HttpAgent::new(&cut.url).unwrap()).await;
    assert_eq!(events.len(), 32);
    assert!(failure.is_some());
}

#[tokio::test]
async fn silent_agent_times_out() {
    let silent = Upstream::start(Script::new(vec![frame(STARTED), Step::Pause(60_000)])).await;
    let agent = HttpAgent::new(&silent.url).unwrap().idle_timeout(Duration::from_millis(80));
    let start = Instant::now();
    let (events, failure) = collect(&agent).await;
    assert_eq!(events, [STARTED]);
    assert_eq!(failure.unwrap().code(), Some("AGENT_IDLE_TIMEOUT"));
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn silence_before_head_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = HttpAgent::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (_, failure) = collect(&agent.idle_timeout(Duration::from_millis(50))).await;
    assert_eq!(failure.unwrap().code(), Some("AGENT_IDLE_TIMEOUT"));
}

#[tokio::test]
async fn talking_agent_meets_total_timeout() {
    let steps = (0..200).flat_map(|_| [send(": alive\n\n"), Step::Pause(10)]).collect();
    let upstream = Upstream::start(Script::new(steps)).await;
    let agent = HttpAgent::new(&upstream.url).unwrap().idle_timeout(Duration::from_millis(1_000));
    let (_, failure) = collect(&agent.total_timeout(Some(Duration::from_millis(120)))).await;
    assert_eq!(failure.unwrap().code(), Some("AGENT_TOTAL_TIMEOUT"));
}

#[tokio::test]
async fn an_agent_that_only_keeps_the_connection_alive_meets_the_first_event_timeout() {
    let steps = (0..200).flat_map(|_| [send(": alive\n\n"), Step::Pause(10)]).collect();
    let upstream = Upstream::start(Script::new(steps)).await;
    let agent = HttpAgent::new(&upstream.url).unwrap().idle_timeout(Duration::from_secs(60));
    let (_, failure) = collect(&agent.first_event_timeout(Some(Duration::from_millis(120)))).await;
    let failure = failure.unwrap();
    assert_eq!(failure.code(), Some("AGENT_FIRST_EVENT_TIMEOUT"));
    assert_eq!(failure.message(), "The agent sent no event within 120ms");
}

#[tokio::test]
async fn silence_before_the_first_event_meets_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = HttpAgent::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (_, failure) = collect(&agent.first_event_timeout(Some(Duration::from_millis(50)))).await;
    assert_eq!(failure.unwrap().code(), Some("AGENT_FIRST_EVENT_TIMEOUT"));
}

#[tokio::test]
async fn after_its_first_event_an_agent_has_time() {
    let upstream = Upstream::start(Script::new(vec![frame(STARTED), Step::Pause(400), frame(FINISHED)])).await;
    let agent = HttpAgent::new(&upstream.url).unwrap().first_event_timeout(Some(Duration::from_millis(300)));
    let mut stream = agent.run(call());
    // Bounds for a slow machine: the first event comes at once, the second after the time for the first.
    match stream.next().await.unwrap() {
        Ok(event) => assert_eq!(event.as_str(), STARTED),
        Err(late) => return assert_eq!(late.code(), Some("AGENT_FIRST_EVENT_TIMEOUT")),
    }
    assert_eq!(stream.next().await.unwrap().unwrap().as_str(), FINISHED);
}

#[tokio::test]
async fn slow_reader_is_no_silent_agent() {
    let upstream = Upstream::start(Script::new(vec![frame(STARTED), Step::Pause(300), frame(FINISHED)])).await;
    let mut stream = HttpAgent::new(&upstream.url).unwrap().idle_timeout(Duration::from_millis(200)).run(call());
    assert_eq!(stream.next().await.unwrap().unwrap().as_str(), STARTED);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(stream.next().await.unwrap().unwrap().as_str(), FINISHED);
}

#[tokio::test]
async fn slow_handshake_meets_connect_timeout() {
    // It accepts connections and never speaks TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = HttpAgent::new(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let (_, failure) = collect(&agent.connect_timeout(Duration::from_millis(50))).await;
    assert_eq!(failure.unwrap().code(), Some("AGENT_CONNECT_TIMEOUT"));
}

#[tokio::test]
async fn dropped_stream_closes_connection() {
    let mut upstream = Upstream::start(Script::new(vec![frame(STARTED), Step::Pause(60_000)])).await;
    let agent = HttpAgent::new(&upstream.url).unwrap();
    let mut stream = agent.run(call());
    assert!(stream.next().await.unwrap().is_ok());
    upstream.request().await;
    let start = Instant::now();
    drop(stream);
    assert!(matches!(upstream.seen.recv().await, Some(Seen::Closed)));
    assert!(start.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn stream_dropped_before_head_closes_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = HttpAgent::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut stream = agent.run(call());
    let accepted = tokio::select! {
        _ = stream.next() => unreachable!("nobody answers"),
        accepted = listener.accept() => accepted.unwrap().0,
    };
    drop(stream);
    let end = async {
        let mut bytes = [0; 4096];
        loop {
            accepted.readable().await.unwrap();
            if let Ok(0) = accepted.try_read(&mut bytes) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(2), end).await.unwrap();
}

#[tokio::test]
async fn redirects_stay_at_home() {
    let elsewhere = Upstream::start(Script::new(vec![frame(FINISHED)])).await;
    let head = format!("HTTP/1.1 307 Go\r\nlocation: {}", elsewhere.url);
    let (message, _) = failure_of(Script::with_head(&head, vec![])).await;
    assert_eq!(message, "HTTP 307: the agent redirects elsewhere");
    let (message, _) = failure_of(Script::with_head("HTTP/1.1 302 Go\r\nlocation: /other", vec![])).await;
    assert_eq!(message, "HTTP 302: the agent redirects elsewhere");
    // The script redirects again and again, to itself.
    let mut looping = Upstream::start(Script::with_head("HTTP/1.1 308 Go\r\nlocation: /other", vec![])).await;
    let (_, failure) = collect(&HttpAgent::new(&looping.url).unwrap()).await;
    assert!(failure.unwrap().message().starts_with("HTTP 308"));
    let (first, input) = looping.request().await;
    assert!(first.starts_with("POST /agent?x=1 "));
    let (second, again) = looping.request().await;
    assert!(second.starts_with("POST /other "));
    assert_eq!(input, again);
}

#[tokio::test]
async fn compressed_answer_is_refused() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip";
    let (message, _) = failure_of(Script::with_head(head, vec![send("x")])).await;
    assert_eq!(message, "The agent's answer is compressed, which was not asked for");
}

#[tokio::test]
async fn large_event_is_refused() {
    let upstream = Upstream::start(Script::new(vec![frame(STARTED), frame(&"x".repeat(2000))])).await;
    let (events, failure) = collect(&HttpAgent::new(&upstream.url).unwrap().max_event_bytes(1000)).await;
    assert_eq!(events, [STARTED]);
    let failure = failure.unwrap();
    assert!(failure.message().ends_with("an event is larger than the limit of 1000 bytes"), "{failure}");
    assert_eq!(failure.code(), Some("AGENT_EVENT_TOO_LARGE"));
}

#[test]
fn parsing_takes_linear_time() {
    let chunk = Bytes::from(vec![b'x'; 16 << 10]);
    let mut parser = SseParser::new(8 << 20);
    let start = Instant::now();
    parser.push(Bytes::from_static(b"data: "));
    for _ in 0..256 {
        assert_eq!(parser.next(), Ok(None));
        parser.push(chunk.clone());
    }
    assert_eq!(parser.next(), Ok(None));
    assert_eq!(parser.finish().unwrap().unwrap().len(), 4 << 20);
    // Searching from the start for every chunk would look at 500 MB: many seconds in a test.
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn stalled_error_text_is_cut() {
    let head = "HTTP/1.1 503 No\r\ncontent-type: text/plain";
    let (message, _) = failure_of(Script::with_head(head, vec![send("busy"), Step::Pause(60_000)])).await;
    assert_eq!(message, "HTTP 503: busy");
}

#[tokio::test]
async fn settings_are_told() {
    let agent = HttpAgent::new("http://localhost/a").unwrap().description("far away").capabilities(json!({"a": 1}));
    assert_eq!((agent.class_name(), Agent::description(&agent)), ("HttpAgent", "far away"));
    assert_eq!(Agent::capabilities(&agent).await, Ok(Some(json!({"a": 1}))));
    assert_eq!(agent.stop_grace(), Duration::ZERO);
}

#[test]
fn secrets_stay_out_of_debug() {
    let agent = HttpAgent::new("http://user:secret@localhost:1/a?key=secret").unwrap();
    let agent = agent.header("Authorization", "Bearer secret").unwrap();
    let debug = format!("{agent:?}");
    assert!(!debug.contains("secret") && debug.contains("http://localhost:1/a") && debug.contains("Authorization"));
}

#[test]
fn bad_addresses_are_refused() {
    for url in ["", "localhost", "/agent", "ftp://x/", "http://", "file:///etc/passwd"] {
        assert!(matches!(HttpAgent::new(url), Err(HttpAgentError::InvalidUrl(_))), "{url}");
    }
}
