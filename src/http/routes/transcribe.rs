//! `POST /transcribe`: speech to text (rest-sse.md chapter 9).

use std::convert::Infallible;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::http::body::Response;
use crate::http::error::reply;
use crate::http::fields;
use crate::transcription::{Audio, TranscriptionError, TranscriptionService};

/// Answers with the text of the audio in the body: a form with a file `audio`, or JSON with the audio in base64.
pub(super) async fn transcribe(
    service: Option<&dyn TranscriptionService>,
    content_type: Option<&str>,
    body: Bytes,
) -> Response {
    match text_of(service, content_type, body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn text_of(
    service: Option<&dyn TranscriptionService>,
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Response, Failure> {
    let service = service.ok_or(Failure::NotConfigured)?;
    let audio = match content_type {
        Some(form) if form.contains("multipart/form-data") => audio_of_form(form, body).await?,
        Some(json) if json.contains("application/json") => audio_of_json(&body)?,
        _ => return Err(Failure::Request(UNKNOWN_FORM)),
    };
    let (size, mime_type) = (audio.bytes.len(), audio.mime_type.clone());
    let text = service.transcribe(audio).await.map_err(classify)?;
    Ok(reply(StatusCode::OK, &json!({"text": text, "size": size, "type": mime_type})))
}

const UNKNOWN_FORM: &str = "Request must be multipart/form-data or application/json with base64 audio";
const NO_FILE: &str = "No audio file found in form data. Please include an 'audio' field.";
const NO_JSON: &str = "Request body must be valid JSON";
const NO_AUDIO: &str = "Request must include 'audio' field with base64-encoded audio data";
const NO_TYPE: &str = "Request must include 'mimeType' field (e.g., 'audio/webm')";
const NO_BASE64: &str = "Failed to decode base64 audio data";

const UNNAMED: &str = "recording.webm";
const ASSUMED_TYPE: &str = "audio/webm";
const UNTYPED: &str = "application/octet-stream";
const AUDIO_TYPES: &[&str] =
    &["audio/mpeg", "audio/mp3", "audio/mp4", "audio/wav", "audio/webm", "audio/ogg", "audio/flac", "audio/aac"];

/// The rows of the contract's table that are ever produced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    NotConfigured,
    Request(&'static str),
    Format(String),
    RateLimited,
    AuthFailed,
    TooLong,
    TooShort,
    Network(String),
    Provider(String),
}

impl Failure {
    fn into_response(self) -> Response {
        let (code, status, retryable, message) = match self {
            Failure::NotConfigured => {
                ("service_not_configured", 503, false, "Transcription service is not configured".into())
            }
            Failure::Request(message) => ("invalid_request", 400, false, message.to_owned()),
            Failure::Format(given) => (
                "invalid_audio_format",
                400,
                false,
                format!("Unsupported audio format: {given}. Supported: {}", AUDIO_TYPES.join(", ")),
            ),
            Failure::RateLimited => ("rate_limited", 429, true, "Rate limited. Please try again later.".into()),
            Failure::AuthFailed => {
                ("auth_failed", 401, false, "Authentication failed with transcription provider".into())
            }
            Failure::TooLong => ("audio_too_long", 400, false, "Audio file is too long".into()),
            Failure::TooShort => ("audio_too_short", 400, false, "Audio is too short to transcribe".into()),
            Failure::Network(message) => ("network_error", 502, true, message),
            Failure::Provider(message) => ("provider_error", 500, true, message),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        reply(status, &json!({"error": code, "message": message, "retryable": retryable}))
    }
}

fn classify(error: TranscriptionError) -> Failure {
    match error {
        TranscriptionError::RateLimited => Failure::RateLimited,
        TranscriptionError::AuthFailed => Failure::AuthFailed,
        TranscriptionError::AudioTooLong => Failure::TooLong,
        TranscriptionError::AudioTooShort => Failure::TooShort,
        TranscriptionError::Network(message) => Failure::Network(message),
        // A service that has nothing but words to tell what happened: chapter 14, row 26.
        TranscriptionError::Provider(message) => match TranscriptionError::from_message(message) {
            TranscriptionError::Provider(message) => Failure::Provider(message),
            told => classify(told),
        },
    }
}

/// The first field named `audio`, which must be a file. A form that cannot be read has none.
async fn audio_of_form(content_type: &str, body: Bytes) -> Result<Audio, Failure> {
    let boundary = multer::parse_boundary(content_type).map_err(|_| Failure::Request(NO_FILE))?;
    let stream = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let field = loop {
        match form.next_field().await {
            Ok(Some(field)) if field.name() == Some("audio") => break field,
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(Failure::Request(NO_FILE)),
        }
    };
    let filename = field.file_name().ok_or(Failure::Request(NO_FILE))?.to_owned();
    let given = field.headers().get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    // As the browser's `File` does it, parameters included.
    let mut mime_type = given.to_ascii_lowercase();
    check_type(&mime_type)?;
    if mime_type.is_empty() || mime_type == UNTYPED {
        ASSUMED_TYPE.clone_into(&mut mime_type);
    }
    let bytes = field.bytes().await.map_err(|_| Failure::Request(NO_FILE))?;
    Ok(Audio { bytes, filename: or_unnamed(filename), mime_type })
}

pub(super) fn audio_of_json(body: &[u8]) -> Result<Audio, Failure> {
    let text = fields::text(body);
    let found = fields::read(&text, ["audio", "mimeType", "filename"]).map_err(|_| Failure::Request(NO_JSON))?;
    let [audio, mime_type, filename] = found.map(|json| json.and_then(fields::string).filter(|text| !text.is_empty()));
    let audio = audio.ok_or(Failure::Request(NO_AUDIO))?;
    let mime_type = mime_type.ok_or(Failure::Request(NO_TYPE))?;
    check_type(&mime_type)?;
    // Of a data URL, what follows the comma.
    let base64 = audio.split(',').nth(1).unwrap_or(&audio);
    let bytes = decode(base64).ok_or(Failure::Request(NO_BASE64))?;
    Ok(Audio {
        bytes: bytes.into(),
        filename: or_unnamed(filename.unwrap_or_default().into_owned()),
        mime_type: mime_type.to_ascii_lowercase(),
    })
}

/// Decodes as a browser's `atob`: white space is skipped, padding may be missing, spare bits do not matter.
fn decode(base64: &str) -> Option<Vec<u8>> {
    const FORGIVING: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    if base64.contains(|c: char| c.is_ascii_whitespace()) {
        let dense: String = base64.split_ascii_whitespace().collect();
        FORGIVING.decode(dense).ok()
    } else {
        FORGIVING.decode(base64).ok()
    }
}

fn check_type(given: &str) -> Result<(), Failure> {
    let base = given.split(';').next().unwrap_or_default().trim();
    if base.is_empty() || base == UNTYPED || AUDIO_TYPES.contains(&base) {
        Ok(())
    } else {
        Err(Failure::Format(given.to_owned()))
    }
}

fn or_unnamed(filename: String) -> String {
    if filename.is_empty() { UNNAMED.to_owned() } else { filename }
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;

    /// Says what it was given, or fails.
    struct Echo(Option<fn() -> TranscriptionError>);

    impl TranscriptionService for Echo {
        fn transcribe(&self, audio: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>> {
            let answer = match self.0 {
                Some(error) => Err(error()),
                None => Ok(format!("{} {:?}", audio.filename, audio.bytes.as_ref())),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    async fn answer(service: Option<&Echo>, content_type: Option<&str>, body: impl Into<Bytes>) -> (u16, Value) {
        let service = service.map(|service| service as &dyn TranscriptionService);
        let response = transcribe(service, content_type, body.into()).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn json_answer(body: &Value) -> (u16, Value) {
        answer(Some(&Echo(None)), Some("application/json"), body.to_string()).await
    }

    /// A form with one part, the audio `00 01 02 03 04`.
    async fn form_answer(disposition: &str, part_type: &str) -> (u16, Value) {
        let mut body = format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n{part_type}\r\n").into_bytes();
        body.extend_from_slice(b"\x00\x01\x02\x03\x04\r\n--b--\r\n");
        answer(Some(&Echo(None)), Some("multipart/form-data; boundary=b"), body).await
    }

    const FILE: &str = "name=\"audio\"; filename=\"a.webm\"";

    fn refused(message: &str) -> (u16, Value) {
        (400, json!({"error": "invalid_request", "message": message, "retryable": false}))
    }

    #[tokio::test]
    async fn missing_service_is_told_before_the_body_is_read() {
        let body = json!({"error": "service_not_configured", "message": "Transcription service is not configured",
            "retryable": false});
        assert_eq!(answer(None, None, "").await, (503, body));
    }

    #[tokio::test]
    async fn form_file_is_transcribed_under_its_type() {
        for (given, told) in [
            ("Content-Type: audio/webm\r\n", "audio/webm"),
            ("Content-Type: audio/webm; codecs=opus\r\n", "audio/webm; codecs=opus"),
            ("Content-Type: application/octet-stream\r\n", "audio/webm"),
            ("", "audio/webm"),
        ] {
            let wanted = json!({"text": "a.webm [0, 1, 2, 3, 4]", "size": 5, "type": told});
            assert_eq!(form_answer(FILE, given).await, (200, wanted));
        }
    }

    #[tokio::test]
    async fn form_without_an_audio_file_is_refused() {
        for disposition in ["name=\"file\"; filename=\"a.webm\"", "name=\"audio\""] {
            assert_eq!(form_answer(disposition, "Content-Type: audio/webm\r\n").await, refused(NO_FILE));
        }
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=b"] {
            let service = Echo(None);
            assert_eq!(answer(Some(&service), Some(content_type), "--b\r\n").await, refused(NO_FILE));
        }
    }

    #[tokio::test]
    async fn unknown_audio_types_are_refused() {
        let (status, body) = form_answer(FILE, "Content-Type: video/mp4\r\n").await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_audio_format")));
        assert_eq!(
            body["message"],
            "Unsupported audio format: video/mp4. Supported: audio/mpeg, audio/mp3, audio/mp4, audio/wav, \
             audio/webm, audio/ogg, audio/flac, audio/aac"
        );
    }

    #[tokio::test]
    async fn json_audio_is_decoded_as_browsers_do() {
        for audio in ["data:audio/webm;base64,AAECAwQ=", "AAECAwQ=", "AAECAwQ", " AAEC\nAwR= "] {
            let body = json!({"audio": audio, "mimeType": "audio/webm", "filename": "f.webm"});
            let wanted = json!({"text": "f.webm [0, 1, 2, 3, 4]", "size": 5, "type": "audio/webm"});
            assert_eq!(json_answer(&body).await, (200, wanted), "{audio}");
        }
        let (_, unnamed) = json_answer(&json!({"audio": "AA==", "mimeType": "audio/ogg", "filename": 1})).await;
        assert_eq!(unnamed["text"], "recording.webm [0]");
    }

    #[tokio::test]
    async fn json_without_audio_is_refused() {
        assert_eq!(json_answer(&json!({"mimeType": "audio/webm"})).await, refused(NO_AUDIO));
        assert_eq!(json_answer(&json!({"audio": 5, "mimeType": "audio/webm"})).await, refused(NO_AUDIO));
        assert_eq!(json_answer(&Value::Null).await, refused(NO_AUDIO));
        assert_eq!(json_answer(&json!({"audio": "AAAA"})).await, refused(NO_TYPE));
        assert_eq!(json_answer(&json!({"audio": "A*==", "mimeType": "audio/webm"})).await, refused(NO_BASE64));
        assert_eq!(answer(Some(&Echo(None)), Some("application/json"), "{").await, refused(NO_JSON));
        for content_type in [None, Some("audio/webm")] {
            assert_eq!(answer(Some(&Echo(None)), content_type, "xx").await, refused(UNKNOWN_FORM));
        }
    }

    #[tokio::test]
    async fn provider_failures_have_their_rows() {
        const JSON: &str = r#"{"audio":"AA==","mimeType":"audio/webm"}"#;
        let rate = (429, "rate_limited", "Rate limited. Please try again later.", true);
        let auth = (401, "auth_failed", "Authentication failed with transcription provider", false);
        let long = (400, "audio_too_long", "Audio file is too long", false);
        type Row = (fn() -> TranscriptionError, (u16, &'static str, &'static str, bool));
        let rows: &[Row] = &[
            (|| TranscriptionError::RateLimited, rate),
            (|| TranscriptionError::AuthFailed, auth),
            (|| TranscriptionError::AudioTooLong, long),
            (|| TranscriptionError::Provider("429 Too Many Requests".into()), rate),
            (|| TranscriptionError::Provider("Incorrect API key provided".into()), auth),
            (|| TranscriptionError::Provider("maximum content size: duration exceeded".into()), long),
            (
                || TranscriptionError::Provider("failed to generate".into()),
                (500, "provider_error", "failed to generate", true),
            ),
        ];
        for (error, (status, code, message, retryable)) in rows {
            let wanted = json!({"error": code, "message": message, "retryable": retryable});
            assert_eq!(answer(Some(&Echo(Some(*error))), Some("application/json"), JSON).await, (*status, wanted));
        }
    }
}
