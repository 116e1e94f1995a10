//! The threads API over a store: list, search, read, rename, archive, delete. Whose they are, `access` asks.

use std::sync::Arc;

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::Agent;
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::http::{Body, CopilotService};
use copilotkit_runtime::runner::{
    AgentRunner, ConnectRequest, FrameStream, RunRefused, RunRequest, RunnerError, StopRequest, Stopped,
};
use futures_util::future::BoxFuture;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::serve::{Answer, call, get, greeter, post, puppets, service, service_over, soon};

/// A service with the threads `one`, `two` and `three`, in this order, named after what was said there.
async fn three_threads() -> CopilotService {
    let service = service(greeter());
    for (thread, text) in [("one", "Weather in Rome"), ("two", "Cooking pasta"), ("three", "Weather in Oslo")] {
        run(&service, thread, text).await;
    }
    service
}

async fn run(service: &CopilotService, thread: &str, text: &str) {
    let messages = json!([{"id": format!("{thread}-{text}"), "role": "user", "content": text}]);
    let input = json!({"threadId": thread, "runId": format!("run-{text}"), "messages": messages});
    call(service, post("/agent/default/run", input.to_string())).await.events();
}

async fn ask(service: &CopilotService, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    call(service, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn json(service: &CopilotService, path: &str) -> Value {
    let answer = call(service, get(path)).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// The ids on a page, and where the next one begins.
async fn page(service: &CopilotService, query: &str) -> (Vec<String>, Option<String>) {
    let page = json(service, &format!("/threads?{query}")).await;
    let ids = page["threads"].as_array().unwrap().iter().map(|thread| thread["id"].as_str().unwrap().to_owned());
    (ids.collect(), page["nextCursor"].as_str().map(str::to_owned))
}

async fn ids(service: &CopilotService, query: &str) -> Vec<String> {
    let (ids, next) = page(service, query).await;
    assert_eq!(next, None, "{query}");
    ids
}

#[tokio::test]
async fn pages_follow_each_other_newest_first() {
    let service = three_threads().await;
    assert_eq!(ids(&service, "agentId=default").await, ["three", "two", "one"]);
    let (first, next) = page(&service, "limit=2").await;
    assert_eq!(first, ["three", "two"]);
    let cursor = next.unwrap();
    // Neither a new name nor an archived neighbour moves a page.
    ask(&service, Method::PATCH, "/threads/one", &json!({"agentId": "default", "name": "Renamed"})).await;
    assert_eq!(page(&service, &format!("limit=2&cursor={cursor}")).await, (vec!["one".to_owned()], None));
    assert_eq!(ids(&service, "agentId=other").await, [""; 0]);
}

#[tokio::test]
async fn a_bad_limit_or_cursor_says_what_is_wrong() {
    let service = three_threads().await;
    for (query, error) in [
        ("limit=0", "limit must be a positive integer"),
        ("limit=ten", "limit must be a positive integer"),
        ("cursor=elsewhere", "cursor must be the nextCursor of an earlier page"),
    ] {
        let answer = call(&service, get(&format!("/threads?{query}"))).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({ "error": error })), "{query}");
    }
}

#[tokio::test]
async fn a_search_finds_names_and_what_was_said() {
    let service = three_threads().await;
    assert_eq!(ids(&service, "query=weather").await, ["three", "one"]);
    assert_eq!(ids(&service, "query=rome+wea").await, ["one"]);
    assert_eq!(ids(&service, "query=hello").await, ["three", "two", "one"], "the agent says so");
    ask(&service, Method::PATCH, "/threads/two", &json!({"agentId": "default", "name": "Carbonara"})).await;
    assert_eq!(ids(&service, "query=carbonara").await, ["two"]);
    assert_eq!(ids(&service, "query=snow").await, [""; 0]);
}

#[tokio::test]
async fn a_thread_is_renamed_archived_and_restored() {
    let service = three_threads().await;
    let body = json!({"agentId": "default", "name": "Renamed", "userId": "eve", "agent_id": "x", "createdAt": "never"});
    let answer = ask(&service, Method::PATCH, "/threads/one", &body).await;
    let listed = json(&service, "/threads?query=renamed").await;
    assert_eq!((answer.status.as_u16(), &answer.json()), (200, &listed["threads"][0]));
    assert_eq!(
        (&listed["threads"][0]["name"], &listed["threads"][0]["agentId"]),
        (&json!("Renamed"), &json!("default"))
    );

    let archived = ask(&service, Method::POST, "/threads/one/archive", &json!({"agentId": "default"})).await;
    assert_eq!((archived.status.as_u16(), archived.json()), (200, json!({"threadId": "one", "archived": true})));
    assert_eq!(ids(&service, "").await, ["three", "two"]);
    assert_eq!(ids(&service, "includeArchived=true").await, ["three", "two", "one"]);
    assert_eq!(ids(&service, "includeArchived=yes").await, ["three", "two"]);

    let restored =
        ask(&service, Method::PATCH, "/threads/one", &json!({"agentId": "default", "archived": false})).await;
    assert_eq!((&restored.json()["archived"], &restored.json()["name"]), (&json!(false), &json!("Renamed")));
    assert_eq!(ids(&service, "").await, ["three", "two", "one"]);
}

#[tokio::test]
async fn a_deleted_thread_is_gone() {
    let service = three_threads().await;
    let delete = async || ask(&service, Method::DELETE, "/threads/two", &json!({"agentId": "default"})).await;
    let deleted = delete().await;
    assert_eq!((deleted.status.as_u16(), deleted.json()), (200, json!({"threadId": "two", "deleted": true})));
    assert_eq!(ids(&service, "includeArchived=true").await, ["three", "one"]);
    assert_eq!(json(&service, "/threads/two/messages").await, json!({"messages": []}));
    let again = delete().await;
    assert_eq!((again.status.as_u16(), again.json()), (404, json!({"error": "Thread not found"})));
}

#[tokio::test]
async fn deleting_a_thread_ends_what_runs_on_it() {
    let (agent, mut begun) = puppets();
    let service = service(agent);
    let input = json!({"threadId": "t", "runId": "r", "messages": []});
    let response = service.clone().oneshot(post("/agent/default/run", input.to_string())).await.unwrap();
    let puppet = soon("the run", begun.recv()).await.unwrap();
    puppet.start();
    let deleted = ask(&service, Method::DELETE, "/threads/t", &json!({"agentId": "default"})).await;
    assert_eq!(deleted.status, 200);
    let said = soon("the run ends", response.into_body().collect()).await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).contains("RUN_FINISHED"), "{said:?}");
    assert_eq!(ids(&service, "includeArchived=true").await, [""; 0]);
}

