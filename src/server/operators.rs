//! What operators and their machines ask: metrics, whether the program lives and is ready, and what it does now. On an
//! address of its own, and as far as everybody may know it, beside the mounts.

use std::net::SocketAddr;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::{CopilotRuntime, METRICS_CONTENT_TYPE, Readiness};

/// Where live runs are told.
pub(super) const STATUS: &str = "/status";

const ALIVE: &str = "/healthz";
const READY: &str = "/readyz";
const FRESH: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// Everything, on the address for operators. Ids of users and threads only `with_status`.
pub(super) fn routes(runtime: &CopilotRuntime, with_status: bool) -> Router {
    let (readiness, metrics, status) = (runtime.clone(), runtime.clone(), runtime.clone());
    let mut routes = Router::new()
        .route(ALIVE, get(alive))
        .route(READY, get(async move || answer(&readiness.readiness().await)))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, METRICS_CONTENT_TYPE), FRESH], metrics.metrics())));
    if with_status {
        routes = routes.route(STATUS, get(async move || json(StatusCode::OK, &status.status().await)));
    }
    routes.fallback(async || json(StatusCode::NOT_FOUND, &json!({"error": "Not found"})))
}

/// What everybody may know.
pub(super) fn probes(runtime: &CopilotRuntime) -> Router {
    let runtime = runtime.clone();
    let ready = async move || answer(&runtime.readiness().await.without_reasons());
    Router::new().route(ALIVE, get(alive)).route(READY, get(ready))
}

/// Whether live runs may be told to whoever reaches an address.
pub(super) fn may_tell_status(wanted: Option<bool>, address: SocketAddr) -> bool {
    wanted.unwrap_or(address.ip().to_canonical().is_loopback())
}

async fn alive() -> Response {
    json(StatusCode::OK, &json!({"alive": true}))
}

fn answer(readiness: &Readiness) -> Response {
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, readiness)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json"), FRESH], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer for operators could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_runs_are_told_to_this_machine_unless_said_otherwise() {
        for (wanted, address, told) in [
            (None, "127.0.0.1:1", true),
            (None, "[::1]:1", true),
            (None, "0.0.0.0:1", false),
            (None, "10.0.0.1:1", false),
            (Some(true), "0.0.0.0:1", true),
            (Some(false), "127.0.0.1:1", false),
        ] {
            assert_eq!(may_tell_status(wanted, address.parse().expect("an address")), told, "{wanted:?} {address}");
        }
    }
}
