//! The platform's MCP tools for the agents of runs (intelligence.md 2.9).

use std::future::ready;

use copilotkit_runtime::agent::Agent;
use copilotkit_runtime::http::{Body, CopilotService};
use copilotkit_runtime::intelligence::{Intelligence, IntelligenceBuilder, MemoryAccess, MemoryGrant};
use copilotkit_runtime::{CopilotRuntime, User};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::mcp::{caller, caller_for};
use crate::mcp_server::{McpStandIn, Style};
use crate::platform::{API_KEY, Options, Platform};
use crate::serve::{Answer, call, post, soon, until};

const FIND: &str = "mcp__intelligence__echoes";

/// A platform with tools, and a runtime on it.
struct Stage {
    platform: Platform,
    tools: McpStandIn,
    service: CopilotService,
}

impl Stage {
    async fn new(agent: impl Agent, set: impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder) -> Stage {
        Stage::with(McpStandIn::new(Style::Sse, &["echoes", "hangs"]), agent, set).await
    }

    async fn with(
        tools: McpStandIn,
        agent: impl Agent,
        set: impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder,
    ) -> Stage {
        let platform = Platform::listen(Options::default(), tools.router()).await;
        let builder = Intelligence::builder().api_key(API_KEY).api_url(platform.api_url()).ws_url(platform.ws_url());
        let intelligence = set(builder.generate_thread_names(false)).build().unwrap();
        assert!(!format!("{intelligence:?}").contains(API_KEY));
        let runtime = CopilotRuntime::on_intelligence(intelligence, |_| ready(Ok(User::new("ada").named("Ada"))));
        let service = runtime.agent("default", agent).build().unwrap().into_service();
        Stage { platform, tools, service }
    }

    async fn run(&self) -> Answer {
        call(&self.service, run()).await
    }

    /// What the platform has of the run, which is over.
    async fn stored(&self) -> Vec<Value> {
        let is_over = |event: &Value| matches!(event["type"].as_str(), Some("RUN_FINISHED" | "RUN_ERROR"));
        until("the end of the run", || self.platform.events_of("r").last().is_some_and(is_over)).await;
        assert_eq!(self.platform.violations(), Vec::<String>::new());
        self.platform.events_of("r")
    }

    /// The calls the platform's REST plane got.
    fn calls(&self) -> Vec<String> {
        let entries = self.platform.entries().into_iter();
        let requests = entries.filter(|entry| entry["dir"] == "request");
        requests.map(|entry| format!("{} {}", entry["method"], entry["path"]).replace('"', "")).collect()
    }
}

fn run() -> Request<Body> {
    let tools = json!([{"name": "confirm", "description": "", "parameters": {}}]);
    let messages = json!([{"id": "u", "role": "user", "content": "go"}]);
    let input = json!({"threadId": "t", "runId": "r", "messages": messages, "tools": tools});
    post("/agent/default/run", input.to_string())
}

fn granting(user: MemoryAccess) -> impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder {
    move |builder| builder.memory(move |_| ready(Ok(MemoryGrant::new(user, MemoryAccess::None))))
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["type"].as_str()).collect()
}

