//! Requests nobody should send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, Agents, EventStream, FunctionAgent};
use copilotkit_runtime::agui::{Event, EventKind};
use copilotkit_runtime::http::{Body, CopilotService, Cors, Route};
use copilotkit_runtime::{CopilotRuntime, Limits};
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::serve::{
    Answer, Server, call, client, fetch, get, greeter, greeting, input, kinds, one_terminal, post, raw_post, service,
    soon,
};

const RUN: &str = "/agent/default/run";

/// Runs a test on a stack as small as that of a server's worker.
fn on_a_worker_stack(test: impl Future<Output = ()> + Send + 'static) {
    let work = move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    };
    let worker = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).expect("a thread");
    worker.join().expect("the test succeeds");
}

fn percent(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn assert_invalid(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {:?}", answer.body);
    let body = answer.json();
    assert_eq!(body["error"], "Invalid request body", "{what}");
    assert!(body["details"].as_str().is_some_and(|details| !details.is_empty()), "{what}: {body}");
}

fn assert_too_large(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{what}");
    assert_eq!(answer.headers["content-type"], "application/json", "{what}");
    assert_eq!(answer.json()["error"], "Request body too large", "{what}");
}

/// The service still does what it is there for.
async fn assert_alive(service: &CopilotService) {
    let answer = call(service, post(RUN, input("alive", "alive"))).await;
    assert_eq!(one_terminal(&answer.events()), "");
}

#[tokio::test]
async fn a_body_at_the_limit_passes_and_one_byte_more_is_413() {
    let limit = 1000;
    let multi = service(greeter()).body_limit(limit);
    let single = multi.clone().single_route();
    let envelope =
        format!("{{\"method\":\"agent/run\",\"params\":{{\"agentId\":\"default\"}},\"body\":{}}}", input("t", "r"));
    let cases = [
        (&multi, RUN, input("t", "r")),
        (&multi, "/agent/default/connect", input("t", "r")),
        (&multi, "/agent/default/suggest", input("t", "r")),
        (&multi, "/agent/default/stop/t", "{}".to_owned()),
        (&single, "/", envelope),
    ];
    for (service, path, body) in cases {
        let padded = |length: usize| format!("{body}{}", " ".repeat(length - body.len()));
        let exact = call(service, post(path, padded(limit))).await;
        assert_eq!(exact.status, StatusCode::OK, "{path}: {:?}", exact.body);
        assert_too_large(&call(service, post(path, padded(limit + 1))).await, path);
        // Without a length known beforehand.
        let pieces = padded(limit + 1).into_bytes();
        let pieces: Vec<_> = pieces
            .chunks(100)
            .map(|piece| Ok::<_, std::io::Error>(http_body::Frame::data(bytes::Bytes::copy_from_slice(piece))))
            .collect();
        let streamed = Body::new(http_body_util::StreamBody::new(stream::iter(pieces)));
        let request = Request::post(path).header("content-type", "application/json").body(streamed).unwrap();
        assert_too_large(&call(service, request).await, path);
    }
    // A path that is no route reads the body only to give better advice.
    let lost = call(&multi, post("/nowhere", vec![b' '; limit + 1])).await;
    assert_eq!((lost.status, lost.json()), (StatusCode::NOT_FOUND, json!({"error": "Not found"})));
}

#[tokio::test]
async fn a_body_too_large_is_refused_on_the_wire_before_it_is_sent_whole() {
    let server = Server::of(service(greeter()).body_limit(1000)).await;
    // Announced: the answer comes though not a byte of the body was sent.
    let mut raw = server.connect().await;
    raw.send(
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
            .as_bytes(),
    )
    .await;
    let head = raw.until("Request body too large").await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    // Unannounced: as soon as it is too much.
    let mut raw = server.connect().await;
    raw.send(format!("POST {RUN} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes()).await;
    raw.send(format!("7d0\r\n{}\r\n", "x".repeat(2000)).as_bytes()).await;
    let head = raw.until("Request body too large").await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
    // A client library, which may use the connection again, goes on working.
    let client = client();
    for _ in 0..5 {
        let refused = fetch(&client, &server.url(RUN), "x".repeat(5000)).await;
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        let run = fetch(&client, &server.url(RUN), input("t", "r")).await;
        assert_eq!(one_terminal(&run.events()), "");
    }
}

#[test]
fn json_of_any_depth_is_answered_and_kept_from_the_stack() {
    on_a_worker_stack(async {
        let multi = service(greeter());
        let single = multi.clone().single_route();
        // Far more than the stack could hold, were it ever used.
        let depth = 20_000;
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for deep in [&deep, &objects] {
            let with =
                |field: &str| format!("{{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[],\"{field}\":{deep}}}");
            let message = |message: &str| format!("{{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[{message}]}}");
            let bodies = [
                deep.clone(),
                with("state"),
                with("forwardedProps"),
                with("unknown"),
                with("threadId"),
                with("messages"),
                with("tools"),
                with("resume"),
                with("context"),
                with(&"k".repeat(1000)),
                message(deep),
                message(&format!("{{\"id\":\"m\",\"role\":\"user\",\"content\":{deep}}}")),
                message(&format!(
                    "{{\"id\":\"m\",\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":{deep}}}]}}"
                )),
                message(&format!("{{\"id\":\"m\",\"role\":\"user\",\"content\":\"\",\"metadata\":{deep}}}")),
                message(&format!("{{\"id\":\"m\",\"role\":{deep},\"content\":\"\"}}")),
                message(&format!("{{\"id\":\"m\",\"role\":\"assistant\",\"toolCalls\":{deep}}}")),
                message(&format!("{{\"id\":\"m\",\"role\":\"activity\",\"activityType\":\"a\",\"content\":{deep}}}")),
                format!(
                    "{{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[],\"tools\":[{{\"name\":\"n\",\"description\":\"d\",\"parameters\":{deep}}}]}}"
                ),
                format!(
                    "{{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[],\"resume\":[{{\"interruptId\":\"i\",\"status\":\"resolved\",\"payload\":{deep}}}]}}"
                ),
            ];
            for body in bodies {
                for route in ["run", "stop/t"] {
                    let answer = call(&multi, post(&format!("/agent/default/{route}"), body.clone())).await;
                    match answer.status {
                        StatusCode::OK => drop(one_terminal(&answer.events())),
                        StatusCode::BAD_REQUEST => {}
                        other => panic!("{route}: {other} {:.200}", body),
                    }
                }
                let path = "{\"agentId\":\"default\"}";
                for envelope in [
                    format!("{{\"method\":\"agent/run\",\"params\":{path},\"body\":{body}}}"),
                    format!("{{\"x\":{body},\"method\":\"info\"}}"),
                ] {
                    let answer = call(&single, post("/", envelope)).await;
                    assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&answer.status), "{answer:?}");
                }
            }
        }
        for deep in [&deep, &objects, &"[".repeat(depth)] {
            for body in [
                deep.clone(),
                format!("{{\"method\":{deep}}}"),
                format!("{{\"method\":\"agent/run\",\"params\":{deep}}}"),
                format!("{{\"method\":\"agent/run\",\"params\":{{\"agentId\":{deep}}},\"body\":{{}}}}"),
                format!(
                    "{{\"method\":\"agent/stop\",\"params\":{{\"agentId\":\"default\",\"threadId\":\"t\"}},\"body\":{deep}}}"
                ),
                format!("{{\"method\":\"transcribe\",\"body\":{deep}}}"),
            ] {
                let status = call(&single, post("/", body.clone())).await.status;
                // Only speech to text answers otherwise: nobody offers it here.
                assert!(status == StatusCode::BAD_REQUEST || body.contains("transcribe"), "{status} {body:.80}");
                assert_eq!(call(&multi, post(RUN, body)).await.status, StatusCode::BAD_REQUEST);
            }
        }
        for route in ["messages", "events", "state"] {
            assert_eq!(call(&multi, get(&format!("/threads/t/{route}"))).await.status, StatusCode::OK);
        }
        assert_alive(&multi).await;
    });
}

