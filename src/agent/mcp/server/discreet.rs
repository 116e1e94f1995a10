//! What a server repeats of the headers it was sent ends here: before the MCP client logs it, before anybody is told.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use reqwest::{Client, Error};
use rmcp::model::ClientJsonRpcMessage;
use rmcp::transport::common::client_side_sse::BoxedSseResponse;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError, StreamableHttpPostResponse,
};

pub(super) type Headers = HashMap<HeaderName, HeaderValue>;

/// The HTTP client under the MCP client.
#[derive(Clone)]
pub(super) struct Discreet(pub(super) Client);

/// Text of a server without the values of headers it was sent.
pub(super) fn without(headers: &Headers, mut text: String) -> String {
    for value in headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok()) {
        // Of `Bearer x` the server may repeat `x` alone.
        let secret = value.split_once(' ').map_or(value, |(_scheme, secret)| secret);
        if !secret.is_empty() && text.contains(secret) {
            text = text.replace(secret, "…");
        }
    }
    text
}

fn cleaned(headers: &Headers) -> impl FnOnce(StreamableHttpError<Error>) -> StreamableHttpError<Error> + '_ {
    |error| match error {
        StreamableHttpError::UnexpectedServerResponse(text) => {
            StreamableHttpError::UnexpectedServerResponse(Cow::Owned(without(headers, text.into_owned())))
        }
        other => other,
    }
}

impl StreamableHttpClient for Discreet {
    type Error = Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Error>> {
        let limit = StreamableHttpClientTransportConfig::default().max_sse_event_size;
        self.post_message_with_max_sse_event_size(uri, message, session_id, token, headers, limit).await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        token: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Error>> {
        let sent = headers.clone();
        let posted = self.0.post_message_with_max_sse_event_size(uri, message, session_id, token, headers, limit);
        posted.await.map_err(cleaned(&sent))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<(), StreamableHttpError<Error>> {
        self.0.delete_session(uri, session_id, token, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        token: Option<String>,
        headers: Headers,
    ) -> Result<BoxedSseResponse, StreamableHttpError<Error>> {
        self.0.get_stream(uri, session_id, last_event_id, token, headers).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        token: Option<String>,
        headers: Headers,
        limit: usize,
    ) -> Result<BoxedSseResponse, StreamableHttpError<Error>> {
        self.0.get_stream_with_max_sse_event_size(uri, session_id, last_event_id, token, headers, limit).await
    }
}