#[tokio::test]
async fn a_grant_gives_the_agent_the_platforms_tools_in_the_name_of_its_user() {
    let (agent, seen) = caller(&[(FIND, r#"{"q":"blue"}"#)]);
    let stage = Stage::new(agent, granting(MemoryAccess::Read)).await;
    assert_eq!(stage.run().await.status, StatusCode::OK);
    let stored = stage.stored().await;

    assert_eq!(seen.tools(0), ["confirm", FIND, "mcp__intelligence__hangs"]);
    assert_eq!(stage.tools.calls(), [json!({"name": "echoes", "arguments": {"q": "blue"}})]);
    for asked in stage.tools.asked() {
        assert_eq!(asked.headers["authorization"], format!("Bearer {API_KEY}"), "{}", asked.method);
        assert_eq!(asked.headers["x-cpki-user-id"], "ada", "{}", asked.method);
        assert_eq!(asked.headers["x-cpki-memory-grant"], r#"{"user":"read","project":"none"}"#, "{}", asked.method);
    }
    let expected = [
        "RUN_STARTED",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "RUN_FINISHED",
    ];
    assert_eq!(kinds(&stored), expected, "one run, to the platform");
    assert_eq!(stored[4]["content"], "you said\n{\"q\":\"blue\"}");
    let offered = stored[0]["input"]["tools"].as_array().expect("tools");
    assert_eq!(offered.len(), 1, "the client's tools alone are told");
}

#[tokio::test]
async fn enterprise_learning_gives_tools_without_a_grant() {
    let (agent, seen) = caller(&[]);
    let stage = Stage::new(agent, |builder| builder.enterprise_learning(true)).await;
    stage.run().await;
    stage.stored().await;
    assert_eq!(seen.tools(0).len(), 3);
    assert!(stage.tools.asked().iter().all(|asked| !asked.headers.contains_key("x-cpki-memory-grant")));
}

#[tokio::test]
async fn a_grant_of_nothing_is_a_run_without_tools() {
    let (agent, seen) = caller(&[]);
    let stage = Stage::new(agent, granting(MemoryAccess::None)).await;
    assert_eq!(stage.run().await.status, StatusCode::OK);
    stage.stored().await;
    assert_eq!(seen.tools(0), ["confirm"]);
    assert!(stage.tools.asked().is_empty());
}

#[tokio::test]
async fn a_policy_that_fails_refuses_the_run_before_the_platform_hears_of_it() {
    let (agent, seen) = caller(&[]);
    let stage = Stage::new(agent, |builder| builder.memory(|_| ready(Err("no directory".into())))).await;
    let answer = stage.run().await;
    assert_eq!(
        (answer.status, answer.json()),
        (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": "Memory policy failed"}))
    );
    assert!(stage.calls().is_empty() && stage.tools.asked().is_empty() && seen.turns().is_empty());
}

#[tokio::test]
async fn tools_are_listed_once_the_platform_listens_to_the_run() {
    let (agent, _) = caller(&[]);
    let stage = Stage::new(agent, granting(MemoryAccess::ReadWrite)).await;
    assert_eq!(stage.run().await.status, StatusCode::OK);
    stage.stored().await;
    let expected =
        ["GET /api/threads/t", "POST /api/threads", "POST /api/threads/t/lock", "GET /api/threads/t/messages"];
    assert_eq!(stage.calls(), expected, "the order of a run is as ever");
    assert_eq!(stage.tools.asked()[0].method, "initialize");
}

#[tokio::test]
async fn a_platform_without_its_tools_runs_the_agent_without_them() {
    let (agent, seen) = caller(&[]);
    let broken = McpStandIn::refusing(StatusCode::SERVICE_UNAVAILABLE, "later");
    let stage = Stage::with(broken, agent, granting(MemoryAccess::Read)).await;
    assert_eq!(stage.run().await.status, StatusCode::OK);
    let stored = stage.stored().await;
    assert_eq!(kinds(&stored).last(), Some(&"RUN_FINISHED"));
    assert_eq!(seen.tools(0), ["confirm"]);
}

#[tokio::test]
async fn a_front_ends_call_beside_the_platforms_is_the_clients_to_answer() {
    let (agent, seen) = caller(&[(FIND, "{}"), ("confirm", "{}")]);
    let stage = Stage::new(agent, granting(MemoryAccess::Read)).await;
    stage.run().await;
    let stored = stage.stored().await;
    assert_eq!(kinds(&stored)[7..], ["TOOL_CALL_RESULT", "RUN_FINISHED"]);
    assert_eq!(seen.turns().len(), 1);
}

#[tokio::test]
async fn a_stop_drops_the_call_a_run_waits_for() {
    let (agent, seen) = caller(&[("mcp__intelligence__hangs", "{}")]);
    let stage = Stage::new(agent, granting(MemoryAccess::Read)).await;
    stage.run().await;
    until("the call", || stage.tools.hanging() == 1).await;
    let stopped = soon("the stop", call(&stage.service, post("/agent/default/stop/t", "{}"))).await;
    assert_eq!((stopped.status, stopped.json()["stopped"].clone()), (StatusCode::OK, true.into()));
    until("the call is dropped", || stage.tools.hanging() == 0).await;
    let stored = stage.stored().await;
    assert_eq!(kinds(&stored)[4..], ["TOOL_CALL_RESULT", "RUN_FINISHED"]);
    assert!(stored[4]["content"].as_str().is_some_and(|content| content.contains("stopped")), "{}", stored[4]);
    assert_eq!(seen.turns().len(), 1);
}

#[tokio::test]
async fn titles_want_no_tools() {
    let (agent, seen) = caller_for(0, &[]);
    let stage = Stage::new(agent, |builder| granting(MemoryAccess::Read)(builder).generate_thread_names(true)).await;
    stage.run().await;
    stage.stored().await;
    until("the title", || stage.calls().iter().any(|call| call.starts_with("PATCH"))).await;
    let with_tools: Vec<usize> = seen.turns().iter().map(|turn| turn.tools.len()).collect();
    assert_eq!(with_tools.iter().filter(|tools| **tools == 3).count(), 1, "{with_tools:?}");
    assert!(with_tools.len() > 1 && with_tools.iter().all(|tools| matches!(tools, 0 | 3)), "{with_tools:?}");
}
