//! The tower service, and the fixed order of its stages (rest-sse.md chapters 1 and 6).

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use http::header::ORIGIN;
use tower::Service;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, error_span};

use super::body::{Body, Request, Response};
use super::client_address::TrustedProxies;
use super::cors::{Cors, CorsError};
use super::error::{ApiError, internal};
use super::forward::{ForwardPolicy, Forwarding};
use super::hooks::{BoxError, Finished, HookContext, Hooks, Interrupt};
use super::limits;
use super::observe::observed;
use super::route::Route;
use super::routes;
use crate::runtime::{CopilotRuntime, Mount};
use crate::trace;

/// The largest request body accepted unless [`CopilotService::body_limit`] says otherwise: room for a
/// conversation with a few attached pictures.
const DEFAULT_BODY_LIMIT: usize = 20 * 1024 * 1024;

/// A [`CopilotRuntime`] as a `tower::Service` over HTTP requests, to be mounted in axum, served by bare
/// hyper, or called in a test. Cloning is cheap; clones share everything.
///
/// Mounted with `Router::nest_service`, leave [`CopilotService::base_path`] unset: the router takes the
/// prefix off. As a fallback, or under bare hyper, set it.
#[derive(Clone, Debug)]
pub struct CopilotService {
    face: Arc<Face>,
}

/// What a request meets on its way.
#[derive(Clone, Debug)]
pub(super) struct Face {
    pub(super) runtime: CopilotRuntime,
    pub(super) base_path: Option<String>,
    pub(super) mount: Mount,
    pub(super) forwarding: Forwarding,
    pub(super) body_limit: usize,
    pub(super) proxies: TrustedProxies,
    cors: Option<Cors>,
    hooks: Hooks,
}

impl CopilotRuntime {
    /// The runtime as an HTTP service, in multi-route mode, without CORS.
    #[must_use]
    pub fn into_service(self) -> CopilotService {
        let face = Face {
            runtime: self,
            base_path: None,
            mount: Mount::MultiRoute,
            forwarding: Forwarding::default(),
            body_limit: DEFAULT_BODY_LIMIT,
            proxies: TrustedProxies::default(),
            cors: None,
            hooks: Hooks::default(),
        };
        CopilotService { face: Arc::new(face) }
    }
}

impl CopilotService {
    /// Answers only below this path; others get 404. Unset, every path counts from its end.
    #[must_use]
    pub fn base_path(self, path: impl Into<String>) -> CopilotService {
        let path = path.into();
        self.with(|face| face.base_path = Some(path))
    }

    /// One path for everything: requests are JSON envelopes (rest-sse.md chapter 10).
    #[must_use]
    pub fn single_route(self) -> CopilotService {
        self.with(|face| face.mount = Mount::SingleRoute)
    }

    /// Lets browsers of other origins in.
    ///
    /// # Errors
    /// [`CorsError`] for settings that would give every page of the web what the user may do.
    pub fn cors(self, cors: Cors) -> Result<CopilotService, CorsError> {
        cors.check()?;
        Ok(self.with(|face| face.cors = Some(cors)))
    }

    /// Which request headers agents get to see.
    #[must_use]
    pub fn forward_headers(self, policy: &ForwardPolicy) -> CopilotService {
        let policy = policy.resolve();
        self.with(|face| face.forwarding.all = policy)
    }

    /// Which request headers one agent gets to see, in place of what [`CopilotService::forward_headers`] says.
    #[must_use]
    pub fn forward_headers_to(self, agent: impl Into<String>, policy: &ForwardPolicy) -> CopilotService {
        let policy = policy.resolve();
        self.with(|face| drop(face.forwarding.of.insert(agent.into(), policy)))
    }

    /// The largest request body accepted, in bytes; larger ones are answered 413. Default: 20 MiB.
    #[must_use]
    pub fn body_limit(self, bytes: usize) -> CopilotService {
        self.with(|face| face.body_limit = bytes)
    }

    /// The proxies that say for whom they ask, where [`Limits`](crate::Limits) count clients by address. Default: none.
    #[must_use]
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> CopilotService {
        self.with(|face| face.proxies = proxies)
    }

