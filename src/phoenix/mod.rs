//! Phoenix channels, protocol version 2, over WebSocket (intelligence.md 4.1): one socket with one channel. Frames
//! and the client are pure; the socket moves them. Knows nothing of what travels in its messages.

mod client;
mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod socket;

pub(crate) use client::{News, Options, PushRef};
pub(crate) use socket::{Dial, Socket, WebSocketDialer};
#[cfg(test)]
pub(crate) use socket::{Dialled, Incoming, Outgoing, Unreachable};

/// Some time, for tests of machines that have no clock.
#[cfg(test)]
pub(crate) fn some_time() -> std::time::Instant {
    std::time::Instant::now()
}
