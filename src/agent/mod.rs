//! Things that produce events. An agent knows neither threads nor stores: it gets a call and answers
//! with a stream of events.

mod answer;
mod demo;
mod function;
mod headers;
mod http;
#[cfg(feature = "mcp")]
mod mcp;
mod registry;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::agui::{Event, RunAgentInput};

pub(crate) use self::answer::{EVENT_TOO_LARGE, TOTAL_TIMEOUT};
pub use self::demo::DemoAgent;
pub use self::function::FunctionAgent;
pub use self::headers::{AgentHeaders, InvalidHeader};
pub use self::http::{HttpAgent, HttpAgentError};
#[cfg(feature = "mcp")]
pub use self::mcp::{McpAgent, McpServer, McpServerError};
pub(crate) use self::registry::AgentSource;
pub use self::registry::{Agents, ResolveError};

/// Produces the events of a run.
///
/// The stream is driven by the runtime. Dropping it cancels the agent: connections and child tasks must
/// end with it. A stream that yields an error, ends without `RUN_FINISHED` or `RUN_ERROR`, or panics fails
/// its own run only; the runtime closes what is open (rest-sse.md chapter 12.4).
pub trait Agent: Send + Sync + 'static {
    /// Starts the agent.
    fn run(&self, call: AgentCall) -> EventStream;

    /// What the agent is for, shown by `/info`.
    fn description(&self) -> &str {
        ""
    }

    /// The implementation's name, shown by `/info`.
    fn class_name(&self) -> &str {
        "Agent"
    }

    /// What the agent reports to be able to do (`AgentCapabilities`, rest-sse.md chapter 9);
    /// `None` leaves the field out of `/info`, and so does an error.
    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// How long a stopped run waits for the agent to wind down by itself after [`AgentCall::stopped`] was
    /// signalled. Zero, the default, drops the stream at once.
    fn stop_grace(&self) -> Duration {
        Duration::ZERO
    }
}

/// The events of one run. Dropping it cancels the agent.
pub type EventStream = BoxStream<'static, Result<Event, AgentError>>;

/// One call of an agent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AgentCall {
    /// What the agent works on: the client's input without activity messages, with a run id
    /// (rest-sse.md chapter 8).
    pub input: Arc<RunAgentInput>,
    /// The request headers the forwarding policy lets through, lower-case.
    pub headers: HeaderMap,
    /// Signalled when somebody stops the run. Only agents with a [`Agent::stop_grace`] live to see it.
    pub stopped: CancellationToken,
}

impl AgentCall {
    /// A call with nothing but an input: for tests and for agents that call agents.
    #[must_use]
    pub fn new(input: RunAgentInput) -> AgentCall {
        AgentCall { input: Arc::new(input), headers: HeaderMap::new(), stopped: CancellationToken::new() }
    }
}

/// Why an agent failed. The message becomes the message of the run's `RUN_ERROR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentError {
    message: String,
    code: Option<&'static str>,
}

impl AgentError {
    /// A failure with a message that people may read.
    #[must_use]
    pub fn new(message: impl Into<String>) -> AgentError {
        AgentError { message: message.into(), code: None }
    }

    /// Gives the failure a stable code of its own; without one the run ends with `INCOMPLETE_STREAM`.
    #[must_use]
    pub fn with_code(mut self, code: &'static str) -> AgentError {
        self.code = Some(code);
        self
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The code, if it has one of its own.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.code
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AgentError {}
