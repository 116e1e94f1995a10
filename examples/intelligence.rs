//! Threads on CopilotKit's Intelligence platform: the agent runs here, what it says is kept there, and browsers
//! listen to the platform.
//!
//! Run with `COPILOTKIT_INTELLIGENCE_API_KEY=… cargo run --example intelligence`; for a platform of your own, set
//! `COPILOTKIT_INTELLIGENCE_API_URL` and `COPILOTKIT_INTELLIGENCE_WS_URL` too. Then
//! `curl -H 'x-user: ada' 'http://127.0.0.1:3000/api/copilotkit/threads?agentId=default'`.

use std::env;
use std::future::ready;

use axum::Router;
use copilotkit_runtime::agent::DemoAgent;
use copilotkit_runtime::intelligence::{Intelligence, MemoryAccess, MemoryGrant};
use copilotkit_runtime::{CopilotRuntime, IdentifyError, User};
use http::request::Parts;

/// A proxy in front has checked who it is, and removes the header from what clients send.
fn user_of(head: &Parts) -> Result<User, IdentifyError> {
    let user = head.headers.get("x-user").ok_or(IdentifyError::Unauthenticated)?;
    Ok(User::new(user.to_str().map_err(IdentifyError::failed)?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = |name| env::var(name).unwrap_or_default();
    let intelligence = Intelligence::builder()
        .api_key(set("COPILOTKIT_INTELLIGENCE_API_KEY"))
        // What is blank is the managed platform's.
        .api_url(set("COPILOTKIT_INTELLIGENCE_API_URL"))
        .ws_url(set("COPILOTKIT_INTELLIGENCE_WS_URL"))
        // Users may change what the platform remembers of them, and see what it knows of the project.
        .memory(|_| ready(Ok(MemoryGrant::new(MemoryAccess::ReadWrite, MemoryAccess::Read))))
        .on_thread_created(|thread| println!("A new thread: {}", thread.id.as_deref().unwrap_or("?")))
        .build()?;
    let runtime = CopilotRuntime::on_intelligence(intelligence, |head| ready(user_of(head)))
        .agent("default", DemoAgent::new())
        .build()?;

    let app: Router = Router::new().nest_service("/api/copilotkit", runtime.into_service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
