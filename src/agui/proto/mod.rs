//! Events in the protocol's binary form, `application/vnd.ag-ui.event+proto`: each a length of four bytes,
//! big-endian, and a protobuf message. Only reading; this runtime itself answers with server-sent events.

mod messages;
mod wire;

use bytes::{Buf, Bytes, BytesMut};

use super::Event;

/// The content type of the binary form.
pub const PROTO_MEDIA_TYPE: &str = "application/vnd.ag-ui.event+proto";

/// Takes a binary event stream apart (rest-sse.md chapter 12.6): bytes in, events out, as the JSON that
/// the protocol's own decoder gives.
#[derive(Debug)]
pub struct ProtoDecoder {
    limit: usize,
    buffer: BytesMut,
}

/// The bytes are no events in binary form. The decoder is of no use afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtoError {
    /// An event is larger than the limit, given in bytes.
    #[error("an event is larger than the limit of {0} bytes")]
    TooLarge(usize),
    /// A message is no event.
    #[error("an event cannot be decoded: {0}")]
    Malformed(&'static str),
    /// The stream ended inside an event.
    #[error("the stream ended inside an event")]
    Truncated,
}

const PREFIX: usize = 4;

impl ProtoDecoder {
    /// A decoder for one stream; `limit` is the most bytes one message may have.
    #[must_use]
    pub fn new(limit: usize) -> ProtoDecoder {
        ProtoDecoder { limit, buffer: BytesMut::new() }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event that is complete.
    ///
    /// # Errors
    /// [`ProtoError`] when the message is too large or no event.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: `None` is not the end")]
    pub fn next(&mut self) -> Result<Option<Event>, ProtoError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > self.limit {
            return Err(ProtoError::TooLarge(self.limit));
        }
        if self.buffer.len() - PREFIX < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        let message: Bytes = self.buffer.split_to(length).freeze();
        messages::event(&message).map(Some)
    }

    /// The stream is over.
    ///
    /// # Errors
    /// [`ProtoError::Truncated`] when it ended inside an event.
    pub fn finish(self) -> Result<(), ProtoError> {
        if self.buffer.is_empty() { Ok(()) } else { Err(ProtoError::Truncated) }
    }
}

#[cfg(test)]
mod tests;
