//! The pump: moves what a [`Client`] wants between its wire and whoever uses the channel, and drives its clock.

#[cfg(test)]
mod tests;
mod websocket;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Sink, Stream};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::debug;

pub(crate) use self::websocket::WebSocketDialer;
use super::client::{Action, Client, News, Options, PushRef};

/// How long a socket that is left waits for the other end.
const PARTING: Duration = Duration::from_secs(1);

/// Opens wires to one address.
pub(crate) trait Dial: Send + Sync + 'static {
    /// Dials. Dropping the future gives up.
    fn dial(&self) -> Dialled;
}

/// A wire to be.
pub(crate) type Dialled = BoxFuture<'static, Result<Wire, Unreachable>>;

/// Text frames, both ways.
pub(crate) type Wire = Pin<Box<dyn Duplex>>;

/// What a [`Wire`] is.
pub(crate) trait Duplex: Stream<Item = Incoming> + Sink<Outgoing, Error = Unreachable> + Send {}

impl<T: Stream<Item = Incoming> + Sink<Outgoing, Error = Unreachable> + Send> Duplex for T {}

/// What comes over a wire. Its end without a [`Incoming::Closed`] is a connection that broke.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A text frame.
    Text(String),
    /// The other end closes, with this code.
    Closed(Option<u16>),
}

/// What is sent over a wire.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A text frame.
    Text(String),
    /// The end, with or without a code.
    Close(Option<u16>),
}

/// The wire could not be opened, or broke. Shows neither address nor credentials.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(pub(crate) String);

/// One socket with one channel. It lives while [`Socket::next`] is awaited.
pub(crate) struct Socket {
    client: Client,
    dial: Arc<dyn Dial>,
    line: Line,
    outgoing: VecDeque<Outgoing>,
    timer: Pin<Box<Sleep>>,
}

enum Line {
    Down,
    Dialling(Dialled),
    Up(Wire),
}

impl Socket {
    /// A socket that will dial, and join its channel.
    pub(crate) fn new(dial: Arc<dyn Dial>, options: Options) -> Socket {
        let now = Instant::now();
        Socket {
            client: Client::new(options, now.into_std()),
            dial,
            line: Line::Down,
            outgoing: VecDeque::new(),
            timer: Box::pin(sleep_until(now)),
        }
    }

    /// What there is to tell next. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> News {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends an event with its payload as JSON text; `None` if the channel is not joined. The push before it must
    /// have been answered or given up.
    pub(crate) fn push(&mut self, event: &str, payload: &str) -> Option<PushRef> {
        self.client.push(event, payload, Instant::now().into_std())
    }

    /// Leaves the channel and closes the socket, in bounded time.
    pub(crate) async fn leave(mut self) {
        self.client.leave();
        let mut closing = false;
        let parting = std::future::poll_fn(|cx| self.poll_parting(&mut closing, cx));
        if timeout(PARTING, parting).await.is_err() {
            debug!("the other end did not close the socket that was left");
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<News> {
        loop {
            self.act(cx);
            if let Some(news) = self.client.poll_news() {
                return Poll::Ready(news);
            }
            if self.poll_line(cx).is_ready() {
                continue;
            }
            let Some(at) = self.client.poll_timeout() else { return Poll::Pending };
            let at = Instant::from_std(at);
            if self.timer.deadline() != at {
                self.timer.as_mut().reset(at);
            }
            ready!(self.timer.as_mut().poll(cx));
            self.client.handle_timeout(Instant::now().into_std());
        }
    }

    fn act(&mut self, cx: &mut Context<'_>) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Connect => {
                    self.outgoing.clear();
                    self.line = Line::Dialling(self.dial.dial());
                }
                Action::Send(text) => self.outgoing.push_back(Outgoing::Text(text)),
                Action::Disconnect(code) => {
                    self.outgoing.clear();
                    if let Line::Up(mut wire) = std::mem::replace(&mut self.line, Line::Down) {
                        // As far as it goes at once: the wire is given up because nobody answers.
                        let _ = write(&mut wire, &mut VecDeque::from([Outgoing::Close(Some(code))]), cx);
                    }
                }
            }
        }
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.line {
            Line::Down => return Poll::Pending,
            Line::Dialling(dialled) => match ready!(dialled.as_mut().poll(cx)) {
                Ok(wire) => {
                    self.line = Line::Up(wire);
                    self.client.handle_open(Instant::now().into_std());
                }
                Err(error) => {
                    debug!(%error, "the socket could not be opened");
                    self.hang_up(None);
                }
            },
            Line::Up(wire) => {
                let broken = matches!(write(wire, &mut self.outgoing, cx), Poll::Ready(Err(_)));
                match wire.as_mut().poll_next(cx) {
                    Poll::Ready(Some(Incoming::Text(text))) => {
                        self.client.handle_text(&text, Instant::now().into_std());
                    }
                    Poll::Ready(Some(Incoming::Closed(code))) => self.hang_up(code),
                    Poll::Ready(None) => self.hang_up(None),
                    Poll::Pending if broken => self.hang_up(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
        Poll::Ready(())
    }

    fn hang_up(&mut self, code: Option<u16>) {
        self.line = Line::Down;
        self.outgoing.clear();
        self.client.handle_close(code, Instant::now().into_std());
    }

    fn poll_parting(&mut self, closing: &mut bool, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(action) = self.client.poll_action() {
            if let Action::Send(text) = action {
                self.outgoing.push_back(Outgoing::Text(text));
            }
        }
        let Line::Up(wire) = &mut self.line else { return Poll::Ready(()) };
        if !std::mem::replace(closing, true) {
            self.outgoing.push_back(Outgoing::Close(None));
        }
        if let Poll::Ready(Err(_)) = write(wire, &mut self.outgoing, cx) {
            return Poll::Ready(());
        }
        loop {
            match ready!(wire.as_mut().poll_next(cx)) {
                Some(Incoming::Text(_)) => {}
                Some(Incoming::Closed(_)) | None => return Poll::Ready(()),
            }
        }
    }
}

/// Writes what there is to write. Ready when all of it is out.
fn write(wire: &mut Wire, outgoing: &mut VecDeque<Outgoing>, cx: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
    while !outgoing.is_empty() {
        ready!(wire.as_mut().poll_ready(cx))?;
        if let Some(next) = outgoing.pop_front() {
            wire.as_mut().start_send(next)?;
        }
    }
    wire.as_mut().poll_flush(cx)
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("client", &self.client).finish_non_exhaustive()
    }
}
