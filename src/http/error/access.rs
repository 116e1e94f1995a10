//! What is told to who may not come in (intelligence.md 2.1, RFC 6750 3).

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::reply;
use crate::http::body::Response;
use crate::runtime::NoCaller;

/// What every challenge begins with.
const BEARER: &str = r#"Bearer realm="copilotkit""#;

/// The seconds after which keys that cannot be had may be asked for again.
const RETRY: &str = "10";

/// The answer to a request that must have a caller.
pub(super) fn without_caller(no_caller: &NoCaller) -> Response {
    match no_caller {
        NoCaller::Unauthenticated | NoCaller::Invalid(_) | NoCaller::Forbidden(_) => {
            tracing::debug!("a request was refused: {no_caller}");
        }
        // What the application's callback did wrong, the client cannot mend.
        fault => tracing::error!(error = %fault, "the user of a request could not be identified"),
    }
    match no_caller {
        NoCaller::Unauthenticated => {
            challenged(unauthorized("The request does not say who sends it; sign in first"), BEARER)
        }
        NoCaller::Invalid(reason) => {
            let said = reason.replace(['"', '\\'], "'");
            challenged(unauthorized(reason), &format!(r#"{BEARER}, error="invalid_token", error_description="{said}""#))
        }
        NoCaller::Forbidden(reason) => forbidden(reason),
        NoCaller::InvalidId => failed(StatusCode::BAD_REQUEST, "identifyUser must return a valid user id"),
        NoCaller::InvalidName => failed(StatusCode::BAD_REQUEST, "identifyUser must return a valid user name"),
        NoCaller::Unavailable(_) => {
            let mut response = failed(StatusCode::SERVICE_UNAVAILABLE, "Failed to identify user");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY));
            response
        }
        NoCaller::Failed(_) => failed(StatusCode::INTERNAL_SERVER_ERROR, "Failed to identify user"),
    }
}

/// The answer to a caller who is known and may not.
pub(super) fn forbidden(message: &str) -> Response {
    let response = reply(StatusCode::FORBIDDEN, &json!({"error": "Forbidden", "message": message}));
    challenged(response, &format!(r#"{BEARER}, error="insufficient_scope""#))
}

fn unauthorized(message: &str) -> Response {
    reply(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized", "message": message}))
}

fn failed(status: StatusCode, error: &str) -> Response {
    reply(status, &Value::from_iter([("error", error)]))
}

fn challenged(mut response: Response, challenge: &str) -> Response {
    // A reason that cannot stand in a header leaves the challenge without one.
    let challenge = HeaderValue::from_str(challenge).unwrap_or_else(|_| HeaderValue::from_static(BEARER));
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
