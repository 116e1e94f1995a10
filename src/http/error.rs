//! Every error body the HTTP face sends, and the one place where errors become responses
//! (rest-sse.md chapter 4).

mod access;
mod memories;
mod platform;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::body::{Body, ReadError, Response};
use super::hooks::BoxError;
use super::limits;
use super::route::Route;
use super::single_route::EnvelopeError;
use crate::agent::ResolveError;
use crate::agui::InvalidInput;
use crate::intelligence::PlatformError;
use crate::runner::RunnerError;
use crate::runtime::{NoCaller, OverLimit, PlatformFailure, ThreadsError, ThreadsUnsupported, TooMany};

pub(super) use memories::{InvalidMemory, InvalidNote, LearningFailure, MemoryFailure};

/// Why a request has no ordinary answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("no such route")]
    NotFound,
    /// No route, but the body was meant for single-route mode.
    #[error("a single-route envelope reached a multi-route mount")]
    EnvelopeOnMultiRoute,
    #[error("the method is not allowed here")]
    MethodNotAllowed { allowed: &'static [Method], route: Option<Route> },
    #[error("no agent `{0}`")]
    AgentNotFound(String),
    /// The caller may not use it, whether there is one or not.
    #[error("the agent `{0}` is not for this caller")]
    AgentForbidden(String),
    #[error(transparent)]
    InvalidInput(#[from] InvalidInput),
    #[error(transparent)]
    Body(#[from] ReadError),
    /// The request holds more than one may.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// The client has as much as it may have.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the stop request is malformed")]
    InvalidStop,
    #[error("the run id of the stop request is not a non-blank string")]
    InvalidRunId,
    #[error(transparent)]
    NoCaller(#[from] NoCaller),
    /// The caller has no thread of that id, whether somebody else has or not.
    #[error("no such thread")]
    ThreadNotFound,
    #[error(transparent)]
    InvalidThreadRequest(#[from] InvalidThreadRequest),
    /// A handler's own failure: the route's text, and the cause.
    #[error("{0}: {1}")]
    Handler(&'static str, String),
    #[error("agents could not be resolved: {0}")]
    Unresolved(ResolveError),
    #[error(transparent)]
    Platform(#[from] PlatformFailure),
    #[error(transparent)]
    InvalidMemory(#[from] InvalidMemory),
    #[error(transparent)]
    Memory(MemoryFailure),
    #[error(transparent)]
    InvalidNote(#[from] InvalidNote),
    /// A note on a thread was not kept.
    #[error(transparent)]
    Annotate(PlatformError),
    #[error(transparent)]
    Learning(LearningFailure),
    /// The route needs CopilotKit Intelligence; the text names the operation.
    #[error("{0} CopilotKit Intelligence")]
    NeedsIntelligence(&'static str),
    #[error(transparent)]
    Internal(#[from] BoxError),
}

/// What is wrong with a request about threads; the text is the answer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidThreadRequest {
    #[error("{0}")]
    Body(String),
    #[error("Valid agentId is required")]
    NoAgentId,
    #[error("limit must be a positive integer")]
    Limit,
    #[error("Valid agentId query param is required")]
    ListNeedsAgent,
    #[error("cursor must be the nextCursor of an earlier page")]
    Cursor,
}

/// Operations as the 422 text names them.
pub(super) mod needs {
    pub(in crate::http) const THREADS: &str = "Thread operations require";
    pub(in crate::http) const MEMORIES: &str = "Memory operations require";
    pub(in crate::http) const ANNOTATE: &str = "annotate requires";
}

impl ApiError {
    pub(super) fn into_response(self) -> Response {
        match self {
            ApiError::NotFound => reply(StatusCode::NOT_FOUND, &json!({"error": "Not found"})),
            ApiError::EnvelopeOnMultiRoute => reply(
                StatusCode::NOT_FOUND,
                &json!({
                    "error": "Not found",
                    "code": "single_route_envelope_against_multi_route_runtime",
                    "message": super::single_route::ENVELOPE_ON_MULTI_ROUTE,
                }),
            ),
            ApiError::MethodNotAllowed { allowed, .. } => {
                let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "Method not allowed"}));
                let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                if let Ok(allow) = HeaderValue::from_str(&names.join(", ")) {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
            ApiError::AgentNotFound(name) => reply(
                StatusCode::NOT_FOUND,
                &json!({"error": "Agent not found", "message": format!("Agent '{name}' does not exist")}),
            ),
            ApiError::AgentForbidden(name) => access::forbidden(&format!("Agent '{name}' is not for you")),
            ApiError::InvalidInput(invalid) => invalid_body(&invalid.to_string()),
            ApiError::Body(ReadError::TooLarge(limit)) => reply(
                StatusCode::PAYLOAD_TOO_LARGE,
                &json!({
                    "error": "Request body too large",
                    "message": format!("The body is larger than {limit} bytes, the limit of this server"),
                }),
            ),
            ApiError::Body(ReadError::Broken(cause)) => invalid_body(&cause.to_string()),
            ApiError::OverLimit(over @ OverLimit::Id { .. }) => invalid_body(&over.to_string()),
            ApiError::OverLimit(over @ OverLimit::Count { .. }) => reply(
                StatusCode::PAYLOAD_TOO_LARGE,
                &json!({"error": "Request body too large", "message": over.to_string()}),
            ),
            ApiError::TooMany(too_many) => limits::refused(&too_many),
            ApiError::Envelope(error) => {
                reply(error.status(), &json!({"error": "invalid_request", "message": error.to_string()}))
            }
            ApiError::InvalidStop => reply(StatusCode::BAD_REQUEST, &json!({"error": "Invalid stop request"})),
            ApiError::InvalidRunId => reply(StatusCode::BAD_REQUEST, &json!({"error": "Invalid runId"})),
            ApiError::NoCaller(no_caller) => access::without_caller(&no_caller),
            ApiError::ThreadNotFound => reply(StatusCode::NOT_FOUND, &json!({"error": "Thread not found"})),
            ApiError::InvalidThreadRequest(InvalidThreadRequest::Body(details)) => invalid_body(&details),
            ApiError::InvalidThreadRequest(invalid) => {
                reply(StatusCode::BAD_REQUEST, &json!({"error": invalid.to_string()}))
            }
            ApiError::Handler(error, message) => {
                tracing::error!(%message, "{error}");
                reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": error, "message": message}))
            }
            ApiError::Platform(failure) => platform::answer(&failure),
            ApiError::InvalidMemory(invalid) => memories::invalid(&invalid),
            ApiError::Memory(failure) => memories::failed(&failure),
            ApiError::InvalidNote(invalid) => memories::invalid(&invalid),
            ApiError::Annotate(error) => memories::not_noted(&error),
            ApiError::Learning(failure) => memories::not_learned(&failure),
            ApiError::NeedsIntelligence(what) => reply(
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!({"error": format!(
                    "Missing CopilotKitIntelligence configuration. {what} a CopilotKitIntelligence instance \
                     to be provided in CopilotRuntime options."
                )}),
            ),
            ApiError::Unresolved(cause) | ApiError::Internal(cause) => internal(&cause),
        }
    }
}

impl From<ThreadsUnsupported> for ApiError {
    fn from(_: ThreadsUnsupported) -> ApiError {
        ApiError::NeedsIntelligence(needs::THREADS)
    }
}

impl From<ThreadsError> for ApiError {
    fn from(error: ThreadsError) -> ApiError {
        match error {
            ThreadsError::NotFound => ApiError::ThreadNotFound,
            ThreadsError::ListNeedsAgent => InvalidThreadRequest::ListNeedsAgent.into(),
            ThreadsError::NoAgent => InvalidThreadRequest::NoAgentId.into(),
            ThreadsError::Cursor(_) => InvalidThreadRequest::Cursor.into(),
            ThreadsError::Unsupported(unsupported) => unsupported.into(),
            ThreadsError::Failed(failure) => failure.into(),
            ThreadsError::Platform(failure) => failure.into(),
        }
    }
}

impl From<RunnerError> for ApiError {
    fn from(failure: RunnerError) -> ApiError {
        ApiError::Internal(failure.into())
    }
}

/// The answer to a failure nobody named.
pub(super) fn internal(cause: &BoxError) -> Response {
    tracing::error!(error = %cause, "the request failed");
    reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"error": "internal_error"}))
}

fn invalid_body(details: &str) -> Response {
    reply(StatusCode::BAD_REQUEST, &json!({"error": "Invalid request body", "details": details}))
}

/// A JSON answer.
pub(super) fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    let mut json = Vec::with_capacity(512);
    match serde_json::to_writer(&mut json, body) {
        Ok(()) => json_bytes(status, json),
        Err(failure) => internal(&failure.into()),
    }
}

/// A JSON answer that is text already.
pub(super) fn json_bytes(status: StatusCode, json: impl Into<bytes::Bytes>) -> Response {
    // Exactly this: clients and captures have no charset parameter.
    with_type(status, HeaderValue::from_static("application/json"), json.into())
}

/// A plain text answer.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response {
    with_type(status, HeaderValue::from_static("text/plain;charset=UTF-8"), body.into())
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Makes every cache ask again.
pub(super) fn fresh(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Forbids every cache to keep the answer.
pub(super) fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store, private"));
    response
}

fn with_type(status: StatusCode, content_type: HeaderValue, body: bytes::Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
