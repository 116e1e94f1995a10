//! Clients that do not wait for their run to begin.

use std::future::ready;
use std::time::Duration;

use copilotkit_runtime::agent::DemoAgent;
use copilotkit_runtime::http::Body;
use copilotkit_runtime::intelligence::Intelligence;
use copilotkit_runtime::{CopilotRuntime, User};
use http::Request;
use serde_json::json;
use tower::ServiceExt;

use crate::platform::{API_KEY, Deed, Fault, Occasion, Options, Platform};

#[tokio::test]
async fn a_client_that_leaves_while_its_run_begins_leaves_no_lock_behind() {
    let platform = Platform::start(Options::default()).await;
    let path = "/api/threads/*/messages".to_owned();
    let slow = Occasion::Rest { method: "GET".to_owned(), path };
    platform.fail(Fault { at: slow, deed: Deed::Delay(300), skip: 0, times: 1 });
    let intelligence = Intelligence::builder().api_key(API_KEY).api_url(platform.api_url()).ws_url(platform.ws_url());
    let intelligence = intelligence.generate_thread_names(false).build().unwrap();
    let runtime = CopilotRuntime::on_intelligence(intelligence, |_| ready(Ok(User::new("ada").named("Ada"))))
        .agent("default", DemoAgent::new().pace(Duration::ZERO))
        .build()
        .unwrap();

    let body = json!({"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "Hi"}]});
    let request = Request::post("/agent/default/run").body(Body::from(body.to_string())).unwrap();
    let mut grown = platform.grown();
    let has_lock = async {
        while !platform.entries().iter().any(|entry| entry["path"] == "/api/threads/t/messages") {
            grown.changed().await.unwrap();
        }
    };
    tokio::select! {
        answer = runtime.clone().into_service().oneshot(request) => panic!("nobody waited for {answer:?}"),
        () = has_lock => {}
    }

    // The run goes on without its client, and its end frees the thread.
    let ended = async {
        while platform.events_of("r").last().is_none_or(|event| event["type"] != "RUN_FINISHED") {
            grown.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the run goes on to its end");
    assert_eq!(platform.violations(), Vec::<String>::new());
    runtime.shutdown(Duration::from_secs(5)).await;
}
