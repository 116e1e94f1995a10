use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use super::super::platform::{Asked, Platform};
use super::*;

const THREAD: &str =
    r#"{"thread":{"id":"t/1","organizationId":"o","agentId":"a","name":null,"archived":false,"n":1.0}}"#;

fn said(asked: Asked) -> (String, Value) {
    (asked.call, asked.body)
}

#[tokio::test]
async fn lists_pass_through_unchanged() {
    let page = r#"{"threads":[], "joinCode":"jc-1","later":1.0}"#;
    let mut platform = Platform::answering([(200, page), (200, page)]).await;
    let intelligence = platform.intelligence();
    let mut list = ListThreads { agent_id: "a@b".to_owned(), ..ListThreads::default() };
    assert_eq!(intelligence.list_threads("user-1", &list).await.unwrap(), page);
    assert_eq!(platform.asked().await.call, "GET /api/threads?userId=user-1&agentId=a%40b");
    list.include_archived = true;
    (list.limit, list.cursor) = (Some("5".to_owned()), Some("c&d".to_owned()));
    intelligence.list_threads("user-1", &list).await.unwrap();
    let all = "GET /api/threads?userId=user-1&agentId=a%40b&includeArchived=true&limit=5&cursor=c%26d";
    assert_eq!(platform.asked().await.call, all);
}

