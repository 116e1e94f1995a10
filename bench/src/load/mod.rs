//! The load generator: cheap HTTP/1.1 clients on one thread, so that one core is enough to keep a
//! server on the other core busy.

pub mod closed_loop;
mod connection;
mod events;
mod framing;
pub mod held;
pub mod paced;
mod request;
pub mod single;
mod target;

pub use connection::{Connection, Response};
pub use events::EventSplitter;
pub use request::{Agent, Request, Workload};
pub use target::Target;

use std::time::Duration;

/// No scenario needs more connections than this, and none gets them.
pub const MOST_CONNECTIONS: usize = 4096;

/// An answer that takes longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);
