//! Several agents that live elsewhere, in any language that speaks AG-UI over HTTP.
//!
//! Run with `cargo run --example remote_agents -- research=http://localhost:8000/agui writer=http://localhost:8001/`

use std::time::Duration;

use axum::Router;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::HttpAgent;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = CopilotRuntime::builder();
    for argument in std::env::args().skip(1) {
        let (name, url) = argument.split_once('=').ok_or("name the agents as NAME=URL")?;
        let agent = HttpAgent::new(url)?
            .description(format!("{name} at {url}"))
            .connect_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60));
        builder = builder.agent(name, agent);
    }
    let app: Router = Router::new().nest_service("/api/copilotkit", builder.build()?.into_service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
