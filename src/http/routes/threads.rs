//! `GET /threads…`, `POST /threads/clear`, and the thread routes that need more than a runner
//! (rest-sse.md chapter 9).

use http::StatusCode;
use http::request::Parts;

use crate::http::body::Response;
use crate::http::error::{ApiError, empty, json_bytes, needs, reply};
use crate::http::handler::Face;

pub(super) async fn list(face: &Face, head: &Parts) -> Result<Response, ApiError> {
    let query = head.uri.query().unwrap_or_default();
    let agent_id = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "agentId")
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty());
    Ok(reply(StatusCode::OK, &face.runtime.list_threads(agent_id.as_deref()).await?))
}

pub(super) async fn messages(face: &Face, thread_id: &str) -> Result<Response, ApiError> {
    Ok(json_bytes(StatusCode::OK, face.runtime.thread_messages(thread_id).await?))
}

pub(super) async fn events(face: &Face, thread_id: &str) -> Result<Response, ApiError> {
    Ok(json_bytes(StatusCode::OK, face.runtime.thread_events(thread_id).await?))
}

pub(super) async fn state(face: &Face, thread_id: &str) -> Result<Response, ApiError> {
    Ok(reply(StatusCode::OK, &face.runtime.thread_state(thread_id).await?))
}

pub(super) async fn clear(face: &Face) -> Result<Response, ApiError> {
    face.runtime.clear_threads().await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Renaming, archiving, deleting and subscribing: 422 before the body is looked at.
pub(super) fn unsupported() -> Result<Response, ApiError> {
    Err(ApiError::NeedsIntelligence(needs::THREADS))
}
