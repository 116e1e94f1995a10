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
use crate::agui::{Event, EventTooLarge, PROTO_MEDIA_TYPE, ProtoDecoder, ProtoError, SseParser, normalise};

/// No event came for too long.
pub(super) const FIRST_EVENT_TIMEOUT: &str = "AGENT_FIRST_EVENT_TIMEOUT";
/// An event was larger than one may be.
pub(crate) const EVENT_TOO_LARGE: &str = "AGENT_EVENT_TOO_LARGE";
/// No byte came for too long.
pub(super) const IDLE_TIMEOUT: &str = "AGENT_IDLE_TIMEOUT";
/// The whole answer took too long.
pub(crate) const TOTAL_TIMEOUT: &str = "AGENT_TOTAL_TIMEOUT";

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
                Ok(Some(event)) => {
                    this.watch.began();
                    return Poll::Ready(Some(Ok(event)));
                }
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
                while let Some(payload) = parser.next().map_err(|error| over_limit(&error))? {
                    if !payload.is_empty() {
                        return read(&payload).map(Some);
                    }
                }
                Ok(None)
            }
            Decoder::Proto(decoder) => match decoder.next().map_err(|error| undecoded(&error))? {
                Some(event) => checked(event).map(Some),
                None => Ok(None),
            },
            Decoder::Over => Ok(None),
        }
    }

    fn finish(&mut self) -> Result<Option<Event>, AgentError> {
        match std::mem::replace(self, Decoder::Over) {
            Decoder::Sse(mut parser) => match parser.finish().map_err(|error| over_limit(&error))? {
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

fn undecoded(error: &ProtoError) -> AgentError {
    let failure = undecodable(error);
    if matches!(error, ProtoError::TooLarge(_)) { failure.with_code(EVENT_TOO_LARGE) } else { failure }
}

fn over_limit(error: &EventTooLarge) -> AgentError {
    undecodable(error).with_code(EVENT_TOO_LARGE)
}

/// What an error comes down to, without the layers around it: those name addresses.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

/// How long a call and its parts may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Without a byte.
    pub(super) idle: Duration,
    /// To the first event.
    pub(super) first_event: Option<Duration>,
    /// To the end.
    pub(super) total: Option<Duration>,
}

/// The clocks of a call.
pub(super) struct Watch {
    deadlines: Deadlines,
    /// Since when nothing has come; only while somebody waits, so a slow reader is not the agent's fault.
    waiting_since: Option<Instant>,
    /// Fires no later than the next deadline, and may fire too early: setting it anew for every read would
    /// cost more than a look at the clock.
    alarm: Option<Pin<Box<Sleep>>>,
}

struct Deadlines {
    times: Times,
    /// When there is to be an event; until there is one.
    first_event: Option<Instant>,
    end: Option<Instant>,
}

impl Watch {
    /// Starts the clocks.
    pub(super) fn start(times: Times) -> Watch {
        let now = Instant::now();
        let from_now = |time: Option<Duration>| time.map(|time| after(now, time));
        let (first_event, end) = (from_now(times.first_event), from_now(times.total));
        Watch { deadlines: Deadlines { times, first_event, end }, waiting_since: None, alarm: None }
    }

    /// An event came.
    fn began(&mut self) {
        self.deadlines.first_event = None;
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
        match self.deadlines.next() {
            Some(_) => self.deadlines.late(Instant::now()).map_or(Ok(()), Err),
            None => Ok(()),
        }
    }

    /// Ready when nothing came in time.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<AgentError> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let idle = self.deadlines.times.idle;
        let idle_end = after(since, idle);
        let deadline = self.deadlines.next().map_or(idle_end, |next| next.min(idle_end));
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            if let Some(late) = self.deadlines.late(now) {
                return Poll::Ready(late);
            }
            if now >= idle_end {
                let text = format!("The agent sent nothing for {idle:?}");
                return Poll::Ready(AgentError::new(text).with_code(IDLE_TIMEOUT));
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

impl Deadlines {
    fn next(&self) -> Option<Instant> {
        [self.first_event, self.end].into_iter().flatten().min()
    }

    /// Why it is too late for more, if it is.
    fn late(&self, now: Instant) -> Option<AgentError> {
        if self.end.is_some_and(|end| now >= end) {
            let text = format!("The agent did not finish within {:?}", self.times.total.unwrap_or_default());
            return Some(AgentError::new(text).with_code(TOTAL_TIMEOUT));
        }
        if self.first_event.is_some_and(|by| now >= by) {
            let text = format!("The agent sent no event within {:?}", self.times.first_event.unwrap_or_default());
            return Some(AgentError::new(text).with_code(FIRST_EVENT_TIMEOUT));
        }
        None
    }
}

/// `start + duration`, for any duration.
fn after(start: Instant, duration: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    start + duration.min(FAR)
}