#[test]
fn deep_json_from_an_agent_is_relayed_and_replayed() {
    on_a_worker_stack(async {
        let depth = 100_000;
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let say = [
            json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r"}).to_string(),
            format!("{{\"type\":\"RAW\",\"event\":{deep}}}"),
            format!("{{\"type\":\"STATE_SNAPSHOT\",\"snapshot\":{{\"a\":{deep}}}}}"),
            format!("{{\"type\":\"STATE_DELTA\",\"delta\":[{{\"op\":\"add\",\"path\":\"/b\",\"value\":{deep}}}]}}"),
            format!(
                "{{\"type\":\"ACTIVITY_SNAPSHOT\",\"messageId\":\"a\",\"activityType\":\"x\",\"content\":{{\"a\":{deep}}}}}"
            ),
            format!("{{\"type\":\"ACTIVITY_DELTA\",\"messageId\":\"a\",\"activityType\":\"x\",\"patch\":{deep}}}"),
            format!(
                "{{\"type\":\"MESSAGES_SNAPSHOT\",\"messages\":[{{\"id\":\"m\",\"role\":\"user\",\"content\":{deep}}}]}}"
            ),
            format!("{{\"type\":\"CUSTOM\",\"name\":\"c\",\"value\":{deep},\"metadata\":{deep},\"rawEvent\":{deep}}}"),
            json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r"}).to_string(),
        ];
        let events: Vec<Event> = say.iter().map(|json| Event::parse(json.clone()).unwrap()).collect();
        let expected = kinds(&events);
        let agent = FunctionAgent::new(move |_| stream::iter(events.clone().into_iter().map(Ok)));
        let service = service(agent).after_request(|finished| async move {
            let _ = finished.observed;
            Ok(())
        });
        let answer = call(&service, post(RUN, input("t", "r"))).await;
        assert_eq!(kinds(&answer.events()), expected);
        let replay = call(&service, post("/agent/default/connect", input("t", "r"))).await;
        assert_eq!(one_terminal(&replay.events()), "");
        for route in ["messages", "events", "state"] {
            assert_eq!(call(&service, get(&format!("/threads/t/{route}"))).await.status, StatusCode::OK);
        }
    });
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_refused_or_replaced_but_never_fail() {
    let multi = service(greeter()).cors(Cors::any()).unwrap();
    let single = multi.clone().single_route();
    let broken = |text: &str| {
        text.replace('~', "\u{7f}")
            .into_bytes()
            .into_iter()
            .map(|b| if b == 0x7f { 0xff } else { b })
            .collect::<Vec<u8>>()
    };
    for text in ["~", "{\"threadId\":\"~\",\"runId\":\"r\",\"messages\":[]}", "{\"~\":1}", "{\"threadId\":~}"] {
        for route in ["run", "connect", "suggest"] {
            assert_invalid(&call(&multi, post(&format!("/agent/default/{route}"), broken(text))).await, text);
        }
        let stop = call(&multi, post("/agent/default/stop/t", broken(text))).await;
        assert_eq!(
            (stop.status, stop.json()),
            (StatusCode::BAD_REQUEST, json!({"error": "Invalid stop request"})),
            "{text}"
        );
    }
    // An envelope is read as browsers read text.
    let answer = call(&single, post("/", broken("{\"method\":\"~\"}"))).await;
    let expected = json!({"error": "invalid_request", "message": "Unsupported method '\u{fffd}'"});
    assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, expected));
    // In a path, and in headers.
    assert_eq!(call(&multi, post("/agent/%ff%fe/run", input("t", "r"))).await.status, StatusCode::NOT_FOUND);
    for header in ["authorization", "origin", "content-type", "x-anything", "cookie"] {
        let mut request = post(RUN, input("t", "r"));
        request.headers_mut().insert(header, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert_eq!(one_terminal(&call(&multi, request).await.events()), "", "{header}");
        let mut request = post("/", "{\"method\":\"info\"}");
        request.headers_mut().insert(header, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        let expected = if header == "content-type" { StatusCode::UNSUPPORTED_MEDIA_TYPE } else { StatusCode::OK };
        assert_eq!(call(&single, request).await.status, expected, "{header}");
    }
}

fn hostile_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        "a\0b",
        "\"",
        "\\",
        "'",
        "a\r\nset-cookie: evil=1\r\n\r\n<html>",
        "a\n\ndata: {\"type\":\"RUN_FINISHED\"}\n\n",
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "//",
        "%2F",
        "%00",
        "%",
        "a b",
        "+",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "🦀👩‍👩‍👧",
        "\u{202e}evil",
        "\u{2028}",
        "\u{feff}",
        "null",
        "undefined",
        "0",
        "-1",
        "{}",
        "[]",
        "${x}",
        "{{x}}",
        "' OR 1=1 --",
        "run",
        "info",
        "\u{1b}[31m",
    ]
    .map(str::to_owned)
    .to_vec();
    ids.push("x".repeat(10_000));
    ids
}

