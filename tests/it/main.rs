//! One test binary; a module per promise or route family.

mod access;
mod captures;
mod docs;
mod engine;
mod hostile;
#[cfg(feature = "server")]
mod listener;
mod mount;
mod names;
mod openapi;
mod policy;
#[cfg(feature = "server")]
mod program;
#[path = "../support/serve.rs"]
mod serve;
mod threads;
