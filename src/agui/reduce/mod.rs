//! What a thread amounts to, read from its events: the messages and the shared state.

mod entry;
mod messages;
mod state;

pub use messages::MessageList;
pub use state::{SkippedStateEvent, StateFold};
