use copilotkit_runtime::agent::{Agent, AgentCall, McpAgent, McpServer};
use copilotkit_runtime::agui::{Event, EventKind, RunAgentInput};
use futures_util::StreamExt;
use serde_json::json;

use super::{caller, caller_for, results, run};
use crate::mcp_server::{McpStandIn, Style};
use crate::serve::{call, input, one_terminal, post, puppets, service, soon, until};

#[tokio::test]
async fn tools_of_a_server_reach_the_agent_and_its_calls_are_executed() {
    for style in [Style::Json, Style::Sse] {
        let server = McpStandIn::new(style, &["echoes", "fails", "refuses"]);
        let (url, _listening) = server.listen().await;
        let (agent, seen) = caller(&[("mcp__s__echoes", r#"{"q":1.0}"#)]);
        let answer = run(agent, McpServer::new(&url).unwrap()).await;

        assert_eq!(seen.tools(0), ["confirm", "mcp__s__echoes", "mcp__s__fails", "mcp__s__refuses"], "{style:?}");
        assert_eq!(server.calls(), [json!({"name": "echoes", "arguments": {"q": 1.0}})]);
        assert_eq!(results(&answer), ["you said\n{\"q\":1.0}"]);
        assert_eq!(seen.texts(1), ["go", "you said\n{\"q\":1.0}"]);
        assert_ne!(seen.turns()[1].run_id, "r", "a run of its own, to the agent");

        let events = answer.events();
        use EventKind as K;
        let expected = [
            K::RunStarted,
            K::ToolCallStart,
            K::ToolCallArgs,
            K::ToolCallEnd,
            K::ToolCallResult,
            K::TextMessageStart,
            K::TextMessageContent,
            K::TextMessageEnd,
            K::RunFinished,
        ];
        assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), expected, "one run, to the client");
        assert_eq!(events.last(), Some(&Event::run_finished("t", "r")));
    }
}

#[tokio::test]
async fn a_session_is_kept_for_its_calls_and_given_back() {
    let server = McpStandIn::new(Style::Sse, &["echoes"]);
    let (url, _listening) = server.listen().await;
    let (agent, _) = caller(&[("mcp__s__echoes", "{}"), ("mcp__s__echoes", "")]);
    let answer = run(agent, McpServer::new(&url).unwrap()).await;
    assert_eq!(results(&answer), ["you said\n{}", "you said\n{}"]);
    let asked = || server.asked().into_iter().map(|asked| asked.method).collect::<Vec<_>>();
    let count = |name: &str| asked().iter().filter(|method| *method == name).count();
    // Once to list, once to execute.
    assert_eq!((count("initialize"), count("tools/list"), count("tools/call")), (2, 1, 2));
    until("the sessions are given back", || count("DELETE") == 2).await;
}

#[tokio::test]
async fn every_request_to_a_server_carries_its_headers() {
    let server = McpStandIn::new(Style::Sse, &["echoes"]);
    let (url, _listening) = server.listen().await;
    let (agent, _) = caller(&[("mcp__s__echoes", "{}")]);
    let own = McpServer::new(&url).unwrap().header("Authorization", "Bearer s3cret").unwrap();
    let own = own.header("x-tenant", "acme").unwrap();
    assert!(!format!("{own:?}").contains("s3cret"));
    run(agent, own).await;
    let asked = server.asked();
    assert!(asked.iter().any(|asked| asked.method == "tools/call"));
    for asked in asked {
        assert_eq!(asked.headers["authorization"], "Bearer s3cret", "{}", asked.method);
        assert_eq!(asked.headers["x-tenant"], "acme", "{}", asked.method);
    }
    for reserved in ["Mcp-Session-Id", "accept", "a b"] {
        assert!(McpServer::new(&url).unwrap().header(reserved, "x").is_err(), "{reserved}");
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn every_request_to_a_server_tells_the_trace_and_no_other_header_of_the_client() {
    let server = McpStandIn::new(Style::Sse, &["echoes"]);
    let (url, _listening) = server.listen().await;
    let (agent, _) = caller(&[("mcp__s__echoes", "{}")]);
    let service = service(McpAgent::new(agent, [McpServer::new(&url).unwrap().id("s")]));
    let mut request = post("/agent/default/run", input("t", "r"));
    for (name, value) in [("traceparent", PARENT), ("tracestate", "vendor=1"), ("authorization", "Bearer ada")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(results(&call(&service, request).await).len(), 1);
    let goodbyes = || server.asked().iter().filter(|asked| asked.method == "DELETE").count();
    until("the sessions are given back", || goodbyes() == 2).await;
    for asked in server.asked() {
        let told = |name: &str| asked.headers.get(name).map(String::as_str);
        assert_eq!((told("traceparent"), told("tracestate")), (Some(PARENT), Some("vendor=1")), "{asked:?}");
        assert_eq!(told("authorization"), None, "{asked:?}");
    }
}

#[tokio::test]
async fn a_server_with_a_trace_of_its_own_or_a_run_with_none_keeps_it_so() {
    for (own, given, told) in [(Some("own"), PARENT, Some("own")), (None, "00-1-2-01", None)] {
        let server = McpStandIn::new(Style::Json, &["echoes"]);
        let (url, _listening) = server.listen().await;
        let (agent, _) = caller(&[("mcp__s__echoes", "{}")]);
        let mut at = McpServer::new(&url).unwrap();
        if let Some(own) = own {
            at = at.header("traceparent", own).unwrap();
        }
        let mut call = AgentCall::new(RunAgentInput::new("t", "r"));
        call.headers.insert("traceparent", given.parse().unwrap());
        soon("the run", McpAgent::new(agent, [at.id("s")]).run(call).collect::<Vec<_>>()).await;
        let asked = server.asked();
        assert!(asked.iter().any(|asked| asked.method == "tools/call"));
        for asked in asked {
            assert_eq!(asked.headers.get("traceparent").map(String::as_str), told, "{asked:?}");
        }
    }
}

#[tokio::test]
async fn a_front_ends_tool_beside_ours_is_left_to_the_client() {
    let server = McpStandIn::new(Style::Json, &["echoes"]);
    let (url, _listening) = server.listen().await;
    let (agent, seen) = caller(&[("confirm", "{}"), ("mcp__s__echoes", "{}")]);
    let answer = run(agent, McpServer::new(&url).unwrap()).await;
    assert_eq!(results(&answer), ["you said\n{}"]);
    assert_eq!(one_terminal(&answer.events()), "");
    assert_eq!(seen.turns().len(), 1, "the client goes on");
}

#[tokio::test]
async fn an_agent_that_goes_on_calling_is_refused_and_its_run_ends() {
    let server = McpStandIn::new(Style::Json, &["echoes"]);
    let (url, _listening) = server.listen().await;
    let (agent, seen) = caller_for(usize::MAX, &[("mcp__s0__echoes", "{}")]);
    let with = McpAgent::new(agent, [McpServer::new(&url).unwrap().id("s0")]).max_rounds(2);
    let call = AgentCall::new(RunAgentInput::new("t", "r"));
    let events: Vec<Event> =
        soon("the run", with.run(call).map(|event| event.expect("an event")).collect::<Vec<_>>()).await;
    assert_eq!((seen.turns().len(), server.calls().len()), (3, 2));
    assert_eq!(one_terminal(&events), "");
    let last = events.iter().rfind(|event| event.kind() == EventKind::ToolCallResult).unwrap();
    assert!(last.as_str().contains("Error executing tool echoes: too many rounds"), "{last}");
}

#[tokio::test]
async fn tools_of_several_servers_do_not_mix() {
    let (first, second) =
        (McpStandIn::new(Style::Json, &["echoes"]), McpStandIn::new(Style::Sse, &["counts", "echoes"]));
    let ((one, _listening), (two, _too)) = (first.listen().await, second.listen().await);
    let (agent, seen) = caller(&[("mcp__server1__counts", "{}"), ("mcp__server0__echoes", "{}")]);
    let with = McpAgent::new(agent, [one, two].map(|url| McpServer::new(&url).unwrap()));
    let call = AgentCall::new(RunAgentInput::new("t", "r"));
    soon("the run", with.run(call).collect::<Vec<_>>()).await;
    assert_eq!(seen.tools(0), ["mcp__server0__echoes", "mcp__server1__counts", "mcp__server1__echoes"]);
    assert_eq!(seen.texts(1), [r#"{"n":1}"#, "you said\n{}"]);
    assert_eq!((first.calls().len(), second.calls().len()), (1, 1));
}

#[tokio::test]
async fn an_agent_that_stays_silent_after_its_end_is_taken_for_ended() {
    let server = McpStandIn::new(Style::Json, &["echoes"]);
    let (url, _listening) = server.listen().await;
    let (agent, mut begun) = puppets();
    let with = McpAgent::new(agent, [McpServer::new(&url).unwrap().id("s")]);
    let mut events = with.run(AgentCall::new(RunAgentInput::new("t", "r")));
    let script = async {
        let first = begun.recv().await.expect("a turn");
        first.start();
        let arguments = [Event::tool_start("c", "mcp__s__echoes", None), Event::tool_end("c")];
        arguments.into_iter().for_each(|event| first.say(event));
        first.say(Event::run_finished("t", "r"));
        // Its stream stays open.
        let second = begun.recv().await.expect("another turn");
        assert!(first.is_forgotten());
        second.start();
        second.say(Event::run_finished("t", "r2"));
        second
    };
    let heard = async {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|event: &Event| !event.kind().is_terminal()) {
            heard.push(events.next().await.expect("an event").expect("no failure"));
        }
        heard
    };
    let (_second, heard) = soon("the run", async { tokio::join!(script, heard) }).await;
    assert_eq!(heard.last(), Some(&Event::run_finished("t", "r")));
}
