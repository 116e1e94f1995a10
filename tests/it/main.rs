//! One test binary; a module per promise or route family.

mod captures;
mod engine;
#[cfg(feature = "server")]
mod program;
