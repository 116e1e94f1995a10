//! One test binary; a module per promise or route family.

mod captures;
mod docs;
mod engine;
mod openapi;
#[cfg(feature = "server")]
mod program;
