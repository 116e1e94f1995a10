//! What the runtime does, free of transport: info, run, connect, suggest, stop, threads. The HTTP face
//! turns requests into these calls and their answers into responses.

mod builder;
mod feed;
mod info;
mod names;
mod policies;
mod threads;
mod titles;
mod users;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;

use crate::agent::{Agent, AgentSource, Agents, ResolveError};
use crate::agui::{Event, Frames, RunAgentInput};
use crate::runner::{
    AgentRunner, ConnectRequest, FrameStream, RunRequest, RunnerError, StopRequest, Stopped, codes, run_stateless,
};
use crate::transcription::TranscriptionService;

pub use builder::{A2ui, BuildError, Builder};
pub(crate) use feed::DebugFeed;
pub(crate) use info::Mount;
use policies::RequestPolicies;
pub(crate) use threads::{Listing, ThreadChange, ThreadsError, ThreadsUnsupported};
use titles::Titles;
use users::Users;
pub(crate) use users::{Caller, NoCaller};
pub use users::{IdentifyError, User};

/// The runtime: agents, a runner, and the options of both. Cloning is cheap and shares everything.
///
/// ```
/// use copilotkit_runtime::CopilotRuntime;
/// use copilotkit_runtime::agent::DemoAgent;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = CopilotRuntime::builder().agent("default", DemoAgent::new()).build()?;
/// let app: axum::Router = axum::Router::new().nest_service("/api/copilotkit", runtime.into_service());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CopilotRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    agents: AgentSource,
    runner: Arc<dyn AgentRunner>,
    users: Users,
    policies: RequestPolicies,
    transcription: Option<Arc<dyn TranscriptionService>>,
    /// Who asks agents for the titles of new threads, if that is on.
    titles: Option<Titles>,
    /// Where the events of runs and connects can be watched, if it is on.
    feed: Option<DebugFeed>,
    options: Options,
}

#[derive(Clone, Debug)]
struct Options {
    keep_alive: Option<Duration>,
    expose_memory_routes: bool,
    a2ui: Option<A2ui>,
    open_generative_ui: bool,
}

/// An agent found in the registry.
#[derive(Clone)]
pub(crate) struct FoundAgent {
    id: Arc<str>,
    agent: Arc<dyn Agent>,
}

impl CopilotRuntime {
    /// Starts configuring a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The runtime's version, as `/info` tells it.
    #[must_use]
    pub fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Refuses new runs, stops the active ones, and waits for them at most this long. Watchers see each run's
    /// `RUN_ERROR` with the code `RUNTIME_SHUTDOWN`.
    pub async fn shutdown(&self, deadline: Duration) {
        if let Some(titles) = &self.shared.titles {
            titles.close().await;
        }
        self.shared.runner.shutdown(deadline).await;
        if let Some(feed) = &self.shared.feed {
            feed.close();
        }
    }

    /// The agents this request may use.
    pub(crate) async fn agents(&self, head: &Parts) -> Result<Arc<Agents>, ResolveError> {
        self.shared.agents.resolve(head).await
    }

    /// The agent of a name, if this request may use it.
    pub(crate) async fn agent(&self, head: &Parts, name: &str) -> Result<Option<FoundAgent>, ResolveError> {
        let agents = self.agents(head).await?;
        Ok(agents.get(name).map(|(id, agent)| FoundAgent { id: id.clone(), agent: agent.clone() }))
    }

    /// Starts a run on a thread of the caller and watches it. A run that cannot start is a stream with one
    /// `RUN_ERROR`: the answer is 200 either way (upstream's is an empty stream, which clients take for success:
    /// chapter 14, row 8).
    pub(crate) async fn run(
        &self,
        caller: &Caller,
        found: FoundAgent,
        input: RunAgentInput,
        headers: HeaderMap,
    ) -> FrameStream {
        let agent_id = found.id.clone();
        let (owner, name) = (caller.owner().clone(), names::fallback(&input.messages));
        let when_busy = self.shared.policies.chosen(&input);
        let request = RunRequest { owner, name, when_busy, headers, ..RunRequest::new(found.id, found.agent, input) };
        let title = match (&self.shared.titles, self.shared.runner.threads()) {
            (Some(titles), Some(store)) => titles.wanted(store, &request).await,
            _ => None,
        };
        let (thread_id, run_id) = (request.input.thread_id.clone(), request.input.run_id.clone());
        let stream = match self.shared.runner.run(request).await {
            Ok(stream) => {
                if let (Some(titles), Some(title)) = (&self.shared.titles, title) {
                    titles.write(title, self.shared.runner.clone());
                }
                stream
            }
            Err(refused) => {
                tracing::warn!(
                    thread.id = thread_id,
                    user.id = %caller.owner(),
                    run.id = run_id,
                    code = refused.code(),
                    "the run was refused: {refused}"
                );
                one_error(&refused.to_string(), refused.code())
            }
        };
        self.shown(caller, &agent_id, stream)
    }

    /// Replays a thread of the caller and follows its active run, behind an event if the client has seen one. A
    /// failing runner is a stream with one `RUN_ERROR`.
    pub(crate) async fn connect(
        &self,
        caller: &Caller,
        found: &FoundAgent,
        thread_id: &str,
        last_seen: Option<String>,
    ) -> FrameStream {
        let request = ConnectRequest { last_seen, ..ConnectRequest::new(caller.thread(thread_id)) };
        let stream = self.shared.runner.connect(request).await.unwrap_or_else(|failure| {
            tracing::error!(
                thread.id = thread_id,
                user.id = %caller.owner(),
                error = %failure,
                "the runner could not replay the thread"
            );
            one_error(&failure.to_string(), codes::RUNNER_FAILED)
        });
        self.shown(caller, &found.id, stream)
    }

    /// Lets the caller's debug feed see a stream, where there is one.
    fn shown(&self, caller: &Caller, agent_id: &str, stream: FrameStream) -> FrameStream {
        match &self.shared.feed {
            Some(feed) => feed::tap(feed, caller, agent_id, stream),
            None => stream,
        }
    }

    /// Runs an agent for this answer alone. It costs what a run costs, so somebody must have asked.
    pub(crate) fn suggest(
        &self,
        caller: &Caller,
        found: FoundAgent,
        input: RunAgentInput,
        headers: HeaderMap,
    ) -> FrameStream {
        let owner = caller.owner().clone();
        run_stateless(RunRequest { owner, headers, ..RunRequest::new(found.id, found.agent, input) })
    }

    /// Asks a run on a thread of the caller to end.
    pub(crate) async fn stop(
        &self,
        caller: &Caller,
        thread_id: &str,
        run_id: Option<String>,
    ) -> Result<Stopped, RunnerError> {
        self.shared.runner.stop(StopRequest { thread: caller.thread(thread_id), run_id }).await
    }

    pub(crate) fn transcription(&self) -> Option<&dyn TranscriptionService> {
        self.shared.transcription.as_deref()
    }

    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        self.shared.options.keep_alive
    }

    pub(crate) fn memory_routes_exposed(&self) -> bool {
        self.shared.options.expose_memory_routes
    }

    pub(crate) fn debug_feed(&self) -> Option<&DebugFeed> {
        self.shared.feed.as_ref()
    }
}

/// A stream that says why there is nothing else to say.
fn one_error(message: &str, code: &str) -> FrameStream {
    Box::pin(tokio_stream::once(Frames::of(&[Event::run_error(message, code)])))
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("agents", &self.agents).field("options", &self.options).finish_non_exhaustive()
    }
}
