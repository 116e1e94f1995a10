//! `GET /info`: what the runtime is and which agents it serves.

use http::StatusCode;
use http::request::Parts;

use crate::http::body::Response;
use crate::http::error::{ApiError, reply};
use crate::http::handler::Face;
use crate::runtime::Caller;

pub(super) async fn info(face: &Face, caller: Option<&Caller>, head: &Parts) -> Result<Response, ApiError> {
    let agents = face
        .runtime
        .agents(head)
        .await
        .map_err(|cause| ApiError::Handler("Failed to retrieve runtime information", cause.to_string()))?;
    Ok(reply(StatusCode::OK, &face.runtime.info(caller, &agents, face.mount).await))
}
