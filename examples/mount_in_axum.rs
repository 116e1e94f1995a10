//! The runtime inside an axum application that has state, layers and routes of its own.
//!
//! Run with `cargo run --example mount_in_axum`, then paste
//! `<CopilotKitProvider runtimeUrl="http://127.0.0.1:3000/api/copilotkit">` into your React app.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::DemoAgent;
use copilotkit_runtime::http::Cors;

/// What the rest of the application shares.
struct Shop {
    name: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = CopilotRuntime::builder().agent("default", DemoAgent::new()).build()?;

    let app = Router::new()
        .route("/", get(async |State(shop): State<Arc<Shop>>| format!("Welcome to {}", shop.name)))
        .nest_service("/api/copilotkit", runtime.into_service().cors(Cors::any())?)
        .with_state(Arc::new(Shop { name: "the shop" }));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
