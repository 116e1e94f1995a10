//! The AG-UI protocol as data: what an event is, what a client posts, and what happens to a run's
//! events on their way. No I/O, no async, no clock, no chance: every part is a step machine that
//! takes one event and gives back some.
//!
//! An [`Event`] is the JSON text that travelled plus the few fields the runtime steers by, so that
//! unknown types, unknown fields, nulls and the text of numbers come through byte for byte.

mod event;
mod frames;
mod input;

pub use event::{Event, EventKind, EventWriter, NotAnEvent};
pub use frames::{Frames, FramesBuilder};
pub use input::{InvalidInput, Message, RawJson, Role, RunAgentInput};
