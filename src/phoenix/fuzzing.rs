//! What the fuzz targets reach of this room.

use std::time::{Duration, Instant};

use super::client::{Action, Client, News, Options};

/// The client of one channel, and its clock.
#[derive(Debug)]
pub struct Channel {
    client: Client,
    now: Instant,
}

impl Channel {
    /// A client that dials.
    #[must_use]
    pub fn new(topic: &str, now: Instant) -> Channel {
        let options = Options {
            topic: topic.to_owned(),
            params: "{}".to_owned(),
            max_reconnect: Duration::from_secs(10),
            max_rejoin: Duration::from_secs(30),
        };
        Channel { client: Client::new(options, now), now }
    }

    /// The socket opens.
    pub fn open(&mut self) {
        self.client.handle_open(self.now);
    }

    /// The socket closes.
    pub fn close(&mut self, code: Option<u16>) {
        self.client.handle_close(code, self.now);
    }

    /// A text frame comes.
    pub fn told(&mut self, frame: &str) {
        self.client.handle_text(frame, self.now);
    }

    /// Time goes on to what the client waits for; how long that was, if it waits for anything.
    pub fn sleep(&mut self) -> Option<Duration> {
        let until = self.client.poll_timeout()?.max(self.now);
        let slept = until - self.now;
        self.now = until;
        self.client.handle_timeout(until);
        Some(slept)
    }

    /// Pushes, if the channel is joined.
    pub fn push(&mut self, payload: &str) -> bool {
        self.client.push("events", payload, self.now).is_some()
    }

    /// Leaves for good.
    pub fn leave(&mut self) {
        self.client.leave();
    }

    /// The frames to send.
    pub fn sent(&mut self) -> Vec<String> {
        let actions = std::iter::from_fn(|| self.client.poll_action());
        actions
            .filter_map(|action| match action {
                Action::Send(text) => Some(text),
                Action::Connect | Action::Disconnect(_) => None,
            })
            .collect()
    }

    /// What the other end said, as JSON text, and how much else there was to tell.
    pub fn said(&mut self) -> (Vec<String>, usize) {
        let (mut said, mut others) = (Vec::new(), 0);
        while let Some(news) = self.client.poll_news() {
            match news {
                News::Said { payload, .. } => said.push(payload.get().to_owned()),
                _ => others += 1,
            }
        }
        (said, others)
    }
}
