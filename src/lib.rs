#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[cfg(feature = "jwt")]
pub mod access;
pub mod agent;
pub mod agui;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod intelligence;
mod meter;
mod phoenix;
pub mod runner;
mod runtime;
#[cfg(feature = "server")]
pub mod server;
mod trace;
pub mod transcription;

pub use meter::{ConnectionMeter, OpenConnection};
pub use runtime::{
    A2ui, Allow, BuildError, Builder, Check, Claims, CopilotRuntime, IdentifyError, KeptByPlatform, KeptHere, Limits,
    LiveNow, METRICS_CONTENT_TYPE, Readiness, Status, User,
};

/// The programs in the book are compiled, as those of the README are.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../docs/intelligence.md")]
    mod intelligence {}
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../docs/mount.md")]
    mod mount {}
    #[doc = include_str!("../docs/operating.md")]
    mod operating {}
    #[doc = include_str!("../docs/users.md")]
    mod users {}
}
