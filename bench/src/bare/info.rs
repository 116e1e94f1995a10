//! `GET /api/copilotkit/info`: what the Node server of the comparison answers, as a constant.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

const INFO: &str = concat!(
    r#"{"version":"1.75.0","agents":{"#,
    r#""default":{"name":"default","description":"Plays what forwardedProps says","className":"ScriptedAgent"},"#,
    r#""remote":{"name":"remote","description":"Proxies UPSTREAM_URL","className":"HttpAgent"}},"#,
    r#""audioFileTranscriptionEnabled":false,"mode":"sse","#,
    r#""threadEndpoints":{"list":true,"inspect":true,"mutations":false,"realtimeMetadata":false},"#,
    r#""suggestions":true,"a2uiEnabled":false,"openGenerativeUIEnabled":false,"telemetryDisabled":true}"#,
);

pub(super) async fn info() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], INFO)
}
