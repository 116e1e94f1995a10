//! What the runtime does, free of transport: info, run, connect, suggest, stop, threads. The HTTP face
//! turns requests into these calls and their answers into responses.

mod allow;
mod builder;
mod claims;
mod feed;
mod info;
mod inspector;
mod limits;
mod local;
mod memories;
mod metrics;
mod names;
mod platform;
mod policies;
mod readiness;
mod status;
mod threads;
mod titles;
mod users;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::request::Parts;

use crate::agent::{Agent, AgentSource, Agents, ResolveError};
use crate::agui::RunAgentInput;
use crate::intelligence::Intelligence;
use crate::meter::Meter;
use crate::runner::{
    Activity, AgentBounds, FrameStream, Outcome, PlatformStop, RunPass, RunRequest, RunnerError, Stopped, run_stateless,
};
use crate::transcription::TranscriptionService;

pub use allow::Allow;
use allow::Reserved;
pub use builder::{A2ui, BuildError, Builder, KeptByPlatform, KeptHere};
pub use claims::Claims;
pub(crate) use feed::DebugFeed;
pub(crate) use info::Mount;
use limits::Gate;
pub use limits::Limits;
pub(crate) use limits::{Client, OverLimit, TooMany, Watching};
use local::Local;
pub(crate) use memories::{Memories, MemoriesError};
pub use metrics::METRICS_CONTENT_TYPE;
use platform::{Asked, Platform};
pub(crate) use platform::{Bootstrap, PlatformFailure};
use readiness::Probes;
pub use readiness::{Check, Readiness};
pub use status::{LiveNow, Status};
pub(crate) use threads::{Listing, ThreadChange, ThreadsError, ThreadsUnsupported};
use users::Users;
#[cfg(any(feature = "jwt", feature = "server"))]
pub(crate) use users::is_identifier;
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
    mode: Mode,
    users: Users,
    reserved: Reserved,
    transcription: Option<Arc<dyn TranscriptionService>>,
    /// Where the events of runs and connects can be watched, if it is on.
    feed: Option<DebugFeed>,
    meter: Arc<Meter>,
    probes: Probes,
    gate: Gate,
    options: Options,
}

/// Who keeps the threads. Nobody above this module asks.
enum Mode {
    Local(Local),
    Platform(Box<Platform>),
}

/// How a run or a connect is answered.
pub(crate) enum Reply {
    /// The events themselves.
    Stream(FrameStream),
    /// With this the client listens to the events elsewhere.
    Bootstrap(Bootstrap),
    /// There is nothing to listen to.
    Nothing,
}

