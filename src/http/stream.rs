//! The body of an event stream (rest-sse.md chapter 11). One exists for every client that watches, so it is
//! small and sets no timer for an event that passes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{Body, Response};
use super::hooks::BoxError;
use crate::agui::Frames;

/// Batches that are ready together leave as one, up to about this many bytes.
const JOINED: usize = 64 * 1024;

const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// What a stream of an event-stream response yields: bytes that are framed already.
pub(super) trait Chunk {
    fn into_bytes(self) -> Bytes;
}

impl Chunk for Frames {
    fn into_bytes(self) -> Bytes {
        self.bytes().clone()
    }
}

impl Chunk for Bytes {
    fn into_bytes(self) -> Bytes {
        self
    }
}

/// The answer that streams: 200, sent at once, and the events as they come.
///
/// `keep_alive` is how long the stream may be silent before a comment is sent; `None` or zero is for ever.
pub(super) fn sse_response<S>(stream: S, keep_alive: Option<Duration>) -> Response
where
    S: Stream<Item: Chunk> + Send + Unpin + 'static,
{
    let mut response = Response::new(Body::new(SseBody::new(stream, keep_alive)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Of HTTP/1 only; hyper removes it from an HTTP/2 response.
    headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
    // Asks nginx and its like not to hold events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Streams batches of framed events, with keep-alive comments while there are none. Ends with its stream.
pub(super) struct SseBody<S> {
    /// Gone once it has ended.
    stream: Option<S>,
    /// A batch that was ready but too much to join.
    held: Option<Bytes>,
    keep_alive: Option<KeepAlive>,
}

struct KeepAlive {
    interval: Duration,
    /// When the last byte left.
    last: Instant,
    /// Set when the stream first has nothing ready. Events do not touch it: it is set anew when it fires, by
    /// what has left meanwhile.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> SseBody<S>
where
    S: Stream<Item: Chunk> + Unpin,
{
    pub(super) fn new(stream: S, keep_alive: Option<Duration>) -> SseBody<S> {
        let last = Instant::now();
        let keep_alive =
            keep_alive.filter(|interval| !interval.is_zero()).map(|interval| KeepAlive { interval, last, timer: None });
        SseBody { stream: Some(stream), held: None, keep_alive }
    }

    /// The next batch with any bytes.
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(held));
        }
        while let Some(stream) = &mut self.stream {
            match ready!(Pin::new(stream).poll_next(cx)).map(Chunk::into_bytes) {
                // No bytes would read as the end of the body further down.
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => return Poll::Ready(Some(bytes)),
                None => self.stream = None,
            }
        }
        Poll::Ready(None)
    }

    /// Joins what is ready behind `first`. A batch alone passes without a copy.
    fn join_ready(&mut self, first: Bytes, cx: &mut Context<'_>) -> Bytes {
        let mut joined = BytesMut::new();
        loop {
            let so_far = if joined.is_empty() { first.len() } else { joined.len() };
            if so_far >= JOINED {
                break;
            }
            let Poll::Ready(Some(next)) = self.poll_batch(cx) else { break };
            if so_far + next.len() > JOINED {
                self.held = Some(next);
                break;
            }
            if joined.is_empty() {
                joined.reserve(first.len() + next.len());
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&next);
        }
        if joined.is_empty() { first } else { joined.freeze() }
    }
}

impl KeepAlive {
    /// Ready when the stream has been silent for an interval; counts anew from then.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // An interval past the end of time never comes.
            let Some(due) = self.last.checked_add(self.interval) else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= due {
                self.last = now;
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

impl<S> http_body::Body for SseBody<S>
where
    S: Stream<Item: Chunk> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let bytes = match self.poll_batch(cx) {
            Poll::Ready(Some(first)) => {
                let bytes = self.join_ready(first, cx);
                if let Some(keep_alive) = &mut self.keep_alive {
                    keep_alive.last = Instant::now();
                }
                bytes
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                let Some(keep_alive) = &mut self.keep_alive else { return Poll::Pending };
                ready!(keep_alive.poll(cx));
                KEEP_ALIVE
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none() && self.held.is_none()
    }
}

impl<S> fmt::Debug for SseBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseBody").field("ended", &self.stream.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use futures_util::stream::BoxStream;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::agui::Event;

    const SECOND: Duration = Duration::from_secs(1);

    type Watched = SseBody<BoxStream<'static, Bytes>>;

    /// A body and the hand that feeds it.
    fn body(keep_alive: Option<Duration>) -> (mpsc::UnboundedSender<Bytes>, Watched) {
        let (feed, mut events) = mpsc::unbounded_channel();
        let stream = futures_util::stream::poll_fn(move |cx| events.poll_recv(cx)).boxed();
        (feed, SseBody::new(stream, keep_alive))
    }

    async fn next(body: &mut Watched) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let (_feed, mut body) = body(Some(15 * SECOND));
        let start = Instant::now();
        for nth in 1..=3 {
            assert_eq!(next(&mut body).await.unwrap(), ": keep-alive\n\n");
            assert_eq!(start.elapsed().as_secs(), nth * 15);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn any_byte_resets_the_clock() {
        let (feed, mut body) = body(Some(15 * SECOND));
        let start = Instant::now();
        for _ in 0..4 {
            assert!(tokio::time::timeout(10 * SECOND, next(&mut body)).await.is_err(), "not silent for long enough");
            feed.send(Bytes::from_static(b"data: {}\n\n")).unwrap();
            assert_eq!(next(&mut body).await.unwrap(), "data: {}\n\n");
        }
        assert_eq!(next(&mut body).await.unwrap(), KEEP_ALIVE);
        assert_eq!(start.elapsed().as_secs(), 55);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_there_is_silence() {
        for off in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
            let (_feed, mut body) = body(off);
            assert!(tokio::time::timeout(3600 * SECOND, next(&mut body)).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stream_of_events_sets_one_timer_and_an_unwatched_one_none() {
        let (feed, mut body) = body(Some(15 * SECOND));
        feed.send(Bytes::from_static(b"1")).unwrap();
        next(&mut body).await;
        assert!(body.keep_alive.as_ref().unwrap().timer.is_none());
        let _ = tokio::time::timeout(SECOND, next(&mut body)).await;
        let deadline = |body: &Watched| body.keep_alive.as_ref().unwrap().timer.as_ref().unwrap().deadline();
        let first = deadline(&body);
        feed.send(Bytes::from_static(b"2")).unwrap();
        next(&mut body).await;
        let _ = tokio::time::timeout(SECOND, next(&mut body)).await;
        assert_eq!(deadline(&body), first);
    }

    #[tokio::test]
    async fn batches_ready_together_leave_as_one() {
        let (feed, mut body) = body(None);
        for batch in ["a", "", "b", "c"] {
            feed.send(Bytes::from_static(batch.as_bytes())).unwrap();
        }
        assert_eq!(next(&mut body).await.unwrap(), "abc");
        drop(feed);
        assert!(next(&mut body).await.is_none());
        assert!(http_body::Body::is_end_stream(&body));
    }

    #[tokio::test]
    async fn joining_stops_at_the_bound_and_loses_nothing() {
        let (feed, mut body) = body(None);
        let big = Bytes::from(vec![b'x'; JOINED - 1]);
        for batch in [Bytes::from_static(b"a"), big.clone(), big.clone(), Bytes::from_static(b"b")] {
            feed.send(batch).unwrap();
        }
        drop(feed);
        let mut lengths = Vec::new();
        while let Some(bytes) = next(&mut body).await {
            lengths.push(bytes.len());
        }
        assert_eq!(lengths, [JOINED, JOINED]);
    }

    #[tokio::test]
    async fn batch_alone_passes_uncopied() {
        let (feed, mut body) = body(None);
        let batch = Bytes::from(b"data: {}\n\n".to_vec());
        feed.send(batch.clone()).unwrap();
        assert_eq!(next(&mut body).await.unwrap().as_ptr(), batch.as_ptr());
    }

    #[test]
    fn body_is_small() {
        assert!(size_of::<SseBody<BoxStream<'static, Frames>>>() <= 128);
    }

    #[tokio::test]
    async fn response_has_the_contract_headers_and_the_frames() {
        let frames = Frames::of(&[Event::text_end("m1")]);
        let stream = futures_util::stream::iter([frames.clone()]).boxed();
        let response = sse_response(stream, None);
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache"),
            ("connection", "keep-alive"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), frames.bytes());
    }
}