    /// Sees every request first; may replace it, answer it, or fail it.
    #[must_use]
    pub fn on_request<F, R>(self, hook: F) -> CopilotService
    where
        F: Fn(HookContext, Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Request, Interrupt>> + Send + 'static,
    {
        self.with(|face| face.hooks.on_request = Some(Arc::new(move |cx, request| Box::pin(hook(cx, request)))))
    }

    /// As [`CopilotService::on_request`], right after it; a response it answers with does not pass `on_response`.
    #[must_use]
    pub fn before_request<F, R>(self, hook: F) -> CopilotService
    where
        F: Fn(HookContext, Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Request, Interrupt>> + Send + 'static,
    {
        self.with(|face| face.hooks.before_request = Some(Arc::new(move |cx, request| Box::pin(hook(cx, request)))))
    }

    /// Sees a request whose route is known, before it is handled.
    #[must_use]
    pub fn on_before_handler<F, R>(self, hook: F) -> CopilotService
    where
        F: Fn(HookContext, Request) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Request, Interrupt>> + Send + 'static,
    {
        self.with(|face| face.hooks.on_before_handler = Some(Arc::new(move |cx, request| Box::pin(hook(cx, request)))))
    }

    /// Sees every response; may change or replace it.
    #[must_use]
    pub fn on_response<F, R>(self, hook: F) -> CopilotService
    where
        F: Fn(HookContext, Response) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Response, Interrupt>> + Send + 'static,
    {
        self.with(|face| face.hooks.on_response = Some(Arc::new(move |cx, response| Box::pin(hook(cx, response)))))
    }

    /// May answer a failure; `None` leaves it at `500 {"error":"internal_error"}`.
    #[must_use]
    pub fn on_error<F, R>(self, hook: F) -> CopilotService
    where
        F: Fn(HookContext, Arc<BoxError>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<Response>, BoxError>> + Send + 'static,
    {
        self.with(|face| face.hooks.on_error = Some(Arc::new(move |cx, error| Box::pin(hook(cx, error)))))
    }

    /// Told of every handled request once its response has left whole, with what an event stream said.
    /// Nobody waits for it; a failure is logged.
    #[must_use]
    pub fn after_request<F, R>(self, hook: F) -> CopilotService
    where
        F: Fn(Finished) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.with(|face| face.hooks.after_request = Some(Arc::new(move |finished| Box::pin(hook(finished)))))
    }

    fn with(mut self, change: impl FnOnce(&mut Face)) -> CopilotService {
        change(Arc::make_mut(&mut self.face));
        self
    }
}

impl<B> Service<http::Request<B>> for CopilotService
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let face = self.face.clone();
        // At this level, so that it is there for every line that is logged.
        let span = error_span!(
            "request",
            http.method = %request.method(),
            http.route = Empty,
            user.id = Empty,
            agent.id = Empty,
            thread.id = Empty,
            run.id = Empty
        );
        trace::continue_from(&span, request.headers());
        let answer = async move {
            let answer = AssertUnwindSafe(face.serve(request.map(Body::new))).catch_unwind().await;
            let answer = answer.unwrap_or_else(|_| panicked());
            let status = answer.status().as_u16();
            face.runtime.answered(status);
            debug!(http.status = status, "the request was answered");
            Ok(answer)
        };
        Box::pin(answer.instrument(span))
    }
}

/// Tells the log what a request is about.
fn note(route: &Route) {
    let span = Span::current();
    span.record("http.route", route.name());
    for (field, id) in [("agent.id", route.agent_id()), ("thread.id", route.thread_id())] {
        if let Some(id) = id {
            span.record(field, id);
        }
    }
}

/// The answer to a request whose handler or hook panicked.
fn panicked() -> Response {
    internal(&"a handler or hook panicked".into())
}

/// A response, and whether a handler made it: only those are told to `after_request`.
struct Answer {
    response: Response,
    handled: bool,
}

impl Face {
    async fn serve(&self, request: Request) -> Response {
        let origin = request.headers().get(ORIGIN).and_then(|origin| origin.to_str().ok()).map(str::to_owned);
        if let (Some(cors), &Method::OPTIONS) = (&self.cors, request.method()) {
            return cors.preflight(origin.as_deref());
        }
        let mut cx = HookContext { path: request.uri().path().into(), route: None };
        let mut answer = match AssertUnwindSafe(Box::pin(self.answer(request, &mut cx))).catch_unwind().await {
            Ok(answer) => answer,
            Err(_) => Answer { response: panicked(), handled: false },
        };
        if let Some(cors) = &self.cors {
            cors.apply(origin.as_deref(), answer.response.headers_mut());
        }
        match &self.hooks.after_request {
            Some(hook) if answer.handled => {
                let hook = hook.clone();
                let endless = cx.route == Some(Route::DebugEvents);
                observed(answer.response, endless, move |response, observed| {
                    hook(Finished { path: cx.path, response, observed })
                })
            }
            _ => answer.response,
        }
    }

