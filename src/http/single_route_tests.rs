use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const JSON: Option<&str> = Some("application/json; charset=utf-8");

fn parse(envelope: &Value) -> Result<Envelope, EnvelopeError> {
    parse_text(&envelope.to_string())
}

fn parse_text(text: &str) -> Result<Envelope, EnvelopeError> {
    parse_envelope(JSON, &Bytes::copy_from_slice(text.as_bytes()))
}

/// Status and message of a refused envelope.
fn refusal(text: &str) -> (u16, String) {
    let error = parse_text(text).unwrap_err();
    (error.status().as_u16(), error.to_string())
}

fn route(envelope: &Value) -> Route {
    match parse(envelope).unwrap().target {
        Target::Route { route, .. } => route,
        target @ Target::Resource { .. } => panic!("{target:?}"),
    }
}

fn resource(params: &Value) -> Result<(String, Option<String>, Method), EnvelopeError> {
    match parse(&json!({"method": "resource/request", "params": params}))?.target {
        Target::Resource { path, query, method } => Ok((path, query, method)),
        target @ Target::Route { .. } => panic!("{target:?}"),
    }
}

#[test]
fn methods_name_the_routes() {
    let ids = json!({"agentId": "a b/c", "threadId": " t "});
    let agent_id = || "a b/c".to_owned();
    for (method, wanted) in [
        ("agent/run", Route::AgentRun { agent_id: agent_id() }),
        ("agent/suggest", Route::AgentSuggest { agent_id: agent_id() }),
        ("agent/connect", Route::AgentConnect { agent_id: agent_id() }),
        ("agent/stop", Route::AgentStop { agent_id: agent_id(), thread_id: " t ".into() }),
        ("info", Route::Info),
        ("inspector/metadata", Route::InspectorMetadata),
        ("inspector/learning", Route::InspectorLearning),
        ("transcribe", Route::Transcribe),
    ] {
        assert_eq!(route(&json!({"method": method, "params": ids})), wanted);
    }
}

#[test]
fn content_type_is_checked_first() {
    for content_type in [None, Some("text/plain")] {
        let error = parse_envelope(content_type, &Bytes::from_static(b"{")).unwrap_err();
        assert_eq!(error.status(), 415);
        assert_eq!(error.to_string(), "Single-route endpoint expects JSON payloads");
    }
}

#[test]
fn text_that_is_no_envelope_is_refused_with_400() {
    for text in ["", "{", "{\"method\":\"info\"}x", "null", " null\n"] {
        assert_eq!(refusal(text), (400, "Invalid JSON payload".into()), "{text}");
    }
    for text in ["{}", "[]", "1", "\"info\"", "{\"method\":\"\"}", "{\"method\":null}", "{\"method\":0}"] {
        assert_eq!(refusal(text), (400, "Missing method field".into()), "{text}");
    }
    for (method, shown) in [
        ("\"agent/dance\"", "agent/dance"),
        ("\"\\u0041\"", "A"),
        ("7", "7"),
        ("{\"a\":1}", "[object Object]"),
        ("true", "true"),
    ] {
        let text = format!("{{\"method\":{method}}}");
        assert_eq!(refusal(&text), (400, format!("Unsupported method '{shown}'")));
    }
}

