//! One test binary; a module per promise or route family.

mod access;
mod captures;
#[cfg(feature = "jwt")]
mod credentials;
mod docs;
mod engine;
#[path = "../support/exposition.rs"]
mod exposition;
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
#[path = "../support/page.rs"]
mod page;
#[path = "../support/platform/mod.rs"]
#[allow(dead_code, reason = "tests in other languages use more of it")]
mod platform;
mod policy;
#[cfg(feature = "server")]
mod program;
mod redirects;
mod report;
mod reserved;
#[path = "../support/serve.rs"]
mod serve;
mod sight;
#[cfg(feature = "jwt")]
#[path = "../support/signer.rs"]
#[allow(dead_code, reason = "the tests beside the code use more of it")]
mod signer;
mod threads;
