//! `docs/migration.md` says what takes the place of each option of the Node runtime. What it names of the library is used
//! here, so that it is there; what it names of the binary is looked up by `program::documents`.

use std::collections::BTreeSet;
use std::fs;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use copilotkit_runtime::agent::{Agents, DemoAgent};
use copilotkit_runtime::http::{Body, Cors, ForwardPolicy, Response};
use copilotkit_runtime::intelligence::{Intelligence, MemoryAccess, MemoryGrant};
use copilotkit_runtime::runner::{
    AgentRunner, LiveRunner, MemoryLimits, MemoryRunner, MemoryStore, RunOptions, ThreadStore, WhenBusy,
};
use copilotkit_runtime::transcription::OpenAiTranscription;
use copilotkit_runtime::{A2ui, CopilotRuntime, User};
use http::request::Parts;

use super::{code, is_code};

const PAGE: &str = "docs/migration.md";

/// What the tables of the page name of the library: in their third column, and in the last, what there is to know.
fn named() -> BTreeSet<String> {
    let page = fs::read_to_string(PAGE).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ")).map(|line| line.split('|').skip(3));
    let code = rows.flatten().flat_map(code).filter(|code| !is_code(code));
    code.flat_map(|code| names(&code)).collect()
}

/// Types, and what is called, as it stands in a program: `Cors`, `origin_fn`, `agent(`.
fn names(code: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    let mut rest = code;
    while let Some(begin) = rest.find(is_part) {
        let word = rest[begin..].split(|c| !is_part(c)).next().unwrap_or_default();
        rest = &rest[begin + word.len()..];
        if rest.starts_with('(') {
            names.push(format!("{word}("));
        } else if word.starts_with(char::is_uppercase) || word.contains('_') {
            names.push(word.to_owned());
        }
    }
    names
}

#[test]
fn what_takes_the_place_of_options_is_there() {
    let used = include_str!("migration.rs");
    let named = named();
    assert!(named.len() >= 40, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !used.contains(*name)).collect();
    assert!(missing.is_empty(), "{PAGE} names what is not used here, and may not exist: {missing:?}");
}

fn when_busy(policy: WhenBusy) -> RunOptions {
    let mut options = RunOptions::default();
    options.when_busy = policy;
    options
}

#[tokio::test]
async fn options_of_the_runtime() {
    let stored: Arc<dyn ThreadStore> = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let _of_ones_own: Box<dyn AgentRunner> = Box::new(LiveRunner::new(stored, when_busy(WhenBusy::Interrupt)));
    let runtime = CopilotRuntime::builder()
        .agents_per_request(|_| ready(Ok(Agents::new())))
        .transcription(OpenAiTranscription::new("http://127.0.0.1:1", "whisper-1", "key").unwrap())
        .keep_alive(Duration::from_secs(15))
        .a2ui(A2ui::default())
        .open_generative_ui(true)
        .debug_feed(true)
        .expose_memory_routes(true)
        .runner(MemoryRunner::with_options(MemoryLimits::default(), when_busy(WhenBusy::Reject)))
        .identify_user(|_| ready(Ok(User::new("ada"))))
        .generate_thread_names(true)
        .build();
    runtime.unwrap();
    let _in_memory = CopilotRuntime::builder().agent("default", DemoAgent::new()).runner(MemoryRunner::new());
}

#[tokio::test]
#[cfg(feature = "sqlite")]
async fn options_of_the_sqlite_runner() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("threads.db");
    let runner = copilotkit_runtime::runner::SqliteRunner::open(path).await.unwrap();
    CopilotRuntime::builder().agent("default", DemoAgent::new()).runner(runner).build().unwrap();
}

#[test]
#[cfg(feature = "mcp")]
fn tools_of_mcp_servers() {
    let agent = copilotkit_runtime::agent::McpAgent::new(DemoAgent::new(), []);
    CopilotRuntime::builder().agent("default", agent).build().unwrap();
}

#[test]
fn options_of_the_intelligence_runtime() {
    let builder = Intelligence::builder()
        .api_key("cpk-1")
        .api_url("http://127.0.0.1:1")
        .ws_url("ws://127.0.0.1:2")
        .learning_container_by(|_| ready(Ok(None)))
        .on_thread_created(|_| {})
        .on_thread_updated(|_| {})
        .on_thread_deleted(|_| {})
        .memory(|_| ready(Ok(MemoryGrant::new(MemoryAccess::ReadWrite, MemoryAccess::Read))))
        .generate_thread_names(false)
        .lock_ttl(Duration::from_secs(20))
        .lock_heartbeat(Duration::from_secs(15))
        .lock_key_prefix("tenant-a")
        .max_reconnect(Duration::from_secs(10))
        .max_rejoin(Duration::from_secs(30));
    #[cfg(feature = "mcp")]
    let builder = builder.enterprise_learning(true);
    let ada = |_: &Parts| ready(Ok(User::new("ada")));
    CopilotRuntime::on_intelligence(builder.build().unwrap(), ada).agent("default", DemoAgent::new()).build().unwrap();
}

#[test]
fn options_of_the_handler() {
    let runtime = CopilotRuntime::builder().agent("default", DemoAgent::new()).build().unwrap();
    let service = runtime
        .into_service()
        .base_path("/api/copilotkit")
        .single_route()
        .cors(Cors::any().origin_fn(|origin| Some(origin.to_owned())))
        .unwrap()
        .forward_headers(&ForwardPolicy::new().deny(["x-internal"]))
        .on_request(|_, request| ready(Ok(request)))
        .before_request(|_, _| ready(Err(Response::new(Body::empty()).into())))
        .on_before_handler(|_, request| ready(Ok(request)))
        .on_response(|_, response| ready(Ok(response)))
        .on_error(|_, _| ready(Ok(None)))
        .after_request(|_| ready(Ok(())));
    let _app: Router = Router::new().nest_service("/api/copilotkit", service);
}