#[tokio::test]
async fn hostile_agent_ids_are_404_and_come_back_as_json_only() {
    let multi = service(greeter());
    let single = multi.clone().single_route();
    for id in hostile_ids() {
        let expected = json!({"error": "Agent not found", "message": format!("Agent '{id}' does not exist")});
        let mut answers = Vec::new();
        for method in ["agent/run", "agent/connect", "agent/suggest", "agent/stop"] {
            let params = json!({"agentId": id, "threadId": "t"});
            let body: Value =
                if method == "agent/stop" { json!({}) } else { serde_json::from_str(&input("t", "r")).unwrap() };
            let envelope = json!({"method": method, "params": params, "body": body}).to_string();
            if !id.trim().is_empty() {
                answers.push(call(&single, post("/", envelope)).await);
            }
        }
        // These are steps in a path, not names.
        if !["..", "."].contains(&id.as_str()) {
            for route in ["run", "connect", "suggest"] {
                answers.push(call(&multi, post(&format!("/agent/{}/{route}", percent(&id)), input("t", "r"))).await);
            }
            answers.push(call(&multi, post(&format!("/agent/{}/stop/t", percent(&id)), "{}")).await);
        }
        for answer in answers {
            assert_eq!((answer.status, answer.json()), (StatusCode::NOT_FOUND, expected.clone()), "{id:?}");
            let names: Vec<_> = answer.headers.keys().map(http::HeaderName::as_str).collect();
            assert_eq!(names, ["content-type"], "{id:?}");
        }
    }
}

