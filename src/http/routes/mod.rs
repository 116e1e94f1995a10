//! One file per route family: look up, parse, call the runtime, answer. The order of lines is the order of
//! checks in the contract.

mod agents;
mod annotate;
mod debug;
mod info;
mod inspector;
mod memories;
#[cfg(test)]
mod platform_tests;
pub(super) mod single;
mod threads;
mod transcribe;

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use super::body::{self, Body, Request, Response};
use super::error::ApiError;
#[cfg(feature = "fuzzing")]
use super::fields;
use super::handler::Face;
use super::limits;
use super::route::{Route, at_mount, below_base};
use super::single_route::{self, Envelope, EnvelopeError, is_envelope};
use crate::runtime::Caller;

/// A routed request, ready for its handler.
pub(super) struct Call {
    pub(super) head: Parts,
    pub(super) body: Body,
}

/// Where a request goes.
pub(super) enum Target {
    /// A path of multi-route mode.
    Path(Route),
    /// The envelope of single-route mode.
    Envelope(Route, Envelope),
    /// A path inside an envelope.
    Resource(Route),
}

impl Target {
    pub(super) fn route(&self) -> &Route {
        match self {
            Target::Path(route) | Target::Envelope(route, _) | Target::Resource(route) => route,
        }
    }

    pub(super) fn is_resource(&self) -> bool {
        matches!(self, Target::Resource(_))
    }

    /// The handler's request: the one hooks saw, with the envelope's inner body in place of the envelope.
    pub(super) fn into_call(self, request: Request) -> Result<(Route, Call), EnvelopeError> {
        let (mut head, body) = request.into_parts();
        match self {
            Target::Path(route) | Target::Resource(route) => Ok((route, Call { head, body })),
            Target::Envelope(route, envelope) => {
                if let single_route::Target::Route { query: Some(query), .. } = &envelope.target {
                    let with_query = format!("{}?{query}", head.uri.path()).parse();
                    head.uri = with_query.unwrap_or(head.uri);
                }
                let body = envelope.body()?;
                Ok((route, Call { head, body: body.into() }))
            }
        }
    }
}

/// Multi-route mode: path to route, hidden memory routes, methods.
pub(super) async fn route(face: &Face, request: Request) -> Result<(Target, Request), ApiError> {
    match find(face, face.base_path.as_deref(), request.uri().path()) {
        Ok(route) => Ok((Target::Path(gate(route, request.method())?), request)),
        Err(ApiError::NotFound) if request.method() == Method::POST => Err(Box::pin(misdirected(face, request)).await),
        Err(error) => Err(error),
    }
}

/// The route of a path, if it exists here.
fn find(face: &Face, base: Option<&str>, path: &str) -> Result<Route, ApiError> {
    let route = at_mount(base.unwrap_or(""), path).ok_or(ApiError::NotFound)?;
    if route.is_memory() && !face.runtime.memory_routes_exposed() {
        return Err(ApiError::NotFound);
    }
    Ok(route)
}

/// The route, if it answers the method.
fn gate(route: Route, method: &Method) -> Result<Route, ApiError> {
    if route.allowed().contains(method) {
        Ok(route)
    } else {
        Err(ApiError::MethodNotAllowed { allowed: route.allowed(), route: Some(route) })
    }
}

/// Tells a client that speaks single-route mode what is wrong (rest-sse.md chapter 2).
async fn misdirected(face: &Face, request: Request) -> ApiError {
    let (head, body) = request.into_parts();
    if below_base(face.base_path.as_deref().unwrap_or(""), head.uri.path()).is_none() {
        return ApiError::NotFound;
    }
    match body::read(body, face.body_limit).await {
        Ok(body) if is_envelope(content_type(&head), &body) => ApiError::EnvelopeOnMultiRoute,
        _ => ApiError::NotFound,
    }
}

