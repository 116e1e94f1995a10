//! What clients are told of memories, notes and the inspector (intelligence.md 2.7).

use http::StatusCode;
use serde_json::json;

use super::reply;
use crate::http::body::Response;
use crate::intelligence::PlatformError;
use crate::runtime::MemoriesError;

/// What is wrong with a request about memories; the text is the answer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum InvalidMemory {
    #[error("Invalid request body")]
    Body,
    #[error("Memory requires string `content` and `kind`")]
    NoContent,
    #[error("Memory `kind` must be one of: topical, episodic, operational")]
    Kind,
    #[error("Memory `scope` must be a string when provided")]
    ScopeType,
    #[error("Memory `scope` must be one of: user, project")]
    Scope,
    #[error("Memory `sourceThreadIds` must be an array of strings when provided")]
    SourceThreads,
    #[error("Recall requires a non-empty string `query`")]
    NoQuery,
    #[error("Recall `limit` must be a positive integer")]
    Limit,
    #[error("Recall `scope` must be a string when provided")]
    RecallScopeType,
    #[error("Recall `scope` must be one of: user, project")]
    RecallScope,
}

/// What is wrong with a note; the text is the answer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum InvalidNote {
    #[error("Invalid request body")]
    Body,
    #[error("Valid threadId is required")]
    NoThread,
    #[error("Valid type is required")]
    NoType,
}

/// What failed about memories, and why.
#[derive(Debug, thiserror::Error)]
#[error("Failed to {what}: {error}")]
pub(in crate::http) struct MemoryFailure {
    pub(in crate::http) what: &'static str,
    pub(in crate::http) error: MemoriesError,
}

/// Why nothing is shown of what was learned.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum LearningFailure {
    #[error("nothing is learned here")]
    NotFound,
    #[error("the query asks for something else")]
    Invalid,
    #[error(transparent)]
    Unavailable(PlatformError),
}

pub(super) fn invalid(problem: &impl ToString) -> Response {
    reply(StatusCode::BAD_REQUEST, &json!({"error": problem.to_string()}))
}

pub(super) fn failed(MemoryFailure { what, error }: &MemoryFailure) -> Response {
    let (status, text) = match error {
        MemoriesError::Denied => (StatusCode::FORBIDDEN, error.to_string()),
        MemoriesError::Policy(_) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        MemoriesError::NotAList => {
            let kind = if what.starts_with("recall") { "recall" } else { "list" };
            (StatusCode::BAD_GATEWAY, format!("Memory platform returned an invalid {kind} response"))
        }
        MemoriesError::Platform(error) => (status_of(error), format!("Failed to {what}")),
    };
    if status != StatusCode::FORBIDDEN {
        tracing::error!("failed to {what}: {error}");
    }
    reply(status, &json!({"error": text}))
}

/// What the client can mend keeps its status; what only the platform can, is a bad gateway.
fn status_of(error: &PlatformError) -> StatusCode {
    match error.status() {
        Some(status @ 400..500) => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
        Some(_) => StatusCode::BAD_GATEWAY,
        None => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub(super) fn not_noted(error: &PlatformError) -> Response {
    tracing::error!("a note was not kept: {error}");
    match error.status() {
        Some(400..500) => reply(status_of(error), &json!({"error": error.to_string()})),
        _ => reply(StatusCode::BAD_GATEWAY, &json!({"error": "Failed to annotate"})),
    }
}

pub(super) fn not_learned(failure: &LearningFailure) -> Response {
    let (status, text) = match failure {
        LearningFailure::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        LearningFailure::Invalid => (StatusCode::BAD_REQUEST, "Invalid Inspector Learning request"),
        LearningFailure::Unavailable(error) => {
            tracing::warn!("what was learned cannot be shown: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "Inspector Learning is temporarily unavailable")
        }
    };
    reply(status, &json!({"error": text}))
}
