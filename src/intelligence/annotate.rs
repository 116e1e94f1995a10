//! Notes on threads (intelligence.md 3.4).

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Intelligence;
use super::error::PlatformError;
use super::rest::segment;

/// A note on a thread, such as what a user did there.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    pub(crate) kind: String,
    pub(crate) thread_id: String,
    pub(crate) payload: Option<Box<RawValue>>,
    pub(crate) occurred_at: Option<String>,
    /// The same note sent twice is kept once. One is made up if there is none.
    pub(crate) client_event_id: Option<String>,
}

impl Intelligence {
    /// Keeps a note of the user; the answer is the platform's.
    pub(crate) async fn annotate(&self, user_id: &str, note: &Annotation) -> Result<Bytes, PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Annotate<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            user_id: &'a str,
            thread_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            payload: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            occurred_at: Option<&'a str>,
        }
        let body = Annotate {
            kind: &note.kind,
            user_id,
            thread_id: &note.thread_id,
            payload: note.payload.as_deref(),
            occurred_at: note.occurred_at.as_deref(),
        };
        let path = match &note.client_event_id {
            Some(id) => format!("/connector/annotate/{}", segment(id)?),
            None => format!("/connector/annotate/{}", Uuid::new_v4()),
        };
        let answer = self.rest().put(path).body(&body)?.json().await?;
        if &*answer == b"null" { Err(PlatformError::Malformed("is null")) } else { Ok(answer) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::platform::Platform;
    use super::*;

    fn note() -> Annotation {
        let (kind, thread_id) = ("user_action".to_owned(), "t".to_owned());
        Annotation { kind, thread_id, payload: None, occurred_at: None, client_event_id: None }
    }

    #[tokio::test]
    async fn note_goes_to_its_own_id() {
        let kept = r#"{"id":"1","duplicate":false}"#;
        let mut platform = Platform::answering([(200, kept), (200, kept)]).await;
        let intelligence = platform.intelligence();
        let payload = RawValue::from_string(r#"{"n":1.0}"#.to_owned()).ok();
        let full = Annotation {
            payload,
            occurred_at: Some("2026-01-01T00:00:00Z".to_owned()),
            client_event_id: Some("e/1".to_owned()),
            ..note()
        };
        assert_eq!(intelligence.annotate("u", &full).await.unwrap(), kept);
        let asked = platform.asked().await;
        assert_eq!(asked.call, "PUT /connector/annotate/e%2F1");
        let body = json!({"type": "user_action", "userId": "u", "threadId": "t", "payload": {"n": 1.0}, "occurredAt": "2026-01-01T00:00:00Z"});
        assert_eq!(asked.body, body);
        intelligence.annotate("u", &note()).await.unwrap();
        let asked = platform.asked().await;
        let made_up = asked.call.strip_prefix("PUT /connector/annotate/").unwrap();
        assert!(Uuid::parse_str(made_up).is_ok(), "{made_up}");
        assert_eq!(asked.body, json!({"type": "user_action", "userId": "u", "threadId": "t"}));
    }

    #[tokio::test]
    async fn note_without_an_answer_is_not_kept() {
        let platform = Platform::answering([(200, ""), (200, "null"), (422, "no")]).await;
        let intelligence = platform.intelligence();
        for status in [None, None, Some(422)] {
            assert_eq!(intelligence.annotate("u", &note()).await.unwrap_err().status(), status);
        }
    }
}
