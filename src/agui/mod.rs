//! The AG-UI protocol as data: what an event is, what a client posts, and what happens to a run's
//! events on their way. No I/O, no async, no clock, no chance: every part is a step machine that
//! takes one event and gives back some.
//!
//! An [`Event`] is the JSON text that travelled plus the few fields the runtime steers by, so that
//! unknown types, unknown fields, nulls and the text of numbers come through byte for byte.

mod chunks;
mod compact;
mod cuts;
mod event;
mod finalize;
mod frames;
mod input;
#[cfg(test)]
mod invented;
mod observe;
mod patch;
mod proto;
mod raw;
#[cfg(test)]
mod recorded;
mod reduce;
mod schema;
mod sse;
#[cfg(test)]
mod tests;
mod verify;

pub use chunks::{ChunkError, ChunkExpander};
pub use compact::{Compacted, Compactor, compact};
pub use cuts::Cuts;
pub(crate) use event::write_json_str;
pub use event::{Event, EventKind, EventWriter, NotAnEvent};
pub use finalize::{Ending, Finalizer};
pub use frames::{Frames, FramesBuilder};
pub use input::{InvalidInput, Message, RawJson, Role, RunAgentInput, ToolCall};
pub use observe::{Observed, ObservedMessage, ObservedToolCall, messages_from_stream};
pub use proto::{PROTO_MEDIA_TYPE, ProtoDecoder, ProtoError};
pub(crate) use raw::Fields;
pub use reduce::{MessageList, SkippedStateEvent, StateFold};
pub use schema::{InvalidEvent, normalise};
pub use sse::{EventTooLarge, SseParser};
pub use verify::{Verifier, Violation};
