//! Users: everybody has threads of their own, named by the agent, and sees no others.
//!
//! Run with `cargo run --example users`, then
//! `curl -N -H 'authorization: Bearer ada-token' http://127.0.0.1:3000/api/copilotkit/agent/default/run
//! -d '{"threadId":"t1","runId":"r1","messages":[{"id":"u1","role":"user","content":"Hello"}]}'`, and compare
//! `curl -H 'authorization: Bearer ada-token' http://127.0.0.1:3000/api/copilotkit/threads` with `bob-token`.

use axum::Router;
use copilotkit_runtime::agent::DemoAgent;
use copilotkit_runtime::http::ForwardPolicy;
use copilotkit_runtime::{CopilotRuntime, IdentifyError, User};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Who a token belongs to. A real application asks its session store here, or checks a signature.
async fn user_of(headers: HeaderMap) -> Result<User, IdentifyError> {
    let sent = headers.get(AUTHORIZATION).ok_or(IdentifyError::Unauthenticated)?;
    match sent.to_str().map_err(IdentifyError::failed)? {
        "Bearer ada-token" => Ok(User::new("ada").named("Ada")),
        "Bearer bob-token" => Ok(User::new("bob").named("Bob")),
        _ => Err(IdentifyError::Unauthenticated),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = CopilotRuntime::builder()
        .agent("default", DemoAgent::new())
        .identify_user(|head| user_of(head.headers.clone()))
        .generate_thread_names(true)
        .build()?;
    // The caller's token is ours, not the agents'.
    let service = runtime.into_service().forward_headers(&ForwardPolicy::default().deny(["authorization"]));

    let app: Router = Router::new().nest_service("/api/copilotkit", service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
