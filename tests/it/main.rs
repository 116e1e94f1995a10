//! One test binary; a module per promise or route family.

mod captures;
mod docs;
mod engine;
mod hostile;
mod mount;
mod openapi;
#[cfg(feature = "server")]
mod program;
#[path = "../support/serve.rs"]
mod serve;
