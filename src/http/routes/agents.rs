//! `POST /agent/{agentId}/run`, `connect`, `suggest` and `stop/{threadId}` (rest-sse.md chapters 8 and 9).

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tracing::Span;

use super::{Call, read};
use crate::agui::RunAgentInput;
use crate::http::body::Response;
use crate::http::error::{self, ApiError, empty, fresh, reply};
use crate::http::fields;
use crate::http::handler::Face;
use crate::http::stream::sse_response;
use crate::runner::{RunPass, Stopped};
use crate::runtime::{Caller, FoundAgent, Reply, StopFailure};

const RUN_FAILED: &str = "Failed to run agent";
const STOP_FAILED: &str = "Failed to stop agent";

pub(super) async fn run(
    face: &Face,
    caller: &Caller,
    agent_id: &str,
    call: Call,
    pass: RunPass,
) -> Result<Response, ApiError> {
    let agent = find(face, &call.head, agent_id, Some(RUN_FAILED)).await?;
    let input = read_input(face, call.body).await?;
    let headers = forwarded(face, caller, agent_id, &call.head);
    Ok(answer(face, face.runtime.run(caller, agent, input, &call.head, headers, pass).await?))
}

pub(super) async fn connect(face: &Face, caller: &Caller, agent_id: &str, call: Call) -> Result<Response, ApiError> {
    let agent = find(face, &call.head, agent_id, Some(RUN_FAILED)).await?;
    let body = read(face, call.body).await?;
    let RunAgentInput { thread_id, run_id, .. } = parsed(face, &body)?;
    note(&thread_id, &run_id);
    let watching = face.runtime.count_watcher(caller, &thread_id)?;
    let last_seen = last_seen(&call.head, &body);
    Ok(answer(face, face.runtime.connect(caller, &agent, &thread_id, last_seen, watching).await?))
}

pub(super) async fn suggest(
    face: &Face,
    caller: &Caller,
    agent_id: &str,
    call: Call,
    pass: RunPass,
) -> Result<Response, ApiError> {
    let agent = find(face, &call.head, agent_id, None).await?;
    let input = read_input(face, call.body).await?;
    let headers = forwarded(face, caller, agent_id, &call.head);
    Ok(sse_response(face.runtime.suggest(caller, agent, input, headers, pass), face.runtime.keep_alive()))
}

pub(super) async fn stop(
    face: &Face,
    caller: &Caller,
    agent_id: &str,
    thread_id: &str,
    call: Call,
) -> Result<Response, ApiError> {
    // Both before the agent, unlike run: rest-sse.md chapter 9, intelligence.md 2.5.
    let run_id = stop_target(&read(face, call.body).await?)?;
    let thread = face.runtime.stoppable(caller, agent_id, thread_id).await?;
    find(face, &call.head, agent_id, Some(STOP_FAILED)).await?;
    let stopped = face.runtime.stop(caller, &thread, run_id.clone()).await.map_err(|failure| match failure {
        StopFailure::Runner(failure) => ApiError::Handler(STOP_FAILED, failure.to_string()),
        StopFailure::Platform(failure) => failure.into(),
    })?;
    let not_stopped = |message: String| json!({"stopped": false, "message": message});
    let answer = match stopped {
        Stopped::Stopping => json!({
            "stopped": true,
            "interrupt": {"type": "RUN_ERROR", "message": "Run stopped by user", "code": "STOPPED"},
        }),
        Stopped::OtherRun => {
            not_stopped(format!("Run '{}' is not the active run for thread '{thread_id}'.", run_id.unwrap_or_default()))
        }
        Stopped::NoActiveRun => match run_id {
            Some(run_id) => not_stopped(format!("Run '{run_id}' is not the active run for thread '{thread_id}'.")),
            None => not_stopped(format!("No active run for thread '{thread_id}'.")),
        },
    };
    Ok(reply(StatusCode::OK, &answer))
}

/// What a run or a connect answers.
fn answer(face: &Face, reply: Reply) -> Response {
    match reply {
        Reply::Stream(events) => sse_response(events, face.runtime.keep_alive()),
        Reply::Bootstrap(bootstrap) => fresh(error::reply(StatusCode::OK, &bootstrap)),
        Reply::Nothing => empty(StatusCode::NO_CONTENT),
    }
}

/// The headers an agent gets to see.
fn forwarded(face: &Face, caller: &Caller, agent_id: &str, head: &Parts) -> HeaderMap {
    let mut headers = face.forwarding.to(agent_id).forwarded(&head.headers);
    for secret in caller.withheld() {
        headers.remove(secret);
    }
    headers
}

/// The event a client wants to go on behind: what an `EventSource` says by itself, or the body's
/// `lastSeenEventId`. Upstream ignores both (chapter 14, row 17).
fn last_seen(head: &Parts, body: &[u8]) -> Option<String> {
    let header = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    header.map(str::to_owned).or_else(|| {
        let body = fields::text(body);
        let [id] = fields::read(&body, ["lastSeenEventId"]).ok()?;
        fields::string(id?).map(std::borrow::Cow::into_owned)
    })
}

/// The run a stop names: none for an empty body or `{}`.
fn stop_target(body: &[u8]) -> Result<Option<String>, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else { return Err(ApiError::InvalidStop) };
    let run_id = fields.shift_remove("runId");
    if !fields.is_empty() {
        return Err(ApiError::InvalidStop);
    }
    match run_id {
        None => Ok(None),
        Some(Value::String(run_id)) if !run_id.trim().is_empty() => Ok(Some(run_id)),
        Some(_) => Err(ApiError::InvalidRunId),
    }
}

/// The agent, or 404. `failure` is the route's text for a resolver that fails; without one the failure is
/// nobody's own.
async fn find(
    face: &Face,
    head: &Parts,
    agent_id: &str,
    failure: Option<&'static str>,
) -> Result<FoundAgent, ApiError> {
    match (face.runtime.agent(head, agent_id).await, failure) {
        (Ok(Some(agent)), _) => Ok(agent),
        (Ok(None), _) => Err(ApiError::AgentNotFound(agent_id.to_owned())),
        (Err(cause), Some(failure)) => Err(ApiError::Handler(failure, cause.to_string())),
        (Err(cause), None) => Err(ApiError::Unresolved(cause)),
    }
}

async fn read_input(face: &Face, body: crate::http::body::Body) -> Result<RunAgentInput, ApiError> {
    let input = parsed(face, &read(face, body).await?)?;
    note(&input.thread_id, &input.run_id);
    Ok(input)
}

/// Tells the log what a request is about.
fn note(thread_id: &str, run_id: &str) {
    Span::current().record("thread.id", thread_id).record("run.id", run_id);
}

fn parsed(face: &Face, body: &[u8]) -> Result<RunAgentInput, ApiError> {
    let input = RunAgentInput::parse(body)?;
    face.runtime.check_input(&input)?;
    Ok(input)
}
