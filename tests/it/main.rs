//! One test binary; a module per promise or route family.

mod engine;
#[cfg(feature = "server")]
mod program;
