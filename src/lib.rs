#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod agent;
pub mod agui;
pub mod http;
pub mod intelligence;
mod phoenix;
pub mod runner;
mod runtime;
#[cfg(feature = "server")]
pub mod server;
pub mod transcription;

pub use runtime::{A2ui, BuildError, Builder, CopilotRuntime, IdentifyError, KeptByPlatform, KeptHere, User};

/// The programs in the book are compiled, as those of the README are.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../docs/mount.md")]
mod mount {}
