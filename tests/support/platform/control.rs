//! How another process leads the platform: `POST /control/<what>` with JSON.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::platform::{Fault, Platform};

/// The platform, once it runs.
pub(crate) type Led = Arc<OnceCell<Platform>>;

pub(crate) fn routes(platform: Led) -> Router {
    Router::new().route("/control/{what}", axum::routing::post(control)).with_state(platform)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cut {
    plane: String,
    code: Option<u16>,
}

async fn control(State(platform): State<Led>, Path(what): Path<String>, Json(body): Json<Value>) -> Response {
    let Some(platform) = platform.get() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    match act(platform, &what, body) {
        Ok(answer) => Json(answer).into_response(),
        Err(wrong) => (StatusCode::BAD_REQUEST, wrong).into_response(),
    }
}

fn act(platform: &Platform, what: &str, body: Value) -> Result<Value, String> {
    let text = |name: &str| body[name].as_str().map(str::to_owned).ok_or_else(|| format!("{name} is missing"));
    match what {
        "entries" => return Ok(platform.entries().into()),
        "violations" => return Ok(platform.violations().into()),
        "events" => return Ok(platform.events_of(&text("runId")?).into()),
        "fail" => platform.fail(serde_json::from_value::<Fault>(body).map_err(|error| error.to_string())?),
        "cut" => {
            let Cut { plane, code } = serde_json::from_value(body).map_err(|error| error.to_string())?;
            platform.cut(&plane, code);
        }
        "expire-lock" => platform.expire_lock(&text("threadId")?),
        "stop" => platform.stop(&text("runId")?),
        other => return Err(format!("no such thing as {other}")),
    }
    Ok(json!({}))
}