#[tokio::test]
async fn an_open_run_shows_what_it_has_said_so_far() {
    let (agent, mut begun) = puppets();
    let service = service(agent);
    let input = json!({"threadId": "t", "runId": "r", "messages": [{"id": "u", "role": "user", "content": "Count"}]});
    let response = service.clone().oneshot(post("/agent/default/run", input.to_string())).await.unwrap();
    let mut body = response.into_body();
    let puppet = soon("the run", begun.recv()).await.unwrap();
    assert_eq!(ids(&service, "").await, ["t"], "listed as soon as it runs");
    puppet.start();
    for event in [
        Event::state_snapshot(&json!({"count": 1})),
        Event::state_delta(&json!([{"op": "replace", "path": "/count", "value": 2}])),
        Event::text_start("m"),
        Event::text_content("m", "One, "),
    ] {
        puppet.say(event);
    }
    let mut seen = String::new();
    while !seen.contains("One, ") {
        let frame = soon("the text", body.frame()).await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    let said = |text: &str| {
        json!({"messages": [
            {"id": "u", "role": "user", "content": "Count"}, {"id": "m", "role": "assistant", "content": text}
        ]})
    };
    assert_eq!(json(&service, "/threads/t/messages").await, said("One, "));
    assert_eq!(json(&service, "/threads/t/state").await, json!({"state": {"count": 2}}));
    let events = json(&service, "/threads/t/events").await;
    let kinds: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["RUN_STARTED", "STATE_SNAPSHOT", "STATE_DELTA", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"]);

    puppet.say(Event::text_content("m", "two."));
    puppet.say(Event::text_end("m"));
    puppet.finish();
    soon("the end", body.collect()).await.unwrap();
    assert_eq!(json(&service, "/threads/t/messages").await, said("One, two."));
    assert_eq!(json(&service, "/threads/t/state").await, json!({"state": {"count": 2}}));
}

#[tokio::test]
async fn messages_and_state_are_those_of_all_runs() {
    let (agent, mut begun) = puppets();
    let service = service(agent);
    for (run, delta) in [("r1", "add"), ("r2", "replace")] {
        let message = json!({"id": format!("u-{run}"), "role": "user", "content": run});
        let input = json!({"threadId": "t", "runId": run, "messages": [message]});
        let response = service.clone().oneshot(post("/agent/default/run", input.to_string())).await.unwrap();
        let puppet = soon("the run", begun.recv()).await.unwrap();
        puppet.start();
        puppet.say(Event::state_delta(&json!([{"op": delta, "path": "/last", "value": run}])));
        puppet.say(Event::state_delta(&json!([{"op": "add", "path": format!("/{run}"), "value": true}])));
        puppet.finish();
        soon("the end", response.into_body().collect()).await.unwrap();
    }
    let messages = json(&service, "/threads/t/messages").await;
    let ids: Vec<&Value> = messages["messages"].as_array().unwrap().iter().map(|message| &message["id"]).collect();
    assert_eq!(ids, ["u-r1", "u-r2"]);
    assert_eq!(json(&service, "/threads/t/state").await, json!({"state": {"last": "r2", "r1": true, "r2": true}}));
}

/// A runner that runs, and remembers nothing.
struct Forgetful;

impl AgentRunner for Forgetful {
    fn run(&self, _: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        Box::pin(std::future::ready(Err(RunRefused::Busy)))
    }

    fn connect(&self, _: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        Box::pin(std::future::ready(Err(RunnerError("no".to_owned()))))
    }

    fn stop(&self, _: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        Box::pin(std::future::ready(Ok(Stopped::NoActiveRun)))
    }
}

#[tokio::test]
async fn a_runner_without_a_store_answers_422_before_it_reads_anything() {
    let service = service_over(Forgetful, greeter());
    let text = "Missing CopilotKitIntelligence configuration. Thread operations require a CopilotKitIntelligence \
                instance to be provided in CopilotRuntime options.";
    for (method, path) in [
        (Method::GET, "/threads?limit=none"),
        (Method::GET, "/threads/t/messages"),
        (Method::GET, "/threads/t/events"),
        (Method::GET, "/threads/t/state"),
        (Method::PATCH, "/threads/t"),
        (Method::DELETE, "/threads/t"),
        (Method::POST, "/threads/t/archive"),
        (Method::POST, "/threads/subscribe"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::from("{not json"));
        let answer = call(&service, request.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (422, json!({ "error": text })), "{path}");
    }
    let cleared = ask(&service, Method::POST, "/threads/clear", &json!({})).await;
    assert_eq!(cleared.status, 204);
    assert_eq!(endpoints(&service).await, [false; 4]);
}

/// `list`, `inspect`, `mutations` and `realtimeMetadata` of `/info`.
async fn endpoints(service: &CopilotService) -> [bool; 4] {
    told(&json(service, "/info").await["threadEndpoints"])
}

fn told(endpoints: &Value) -> [bool; 4] {
    ["list", "inspect", "mutations", "realtimeMetadata"].map(|name| endpoints[name].as_bool().unwrap())
}

#[tokio::test]
async fn info_tells_what_threads_can_do() {
    let agent: Arc<dyn Agent> = Arc::new(greeter());
    let runtime = CopilotRuntime::builder().agent_arc("default", agent).build().unwrap();
    assert_eq!(endpoints(&runtime.clone().into_service()).await, [true, true, true, false]);
    let single = runtime.into_service().single_route();
    let info = call(&single, post("/", json!({"method": "info"}).to_string())).await.json();
    assert_eq!(told(&info["threadEndpoints"]), [false; 4]);
    assert_eq!(told(&info["singleRoute"]["threadEndpoints"]), [true, true, true, false]);
    assert_eq!(info["singleRoute"]["resourceOperations"], true);
}