#[tokio::test]
async fn hostile_thread_and_run_ids_are_only_names() {
    let mut limits = Limits::default();
    limits.id_bytes = 2 * 1024 * 1024;
    let runtime = CopilotRuntime::builder().agent("default", greeter()).limits(limits).build().unwrap();
    let service = runtime.into_service();
    let mut ids = hostile_ids();
    // Larger than any path; empty ones are ids as well.
    ids.extend(["y".repeat(1024 * 1024), String::new()]);
    for id in &ids {
        let body =
            json!({"threadId": id, "runId": id, "messages": [{"id": id, "role": "user", "content": id}]}).to_string();
        let run = call(&service, post(RUN, body.clone())).await;
        // One event per line and nothing else: an id cannot begin an event of its own.
        let text = std::str::from_utf8(&run.body).unwrap();
        assert!(
            text.split_terminator("\n\n").all(|frame| frame.starts_with("data: {") && !frame.contains(['\n', '\r'])),
            "{id:.99?}"
        );
        let seen = run.events();
        assert_eq!(kinds(&seen)[..2], [EventKind::RunStarted, EventKind::TextMessageStart], "{id:.99?}");
        assert_eq!(one_terminal(&seen), "", "{id:.99?}");
        let started: Value = seen[0].view().unwrap();
        assert_eq!((&started["threadId"], &started["input"]["messages"][0]["id"]), (&json!(id), &json!(id)));
        let replay = call(&service, post("/agent/default/connect", body)).await;
        assert_eq!(replay.events(), seen, "{id:.99?}");
        if id.len() > 20_000 || ["", "..", "."].contains(&id.as_str()) {
            continue;
        }
        let messages = call(&service, get(&format!("/threads/{}/messages", percent(id)))).await.json();
        assert_eq!(messages["messages"][0], json!({"id": id, "role": "user", "content": id}));
        let stop = call(&service, post(&format!("/agent/default/stop/{}", percent(id)), "")).await;
        let expected = json!({"stopped": false, "message": format!("No active run for thread '{id}'.")});
        assert_eq!((stop.status, stop.json()), (StatusCode::OK, expected));
        let stop = call(&service, post("/agent/default/stop/t", json!({"runId": id}).to_string())).await;
        assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&stop.status));
    }
    let listed = call(&service, get("/threads")).await.json();
    assert_eq!(listed["threads"].as_array().unwrap().len(), ids.len());
}

