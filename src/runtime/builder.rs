//! How a runtime is put together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::allow::{Allow, Reserved};
use super::policies::RequestPolicies;
use super::readiness::Probes;
use super::titles::Titles;
use super::users::Users;
use super::{CopilotRuntime, DebugFeed, Gate, IdentifyError, Limits, Local, Mode, Options, Platform, Shared, User};
use crate::agent::{Agent, AgentSource, Agents, ResolveError};
use crate::intelligence::Intelligence;
use crate::runner::{AgentRunner, MemoryRunner, WhenBusy};
use crate::transcription::TranscriptionService;

/// The longest keep-alive interval: what a timer of the reference runtime can hold (rest-sse.md chapter 11).
const MAX_KEEP_ALIVE: Duration = Duration::from_millis(2_147_483_647);

/// Configures a [`CopilotRuntime`].
///
/// Nothing but an agent is required: threads are kept in RAM unless a runner is set. What can be set depends on who
/// keeps the threads: this runtime ([`CopilotRuntime::builder`]) or the Intelligence platform
/// ([`CopilotRuntime::on_intelligence`]).
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<Threads = KeptHere> {
    agents: Agents,
    per_request: Option<AgentSource>,
    reserved: Reserved,
    threads: Threads,
    transcription: Option<Arc<dyn TranscriptionService>>,
    keep_alive: Duration,
    debug_feed: bool,
    limits: Limits,
    options: Options,
}

/// This runtime keeps the threads.
#[derive(Default)]
pub struct KeptHere {
    runner: Option<Arc<dyn AgentRunner>>,
    users: Users,
    policies: RequestPolicies,
    generate_thread_names: bool,
}

/// The Intelligence platform keeps the threads.
pub struct KeptByPlatform {
    intelligence: Intelligence,
    users: Users,
}

/// Tells clients that agents answer with A2UI surfaces, so that they render them. The runtime relays what
/// the agents send; it adds nothing of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct A2ui {
    /// The agents that do; `None` is all of them.
    pub agents: Option<Vec<String>>,
}

/// Why a runtime cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Agents were both named and resolved per request.
    #[error("agents are set both by name and per request: use one of the two")]
    TwoAgentSources,
    /// An agent is reserved for some users, and there is none of that name.
    #[error("`allow` names the agent `{0}`, which there is not")]
    UnknownAgent(Arc<str>),
    /// An agent is reserved for some users, and users are not told apart.
    #[error("`allow` reserves the agent `{0}`, but users are not told apart: set `identify_user`")]
    NobodyIsKnown(Arc<str>),
    /// The keep-alive interval does not fit a timer.
    #[error("the keep-alive interval of {0:?} is longer than 2147483.647 s; use zero to turn keep-alive off")]
    KeepAliveTooLong(Duration),
    /// The limit of requests per second allows none, or is no number.
    #[error("requests_per_second has to be more than zero and burst at least 1; leave the rate out for no limit")]
    InvalidRate,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::keeping(KeptHere::default())
    }
}

impl CopilotRuntime {
    /// Starts configuring a runtime whose threads the Intelligence platform keeps, each for the user of whom
    /// `identify` learns from a request's head. Who it is must be known there, so there is no way around the callback:
    ///
    /// ```compile_fail
    /// # use copilotkit_runtime::{CopilotRuntime, intelligence::Intelligence};
    /// # fn on(intelligence: Intelligence) {
    /// CopilotRuntime::on_intelligence(intelligence);
    /// # }
    /// ```
    ///
    /// And the platform takes the place of a runner:
    ///
    /// ```compile_fail
    /// # use copilotkit_runtime::{CopilotRuntime, User, intelligence::Intelligence, runner::MemoryRunner};
    /// # fn on(intelligence: Intelligence) {
    /// let ada = |_: &http::request::Parts| std::future::ready(Ok(User::new("ada")));
    /// CopilotRuntime::on_intelligence(intelligence, ada).runner(MemoryRunner::new());
    /// # }
    /// ```
    ///
    /// ```
    /// use copilotkit_runtime::agent::DemoAgent;
    /// use copilotkit_runtime::intelligence::Intelligence;
    /// use copilotkit_runtime::{CopilotRuntime, IdentifyError, User};
    /// use http::request::Parts;
    ///
    /// fn user_of(head: &Parts) -> Result<User, IdentifyError> {
    ///     let user = head.headers.get("x-user").ok_or(IdentifyError::Unauthenticated)?;
    ///     Ok(User::new(user.to_str().map_err(IdentifyError::failed)?))
    /// }
    ///
    /// let intelligence = Intelligence::builder().api_key("cpk-…").build()?;
    /// let runtime = CopilotRuntime::on_intelligence(intelligence, |head| std::future::ready(user_of(head)))
    ///     .agent("default", DemoAgent::new())
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_intelligence<F, R>(intelligence: Intelligence, identify: F) -> Builder<KeptByPlatform>
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<User, IdentifyError>> + Send + 'static,
    {
        Builder::keeping(KeptByPlatform { intelligence, users: Users::identified_by(identify) })
    }
}

