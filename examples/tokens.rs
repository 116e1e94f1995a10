//! Tokens and keys: people come with a JWT of their identity provider, a nightly program with an API key; one agent is for
//! the staff alone.
//!
//! Run with `JWKS_URL=https://… ISSUER=https://… AUDIENCE=… cargo run --example tokens`, then
//! `curl -H "authorization: Bearer $TOKEN" http://127.0.0.1:3000/api/copilotkit/info`, or with the key it prints
//! `curl -H "x-api-key: $KEY" http://127.0.0.1:3000/api/copilotkit/info`.

use axum::Router;
use copilotkit_runtime::access::{Access, ApiKeys, Jwt, KeyHash, generate_key};
use copilotkit_runtime::agent::DemoAgent;
use copilotkit_runtime::http::{Cors, ForwardPolicy};
use copilotkit_runtime::{Allow, CopilotRuntime, User};

/// Where the page is served from that may use the session cookie.
const PAGE: &str = "http://localhost:5173";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = |name: &str| std::env::var(name).map_err(|_| format!("set {name}"));
    let jwt = Jwt::builder().jwks_url(set("JWKS_URL")?).issuer(set("ISSUER")?).audience(set("AUDIENCE")?).build()?;

    // A real application keeps the hash, and gives the key away.
    let key = generate_key();
    println!("The API key of `nightly` is {key}");
    let keys = ApiKeys::new().with(KeyHash::of(&key), User::new("nightly").named("The nightly report"));

    let access = Access::new().jwt(jwt).api_keys(keys).cookie("session", |origin| origin == PAGE);
    let runtime = CopilotRuntime::builder()
        .agent("default", DemoAgent::new())
        .agent("back-office", DemoAgent::new())
        .identify_user(move |head| access.identify(head))
        .allow("back-office", Allow::nobody().user("nightly").claim("roles", "staff"))
        .build()?;
    let service = runtime
        .into_service()
        .cors(Cors::any().origins([PAGE]).credentials(true))?
        // The token of a user is for the agent of the back office, and for no other.
        .forward_headers(&ForwardPolicy::new().deny(["authorization"]))
        .forward_headers_to("back-office", &ForwardPolicy::new());

    let app: Router = Router::new().nest_service("/api/copilotkit", service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
