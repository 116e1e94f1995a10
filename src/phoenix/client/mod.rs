//! The client's side of one socket with one channel, as a machine: what happened and when goes in, what to do and
//! what there is to tell comes out.

mod backoff;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use tracing::{debug, warn};

use self::backoff::Backoff;
use super::frame::{Frame, encode};

/// How long an answer to a join or push may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the socket is quiet before a heartbeat, and how long the heartbeat's answer may take.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long after it was lost a socket that is still not back is dialled anew, with the shortest waits again.
const WATCHDOG: Duration = Duration::from_secs(1);
const RECONNECT: Duration = Duration::from_millis(100);
const REJOIN: Duration = Duration::from_secs(1);
/// The close code of a socket that was meant to close.
const NORMAL: u16 = 1000;
const NOTHING: &str = "{}";

/// What a client is for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The channel's topic.
    pub(crate) topic: String,
    /// What every join says, as JSON text.
    pub(crate) params: String,
    /// The longest wait before the socket is dialled again.
    pub(crate) max_reconnect: Duration,
    /// The longest wait before the channel is joined again.
    pub(crate) max_rejoin: Duration,
}

/// A push that was sent, until it is answered or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PushRef(u64);

/// What the socket is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Dial. What was dialled or connected before is given up.
    Connect,
    /// Send a text frame on the open socket.
    Send(String),
    /// Close the socket with this code.
    Disconnect(u16),
}

/// What there is to tell. JSON is text as it came.
#[derive(Debug)]
pub(crate) enum News {
    /// The channel is joined, for the first time or again.
    Joined(Box<RawValue>),
    /// The join was refused; it will be tried again.
    Refused(Box<RawValue>),
    /// The join was not answered in time; it will be tried again.
    JoinTimedOut,
    /// The push was accepted or refused.
    Replied(PushRef, Result<(), Box<RawValue>>),
    /// The push was not answered in time. It may have arrived.
    PushTimedOut(PushRef),
    /// The other end says something.
    Said {
        /// The event's name.
        event: String,
        /// What it says.
        payload: Box<RawValue>,
    },
    /// The channel broke, and with it what was pushed. It is joined again unless the other end closed it.
    ChannelLost,
    /// The socket closed, with this code, or could not be opened. With it went the channel and what was pushed.
    SocketLost(Option<u16>),
}

#[derive(Debug)]
enum Link {
    Down { redial: Option<Instant> },
    Dialling,
    Open(Heartbeat),
}

#[derive(Debug)]
enum Heartbeat {
    Due(Instant),
    Sent { reference: u64, answer_by: Instant },
}

#[derive(Debug)]
enum Channel {
    /// The join waits for the socket, or for its answer.
    Joining {
        reference: Option<u64>,
        answer_by: Instant,
    },
    Joined {
        reference: u64,
    },
    /// To be joined again: at that time, or when the socket is back.
    Errored {
        reference: Option<u64>,
        rejoin: Option<Instant>,
    },
    /// Closed by the other end, or left.
    Closed,
}

/// The machine. It starts to dial when it is made.
#[derive(Debug)]
pub(super) struct Client {
    options: Options,
    references: u64,
    link: Link,
    channel: Channel,
    left: bool,
    /// The push that waits for its answer; there is one at a time.
    push: Option<(PushRef, Instant)>,
    reconnect: Backoff,
    rejoin: Backoff,
    watchdog: Option<Instant>,
    actions: VecDeque<Action>,
    news: VecDeque<News>,
}

impl Client {
    pub(super) fn new(options: Options, now: Instant) -> Client {
        let reconnect = Backoff::new(RECONNECT, options.max_reconnect);
        let rejoin = Backoff::new(REJOIN, options.max_rejoin);
        Client {
            options,
            references: 0,
            link: Link::Dialling,
            // From the beginning: dialling counts.
            channel: Channel::Joining { reference: None, answer_by: now + ANSWER },
            left: false,
            push: None,
            reconnect,
            rejoin,
            watchdog: None,
            actions: VecDeque::from([Action::Connect]),
            news: VecDeque::new(),
        }
    }

