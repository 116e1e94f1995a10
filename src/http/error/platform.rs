//! What clients are told when the platform fails (intelligence.md 2.3 to 2.6).

use http::StatusCode;
use serde_json::json;

use super::reply;
use crate::http::body::Response;
#[cfg(feature = "mcp")]
use crate::intelligence::NoTools;
use crate::runtime::PlatformFailure;

/// What a stop answers that the platform does not confirm.
const UNACKNOWLEDGED: &str = "Intelligence run stopped before terminal events were acknowledged";
const NO_CREDENTIALS: &str = "Intelligence platform did not return canonical threadId, runId, and joinToken";

pub(super) fn answer(failure: &PlatformFailure) -> Response {
    use PlatformFailure as F;
    let (status, error, message) = match failure {
        #[cfg(feature = "mcp")]
        F::Tools(NoTools::Policy(failed)) => (500, failed.to_string(), None),
        #[cfg(feature = "mcp")]
        F::Tools(NoTools::User(cause)) => (passed_on(cause.status()), "Failed to initialize thread".to_owned(), None),
        F::LearningContainer(_) => (500, "Failed to resolve Learning Container".to_owned(), None),
        F::InitializeThread(cause) => (passed_on(cause.status()), "Failed to initialize thread".to_owned(), None),
        F::LockHeld => (409, "Thread lock denied".to_owned(), None),
        F::Lock(_) => (502, "Thread lock denied".to_owned(), None),
        F::NoCredentials => {
            (502, "Run connection credentials not available".to_owned(), Some(NO_CREDENTIALS.to_owned()))
        }
        F::History(_) => (502, "Thread history lookup failed".to_owned(), None),
        F::Start(cause) => (502, "Failed to start runner".to_owned(), Some(cause.to_string())),
        F::Connect(cause) => {
            let error = match cause.status() {
                Some(400 | 401 | 403 | 404 | 409) => "Connect request rejected",
                _ => "Connect request failed",
            };
            (cause.status().unwrap_or(502), error.to_owned(), Some(cause.to_string()))
        }
        F::ThreadAccess(cause) => (passed_on(cause.status()), "Thread access denied".to_owned(), None),
        F::OtherAgent => (403, "Thread access denied".to_owned(), None),
        F::InvalidThread => (502, "Invalid thread response".to_owned(), None),
        F::StopUnacknowledged => (500, "Failed to stop agent".to_owned(), Some(UNACKNOWLEDGED.to_owned())),
        F::Threads { operation, .. } => (500, format!("Failed to {}", operation.name()), None),
    };
    match failure {
        // Part of how things go: two devices, one thread.
        F::LockHeld => tracing::info!("{failure}"),
        _ => tracing::error!("{failure}"),
    }
    let mut body = json!({"error": error});
    if let Some(message) = message {
        body["message"] = message.into();
    }
    reply(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), &body)
}

/// What the platform thinks wrong with the request, it may tell the client; its own failures are a bad gateway.
fn passed_on(status: Option<u16>) -> u16 {
    status.filter(|status| (400..500).contains(status)).unwrap_or(502)
}