    /// The way of a request, up to CORS. What hardly happens is boxed, so that every request need not carry its room.
    async fn answer(&self, request: Request, cx: &mut HookContext) -> Answer {
        let request = match pass(self.hooks.on_request.as_ref(), cx, request) {
            Passed::By(request) => request,
            Passed::To(hook) => match hook.await {
                Ok(request) => request,
                Err(interrupt) => return Box::pin(self.leave(cx, interrupt)).await,
            },
        };
        let request = match pass(self.hooks.before_request.as_ref(), cx, request) {
            Passed::By(request) => request,
            Passed::To(hook) => match hook.await {
                Ok(request) => request,
                // Upstream's `on_response` does not see this one.
                Err(Interrupt::Response(response)) => return Answer { response: *response, handled: false },
                Err(error) => return Box::pin(self.leave(cx, error)).await,
            },
        };
        // Before routing, which would tell strangers what there is.
        let (head, body) = request.into_parts();
        let caller = self.runtime.caller(&head).await;
        if let Err(too_many) = limits::admit(self, &head, caller.as_ref().ok()) {
            return Box::pin(self.early(cx, too_many.into_response())).await;
        }
        let request = Request::from_parts(head, body);
        let caller = match caller {
            Ok(caller) => Ok(caller),
            Err(no_caller) if self.runtime.info_is_public() && no_caller.is_stranger() => Err(no_caller),
            Err(no_caller) => return Box::pin(self.early(cx, ApiError::from(no_caller).into_response())).await,
        };
        let routed = match self.mount {
            Mount::MultiRoute => routes::route(self, request).await,
            Mount::SingleRoute => Box::pin(routes::single::route(self, request)).await,
        };
        let is_open = routed.as_ref().is_ok_and(|(target, _)| !target.route().needs_caller());
        let caller = match caller {
            Ok(caller) => Some(caller),
            Err(_) if is_open => None,
            Err(no_caller) => return Box::pin(self.early(cx, ApiError::from(no_caller).into_response())).await,
        };
        let (target, request) = match routed {
            Ok(routed) => routed,
            Err(mut error) => {
                if let ApiError::MethodNotAllowed { route, .. } = &mut error {
                    cx.route = route.take();
                }
                return Box::pin(self.early(cx, error.into_response())).await;
            }
        };
        note(target.route());
        cx.route = Some(target.route().clone());
        if target.is_resource() {
            cx.path = request.uri().path().into();
        }
        let request = match pass(self.hooks.on_before_handler.as_ref(), cx, request) {
            Passed::By(request) => request,
            Passed::To(hook) => match hook.await {
                Ok(request) => request,
                Err(interrupt) => return Box::pin(self.leave(cx, interrupt)).await,
            },
        };
        let handled = match target.into_call(request) {
            Ok((route, call)) => routes::handle(self, caller.as_ref(), &route, call).await,
            Err(error) => Err(error.into()),
        };
        match handled {
            Err(ApiError::Internal(error) | ApiError::Unresolved(error)) => Box::pin(self.failed(cx, error)).await,
            handled => {
                let response = handled.unwrap_or_else(ApiError::into_response);
                self.respond(cx, response).await
            }
        }
    }

    /// A hook's way out.
    async fn leave(&self, cx: &mut HookContext, interrupt: Interrupt) -> Answer {
        match interrupt {
            Interrupt::Response(response) => self.early(cx, *response).await,
            Interrupt::Error(error) => self.failed(cx, error).await,
        }
    }

    /// A response that left the way before a handler made one.
    async fn early(&self, cx: &mut HookContext, response: Response) -> Answer {
        // Upstream's hooks see a route even where none was found.
        cx.route.get_or_insert(Route::Info);
        Answer { handled: false, ..self.respond(cx, response).await }
    }

    /// The response on its way out, through `on_response`.
    async fn respond(&self, cx: &HookContext, response: Response) -> Answer {
        let Some(hook) = &self.hooks.on_response else { return Answer { response, handled: true } };
        let again = match hook(cx.clone(), response).await {
            Ok(response) => return Answer { response, handled: true },
            Err(Interrupt::Response(response)) => hook(cx.clone(), *response).await,
            error => error,
        };
        match again {
            Ok(response) => Answer { response, handled: true },
            Err(Interrupt::Response(response)) => Answer { response: *response, handled: true },
            Err(Interrupt::Error(error)) => Box::pin(self.failed(cx, error)).await,
        }
    }

    /// A failure nobody turned into a response.
    async fn failed(&self, cx: &HookContext, error: BoxError) -> Answer {
        let error = Arc::new(error);
        let answered = match &self.hooks.on_error {
            Some(hook) => hook(cx.clone(), error.clone()).await,
            None => Ok(None),
        };
        let response = match answered {
            Ok(Some(response)) => response,
            Ok(None) => internal(&error),
            Err(second) => internal(&second),
        };
        Answer { response, handled: false }
    }
}

type Hook<T> = Arc<dyn Fn(HookContext, T) -> BoxFuture<'static, Result<T, Interrupt>> + Send + Sync>;

/// A request at a hook: by, where there is none, or to it. Told apart before anything is awaited, so that a
/// request without hooks need not carry the room of one that waits for them.
enum Passed<T> {
    By(T),
    To(BoxFuture<'static, Result<T, Interrupt>>),
}

fn pass<T>(hook: Option<&Hook<T>>, cx: &HookContext, subject: T) -> Passed<T> {
    match hook {
        Some(hook) => Passed::To(hook(cx.clone(), subject)),
        None => Passed::By(subject),
    }
}