/// Why a run was not stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopFailure {
    #[error(transparent)]
    Runner(#[from] RunnerError),
    #[error(transparent)]
    Platform(#[from] PlatformFailure),
}

/// A thread whose run the caller may stop: what the runner calls it.
pub(crate) struct Stoppable(String);

#[derive(Clone, Debug)]
struct Options {
    keep_alive: Option<Duration>,
    expose_memory_routes: bool,
    a2ui: Option<A2ui>,
    open_generative_ui: bool,
    public_info: bool,
}

/// An agent found in the registry.
#[derive(Clone)]
pub(crate) struct FoundAgent {
    id: Arc<str>,
    agent: Arc<dyn Agent>,
    /// What holds for a run of it.
    bounds: AgentBounds,
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

    /// Refuses new runs, and waits at most this long for the active ones and those that wait for them. Shortly before the
    /// time is over, those that go on are stopped; who watches one sees a `RUN_ERROR` with the code `RUNTIME_SHUTDOWN`.
    pub async fn shutdown(&self, deadline: Duration) {
        self.shared.probes.close();
        match &self.shared.mode {
            Mode::Local(local) => local.shutdown(deadline).await,
            Mode::Platform(platform) => platform.shutdown(deadline).await,
        }
        if let Some(feed) = &self.shared.feed {
            feed.close();
        }
    }

    /// A request was answered with this status.
    pub(crate) fn answered(&self, status: u16) {
        self.shared.meter.answered(status);
    }

    fn activity(&self) -> Activity {
        match &self.shared.mode {
            Mode::Local(local) => local.runner.activity(),
            Mode::Platform(platform) => platform.activity(),
        }
    }

    /// How many calls wait for their turn to write, where threads are kept here.
    fn waiting_writes(&self) -> Option<usize> {
        match &self.shared.mode {
            Mode::Local(local) => local.runner.threads().map(|store| store.waiting_writes()),
            Mode::Platform(_) => None,
        }
    }

    /// The platform, where it keeps the threads.
    pub(crate) fn intelligence(&self) -> Option<&Intelligence> {
        match &self.shared.mode {
            Mode::Local(_) => None,
            Mode::Platform(platform) => Some(&platform.intelligence),
        }
    }

    /// The agents this request may use.
    pub(crate) async fn agents(&self, head: &Parts) -> Result<Arc<Agents>, ResolveError> {
        self.shared.agents.resolve(head).await
    }

    /// The agent of a name, if this request may use it.
    pub(crate) async fn agent(&self, head: &Parts, name: &str) -> Result<Option<FoundAgent>, ResolveError> {
        let agents = self.agents(head).await?;
        Ok(agents.get(name).map(|(id, agent)| FoundAgent {
            id: id.clone(),
            agent: agent.clone(),
            bounds: self.bounds(),
        }))
    }

    /// Whether a caller may use an agent, and be told that there is one. Who is not known may use those that are for
    /// everybody.
    pub(crate) fn admits(&self, caller: Option<&Caller>, agent_id: &str) -> bool {
        self.shared.reserved.admits(caller, agent_id)
    }

    /// Whether strangers are told what the runtime is, where users are told apart.
    pub(crate) fn info_is_public(&self) -> bool {
        self.shared.options.public_info
    }

    /// Starts a run on a thread of the caller.
    pub(crate) async fn run(
        &self,
        caller: &Caller,
        found: FoundAgent,
        input: RunAgentInput,
        head: &Parts,
        headers: HeaderMap,
        pass: RunPass,
    ) -> Result<Reply, PlatformFailure> {
        match &self.shared.mode {
            Mode::Local(local) => {
                let agent_id = found.id.clone();
                let meter = self.shared.meter.run(&agent_id);
                let stream = local.run(caller, found, input, headers, meter, pass).await;
                Ok(Reply::Stream(self.shown(caller, &agent_id, stream)))
            }
            Mode::Platform(platform) => {
                let meter = self.shared.meter.run(&found.id);
                let asked = Asked { found, input, headers, meter: meter.clone(), pass };
                let run = Box::pin(platform.run(caller, asked, head)).await;
                if let Err(failure) = &run {
                    meter.ended(Outcome::Refused(failure.code()));
                }
                run.map(Reply::Bootstrap)
            }
        }
    }

    /// Lets the client see a thread of the caller and follow its active run.
    pub(crate) async fn connect(
        &self,
        caller: &Caller,
        found: &FoundAgent,
        thread_id: &str,
        last_seen: Option<String>,
        watching: Watching,
    ) -> Result<Reply, PlatformFailure> {
        match &self.shared.mode {
            Mode::Local(local) => {
                let stream = watching.during(local.connect(caller, thread_id, last_seen).await);
                Ok(Reply::Stream(self.shown(caller, &found.id, stream)))
            }
            // What the client has seen, it tells the platform.
            Mode::Platform(platform) => {
                let connected = platform.connect(caller, &found.id, thread_id).await?;
                Ok(connected.map_or(Reply::Nothing, Reply::Bootstrap))
            }
        }
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
        pass: RunPass,
    ) -> FrameStream {
        let (owner, bounds) = (caller.owner().clone(), found.bounds);
        run_stateless(RunRequest { owner, headers, bounds, pass, ..RunRequest::new(found.id, found.agent, input) })
    }

    /// The thread of an id, if the caller may stop what an agent runs on it. Asked before anything is said about
    /// agents.
    pub(crate) async fn stoppable(
        &self,
        caller: &Caller,
        agent_id: &str,
        thread_id: &str,
    ) -> Result<Stoppable, PlatformFailure> {
        match &self.shared.mode {
            Mode::Local(_) => Ok(Stoppable(thread_id.to_owned())),
            Mode::Platform(platform) => platform.stoppable(caller, agent_id, thread_id).await.map(Stoppable),
        }
    }

    /// Ends a run on a thread of the caller. Where the platform keeps the thread, it has the end when this returns.
    pub(crate) async fn stop(
        &self,
        caller: &Caller,
        thread: &Stoppable,
        run_id: Option<String>,
    ) -> Result<Stopped, StopFailure> {
        match &self.shared.mode {
            Mode::Local(local) => Ok(local.stop(caller, &thread.0, run_id).await?),
            Mode::Platform(platform) => match platform.stop(&thread.0, run_id.as_deref()).await {
                PlatformStop::Stopped => Ok(Stopped::Stopping),
                PlatformStop::NoActiveRun => Ok(Stopped::NoActiveRun),
                PlatformStop::OtherRun => Ok(Stopped::OtherRun),
                PlatformStop::Unacknowledged => Err(PlatformFailure::StopUnacknowledged.into()),
            },
        }
    }

    pub(crate) fn transcription(&self) -> Option<&dyn TranscriptionService> {
        self.shared.transcription.as_deref()
    }

    pub(crate) fn keep_alive(&self) -> Option<Duration> {
        self.shared.options.keep_alive
    }

    pub(crate) fn debug_feed(&self) -> Option<&DebugFeed> {
        self.shared.feed.as_ref()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("agents", &self.agents).field("options", &self.options).finish_non_exhaustive()
    }
}
