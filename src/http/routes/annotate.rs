//! `POST /annotate` (intelligence.md 2.7).

use http::StatusCode;
use serde_json::value::RawValue;

use super::read;
use crate::http::body::{Body, Response};
use crate::http::error::{ApiError, InvalidNote, json_bytes, needs};
use crate::http::fields::{self, NotJson};
use crate::http::handler::Face;
use crate::intelligence::Annotation;
use crate::runtime::Caller;

pub(super) async fn annotate(face: &Face, caller: &Caller, body: Body) -> Result<Response, ApiError> {
    let unsupported = || ApiError::NeedsIntelligence(needs::ANNOTATE);
    if !face.runtime.keeps_notes() {
        return Err(unsupported());
    }
    let note = note_of(&read(face, body).await?)?;
    let kept = face.runtime.annotate(caller, &note).await.ok_or_else(unsupported)?;
    Ok(json_bytes(StatusCode::OK, kept.map_err(ApiError::Annotate)?))
}

/// The note a body describes.
pub(super) fn note_of(body: &[u8]) -> Result<Annotation, InvalidNote> {
    let text = fields::text(body);
    let names = ["threadId", "type", "payload", "clientEventId", "occurredAt"];
    let [thread_id, kind, payload, event_id, at] = fields::read(&text, names).map_err(|NotJson| InvalidNote::Body)?;
    let given = |json: Option<&str>| {
        json.and_then(fields::string).filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
    };
    Ok(Annotation {
        thread_id: given(thread_id).ok_or(InvalidNote::NoThread)?,
        kind: given(kind).ok_or(InvalidNote::NoType)?,
        payload: payload.and_then(|json| RawValue::from_string(json.to_owned()).ok()),
        client_event_id: given(event_id),
        occurred_at: given(at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn note_keeps_the_text_of_its_payload() {
        let body =
            r#"{"type":"a","threadId":"t","payload":{"n":1.0},"clientEventId":"","occurredAt":5,"userId":"eve"}"#;
        let note = note_of(body.as_bytes()).unwrap();
        assert_eq!((note.kind.as_str(), note.thread_id.as_str()), ("a", "t"));
        assert_eq!(note.payload.as_deref().map(RawValue::get), Some(r#"{"n":1.0}"#));
        assert_eq!((note.client_event_id, note.occurred_at), (None, None), "what is no text is none");
        let note = note_of(br#"{"type":"a","threadId":"t","payload":null,"clientEventId":"e"}"#).unwrap();
        assert_eq!(note.payload.as_deref().map(RawValue::get), Some("null"));
        assert_eq!(note.client_event_id.as_deref(), Some("e"));
    }

    #[test]
    fn note_that_cannot_be_read_says_why() {
        for (body, why) in [
            ("", "Invalid request body"),
            ("[]", "Valid threadId is required"),
            (r#"{"type":"a","threadId":""}"#, "Valid threadId is required"),
            (r#"{"threadId":"t"}"#, "Valid type is required"),
            (r#"{"threadId":"t","type":1}"#, "Valid type is required"),
        ] {
            assert_eq!(note_of(body.as_bytes()).unwrap_err().to_string(), why, "{body}");
        }
    }
}
