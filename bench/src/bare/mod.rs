//! A bare axum server that answers like the runtimes do, from memory: no agents, no threads, no
//! checks. It is also the AG-UI server behind the agent `remote` (`POST /agent`).

mod connect;
mod info;
mod run;
mod stream;

use axum::Router;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;

/// How a run without pauses is handed to the HTTP server.
#[derive(Clone, Copy, Debug)]
pub enum Write {
    /// One piece per event, as a runtime that forwards events does.
    PerEvent,
    /// All events in one piece: what the bytes cost without any streaming.
    Whole,
}

/// Serves on loopback until the process ends.
///
/// # Errors
/// When the port can't be bound.
pub async fn serve(port: u16, write: Write) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?.tap_io(|socket| {
        // Without it a paced stream would measure Nagle's algorithm. A refusal changes nothing else.
        let _ = socket.set_nodelay(true);
    });
    axum::serve(listener, router(write)).await
}

fn router(write: Write) -> Router {
    Router::new()
        .route("/api/copilotkit/info", get(info::info))
        .route("/api/copilotkit/agent/{agent}/run", post(run::run))
        .route("/api/copilotkit/agent/{agent}/connect", post(connect::connect))
        .route("/agent", post(run::upstream))
        .with_state(write)
}