#[tokio::test]
async fn wrong_types_are_400_and_say_where() {
    let service = service(greeter());
    let good: Value = json!({"threadId": "t", "runId": "r", "messages": [], "tools": [], "context": []});
    let wrong = [json!(1), json!(null), json!([1]), json!({"a": 1}), json!(true), json!("text")];
    for field in ["threadId", "runId", "messages", "tools", "context"] {
        for value in &wrong {
            if value.is_string() && field.ends_with("Id") {
                continue;
            }
            let mut body = good.clone();
            body[field] = value.clone();
            let answer = call(&service, post(RUN, body.to_string())).await;
            assert_invalid(&answer, &body.to_string());
            assert!(answer.json()["details"].as_str().unwrap().contains(field), "{field} {}", answer.json());
        }
    }
    for message in [
        json!({}),
        json!({"id": 1, "role": "user", "content": ""}),
        json!({"id": "m", "role": "wizard", "content": ""}),
        json!({"id": "m", "role": "user"}),
        json!({"id": "m", "role": "user", "content": 7}),
        json!({"id": "m", "role": "user", "content": [{"type": "smell"}]}),
        json!({"id": "m", "role": "tool", "content": ""}),
        json!({"id": "m", "role": "assistant", "toolCalls": [{"id": "c"}]}),
    ] {
        let mut body = good.clone();
        body["messages"] = json!([message]);
        let answer = call(&service, post(RUN, body.to_string())).await;
        assert_invalid(&answer, &body.to_string());
        assert!(answer.json()["details"].as_str().unwrap().contains("messages[0]"), "{}", answer.json());
    }
    for body in [
        "",
        " ",
        "null",
        "[]",
        "\"x\"",
        "7",
        "NaN",
        "{",
        "}",
        "{}{}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{'a':1}",
        "{\"a\":1,}",
        "\u{0}",
    ] {
        assert_invalid(&call(&service, post(RUN, body)).await, body);
    }
    for body in ["null", "[]", "\"x\"", "7", "{", "{\"runId\":\"r\",\"x\":1}", "NaN"] {
        let answer = call(&service, post("/agent/default/stop/t", body)).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::BAD_REQUEST, json!({"error": "Invalid stop request"})),
            "{body}"
        );
    }
    for run_id in [json!(1), json!(null), json!([]), json!({}), json!(""), json!(" \n")] {
        let answer = call(&service, post("/agent/default/stop/t", json!({"runId": run_id}).to_string())).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::BAD_REQUEST, json!({"error": "Invalid runId"})),
            "{run_id}"
        );
    }
}

#[tokio::test]
async fn odd_but_valid_json_is_taken_as_browsers_take_it() {
    let service = service(FunctionAgent::new(|call: AgentCall| {
        let input = &call.input;
        let state = input.state.as_ref().map_or("none", |state| state.get());
        let said = vec![
            Event::run_started(&input.thread_id, &input.run_id),
            Event::text_start("m"),
            Event::text_content("m", &format!("{} {state}", input.thread_id)),
            Event::text_end("m"),
            Event::run_finished(&input.thread_id, &input.run_id),
        ];
        stream::iter(said.into_iter().map(Ok))
    }));
    for (body, seen) in [
        ("\u{feff}{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[]}", "t none"),
        ("{\"threadId\":\"a\",\"threadId\":\"b\",\"runId\":\"r\",\"messages\":[],\"state\":1,\"state\":2}", "b 2"),
        ("{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[],\"state\":1e999}", "t 1e999"),
        (
            "{\"threadId\":\"t\",\"runId\":\"r\",\"messages\":[],\"state\":123456789012345678901234567890.10}",
            "t 123456789012345678901234567890.10",
        ),
        ("\r\n{\r\n\"threadId\"\r\n:\"t\",\"runId\":\"r\",\"messages\":[\n],\"state\":[1,\n2]}\r\n", "t [1,2]"),
        (
            "{\"\\u0074hreadId\":\"t\",\"runId\":\"r\",\"messages\":[],\"__proto__\":{\"x\":1},\"constructor\":1}",
            "t none",
        ),
    ] {
        let answer = call(&service, post(RUN, body)).await;
        let seen_events = answer.events();
        assert_eq!(one_terminal(&seen_events), "", "{body}");
        let content: Value = seen_events[2].view().unwrap();
        assert_eq!(content["delta"], seen, "{body}");
    }
}