/// Hands a routed request to its handler. There is no caller only where the table of routes lets anybody in. The large
/// ones are boxed, so that the small need not carry their room.
pub(super) async fn handle(
    face: &Face,
    asking: Option<&Caller>,
    route: &Route,
    call: Call,
) -> Result<Response, ApiError> {
    let pass = limits::admit_run(face, &call.head, route, asking)?;
    if let Some(agent_id) = route.agent_id() {
        may_use(face, asking, agent_id)?;
    }
    // A handler that wants a caller for a route that, by the table, needs none, gets nothing.
    let caller = || asking.ok_or_else(|| ApiError::Internal("the route is not one for callers".into()));
    match route {
        Route::Info => info::info(face, asking, &call.head).await,
        Route::AgentRun { agent_id } => Box::pin(agents::run(face, caller()?, agent_id, call, pass)).await,
        Route::AgentConnect { agent_id } => Box::pin(agents::connect(face, caller()?, agent_id, call)).await,
        Route::AgentSuggest { agent_id } => Box::pin(agents::suggest(face, caller()?, agent_id, call, pass)).await,
        Route::AgentStop { agent_id, thread_id } => {
            Box::pin(agents::stop(face, caller()?, agent_id, thread_id, call)).await
        }
        Route::ThreadsList => threads::list(face, caller()?, &call.head).await,
        Route::ThreadMessages { thread_id } => threads::messages(face, caller()?, thread_id).await,
        Route::ThreadEvents { thread_id } => threads::events(face, caller()?, thread_id).await,
        Route::ThreadState { thread_id } => threads::state(face, caller()?, thread_id).await,
        Route::ThreadUpdate { thread_id } if call.head.method == Method::DELETE => {
            Box::pin(threads::delete(face, caller()?, thread_id, call.body)).await
        }
        Route::ThreadUpdate { thread_id } => Box::pin(threads::update(face, caller()?, thread_id, call.body)).await,
        Route::ThreadArchive { thread_id } => Box::pin(threads::archive(face, caller()?, thread_id, call.body)).await,
        Route::ThreadsClear => threads::clear(face, caller()?).await,
        Route::ThreadsSubscribe => threads::subscribe(face, caller()?).await,
        Route::MemoriesList if call.head.method == Method::GET => {
            Box::pin(memories::list(face, caller()?, &call.head)).await
        }
        Route::MemoriesList => Box::pin(memories::create(face, caller()?, call)).await,
        Route::MemoriesRecall => Box::pin(memories::recall(face, caller()?, call)).await,
        Route::MemoriesSubscribe => Box::pin(memories::subscribe(face, caller()?, &call.head)).await,
        Route::MemoryMutate { memory_id } if call.head.method == Method::DELETE => {
            Box::pin(memories::remove(face, caller()?, memory_id, &call.head)).await
        }
        Route::MemoryMutate { memory_id } => Box::pin(memories::update(face, caller()?, memory_id, call)).await,
        Route::Annotate => Box::pin(annotate::annotate(face, caller()?, call.body)).await,
        Route::InspectorMetadata => Ok(Box::pin(inspector::metadata(face)).await),
        Route::InspectorLearning => Box::pin(inspector::learning(face, caller()?, &call.head)).await,
        Route::Transcribe => {
            // Without a service the body is not looked at.
            let service = face.runtime.transcription();
            let body = if service.is_some() { Box::pin(read(face, call.body)).await? } else { Bytes::new() };
            Ok(Box::pin(transcribe::transcribe(service, content_type(&call.head), body)).await)
        }
        Route::DebugEvents => Ok(debug::debug_events(face.runtime.debug_feed(), caller()?, face.runtime.keep_alive())),
    }
}

/// Reads a body, or a query, as each route does that reads one itself.
#[cfg(feature = "fuzzing")]
pub(super) fn read_bodies(body: &[u8]) {
    let _ = agents::stop_target(body);
    let _ = threads::change(body);
    let _ = threads::listing(&fields::text(body));
    let _ = memories::memory_of(body);
    let _ = memories::recall_of(body);
    let _ = annotate::note_of(body);
    let _ = transcribe::audio_of_json(body);
}

/// Refuses who names an agent that is not for them, whether there is one or not.
fn may_use(face: &Face, caller: Option<&Caller>, agent_id: &str) -> Result<(), ApiError> {
    if face.runtime.admits(caller, agent_id) { Ok(()) } else { Err(ApiError::AgentForbidden(agent_id.to_owned())) }
}

/// The request's content type.
pub(super) fn content_type(head: &Parts) -> Option<&str> {
    head.headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// Reads the call's body whole.
async fn read(face: &Face, body: Body) -> Result<Bytes, ApiError> {
    Ok(body::read(body, face.body_limit).await?)
}
