//! Watches a response leave, for `after_request`.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http_body::{Frame, SizeHint};
use tracing::{Instrument, Span};

use super::body::{Body, Response};
use super::hooks::BoxError;
use crate::agui::{Event, Observed, SseParser, messages_from_stream};

/// Passes the response on and calls `then` once when its body has ended or been given up. What an event
/// stream says is kept until then, unless it is `endless`.
pub(super) fn observed<F, R>(response: Response, endless: bool, then: F) -> Response
where
    F: FnOnce(Parts, Observed) -> R + Send + 'static,
    R: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let (parts, body) = response.into_parts();
    let is_stream = parts.headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/event-stream"));
    let mut told = parts.clone();
    // Extensions may hold what the server needs back, such as an upgrade.
    told.extensions = http::Extensions::new();
    let span = Span::current();
    let finish = move |bytes: Vec<Bytes>| {
        let _entered = span.enter();
        // The hook is the application's, and this is called as a connection lets go of its response.
        let Ok(told) = catch_unwind(AssertUnwindSafe(|| then(told, read(bytes)))) else {
            return tracing::error!("after_request panicked");
        };
        // The response is out: nobody is left to wait. Outside a runtime there is nobody to tell either.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let told = async move {
                if let Err(error) = told.await {
                    tracing::error!(%error, "after_request failed");
                }
            };
            runtime.spawn(told.in_current_span());
        }
    };
    let watched = Watched { body, seen: (is_stream && !endless).then(Vec::new), finish: Some(Box::new(finish)) };
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use parking_lot::Mutex;
    use std::sync::Arc;

    use super::*;
    use crate::agui::Frames;

    #[tokio::test]
    async fn a_stream_that_never_ends_is_not_collected() {
        for endless in [false, true] {
            let mut response = Response::new(Body::from(Frames::of(&[Event::run_started("t", "r")]).bytes().clone()));
            response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
            let told: Arc<Mutex<Option<Observed>>> = Arc::default();
            let tell = told.clone();
            let response = observed(response, endless, move |_, observed| {
                *tell.lock() = Some(observed);
                std::future::ready(Ok(()))
            });
            response.into_body().collect().await.unwrap();
            assert_eq!(told.lock().take().unwrap().run_id.is_none(), endless);
        }
    }
}
