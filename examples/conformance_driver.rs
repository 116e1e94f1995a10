//! The driver of the conformance harness for runtimes in Intelligence mode: reads `CPK_CONFIG`, serves one agent under
//! `/copilotkit`, and prints its port as one line of JSON.
//!
//! Users are whoever a request claims to be (`x-test-user-id`, `x-test-user-name`): this is for tests only.

use std::error::Error;
use std::future::ready;

use axum::Router;
use copilotkit_runtime::agent::HttpAgent;
use copilotkit_runtime::intelligence::Intelligence;
use copilotkit_runtime::{A2ui, CopilotRuntime, User};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the harness says. Of what else it may say, nothing concerns this runtime: it sends no telemetry, needs no
/// licence, and MCP apps are the agent's affair.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    port: u16,
    api_url: String,
    runner_url: String,
    client_url: String,
    api_key: String,
    agent_url: String,
    a2ui: Option<Value>,
}

/// Who the request says it is from.
fn claimed(head: &Parts) -> User {
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    User::new(header("x-test-user-id").unwrap_or("test-user")).named(header("x-test-user-name").unwrap_or("Test User"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = std::env::var("CPK_CONFIG").map_err(|_| "CPK_CONFIG is not set: it holds the harness's JSON")?;
    let config: Config = serde_json::from_str(&config).map_err(|error| format!("CPK_CONFIG: {error}"))?;
    // Both sockets are of one gateway; the runtime derives either address from the other.
    let gateway = |url: &str, socket: &str| url.trim_end_matches('/').trim_end_matches(socket).to_owned();
    if gateway(&config.runner_url, "/runner") != gateway(&config.client_url, "/client") {
        return Err("runnerUrl and clientUrl must be /runner and /client of one gateway".into());
    }
    let intelligence =
        Intelligence::builder().api_url(config.api_url).ws_url(config.runner_url).api_key(config.api_key).build()?;
    let mut runtime = CopilotRuntime::on_intelligence(intelligence, |head: &Parts| ready(Ok(claimed(head))))
        .agent("default", HttpAgent::new(&config.agent_url)?);
    if config.a2ui.is_some_and(|a2ui| a2ui != false) {
        runtime = runtime.a2ui(A2ui::default());
    }
    let app = Router::new().fallback_service(runtime.build()?.into_service().base_path("/copilotkit"));
    let listener = TcpListener::bind(("127.0.0.1", config.port)).await?;
    println!("{}", json!({ "port": listener.local_addr()?.port() }));
    axum::serve(listener, app).await?;
    Ok(())
}
