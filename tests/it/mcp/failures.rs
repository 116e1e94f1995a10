use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use copilotkit_runtime::agent::{McpAgent, McpServer};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{caller, results, run};
use crate::mcp_server::{McpStandIn, Style};
use crate::serve::{call, input, one_terminal, post, service, soon, until};

/// What one call answers.
async fn result_of(tool: &str, arguments: &str, set: impl FnOnce(McpServer) -> McpServer) -> String {
    let server = McpStandIn::new(Style::Json, &[tool]);
    let (url, _listening) = server.listen().await;
    let (agent, seen) = caller(&[(&format!("mcp__s__{tool}"), arguments)]);
    let answer = run(agent, set(McpServer::new(&url).unwrap())).await;
    assert_eq!(one_terminal(&answer.events()), "", "a tool's failure is not the run's");
    let results = results(&answer);
    assert_eq!(results.len(), 1);
    assert_eq!(seen.texts(1)[1], results[0], "the agent is told what the client is shown");
    results.into_iter().next().unwrap()
}

#[tokio::test]
async fn what_a_tool_answers_is_told_to_the_agent() {
    let plain = |server| server;
    assert_eq!(result_of("fails", "{}", plain).await, "it is broken");
    assert_eq!(result_of("refuses", "{}", plain).await, "Error executing tool refuses: not with me");
    let image = r#"[{"type":"image","data":"aGk=","mimeType":"image/png"}]"#;
    assert_eq!(result_of("paints", "{}", plain).await, image);
    assert_eq!(result_of("counts", "{}", plain).await, r#"{"n":1}"#);
}

#[tokio::test]
async fn a_call_that_cannot_be_executed_is_answered_with_an_error() {
    let plain = |server| server;
    let wrong = "Error executing tool echoes: the arguments are no JSON object";
    assert_eq!(result_of("echoes", r#"{"q":"#, plain).await, wrong);
    assert_eq!(result_of("echoes", "[1]", plain).await, wrong);
    let flood = result_of("floods", "{}", |server| server.max_result_bytes(100)).await;
    assert_eq!(flood, "Error executing tool floods: the result is larger than 100 bytes");
    let hung = result_of("hangs", "{}", |server| server.call_timeout(Duration::from_millis(50))).await;
    assert_eq!(hung, "Error executing tool hangs: the MCP server did not answer within 50ms");
}

#[tokio::test]
async fn a_server_that_does_not_answer_leaves_the_run_without_its_tools() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/mcp", listener.local_addr().unwrap())
    };
    let failing = McpStandIn::refusing(StatusCode::INTERNAL_SERVER_ERROR, "s3cret");
    let strange = McpStandIn::refusing(StatusCode::OK, "no MCP");
    let ((failing, _listening), (strange, _too)) = (failing.listen().await, strange.listen().await);
    for url in [nobody, failing, strange] {
        let (agent, seen) = caller(&[]);
        let answer = run(agent, McpServer::new(&url).unwrap()).await;
        assert_eq!(one_terminal(&answer.events()), "", "{url}");
        assert_eq!(seen.tools(0), ["confirm"], "{url}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_does_not_hold_up_the_run_for_long() {
    // It accepts connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (agent, seen) = caller(&[]);
    let answer = run(agent, McpServer::new(&url).unwrap().list_timeout(Duration::from_millis(50))).await;
    assert_eq!(one_terminal(&answer.events()), "");
    assert_eq!(seen.tools(0), ["confirm"]);
}

#[tokio::test]
async fn a_server_that_is_gone_when_its_tool_is_called_is_an_error_to_the_agent_without_secrets() {
    let server = McpStandIn::new(Style::Json, &["echoes"]);
    let (url, _listening) = gone_after_listing(&server).await;
    let (agent, seen) = caller(&[("mcp__s__echoes", "{}")]);
    let own = McpServer::new(&url).unwrap().header("authorization", "Bearer s3cret").unwrap();
    let answer = run(agent, own).await;
    assert_eq!(one_terminal(&answer.events()), "");
    let results = results(&answer);
    assert!(results[0].starts_with("Error executing tool echoes: the MCP server cannot be reached: "), "{results:?}");
    assert!(results[0].contains("you sent …") && !results[0].contains("s3cret"), "{results:?}");
    assert_eq!(seen.texts(1)[1], results[0]);
}

#[cfg(feature = "server")]
#[tokio::test]
async fn what_a_server_repeats_of_its_headers_reaches_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    let _logged = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    let server = McpStandIn::new(Style::Json, &["echoes"]);
    let (url, _listening) = gone_after_listing(&server).await;
    let (agent, _) = caller(&[("mcp__s__echoes", "{}")]);
    run(agent, McpServer::new(&url).unwrap().header("authorization", "Bearer s3cret").unwrap()).await;
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains("you sent …"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
}

/// Keeps what is logged.
#[cfg(feature = "server")]
#[derive(Clone, Default)]
struct Log(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

#[cfg(feature = "server")]
impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server that repeats what it was sent, once it has listed its tools.
async fn gone_after_listing(server: &McpStandIn) -> (String, JoinSet<()>) {
    let listed = server.clone();
    let repeat = from_fn(move |request: Request, next: Next| {
        let has_listed = listed.asked().iter().any(|asked| asked.method == "tools/list");
        async move {
            if !has_listed {
                return next.run(request).await;
            }
            let sent = request.headers()["authorization"].to_str().unwrap().to_owned();
            (StatusCode::BAD_REQUEST, format!("you sent {}", sent.trim_start_matches("Bearer "))).into_response()
        }
    });
    let app = server.router().layer(repeat);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, tasks)
}

#[tokio::test]
async fn a_run_that_is_stopped_drops_the_call_it_waits_for() {
    let server = McpStandIn::new(Style::Json, &["hangs"]);
    let (url, _listening) = server.listen().await;
    let (agent, seen) = caller(&[("mcp__s__hangs", "{}")]);
    let agent = McpAgent::new(agent, [McpServer::new(&url).unwrap().id("s")]);
    let service = service(agent);
    let running = call(&service, post("/agent/default/run", input("t", "r")));
    let stopping = async {
        until("the call", || server.hanging() == 1).await;
        let stopped = call(&service, post("/agent/default/stop/t", "{}")).await;
        assert_eq!(stopped.status, StatusCode::OK);
    };
    let (answer, ()) = soon("the run", async { tokio::join!(running, stopping) }).await;
    one_terminal(&answer.events());
    until("the call is dropped", || server.hanging() == 0).await;
    assert_eq!(seen.turns().len(), 1, "no further turn");
}
