use serde_json::json;

use super::super::platform::Platform;
use super::*;

const HELD: &str = r#"{"threadId":"T","runId":"R","joinToken":"secret","lock":{"key":"thread:T","ttlSeconds":20}}"#;

fn request() -> LockRequest {
    let text = str::to_owned;
    LockRequest {
        thread_id: text("t"),
        run_id: text("r"),
        user_id: text("u"),
        agent_id: text("a"),
        ..LockRequest::default()
    }
}

#[tokio::test]
async fn lock_is_asked_for_with_what_is_configured() {
    let mut platform = Platform::answering([(200, HELD), (200, HELD)]).await;
    let (credentials, lock) = platform.intelligence().acquire_lock(&request()).await.unwrap();
    let asked = platform.asked().await;
    assert_eq!(asked.call, "POST /api/threads/t/lock");
    assert_eq!(asked.body, json!({"runId": "r", "userId": "u", "agentId": "a", "ttlSeconds": 20}));
    assert_eq!((credentials.thread_id.as_str(), credentials.run_id.as_str()), ("T", "R"), "the platform names the run");
    assert_eq!(credentials.join_token.expose(), "secret");
    assert!(!format!("{credentials:?} {lock:?}").contains("secret"));

    let intelligence = platform.configured(|b| b.lock_ttl(Duration::from_secs(86_400)).lock_key_prefix("tenant-a"));
    let request = LockRequest { learning_container_id: Some("lc".to_owned()), ..request() };
    intelligence.acquire_lock(&request).await.unwrap();
    let full = json!({"runId": "r", "userId": "u", "agentId": "a", "learningContainerId": "lc",
        "lockKeyPrefix": "tenant-a", "ttlSeconds": 3600});
    assert_eq!(platform.asked().await.body, full);
}

#[tokio::test]
async fn thread_held_by_another_run_is_a_status() {
    let platform = Platform::answering([(409, r#"{"error":"Thread is locked"}"#)]).await;
    let refused = platform.intelligence().acquire_lock(&request()).await.unwrap_err();
    assert!(matches!(refused, LockError::Platform(error) if error.status() == Some(409)));
}

#[tokio::test]
async fn lock_without_credentials_is_given_back() {
    let broken = [
        ("", "t", "r"),
        ("no json", "t", "r"),
        (r#"{"threadId":"T","runId":"R"}"#, "T", "R"),
        (r#"{"threadId":"T","joinToken":"x"}"#, "T", "r"),
        (r#"{"threadId":"","runId":"R","joinToken":"x"}"#, "t", "R"),
        (r#"{"threadId":"T","runId":"R","joinToken":""}"#, "T", "R"),
    ];
    for (answer, thread, run) in broken {
        let mut platform = Platform::answering([(200, answer), (204, "")]).await;
        let refused = platform.intelligence().acquire_lock(&request()).await.unwrap_err();
        assert!(matches!(refused, LockError::NoCredentials), "{answer}");
        platform.asked().await;
        let release = platform.asked().await;
        assert_eq!((release.call, release.body), (format!("DELETE /api/threads/{thread}/lock"), json!({"runId": run})));
    }
}

#[tokio::test]
async fn renewals_go_on_until_one_fails() {
    let renewed = (200, r#"{"ttlSeconds":5}"#);
    let mut platform = Platform::answering([(200, HELD), renewed, renewed, (409, "lost")]).await;
    let intelligence = platform.configured(|builder| {
        builder.lock_ttl(Duration::from_secs(5)).lock_heartbeat(Duration::from_millis(1)).lock_key_prefix("p")
    });
    let (_, lock) = intelligence.acquire_lock(&request()).await.unwrap();
    assert_eq!(lock.renew().await.status(), Some(409));
    platform.asked().await;
    for _ in 0..3 {
        let asked = platform.asked().await;
        let body = json!({"runId": "R", "ttlSeconds": 5, "lockKeyPrefix": "p"});
        assert_eq!((asked.call.as_str(), asked.body), ("PATCH /api/threads/T/lock", body));
    }
    assert!(!platform.was_asked_more(), "a lost lock is not asked for again");
}

#[tokio::test]
async fn renewal_longer_than_the_lock_lives_has_failed() {
    let platform = Platform::answering([(200, HELD)]).await;
    let ttl = Duration::from_secs(1);
    let intelligence = platform.configured(|b| b.lock_ttl(ttl).lock_heartbeat(Duration::from_millis(1)));
    let (_, lock) = intelligence.acquire_lock(&request()).await.unwrap();
    assert_eq!(lock.renew().await, PlatformError::TimedOut(ttl));
}

#[tokio::test]
async fn lock_is_released_once_whatever_the_platform_says() {
    let mut platform = Platform::answering([(200, HELD), (409, "not the holder"), (204, "")]).await;
    let (_, lock) = platform.intelligence().acquire_lock(&request()).await.unwrap();
    lock.release().await;
    lock.release().await;
    platform.asked().await;
    let asked = platform.asked().await;
    assert_eq!((asked.call.as_str(), asked.body), ("DELETE /api/threads/T/lock", json!({"runId": "R"})));
    assert!(!platform.was_asked_more());
}

#[tokio::test]
async fn dropped_lock_is_left_to_the_platform() {
    let mut platform = Platform::answering([(200, HELD), (200, "{}")]).await;
    let intelligence = platform.intelligence();
    drop(intelligence.acquire_lock(&request()).await.unwrap());
    intelligence.rest().get("/next").send().await.unwrap();
    platform.asked().await;
    assert_eq!(platform.asked().await.call, "GET /next");
}
