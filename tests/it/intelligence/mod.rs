//! Intelligence mode against the scripted platform (`tests/support/platform`), and the recorded traffic of the
//! reference runtime in that mode, played against this library.

mod chaos;
mod hurry;
mod leaving;
#[cfg(feature = "mcp")]
mod tools;
pub(crate) mod transcripts;