#[test]
fn ids_must_be_strings_with_something_in_them() {
    for params in ["{}", "null", "[]", "\"agentId\"", r#"{"agentId":" "}"#, r#"{"agentId":5}"#] {
        let text = format!(r#"{{"method":"agent/run","params":{params}}}"#);
        assert_eq!(refusal(&text), (400, "Missing or invalid parameter 'agentId'".into()), "{params}");
    }
    let stop = r#"{"method":"agent/stop","params":{"agentId":"slow"}}"#;
    assert_eq!(refusal(stop), (400, "Missing or invalid parameter 'threadId'".into()));
    let resource = r#"{"method":"resource/request","params":{"httpMethod":"GET"}}"#;
    assert_eq!(refusal(resource), (400, "Missing or invalid parameter 'path'".into()));
    let resource = r#"{"method":"resource/request","params":{"path":"threads"}}"#;
    assert_eq!(refusal(resource), (400, "Missing or invalid parameter 'httpMethod'".into()));
}

#[test]
fn inner_body_keeps_its_text() {
    let text = r#"{"method":"agent/run","body": { "n": 1.0e2, "s":"\u00e9" } ,"params":{"agentId":"a"}}"#;
    assert_eq!(parse_text(text).unwrap().body().unwrap(), r#"{ "n": 1.0e2, "s":"\u00e9" }"#);
}

#[test]
fn inner_body_shares_the_request_bytes() {
    let whole = Bytes::from(r#"{"method":"transcribe","body":{"a":1}}"#.to_owned());
    let body = parse_envelope(JSON, &whole).unwrap().body().unwrap();
    assert!(whole.as_ptr_range().contains(&body.as_ptr()));
    assert_eq!(body, r#"{"a":1}"#);
}

#[test]
fn string_body_is_the_inner_text() {
    let run = json!({"method": "agent/run", "params": {"agentId": "a"}, "body": "{\"threadId\":\"t\"}"});
    assert_eq!(parse(&run).unwrap().body().unwrap(), r#"{"threadId":"t"}"#);
}

#[test]
fn missing_bodies_are_refused_late_and_only_where_needed() {
    let body = |method: &str, body: Option<Value>| {
        let mut envelope = json!({"method": method, "params": {"agentId": "a", "threadId": "t"}});
        if let Some(body) = body {
            envelope["body"] = body;
        }
        parse(&envelope).unwrap().body()
    };
    for method in ["agent/run", "agent/connect", "agent/suggest", "transcribe"] {
        for absent in [None, Some(Value::Null)] {
            assert_eq!(body(method, absent), Err(EnvelopeError::MissingBody), "{method}");
        }
    }
    assert_eq!(EnvelopeError::MissingBody.to_string(), "Missing request body for JSON handler");
    assert_eq!(body("agent/stop", None).unwrap(), "{}");
    assert_eq!(body("agent/stop", Some(json!({"runId": "r"}))).unwrap(), r#"{"runId":"r"}"#);
    assert_eq!(body("agent/stop", Some(Value::Null)), Err(EnvelopeError::MissingBody));
    assert_eq!(body("info", None).unwrap(), "");
}

#[test]
fn learning_parameters_become_a_query() {
    let query = |params: Value| match parse(&json!({"method": "inspector/learning", "params": params})) {
        Ok(Envelope { target: Target::Route { query, .. }, .. }) => query,
        other => panic!("{other:?}"),
    };
    let params = json!({"insightsPage": 2, "agentId": "a b&c", "skillsPage": "1", "other": "x"});
    assert_eq!(query(params).as_deref(), Some("agentId=a+b%26c&skillsPage=1&insightsPage=2"));
    assert_eq!(query(json!({"agentId": null, "skillsPage": [1]})), None);
    assert_eq!(query(Value::Null), None);
}

#[test]
fn resource_paths_are_read_as_urls() {
    for (path, wanted, query) in [
        ("/threads?agentId=state", "/threads", Some("agentId=state")),
        ("/threads/a b/../c?", "/threads/c", None),
        ("/%2e%2e/../info", "/info", None),
        ("/threads/ü#x?y", "/threads/%C3%BC", None),
        ("/threads/a%2Fb", "/threads/a%2Fb", None),
    ] {
        let wanted = (wanted.to_owned(), query.map(str::to_owned), Method::GET);
        assert_eq!(resource(&json!({"path": path, "httpMethod": "get"})).unwrap(), wanted, "{path}");
    }
}

#[test]
fn resource_paths_stay_on_this_host() {
    for path in ["//evil.example.com/threads", "threads", "http://evil/threads", "/\\evil/threads", "/\t/evil"] {
        let refused = resource(&json!({"path": path, "httpMethod": "GET"}));
        assert_eq!(refused, Err(EnvelopeError::ResourcePath), "{path}");
    }
    assert_eq!(EnvelopeError::ResourcePath.to_string(), "Resource path must be Runtime-relative");
    let odd_method = resource(&json!({"path": "/threads", "httpMethod": "GE T"}));
    assert_eq!(odd_method, Err(EnvelopeError::Parameter("httpMethod")));
}

#[test]
fn resource_body_goes_with_methods_that_have_one() {
    for (method, body, wanted) in [
        ("PATCH", json!({"name": "n"}), r#"{"name":"n"}"#),
        ("PATCH", json!("verbatim"), "verbatim"),
        ("POST", Value::Null, ""),
        ("GET", json!({"name": "n"}), ""),
    ] {
        let params = json!({"path": "/threads/t", "httpMethod": method});
        let envelope = json!({"method": "resource/request", "params": params, "body": body});
        assert_eq!(parse(&envelope).unwrap().body().unwrap(), wanted);
    }
}

#[test]
fn resources_are_threads_exposed_memories_and_annotate() {
    for (path, hidden, exposed) in [
        ("/threads", true, true),
        ("/threads/t/state", true, true),
        ("/threads/clear", true, true),
        ("/annotate", true, true),
        ("/memories", false, true),
        ("/memories/m1", false, true),
        ("/info", false, false),
        ("/agent/a/run", false, false),
        ("/transcribe", false, false),
        ("/cpk-debug-events", false, false),
    ] {
        let route = Route::of_path(path).unwrap();
        assert_eq!(allowed_resource(&route, false), hidden, "{path}");
        assert_eq!(allowed_resource(&route, true), exposed, "{path}");
    }
}

#[test]
fn envelope_is_known_by_its_method() {
    assert!(is_envelope(JSON, br#"{"method":"info"}"#));
    assert!(is_envelope(JSON, br#"{"x":[{}],"method":"agent/run"}"#));
    assert!(!is_envelope(Some("text/plain"), br#"{"method":"info"}"#));
    for body in ["", "null", "[]", r#"{"method":"nope"}"#, r#"{"method":["info"]}"#, r#"{"method":"info""#] {
        assert!(!is_envelope(JSON, body.as_bytes()), "{body}");
    }
}

#[test]
fn depth_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let run = format!(r#"{{"method":"agent/run","params":{{"x":{deep},"agentId":"a"}},"body":{deep}}}"#);
    assert_eq!(parse_text(&run).unwrap().body().unwrap(), deep);
    assert!(parse_text(&"{\"params\":".repeat(100_000)).is_err());
}

/// JSON that is close to an envelope.
fn almost() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("{\"agentId\":\"a\",\"threadId\":\"t\"}".to_owned()),
        "[0-9.eE+-]{1,6}",
        "\"[a-z/\\\\u0-9 ]{0,12}\"",
        "\\PC{0,12}",
        prop::sample::select(METHODS).prop_map(|method| format!("\"{method}\"")),
        "/\\PC{0,20}".prop_map(|path| json!({"path": path, "httpMethod": "PUT"}).to_string()),
    ];
    let key = prop::sample::select(&["method", "params", "body", "x"][..]);
    prop::collection::vec((key, value), 0..5).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse_envelope(JSON, &body.into()).map(|envelope| envelope.body());
    }

    #[test]
    fn no_envelope_makes_it_panic(text in almost()) {
        let parsed = parse_text(&text);
        if let Ok(envelope) = &parsed {
            prop_assert!(is_envelope(JSON, text.as_bytes()));
            let _ = envelope.body();
        }
    }

    #[test]
    fn resource_targets_are_uris(path in "/\\PC{0,40}") {
        if let Ok((path, query, _)) = resource(&json!({"path": path, "httpMethod": "GET"})) {
            let target = format!("/base{path}{}", query.map(|query| format!("?{query}")).unwrap_or_default());
            prop_assert!(target.parse::<http::uri::PathAndQuery>().is_ok(), "{}", target);
        }
    }
}
