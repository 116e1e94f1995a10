//! The one body type of requests and responses.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use super::hooks::BoxError;

/// A request as hooks see it.
pub type Request = http::Request<Body>;

/// A response as hooks see it.
pub type Response = http::Response<Body>;

/// The body of a request or response: bytes at hand, or a stream of them.
#[derive(Debug, Default)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Full(Option<Bytes>),
    Streamed(UnsyncBoxBody<Bytes, BoxError>),
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Full(None)
    }
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Body {
        Body::default()
    }

    /// Any body.
    pub fn new<B>(body: B) -> Body
    where
        B: http_body::Body + Send + 'static,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body(Kind::Streamed(Adapted(Box::pin(body)).boxed_unsync()))
    }
}

/// A body with the data and errors of [`Body`]. Unlike the combinators it knows how long it is, so that what
/// announces too much is refused before it is sent.
struct Adapted<B>(Pin<Box<B>>);

impl<B> http_body::Body for Adapted<B>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(self.0.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
            frame.map(|frame| frame.map_data(whole)).map_err(Into::into)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Body {
        let bytes = bytes.into();
        Body(Kind::Full((!bytes.is_empty()).then_some(bytes)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Streamed(body) => body.size_hint(),
        }
    }
}

/// Why a request's body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It is longer than the limit, in bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection failed.
    #[error("the body could not be read: {0}")]
    Broken(BoxError),
}

/// Reads a body whole, refusing one longer than `limit` bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes, ReadError> {
    use http_body::Body as _;
    if let Kind::Full(bytes) = body.0 {
        let bytes = bytes.unwrap_or_default();
        return if bytes.len() > limit { Err(ReadError::TooLarge(limit)) } else { Ok(bytes) };
    }
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > limit {
        return Err(ReadError::TooLarge(limit));
    }
    let limited = http_body_util::Limited::new(body, limit);
    match limited.collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ReadError::TooLarge(limit)),
        Err(error) => Err(ReadError::Broken(error)),
    }
}
