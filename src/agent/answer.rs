//! The answer of a remote agent: a body of bytes in, events out, and the clocks that watch it.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep_until};

use super::AgentError;
use crate::agui::{Event, PROTO_MEDIA_TYPE, ProtoDecoder, SseParser, normalise};

/// No byte came for too long.
pub(super) const IDLE_TIMEOUT: &str = "AGENT_IDLE_TIMEOUT";
/// The whole answer took too long.
pub(super) const TOTAL_TIMEOUT: &str = "AGENT_TOTAL_TIMEOUT";

/// The events of an answer that has begun. Everything that arrived is handed out before the next read, and
/// before a failure. Dropping it drops the body, and with that the connection.
pub(super) struct Answer<B> {
    /// Gone once there is nothing more to read.
    body: Option<B>,
    decoder: Decoder,
    watch: Watch,
}

enum Decoder {
    Sse(SseParser),
    Proto(ProtoDecoder),
    Over,
}

impl<B> Answer<B> {
    /// An answer of a content type; `limit` is the most bytes one event may have.
    pub(super) fn new(body: B, content_type: &str, limit: usize, watch: Watch) -> Answer<B> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let decoder = if media_type.eq_ignore_ascii_case(PROTO_MEDIA_TYPE) {
            Decoder::Proto(ProtoDecoder::new(limit))
        } else {
            Decoder::Sse(SseParser::new(limit))
        };
        Answer { body: Some(body), decoder, watch }
    }

    fn fail(&mut self, error: AgentError) -> Poll<Option<Result<Event, AgentError>>> {
        self.body = None;
        self.decoder = Decoder::Over;
        Poll::Ready(Some(Err(error)))
    }
}

impl<B> Stream for Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Error + 'static,
{
    type Item = Result<Event, AgentError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match this.decoder.next() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => return this.fail(error),
            }
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Err(error) = this.watch.heard() {
                        return this.fail(error);
                    }
                    if let Ok(data) = frame.into_data() {
                        this.decoder.push(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return this
                        .fail(AgentError::new(format!("The connection to the agent was lost: {}", root(&error))));
                }
                Poll::Ready(None) => {
                    this.body = None;
                    match this.decoder.finish() {
                        Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                        Ok(None) => return Poll::Ready(None),
                        Err(error) => return this.fail(error),
                    }
                }
                Poll::Pending => {
                    let error = ready!(this.watch.poll_overdue(cx));
                    return this.fail(error);
                }
            }
        }
    }
}

impl Decoder {
    fn push(&mut self, data: Bytes) {
        match self {
            Decoder::Sse(parser) => parser.push(data),
            Decoder::Proto(decoder) => decoder.push(&data),
            Decoder::Over => {}
        }
    }

    fn next(&mut self) -> Result<Option<Event>, AgentError> {
        match self {
            Decoder::Sse(parser) => {
                // An event without content is no failure: some servers keep a connection alive that way.
                while let Some(payload) = parser.next().map_err(|error| undecodable(&error))? {
                    if !payload.is_empty() {
                        return read(&payload).map(Some);
                    }
                }
                Ok(None)
            }
            Decoder::Proto(decoder) => match decoder.next().map_err(|error| undecodable(&error))? {
                Some(event) => checked(event).map(Some),
                None => Ok(None),
            },
            Decoder::Over => Ok(None),
        }
    }

    fn finish(&mut self) -> Result<Option<Event>, AgentError> {
        match std::mem::replace(self, Decoder::Over) {
            Decoder::Sse(mut parser) => match parser.finish().map_err(|error| undecodable(&error))? {
                Some(payload) if !payload.is_empty() => read(&payload).map(Some),
                _ => Ok(None),
            },
            Decoder::Proto(decoder) => decoder.finish().map(|()| None).map_err(|error| undecodable(&error)),
            Decoder::Over => Ok(None),
        }
    }
}

fn read(payload: &Bytes) -> Result<Event, AgentError> {
    let event = Event::parse(payload.clone()).or_else(|error| match std::str::from_utf8(payload) {
        Ok(_) => Err(error),
        // As in upstream's reader, bytes that are no UTF-8 are replaced.
        Err(_) => Event::parse(String::from_utf8_lossy(payload).into_owned()),
    });
    checked(event.map_err(|error| undecodable(&error))?)
}

fn checked(event: Event) -> Result<Event, AgentError> {
    normalise(event).map_err(|error| AgentError::new(format!("The agent sent an invalid event: {error}")))
}

fn undecodable(error: &dyn Error) -> AgentError {
    AgentError::new(format!("The agent sent something that is no event: {error}"))
}

/// What an error comes down to, without the layers around it: those name addresses.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

/// The clocks of a call: how long nothing may come, and how long all may take.
pub(super) struct Watch {
    idle: Duration,
    total: Option<Duration>,
    end: Option<Instant>,
    /// Since when nothing has come; only while somebody waits, so a slow reader is not the agent's fault.
    waiting_since: Option<Instant>,
    /// Fires no later than the next deadline, and may fire too early: setting it anew for every read would
    /// cost more than a look at the clock.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Starts the clocks.
    pub(super) fn start(idle: Duration, total: Option<Duration>) -> Watch {
        let end = total.map(|total| after(Instant::now(), total));
        Watch { idle, total, end, waiting_since: None, alarm: None }
    }

    /// Waits for `work`, or fails when it is overdue.
    pub(super) async fn limit<T>(&mut self, work: impl Future<Output = T>) -> Result<T, AgentError> {
        let mut work = std::pin::pin!(work);
        let done = std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_overdue(cx).map(Err),
        })
        .await?;
        self.heard()?;
        Ok(done)
    }

    /// Something came.
    fn heard(&mut self) -> Result<(), AgentError> {
        self.waiting_since = None;
        match self.end {
            Some(end) if Instant::now() >= end => Err(self.total_error()),
            _ => Ok(()),
        }
    }

    /// Ready when nothing came in time.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<AgentError> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let idle_end = after(since, self.idle);
        let deadline = self.end.map_or(idle_end, |end| end.min(idle_end));
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            if self.end.is_some_and(|end| now >= end) {
                return Poll::Ready(self.total_error());
            }
            if now >= idle_end {
                let text = format!("The agent sent nothing for {:?}", self.idle);
                return Poll::Ready(AgentError::new(text).with_code(IDLE_TIMEOUT));
            }
            alarm.as_mut().reset(deadline);
        }
    }

    fn total_error(&self) -> AgentError {
        let total = self.total.unwrap_or_default();
        AgentError::new(format!("The agent did not finish within {total:?}")).with_code(TOTAL_TIMEOUT)
    }
}

/// `start + duration`, for any duration.
fn after(start: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    start + duration.min(FAR)
}
