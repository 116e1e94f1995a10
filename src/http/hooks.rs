//! What an application may hang into the way of a request (rest-sse.md chapter 6).

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::body::{Request, Response};
use super::route::Route;
use crate::agui::Observed;

/// Any error an application's code may have.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How a hook leaves the way: with a response of its own, or with a failure.
pub enum Interrupt {
    /// This response is the answer. Boxed to keep the hooks' results small; `response.into()` makes one.
    Response(Box<Response>),
    /// The request failed; `on_error` may answer, else it is `500 {"error":"internal_error"}`.
    Error(BoxError),
}

/// What every hook is told about the request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HookContext {
    /// The path of the URL. In single-route mode a resource request shows the rebuilt path from
    /// `on_before_handler` on.
    pub path: Arc<str>,
    /// The route; absent before routing.
    pub route: Option<Route>,
}

/// What `after_request` is given once the response has been sent whole.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The path of the URL.
    pub path: Arc<str>,
    /// The response's status and headers.
    pub response: http::response::Parts,
    /// What the event stream said; empty for other responses.
    pub observed: Observed,
}

type Async<I, O> = Arc<dyn Fn(HookContext, I) -> BoxFuture<'static, O> + Send + Sync>;
/// Answers a failure, or leaves it.
type OnError = Async<Arc<BoxError>, Result<Option<Response>, BoxError>>;
type AfterRequest = Arc<dyn Fn(Finished) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// The hooks of a service; all optional.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) on_request: Option<Async<Request, Result<Request, Interrupt>>>,
    pub(super) before_request: Option<Async<Request, Result<Request, Interrupt>>>,
    pub(super) on_before_handler: Option<Async<Request, Result<Request, Interrupt>>>,
    pub(super) on_response: Option<Async<Response, Result<Response, Interrupt>>>,
    pub(super) on_error: Option<OnError>,
    pub(super) after_request: Option<AfterRequest>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interrupt::Response(response) => f.debug_tuple("Response").field(&response.status()).finish(),
            Interrupt::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

impl From<Response> for Interrupt {
    fn from(response: Response) -> Interrupt {
        Interrupt::Response(Box::new(response))
    }
}

impl From<BoxError> for Interrupt {
    fn from(error: BoxError) -> Interrupt {
        Interrupt::Error(error)
    }
}
