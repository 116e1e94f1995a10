//! Hooks: only callers with the right token get in, agents see who asks, and every answer says who served it.
//!
//! Run with `TOKEN=secret cargo run --example hooks_with_auth`, then
//! `curl -H 'authorization: Bearer secret' http://127.0.0.1:3000/api/copilotkit/info`

use axum::Router;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::DemoAgent;
use copilotkit_runtime::http::{Body, ForwardPolicy, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

fn unauthorized() -> Response {
    let mut response = Response::new(Body::from(r#"{"error":"unauthorized"}"#));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let token = std::env::var("TOKEN").map_err(|_| "set TOKEN to the token callers must send")?;
    let expected = format!("Bearer {token}");

    let runtime = CopilotRuntime::builder().agent("default", DemoAgent::new()).build()?;
    let service = runtime
        .into_service()
        .on_request(move |_, mut request| {
            let allowed =
                request.headers().get(AUTHORIZATION).is_some_and(|sent| sent.as_bytes() == expected.as_bytes());
            async move {
                if !allowed {
                    return Err(unauthorized().into());
                }
                // What the agent gets to know of the caller. A real application looks the user up.
                request.headers_mut().insert("x-user", HeaderValue::from_static("ada"));
                Ok(request)
            }
        })
        .on_before_handler(|cx, request| async move {
            println!("{} {} → {}", request.method(), cx.path, cx.route.map_or("?", |route| route.name()));
            Ok(request)
        })
        .on_response(|_, mut response| async move {
            response.headers_mut().insert("x-served-by", HeaderValue::from_static("hooks_with_auth"));
            Ok(response)
        })
        .after_request(|finished| async move {
            println!("{} said {} messages", finished.path, finished.observed.messages.len());
            Ok(())
        })
        // The caller's token is ours, not the agents'.
        .forward_headers(&ForwardPolicy::default().deny(["authorization"]));

    let app: Router = Router::new().nest_service("/api/copilotkit", service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