impl<Threads> Builder<Threads> {
    fn keeping(threads: Threads) -> Builder<Threads> {
        Builder {
            agents: Agents::new(),
            per_request: None,
            reserved: Reserved::default(),
            threads,
            transcription: None,
            keep_alive: Duration::from_secs(15),
            debug_feed: false,
            limits: Limits::default(),
            options: Options {
                keep_alive: None,
                expose_memory_routes: false,
                a2ui: None,
                open_generative_ui: false,
                public_info: false,
            },
        }
    }

    /// Adds an agent under a name. Clients use `default` unless told otherwise.
    pub fn agent(mut self, name: impl Into<Arc<str>>, agent: impl Agent) -> Self {
        self.agents.insert(name, Arc::new(agent));
        self
    }

    /// Adds an agent that is shared already.
    pub fn agent_arc(mut self, name: impl Into<Arc<str>>, agent: Arc<dyn Agent>) -> Self {
        self.agents.insert(name, agent);
        self
    }

    /// Resolves the agents anew for every request, from its head. A failure answers 500.
    pub fn agents_per_request<F, R>(mut self, resolve: F) -> Self
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Agents, ResolveError>> + Send + 'static,
    {
        self.per_request = Some(AgentSource::per_request(resolve));
        self
    }

    /// Reserves an agent. Others are answered 403 wherever they name it, and `/info` does not tell them of it. Needs
    /// users that are told apart. Default: every agent is for everybody.
    pub fn allow(mut self, agent: impl Into<Arc<str>>, allow: Allow) -> Self {
        self.reserved.insert(agent.into(), allow);
        self
    }

    /// Answers `/info` and the inspector's metadata also who is not known, but for reserved agents. It makes a difference
    /// only where users are told apart. Default: strangers are answered 401, whatever they ask for.
    pub fn public_info(mut self, on: bool) -> Self {
        self.options.public_info = on;
        self
    }

    /// Turns speech into text for `POST /transcribe`.
    pub fn transcription(mut self, service: impl TranscriptionService) -> Self {
        self.transcription = Some(Arc::new(service));
        self
    }

    /// How long a stream may be silent before it gets a keep-alive comment. Default: 15 s; zero turns it off.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Answers on the memory routes at all. Default: they look as if they did not exist.
    pub fn expose_memory_routes(mut self, expose: bool) -> Self {
        self.options.expose_memory_routes = expose;
        self
    }

    /// Serves `GET /cpk-debug-events`: every event of the caller's threads, which are everybody's where users are not
    /// told apart. Default: off.
    pub fn debug_feed(mut self, on: bool) -> Self {
        self.debug_feed = on;
        self
    }

    /// What one client may ask for. Default: [`Limits::default`], which ordinary clients do not notice.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells clients to render A2UI surfaces.
    pub fn a2ui(mut self, a2ui: A2ui) -> Self {
        self.options.a2ui = Some(a2ui);
        self
    }

    /// Tells clients to render open generative UI that agents send.
    pub fn open_generative_ui(mut self, on: bool) -> Self {
        self.options.open_generative_ui = on;
        self
    }

