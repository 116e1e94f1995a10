//! How much a client may ask for, and what it is told when it asks for more.
//!
//! The answer is 429 with `Retry-After`. Its body has the shape of a `RUN_ERROR` event: unmodified clients show it, as
//! text and as the payload of their error (docs/error-codes.md).

use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::body::Response;
use super::error::{ApiError, reply};
use super::handler::Face;
use super::route::Route;
use crate::runner::RunPass;
use crate::runtime::{Caller, Client, TooMany};

/// Counts a request, whatever becomes of it: who guesses tokens or the ids of threads would have all the time there is.
pub(super) fn admit(face: &Face, head: &Parts, caller: Option<&Caller>) -> Result<(), ApiError> {
    if !face.runtime.counts_clients() {
        return Ok(());
    }
    Ok(face.runtime.count_request(&client(face, head, caller))?)
}

/// Counts the run a request wants, if it wants one: that is what the pass is for.
pub(super) fn admit_run(
    face: &Face,
    head: &Parts,
    route: &Route,
    caller: Option<&Caller>,
) -> Result<RunPass, ApiError> {
    match route {
        Route::AgentRun { .. } | Route::AgentSuggest { .. } if face.runtime.counts_clients() => {
            Ok(face.runtime.count_run(&client(face, head, caller))?)
        }
        _ => Ok(RunPass::default()),
    }
}

fn client(face: &Face, head: &Parts, caller: Option<&Caller>) -> Client {
    Client::of(caller, face.proxies.client_address(head))
}

/// The answer to a client that has as much as it may have.
pub(super) fn refused(too_many: &TooMany) -> Response {
    tracing::debug!(code = too_many.code(), "a request was refused: {too_many}");
    // Rounded up: a client that waits so long is let in.
    let wait = too_many.wait().as_millis().div_ceil(1000).max(1);
    let unit = if wait == 1 { "second" } else { "seconds" };
    let body = json!({
        "type": "RUN_ERROR",
        "error": "Too many requests",
        "code": too_many.code(),
        "message": format!("{too_many}; try again in {wait} {unit}"),
        "retryAfter": u64::try_from(wait).unwrap_or(u64::MAX),
    });
    let mut response = reply(StatusCode::TOO_MANY_REQUESTS, &body);
    if let Ok(wait) = HeaderValue::from_str(&wait.to_string()) {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    response
}
