//! A REST call as the platform sees it, and its answer.

use std::collections::BTreeMap;

use axum::extract::Request;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// As it stood on the wire, without the query.
    pub(crate) path: String,
    /// The path's parts, decoded.
    pub(crate) parts: Vec<String>,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
    /// JSON, or the text where it is none.
    pub(crate) body: Option<Value>,
}

/// The largest body that is read.
const MAX_BODY: usize = 64 << 20;

impl Call {
    pub(crate) async fn read(request: Request) -> Result<Call, axum::Error> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY).await?;
        Ok(Call::new(&head, &body))
    }

    fn new(head: &Parts, body: &[u8]) -> Call {
        let path = head.uri.path().to_owned();
        let parts = path.split('/').skip(1).map(decoded).collect();
        let query = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        let query = query.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let body = match body {
            [] => None,
            body => Some(serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())),
        };
        Call { method: head.method.to_string(), path, parts, query, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A text of the body.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.body.as_ref()?.get(name)?.as_str()
    }

    /// Who the call is made for, wherever that stands.
    pub(crate) fn user(&self) -> Option<&str> {
        let named = self.query.get("userId").map(String::as_str);
        named.or_else(|| self.field("userId")).or_else(|| self.header("x-cpki-user-id"))
    }
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// What goes back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Answer {
        Answer { status, body: Some(body) }
    }

    pub(crate) fn ok(body: Value) -> Answer {
        Answer::new(200, body)
    }

    pub(crate) fn empty(status: u16) -> Answer {
        Answer { status, body: None }
    }

    pub(crate) fn error(status: u16, error: &str) -> Answer {
        Answer::new(status, json!({ "error": error }))
    }
}