    /// What to do next, in order.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What there is to tell, in order.
    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// When to call [`Client::handle_timeout`] if nothing happens before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let link = match &self.link {
            Link::Down { redial } => *redial,
            Link::Dialling => None,
            Link::Open(Heartbeat::Due(at) | Heartbeat::Sent { answer_by: at, .. }) => Some(*at),
        };
        let channel = match &self.channel {
            Channel::Joining { answer_by, .. } => Some(*answer_by),
            Channel::Errored { rejoin, .. } => *rejoin,
            Channel::Joined { .. } | Channel::Closed => None,
        };
        let push = self.push.map(|(_, answer_by)| answer_by);
        if self.left { None } else { [link, channel, push, self.watchdog].into_iter().flatten().min() }
    }

    /// The socket that was dialled is open.
    pub(super) fn handle_open(&mut self, now: Instant) {
        if self.left {
            return;
        }
        self.link = Link::Open(Heartbeat::Due(now + HEARTBEAT));
        self.watchdog = None;
        self.reconnect.reset();
        self.rejoin.reset();
        match self.channel {
            Channel::Joining { answer_by, .. } => self.send_join(answer_by),
            Channel::Errored { .. } | Channel::Joined { .. } => self.send_join(now + ANSWER),
            Channel::Closed => {}
        }
    }

    /// The socket closed or could not be opened; without a code if the connection just broke.
    pub(super) fn handle_close(&mut self, code: Option<u16>, now: Instant) {
        if self.left {
            return;
        }
        self.lose_socket(code, now);
        if code != Some(NORMAL) && self.watchdog.is_none() {
            self.watchdog = Some(now + WATCHDOG);
        }
    }

    fn lose_socket(&mut self, code: Option<u16>, now: Instant) {
        self.link = Link::Down { redial: Some(now + self.reconnect.next()) };
        self.break_channel(None);
        self.news.push_back(News::SocketLost(code));
    }

    /// The channel is to be joined again. Its pushes are forgotten: nobody will answer them.
    fn break_channel(&mut self, rejoin: Option<Instant>) {
        self.push = None;
        if !matches!(self.channel, Channel::Closed) {
            self.channel = Channel::Errored { reference: None, rejoin };
        }
    }

    /// A text frame came.
    pub(super) fn handle_text(&mut self, text: &str, now: Instant) {
        if self.left {
            return;
        }
        match Frame::parse(text) {
            Ok(frame) => self.handle_frame(&frame, now),
            Err(error) => warn!(%error, "a message of the socket was not understood and is ignored"),
        }
    }

    fn handle_frame(&mut self, frame: &Frame<'_>, now: Instant) {
        if frame.topic() == "phoenix" {
            return self.handle_heartbeat(frame, now);
        }
        let of_another_join = frame.join_ref().is_some_and(|join_ref| !is(join_ref, self.join_ref()));
        if frame.topic() != self.options.topic || of_another_join || matches!(self.channel, Channel::Closed) {
            debug!(event = frame.event(), "a message for another channel, or an earlier join of this one, is ignored");
            return;
        }
        match frame.event() {
            "phx_reply" => self.handle_reply(frame, now),
            "phx_error" => {
                let rejoin = now + self.rejoin.next();
                self.break_channel(Some(rejoin));
                self.news.push_back(News::ChannelLost);
            }
            "phx_close" => {
                self.push = None;
                self.channel = Channel::Closed;
                self.news.push_back(News::ChannelLost);
            }
            event => {
                self.news.push_back(News::Said { event: event.to_owned(), payload: frame.payload().to_owned() });
            }
        }
    }

    fn handle_heartbeat(&mut self, frame: &Frame<'_>, now: Instant) {
        if let Link::Open(heartbeat @ Heartbeat::Sent { .. }) = &mut self.link
            && let Heartbeat::Sent { reference, .. } = heartbeat
            && frame.reference().is_some_and(|answered| is(answered, Some(*reference)))
        {
            *heartbeat = Heartbeat::Due(now + HEARTBEAT);
        }
    }

    fn handle_reply(&mut self, frame: &Frame<'_>, now: Instant) {
        let Some((answered, reply)) = frame.reference().zip(frame.reply()) else { return };
        if let Channel::Joining { reference, .. } = self.channel
            && is(answered, reference)
        {
            match reply.into_result() {
                Ok(response) => {
                    self.rejoin.reset();
                    // The reference was sent, as it was answered.
                    self.channel = Channel::Joined { reference: reference.unwrap_or_default() };
                    self.news.push_back(News::Joined(response));
                }
                Err(response) => {
                    let rejoin = Some(now + self.rejoin.next());
                    self.channel = Channel::Errored { reference, rejoin };
                    self.news.push_back(News::Refused(response));
                }
            }
        } else if let Some((push, _)) = self.push
            && is(answered, Some(push.0))
        {
            self.push = None;
            self.news.push_back(News::Replied(push, reply.into_result().map(drop)));
        }
    }

    /// Time went by.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.left {
            return;
        }
        if self.watchdog.is_some_and(|at| at <= now) {
            self.watchdog = None;
            self.reconnect.reset();
            self.dial();
        }
        match self.link {
            Link::Down { redial: Some(at) } if at <= now => self.dial(),
            Link::Open(Heartbeat::Due(at)) if at <= now => {
                let reference = self.next_reference();
                self.link = Link::Open(Heartbeat::Sent { reference, answer_by: now + HEARTBEAT });
                self.send(encode(None, reference, "phoenix", "heartbeat", NOTHING));
            }
            Link::Open(Heartbeat::Sent { answer_by, .. }) if answer_by <= now => {
                warn!("the other end did not answer a heartbeat; the socket is closed");
                self.actions.push_back(Action::Disconnect(NORMAL));
                self.lose_socket(None, now);
            }
            _ => {}
        }
        match self.channel {
            Channel::Joining { reference, answer_by } if answer_by <= now => self.give_up_join(reference, now),
            Channel::Errored { rejoin: Some(at), .. } if at <= now => self.send_join(now + ANSWER),
            _ => {}
        }
        if let Some((push, answer_by)) = self.push
            && answer_by <= now
        {
            self.push = None;
            self.news.push_back(News::PushTimedOut(push));
        }
    }

    fn dial(&mut self) {
        self.link = Link::Dialling;
        self.actions.push_back(Action::Connect);
    }

    fn give_up_join(&mut self, reference: Option<u64>, now: Instant) {
        let mut rejoin = None;
        if self.is_open() {
            // The other end may yet let us in.
            self.send_leave(reference);
            rejoin = Some(now + self.rejoin.next());
        }
        self.channel = Channel::Errored { reference: None, rejoin };
        self.news.push_back(News::JoinTimedOut);
    }

    /// Sends an event with its payload as JSON text, if the channel is joined. The push before it must have been
    /// answered or given up.
    pub(super) fn push(&mut self, event: &str, payload: &str, now: Instant) -> Option<PushRef> {
        let Channel::Joined { reference: join } = self.channel else { return None };
        let push = PushRef(self.next_reference());
        self.push = Some((push, now + ANSWER));
        self.send(encode(Some(join), push.0, &self.options.topic, event, payload));
        Some(push)
    }

    /// Leaves the channel for good. Nothing is told and nothing times out any more.
    pub(super) fn leave(&mut self) {
        if self.is_open() && !self.left && !matches!(self.channel, Channel::Closed) {
            self.send_leave(self.join_ref());
        }
        self.left = true;
        self.channel = Channel::Closed;
        self.news.clear();
    }

    fn send_join(&mut self, answer_by: Instant) {
        let reference = self.is_open().then(|| {
            let reference = self.next_reference();
            let Options { topic, params, .. } = &self.options;
            let join = encode(Some(reference), reference, topic, "phx_join", params);
            self.send(join);
            reference
        });
        self.channel = Channel::Joining { reference, answer_by };
    }

    fn send_leave(&mut self, join_ref: Option<u64>) {
        let reference = self.next_reference();
        let leave = encode(join_ref, reference, &self.options.topic, "phx_leave", NOTHING);
        self.send(leave);
    }

    fn send(&mut self, text: String) {
        self.actions.push_back(Action::Send(text));
    }

    fn next_reference(&mut self) -> u64 {
        self.references += 1;
        self.references
    }

    fn is_open(&self) -> bool {
        matches!(self.link, Link::Open(_))
    }

    fn join_ref(&self) -> Option<u64> {
        match self.channel {
            Channel::Joining { reference, .. } | Channel::Errored { reference, .. } => reference,
            Channel::Joined { reference } => Some(reference),
            Channel::Closed => None,
        }
    }
}

/// Whether the text is this reference.
fn is(text: &str, reference: Option<u64>) -> bool {
    reference.is_some_and(|reference| text.parse() == Ok(reference))
}
