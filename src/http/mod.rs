//! The web face: an HTTP request in, a runtime call, an HTTP response out. It knows paths, headers and
//! bodies; what a run or a thread is, the runtime knows.

mod body;
mod client_address;
mod cors;
mod error;
mod fields;
mod forward;
mod handler;
mod hooks;
mod limits;
mod observe;
mod route;
mod routes;
mod single_route;
mod stream;

pub use body::{Body, Request, Response};
pub use client_address::{InvalidNetwork, PeerAddress, ProxyHeader, TrustedProxies};
pub use cors::{Cors, CorsError};
pub use forward::ForwardPolicy;
pub use handler::CopilotService;
pub use hooks::{BoxError, Finished, HookContext, Interrupt};
pub use route::Route;