    fn assemble(self, divide: impl FnOnce(Threads) -> (Users, Mode)) -> Result<CopilotRuntime, BuildError> {
        let agents = match self.per_request {
            Some(_) if !self.agents.is_empty() => return Err(BuildError::TwoAgentSources),
            Some(source) => source,
            None => AgentSource::Fixed(Arc::new(self.agents)),
        };
        if self.keep_alive > MAX_KEEP_ALIVE {
            return Err(BuildError::KeepAliveTooLong(self.keep_alive));
        }
        let options = Options { keep_alive: (!self.keep_alive.is_zero()).then_some(self.keep_alive), ..self.options };
        let gate = Gate::new(self.limits)?;
        let (users, mode) = divide(self.threads);
        for name in self.reserved.agents() {
            if matches!(&agents, AgentSource::Fixed(agents) if agents.get(name).is_none()) {
                return Err(BuildError::UnknownAgent(name.clone()));
            }
            if matches!(users, Users::Anonymous) {
                return Err(BuildError::NobodyIsKnown(name.clone()));
            }
        }
        let feed = self.debug_feed.then(DebugFeed::default);
        let (probes, transcription, reserved) = (Probes::of(&mode), self.transcription, self.reserved);
        let meter = Arc::default();
        let shared = Shared { agents, mode, users, reserved, transcription, feed, meter, probes, gate, options };
        Ok(CopilotRuntime { shared: Arc::new(shared) })
    }
}

impl Builder<KeptHere> {
    /// Who runs the agents and keeps their threads. Default: [`MemoryRunner`].
    pub fn runner(mut self, runner: impl AgentRunner) -> Builder {
        self.threads.runner = Some(Arc::new(runner));
        self
    }

    /// Tells users apart: finds out, from a request's head, who sends it. Asked once for each request, before anything
    /// else is looked at but the hooks `on_request` and `before_request`; preflights are answered before.
    ///
    /// From then on every thread belongs to the user who first ran an agent on it. To everybody else it does not
    /// exist: two users may each have a thread of the same id. Default: everybody shares one anonymous owner, whose
    /// threads no user sees.
    ///
    /// ```
    /// use copilotkit_runtime::agent::DemoAgent;
    /// use copilotkit_runtime::{CopilotRuntime, IdentifyError, User};
    /// use http::request::Parts;
    ///
    /// /// A proxy in front has checked who it is, and removes the header from what clients send.
    /// fn user_of(head: &Parts) -> Result<User, IdentifyError> {
    ///     let user = head.headers.get("x-user").ok_or(IdentifyError::Unauthenticated)?;
    ///     Ok(User::new(user.to_str().map_err(IdentifyError::failed)?))
    /// }
    ///
    /// let runtime = CopilotRuntime::builder()
    ///     .agent("default", DemoAgent::new())
    ///     .identify_user(|head| std::future::ready(user_of(head)))
    ///     .build()?;
    /// # Ok::<(), copilotkit_runtime::BuildError>(())
    /// ```
    pub fn identify_user<F, R>(mut self, identify: F) -> Builder
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<User, IdentifyError>> + Send + 'static,
    {
        self.threads.users = Users::identified_by(identify);
        self
    }

    /// Lets a request choose one of these policies for a busy thread, by `whenBusy` in its `forwardedProps`:
    /// `"reject"`, `"interrupt"`, `"rollback"` or `"enqueue"`. Without it, or with another one, the runner's policy
    /// holds. Default: none, requests choose nothing.
    pub fn allow_request_policies(mut self, policies: impl IntoIterator<Item = WhenBusy>) -> Builder {
        self.threads.policies = RequestPolicies::of(policies);
        self
    }

    /// Asks the agent of a new thread's first run for a title, in the background. That is a further call of the
    /// agent, or up to three where it answers with no title. Default: off; threads are named by the first words
    /// of their first user message.
    pub fn generate_thread_names(mut self, on: bool) -> Builder {
        self.threads.generate_thread_names = on;
        self
    }

    /// The runtime.
    ///
    /// # Errors
    /// [`BuildError`] names the setting and what to do.
    pub fn build(self) -> Result<CopilotRuntime, BuildError> {
        self.assemble(|KeptHere { runner, users, policies, generate_thread_names }| {
            let runner = runner.unwrap_or_else(|| Arc::new(MemoryRunner::new()));
            let titles = generate_thread_names.then(Titles::default);
            (users, Mode::Local(Local { runner, policies, titles }))
        })
    }
}

impl Builder<KeptByPlatform> {
    /// The runtime.
    ///
    /// # Errors
    /// [`BuildError`] names the setting and what to do.
    pub fn build(self) -> Result<CopilotRuntime, BuildError> {
        self.assemble(|KeptByPlatform { intelligence, users }| {
            (users, Mode::Platform(Box::new(Platform::new(intelligence))))
        })
    }
}

impl<Threads> fmt::Debug for Builder<Threads> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("agents", &self.agents).field("options", &self.options).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeptHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptHere").field("users", &self.users).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeptByPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptByPlatform").field("users", &self.users).finish_non_exhaustive()
    }
}
