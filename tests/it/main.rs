//! One test binary; a module per promise or route family.

mod access;
mod captures;
mod docs;
mod engine;
mod hostile;
mod intelligence;
mod limits;
#[cfg(feature = "server")]
mod listener;
#[cfg(feature = "mcp")]
mod mcp;
#[cfg(feature = "mcp")]
#[path = "../support/mcp.rs"]
mod mcp_server;
mod mount;
mod names;
mod openapi;
#[path = "../support/platform/mod.rs"]
#[allow(dead_code, reason = "tests in other languages use more of it")]
mod platform;
mod policy;
#[cfg(feature = "server")]
mod program;
mod report;
#[path = "../support/serve.rs"]
mod serve;
mod threads;