#[tokio::test]
async fn ten_thousand_messages_are_one_request() {
    let service = service(greeter());
    let messages: Vec<_> =
        (0..10_000).map(|n| json!({"id": format!("u{n}"), "role": "user", "content": "word ".repeat(10)})).collect();
    let count = |answer: &Answer| {
        let started: Value = answer.events()[0].view().unwrap();
        started["input"]["messages"].as_array().unwrap().len()
    };
    let body = json!({"threadId": "t", "runId": "r", "messages": messages}).to_string();
    let first = call(&service, post(RUN, body.clone())).await;
    assert_eq!((count(&first), one_terminal(&first.events())), (10_000, String::new()));
    let second = call(&service, post(RUN, body)).await;
    assert_eq!((count(&second), one_terminal(&second.events())), (0, String::new()));
    let kept = call(&service, get("/threads/t/messages")).await.json();
    // And one of the agent's.
    assert_eq!(kept["messages"].as_array().unwrap().len(), 10_001);
}

#[tokio::test]
async fn every_method_on_every_route_has_an_answer() {
    let service = service(greeter());
    for (name, template, allowed) in Route::table() {
        let path = template.replace(['{', '}'], "");
        for method in
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "a-token!"]
        {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = Request::builder().method(&method).uri(&path).body(Body::from("{}")).unwrap();
            let answer = call(&service, request).await;
            assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
            let hidden = name.starts_with("memories");
            if !allowed.contains(&method) && !hidden {
                assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
                assert_eq!(answer.headers["allow"], names.join(", "), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn long_paths_and_queries_are_answered() {
    let service = service(greeter());
    for (path, status) in [
        (format!("/{}", "a/".repeat(16_000)), StatusCode::NOT_FOUND),
        (format!("/{}info", "../".repeat(16_000)), StatusCode::OK),
        (format!("/{}info", "%2e%2E/".repeat(8_000)), StatusCode::OK),
        (format!("/{}info", "x/".repeat(16_000)), StatusCode::OK),
        (format!("{}/info", "/".repeat(30_000)), StatusCode::OK),
        (format!("/threads/{}/messages", "%F0%9F%A6%80".repeat(700)), StatusCode::OK),
        (format!("/threads/{}/messages", "%F0".repeat(700)), StatusCode::NOT_FOUND),
        (format!("/threads?agentId={}", "%".repeat(8_000)), StatusCode::OK),
        (format!("/info?{}", "a=b&".repeat(8_000)), StatusCode::OK),
    ] {
        assert_eq!(call(&service, get(&path)).await.status, status, "{path:.60}");
    }
    let single = service.single_route();
    let long = "/threads/".to_owned() + &"x".repeat(100_000) + "/messages";
    let envelope = json!({"method": "resource/request", "params": {"path": long, "httpMethod": "GET"}});
    assert_eq!(call(&single, post("/", envelope.to_string())).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn requests_that_are_no_http_are_400_and_the_next_one_is_served() {
    let server = Server::of(service(greeter())).await;
    let body = input("t", "r");
    for request in [
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{body}"),
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n{body}"),
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999999999999999\r\n\r\n{body}"),
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, gzip\r\n\r\n{body}"),
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\nbad header\r\n\r\n{body}"),
        format!("POST {RUN}\u{ff} HTTP/9.9\r\n\r\n"),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET  HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        let mut raw = server.connect().await;
        raw.send(request.as_bytes()).await;
        let answer = raw.drain().await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("data: "), "{request:?}: {answer:?}");
    }
    // A body whose chunks are none.
    let mut raw = server.connect().await;
    raw.send(
        format!("POST {RUN} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{body}\r\n").as_bytes(),
    )
    .await;
    let answer = raw.drain().await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Invalid request body"), "{answer:?}");
    let mut raw = server.posted(RUN, &body).await;
    raw.until("RUN_FINISHED").await;
}

#[tokio::test]
async fn two_requests_in_one_write_are_two_answers() {
    let server = Server::of(service(greeter())).await;
    let mut raw = server.connect().await;
    let both = raw_post("/agent/%0d%0aset-cookie:%20a=b/run", "{}") + &raw_post(RUN, &input("t", "r"));
    raw.send(both.as_bytes()).await;
    let seen = raw.until("RUN_FINISHED").await;
    assert_eq!(seen.matches("HTTP/1.1 ").count(), 2, "{seen}");
    assert!(!seen.contains("\nset-cookie"), "{seen}");
}

async fn assert_internal_error(service: CopilotService, what: &str) {
    let quiet = call(&service, post(RUN, input("t", "r"))).await;
    assert_eq!(
        (quiet.status, quiet.json()),
        (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "internal_error"})),
        "{what}"
    );
    assert_eq!(quiet.headers["access-control-allow-origin"], "*", "{what}: browsers may read the failure");
}

#[tokio::test]
async fn a_hook_that_panics_fails_its_request_alone() {
    let base = || service(greeter()).cors(Cors::any()).unwrap();
    let failing = || base().on_request(|_, _| async { Err(copilotkit_runtime::http::Interrupt::Error("no".into())) });
    for (what, service) in [
        ("on_request", base().on_request(|_, _| async { panic!("hook") })),
        ("before_request", base().before_request(|_, _| async { panic!("hook") })),
        ("on_before_handler", base().on_before_handler(|_, _| async { panic!("hook") })),
        ("on_response", base().on_response(|_, _| async { panic!("hook") })),
        ("on_error", failing().on_error(|_, _| async { panic!("hook") })),
    ] {
        assert_internal_error(service, what).await;
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let service = base().on_request(move |_, request| {
        // Panics before there is a future, and only once.
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "hook");
        async move { Ok(request) }
    });
    assert_internal_error(service.clone(), "a hook's own function").await;
    assert_alive(&service).await;
}

#[tokio::test]
async fn an_after_hook_that_panics_harms_neither_response_nor_connection() {
    for at_once in [true, false] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let server = Server::of(service(greeter()).after_request(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert!(!at_once, "hook");
            async { panic!("hook") }
        }))
        .await;
        // All over one connection.
        let mut raw = server.connect().await;
        for run in 1..=3 {
            raw.send(raw_post(RUN, &input("t", &run.to_string())).as_bytes()).await;
            raw.until("RUN_FINISHED").await;
            raw.until("0\r\n\r\n").await;
            raw.read.clear();
        }
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        // And from a body that was not read.
        drop(call_unread(&server).await);
    }
}

/// A response whose body is left alone.
async fn call_unread(server: &Server) -> reqwest::Response {
    let request = client().post(server.url(RUN)).body(input("t", "unread"));
    soon("the head", request.send()).await.expect("a response")
}

#[tokio::test]
async fn agents_that_cannot_be_found_without_a_panic_fail_their_request_alone() {
    for at_once in [true, false] {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let runtime = CopilotRuntime::builder().agents_per_request(move |_| {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            assert!(!(first && at_once), "no agents");
            async move {
                assert!(!first, "no agents");
                Ok(Agents::new().with("default", greeter()))
            }
        });
        let service = runtime.build().unwrap().into_service().cors(Cors::any()).unwrap();
        assert_internal_error(service.clone(), "a factory").await;
        assert_alive(&service).await;
    }
}

/// An agent that cannot say what it can do.
struct Coy(fn() -> BoxFuture<'static, Result<Option<Value>, AgentError>>);

impl Agent for Coy {
    fn run(&self, call: AgentCall) -> EventStream {
        let events = greeting(&call.input.thread_id, &call.input.run_id);
        Box::pin(stream::iter(events.into_iter().map(Ok)))
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        (self.0)()
    }
}

#[tokio::test(start_paused = true)]
async fn info_does_without_capabilities_that_fail_panic_or_never_come() {
    let runtime = CopilotRuntime::builder()
        .agent("fails", Coy(|| Box::pin(async { Err(AgentError::new("no")) })))
        .agent("panics", Coy(|| panic!("no")))
        .agent("panics later", Coy(|| Box::pin(async { panic!("no") })))
        .agent("hangs", Coy(|| Box::pin(std::future::pending())))
        .agent("hangs too", Coy(|| Box::pin(std::future::pending())))
        .agent("tells", Coy(|| Box::pin(async { Ok(Some(json!({"transport": {"streaming": true}}))) })));
    let service = runtime.build().unwrap().into_service();
    let info = call(&service, get("/info")).await;
    assert_eq!(info.status, StatusCode::OK);
    let agents = info.json()["agents"].clone();
    assert_eq!(
        agents.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["fails", "panics", "panics later", "hangs", "hangs too", "tells"]
    );
    for (name, agent) in agents.as_object().unwrap() {
        assert_eq!(agent.get("capabilities").is_some(), name == "tells", "{name}");
    }
}
