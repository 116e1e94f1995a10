use super::super::platform::{KEY, Platform};
use super::*;

#[tokio::test]
async fn every_call_carries_key_and_json_over_one_connection() {
    let mut platform = Platform::answering([(200, "{}"), (200, ""), (200, "{}"), (200, "{}")]).await;
    let intelligence = platform.intelligence();
    let rest = intelligence.rest();
    let headers = ["authorization: Bearer cpk-secret", "content-type: application/json"];
    let body = serde_json::json!({"a": 1});
    for call in [rest.get("/a?b=c"), rest.delete("/a"), rest.post("/a").body(&body).unwrap()] {
        call.send().await.unwrap();
    }
    for call in ["GET /a?b=c", "DELETE /a"] {
        let asked = platform.asked().await;
        assert_eq!((asked.call.as_str(), asked.body), (call, serde_json::Value::Null));
        assert_eq!(asked.headers, headers);
    }
    let asked = platform.asked().await;
    assert_eq!(
        (asked.call.as_str(), asked.headers.as_slice(), asked.body),
        ("POST /a", &headers.map(str::to_owned)[..], body)
    );
    rest.put("/a").without_content_type().send().await.unwrap();
    assert_eq!(platform.asked().await.headers, headers[..1]);
    assert_eq!(platform.connections(), 1, "connections are kept");
}

#[tokio::test]
async fn empty_body_is_no_value() {
    let platform = Platform::answering([(200, ""), (204, ""), (200, ""), (200, "no json"), (200, "{}")]).await;
    let intelligence = platform.intelligence();
    assert_eq!(intelligence.rest().get("/").send().await, Ok(None));
    assert_eq!(intelligence.rest().get("/").send().await, Ok(None));
    assert_eq!(intelligence.rest().get("/").json().await, Err(PlatformError::Malformed("is empty")));
    assert_eq!(intelligence.rest().get("/").json().await, Err(PlatformError::Malformed("is no JSON")));
    assert_eq!(intelligence.rest().get("/").json().await, Ok(Bytes::from_static(b"{}")));
}

#[tokio::test]
async fn failures_carry_status_and_text_but_no_key() {
    let leaked = format!(r#"{{"error":"{KEY} is unknown"}}"#);
    let platform = Platform::answering([(409, r#"{"error":"held"}"#), (503, ""), (401, &leaked), (302, "")]).await;
    let intelligence = platform.intelligence();
    let mut texts = Vec::new();
    for status in [409, 503, 401, 302] {
        let error = intelligence.rest().get("/x").send().await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        texts.push(error.to_string());
    }
    assert_eq!(
        texts,
        [
            r#"Intelligence platform error 409: {"error":"held"}"#,
            "Intelligence platform error 503: Service Unavailable",
            r#"Intelligence platform error 401: {"error":"… is unknown"}"#,
            "Intelligence platform error 302: Found",
        ]
    );
}

#[tokio::test]
async fn failed_call_is_not_repeated() {
    let mut platform = Platform::answering([(503, ""), (200, "{}")]).await;
    let intelligence = platform.intelligence();
    assert!(intelligence.rest().get("/x").send().await.is_err());
    platform.asked().await;
    assert!(!platform.was_asked_more());
}

#[tokio::test]
async fn platform_that_hangs_or_is_gone_has_no_status() {
    let platform = Platform::answering([]).await;
    let intelligence = platform.intelligence();
    let bound = Duration::from_millis(30);
    let hung = intelligence.rest().get("/secret").within(bound).send().await.unwrap_err();
    assert_eq!((&hung, hung.status()), (&PlatformError::TimedOut(bound), None));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let intelligence = crate::intelligence::Intelligence::builder().api_key(KEY).api_url(gone).build().unwrap();
    let gone = intelligence.rest().get("/secret").send().await.unwrap_err();
    assert!(matches!(gone, PlatformError::Network(_)), "{gone:?}");
    assert!(!format!("{gone} {gone:?} {hung}").contains("secret"));
}

#[tokio::test]
async fn answer_beyond_the_bound_is_refused() {
    let long = "x".repeat(MAX_FAILURE + 1);
    let platform = Platform::answering([(500, long.as_str())]).await;
    let error = platform.intelligence().rest().get("/").send().await.unwrap_err();
    assert_eq!(error, PlatformError::Status { status: 500, text: "x".repeat(MAX_FAILURE) });
}

#[test]
fn ids_become_one_segment() {
    assert_eq!(segment("a b/c?d#e%é").as_deref(), Ok("a%20b%2Fc%3Fd%23e%25%C3%A9"));
    assert_eq!(segment("A-z_0.!~*'()@:").as_deref(), Ok("A-z_0.!~*'()%40%3A"));
    assert_eq!(segment("...").as_deref(), Ok("..."));
    for id in ["", ".", ".."] {
        assert_eq!(segment(id), Err(PlatformError::Unaddressable(id.to_owned())));
    }
}

#[test]
fn queries_leave_out_what_is_not_there() {
    assert_eq!(query([("a", Some("x y&")), ("b", None), ("c", Some("@"))]), "a=x+y%26&c=%40");
}
