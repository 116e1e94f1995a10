//! An agent that is a closure.

use std::fmt;

use futures_util::{Stream, StreamExt};

use super::{Agent, AgentCall, AgentError, EventStream};
use crate::agui::Event;

/// An agent made of a closure that answers a call with a stream of events.
///
/// ```
/// use copilotkit_runtime::agent::{AgentCall, FunctionAgent};
/// use copilotkit_runtime::agui::Event;
///
/// let echo = FunctionAgent::new(|call: AgentCall| {
///     let input = call.input;
///     let events = vec![
///         Event::run_started(&input.thread_id, &input.run_id),
///         Event::text_start("m1"),
///         Event::text_content("m1", "Hello!"),
///         Event::text_end("m1"),
///         Event::run_finished(&input.thread_id, &input.run_id),
///     ];
///     tokio_stream::iter(events.into_iter().map(Ok))
/// })
/// .described("Says hello");
/// ```
pub struct FunctionAgent<F> {
    function: F,
    description: String,
}

impl<F, S> FunctionAgent<F>
where
    F: Fn(AgentCall) -> S + Send + Sync + 'static,
    S: Stream<Item = Result<Event, AgentError>> + Send + 'static,
{
    /// An agent that answers with what the closure returns. For a closure that is async, return
    /// `futures_util::stream::once(async { … }).flatten()` or a channel's receiver as a stream.
    pub fn new(function: F) -> FunctionAgent<F> {
        FunctionAgent { function, description: String::new() }
    }

    /// Says what the agent is for.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> FunctionAgent<F> {
        self.description = description.into();
        self
    }
}

impl<F, S> Agent for FunctionAgent<F>
where
    F: Fn(AgentCall) -> S + Send + Sync + 'static,
    S: Stream<Item = Result<Event, AgentError>> + Send + 'static,
{
    fn run(&self, call: AgentCall) -> EventStream {
        (self.function)(call).boxed()
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn class_name(&self) -> &str {
        "FunctionAgent"
    }
}

impl<F> fmt::Debug for FunctionAgent<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionAgent").field("description", &self.description).finish_non_exhaustive()
    }
}