#[tokio::test]
async fn threads_are_read_and_kept_as_they_came() {
    let mut platform = Platform::answering([(200, THREAD), (404, "{}"), (200, "{}")]).await;
    let intelligence = platform.intelligence();
    let thread = intelligence.get_thread("user-1", "t/1").await.unwrap();
    assert_eq!((thread.id.as_deref(), thread.agent_id.as_deref(), thread.name), (Some("t/1"), Some("a"), None));
    assert!(thread.json.get().ends_with(r#""n":1.0}"#), "{}", thread.json);
    assert_eq!(platform.asked().await.call, "GET /api/threads/t%2F1?userId=user-1");
    assert_eq!(intelligence.get_thread("user-1", "x").await.unwrap_err().status(), Some(404));
    let empty = intelligence.get_thread("user-1", "x").await.unwrap();
    assert_eq!((empty.id, empty.agent_id), (None, None), "a thread without an id is the caller's to refuse");
}

#[tokio::test]
async fn changes_are_told_to_all_listeners_even_if_one_panics() {
    let mut platform = Platform::answering([(201, THREAD), (409, ""), (200, THREAD), (404, ""), (204, "")]).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let [created, updated, deleted] = [(); 3].map(|()| Arc::clone(&heard));
    let intelligence = platform.configured(|builder| {
        builder
            .on_thread_created(|_| panic!("on purpose"))
            .on_thread_created(move |thread| created.lock().push(format!("created {:?}", thread.id)))
            .on_thread_updated(move |thread| updated.lock().push(format!("updated {:?}", thread.id)))
            .on_thread_deleted(move |gone| {
                deleted.lock().push(format!("deleted {} {} {}", gone.thread_id, gone.user_id, gone.agent_id));
            })
    });
    let mut new = NewThread { thread_id: "t/1".to_owned(), agent_id: "a".to_owned(), ..NewThread::default() };
    intelligence.create_thread("u", &new).await.unwrap();
    assert_eq!(
        said(platform.asked().await),
        ("POST /api/threads".to_owned(), json!({"threadId": "t/1", "userId": "u", "agentId": "a"}))
    );
    (new.name, new.learning_container_id) = (Some("N".to_owned()), Some("lc".to_owned()));
    assert_eq!(intelligence.create_thread("u", &new).await.unwrap_err().status(), Some(409));
    let full = json!({"threadId": "t/1", "userId": "u", "agentId": "a", "name": "N", "learningContainerId": "lc"});
    assert_eq!(platform.asked().await.body, full);

    let update = ThreadUpdate { name: Some(json!("New")), archived: None };
    intelligence.update_thread("u", "a", "t/1", &update).await.unwrap();
    let body = json!({"userId": "u", "agentId": "a", "name": "New"});
    assert_eq!(said(platform.asked().await), ("PATCH /api/threads/t%2F1".to_owned(), body));
    let update = ThreadUpdate { name: None, archived: Some(json!(true)) };
    assert!(intelligence.update_thread("u", "a", "t/1", &update).await.is_err());
    assert_eq!(platform.asked().await.body, json!({"userId": "u", "agentId": "a", "archived": true}));

    intelligence.delete_thread("u", "a", "t/1").await.unwrap();
    let reason = "Deleted via CopilotKit runtime (userId=u, agentId=a)";
    let body = json!({"userId": "u", "agentId": "a", "reason": reason});
    assert_eq!(said(platform.asked().await), ("DELETE /api/threads/t%2F1".to_owned(), body));
    let expected = [r#"created Some("t/1")"#, r#"updated Some("t/1")"#, "deleted t/1 u a"];
    assert_eq!(*heard.lock(), expected, "failures are no news");
}

#[tokio::test]
async fn messages_pass_through_and_tell_their_ids() {
    let answer = r#"{"messages":[{"id":"m1","role":"user","content":"é"},{"role":"x"},{"id":7},{"id":"m2"}]}"#;
    let mut platform = Platform::answering([(200, answer)]).await;
    let messages = platform.intelligence().thread_messages("u", "t").await.unwrap();
    assert_eq!(messages, answer);
    assert_eq!(platform.asked().await.call, "GET /api/threads/t/messages?userId=u");
    assert_eq!(message_ids(&messages).unwrap(), HashSet::from(["m1".to_owned(), "m2".to_owned()]));
    for broken in ["{}", r#"{"messages":null}"#, "[]"] {
        assert!(message_ids(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[tokio::test]
async fn tokens_are_passed_on_and_not_shown() {
    let connected = r#"{"threadId":"t","joinToken":"secret-2"}"#;
    let script = [(200, r#"{"joinToken":"secret-1"}"#), (200, "{}"), (200, connected), (204, ""), (200, "{}")];
    let mut platform = Platform::answering(script).await;
    let intelligence = platform.intelligence();
    let token = intelligence.subscribe_threads("u").await.unwrap();
    assert_eq!(token.expose(), "secret-1");
    assert_eq!(said(platform.asked().await), ("POST /api/threads/subscribe".to_owned(), json!({"userId": "u"})));
    assert!(intelligence.subscribe_threads("u").await.is_err());
    platform.asked().await;
    let way = intelligence.connect_thread("u", "a", "t").await.unwrap().unwrap();
    assert_eq!((way.thread_id.as_str(), way.join_token.expose()), ("t", "secret-2"));
    let body = json!({"userId": "u", "agentId": "a"});
    assert_eq!(said(platform.asked().await), ("POST /api/threads/t/connect".to_owned(), body));
    assert!(intelligence.connect_thread("u", "a", "t").await.unwrap().is_none());
    assert!(intelligence.connect_thread("u", "a", "t").await.is_err());
    assert!(!format!("{token:?} {way:?}").contains("secret"));
}

#[tokio::test]
async fn inspection_takes_events_and_state_alone() {
    let events = r#"{"events":[{"type":"X","n":1.0}],"decodeErrorRowIds":[],"truncated":false}"#;
    let script = [
        (200, events),
        (200, "{}"),
        (200, r#"{"kind":"snapshot","state":{"count":2.0},"skippedDeltas":0}"#),
        (200, r#"{"kind":"no-snapshot"}"#),
        (200, r#"{"kind":"snapshot-decode-error","state":1}"#),
    ];
    let mut platform = Platform::answering(script).await;
    let intelligence = platform.intelligence();
    assert_eq!(intelligence.inspect_events("t").await.unwrap().get(), r#"[{"type":"X","n":1.0}]"#);
    assert_eq!(platform.asked().await.call, "GET /api/_inspect/threads/t/events");
    assert!(intelligence.inspect_events("t").await.is_err());
    let mut state = Vec::new();
    for _ in 0..3 {
        state.push(intelligence.inspect_state("t").await.unwrap().map(|state| state.get().to_owned()));
    }
    assert_eq!(state, [Some(r#"{"count":2.0}"#.to_owned()), None, None]);
    platform.asked().await;
    assert_eq!(platform.asked().await.call, "GET /api/_inspect/threads/t/state");
}

#[tokio::test]
async fn id_that_would_lead_elsewhere_is_not_asked_for() {
    let mut platform = Platform::answering([]).await;
    let intelligence = platform.intelligence();
    for id in ["..", ".", ""] {
        let refused = intelligence.get_thread("u", id).await.unwrap_err();
        assert_eq!(refused, PlatformError::Unaddressable(id.to_owned()));
        assert!(intelligence.delete_thread("u", "a", id).await.is_err());
    }
    assert!(!platform.was_asked_more());
}
