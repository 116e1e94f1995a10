//! Watches a response leave, for `after_request`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http_body::{Frame, SizeHint};

use super::body::{Body, Response};
use super::hooks::BoxError;
use crate::agui::{Event, Observed, SseParser, messages_from_stream};

/// Passes the response on and calls `then` once when its body has ended or been given up.
pub(super) fn observed<F, R>(response: Response, then: F) -> Response
where
    F: FnOnce(Parts, Observed) -> R + Send + 'static,
    R: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
    let mut told = parts.clone();
    // Extensions may hold what the server needs back, such as an upgrade.
    told.extensions = http::Extensions::new();
    let finish = move |bytes: Vec<Bytes>| {
        let told = then(told, read(bytes));
        // The response is out: nobody is left to wait. Outside a runtime there is nobody to tell either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = told.await {
                    tracing::error!(%error, "after_request failed");
                }
            });
        }
    };
    let watched = Watched { body, seen: is_stream.then(Vec::new), finish: Some(Box::new(finish)) };
    http::Response::from_parts(parts, Body::new(watched))
}

/// What a stream of events said.
fn read(bytes: Vec<Bytes>) -> Observed {
    let mut parser = SseParser::new(usize::MAX);
    let mut events = Vec::new();
    for bytes in bytes {
        parser.push(bytes);
        while let Ok(Some(data)) = parser.next() {
            events.extend(Event::parse(data));
        }
    }
    messages_from_stream(&events)
}

struct Watched {
    body: Body,
    /// The bytes that left, for a stream of events. They share the run's memory.
    seen: Option<Vec<Bytes>>,
    finish: Option<Box<dyn FnOnce(Vec<Bytes>) + Send>>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        if let (Some(seen), Some(bytes)) = (&mut self.seen, bytes) {
            seen.push(bytes.clone());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(finish) = self.finish.take() {
            finish(self.seen.take().unwrap_or_default());
        }
    }
}
