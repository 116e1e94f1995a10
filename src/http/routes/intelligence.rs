//! Routes that have an answer of their own only in Intelligence mode (rest-sse.md chapter 9, others).

use http::StatusCode;

use crate::http::body::Response;
use crate::http::error::{ApiError, empty, needs, uncached};

pub(super) fn memories() -> Result<Response, ApiError> {
    Err(ApiError::NeedsIntelligence(needs::MEMORIES))
}

pub(super) fn annotate() -> Result<Response, ApiError> {
    Err(ApiError::NeedsIntelligence(needs::ANNOTATE))
}

pub(super) fn inspector_metadata() -> Response {
    uncached(empty(StatusCode::NO_CONTENT))
}

pub(super) fn inspector_learning() -> Response {
    uncached(ApiError::NotFound.into_response())
}
