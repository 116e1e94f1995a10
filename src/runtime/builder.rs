//! How a runtime is put together.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::policies::RequestPolicies;
use super::titles::Titles;
use super::users::Users;
use super::{CopilotRuntime, DebugFeed, IdentifyError, Options, Shared, User};
use crate::agent::{Agent, AgentSource, Agents, ResolveError};
use crate::runner::{AgentRunner, MemoryRunner, WhenBusy};
use crate::transcription::TranscriptionService;

/// The longest keep-alive interval: what a timer of the reference runtime can hold (rest-sse.md chapter 11).
const MAX_KEEP_ALIVE: Duration = Duration::from_millis(2_147_483_647);

/// Configures a [`CopilotRuntime`].
///
/// Nothing but an agent is required: threads are kept in RAM unless a runner is set.
#[must_use = "a builder does nothing until `build`"]
pub struct Builder {
    agents: Agents,
    per_request: Option<AgentSource>,
    runner: Option<Arc<dyn AgentRunner>>,
    users: Users,
    policies: RequestPolicies,
    generate_thread_names: bool,
    transcription: Option<Arc<dyn TranscriptionService>>,
    keep_alive: Duration,
    debug_feed: bool,
    options: Options,
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
    /// The keep-alive interval does not fit a timer.
    #[error("the keep-alive interval of {0:?} is longer than 2147483.647 s; use zero to turn keep-alive off")]
    KeepAliveTooLong(Duration),
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            agents: Agents::new(),
            per_request: None,
            runner: None,
            users: Users::default(),
            policies: RequestPolicies::default(),
            generate_thread_names: false,
            transcription: None,
            keep_alive: Duration::from_secs(15),
            debug_feed: false,
            options: Options { keep_alive: None, expose_memory_routes: false, a2ui: None, open_generative_ui: false },
        }
    }
}

impl Builder {
    /// Adds an agent under a name. Clients use `default` unless told otherwise.
    pub fn agent(mut self, name: impl Into<Arc<str>>, agent: impl Agent) -> Builder {
        self.agents.insert(name, Arc::new(agent));
        self
    }

    /// Adds an agent that is shared already.
    pub fn agent_arc(mut self, name: impl Into<Arc<str>>, agent: Arc<dyn Agent>) -> Builder {
        self.agents.insert(name, agent);
        self
    }

    /// Resolves the agents anew for every request, from its head. A failure answers 500.
    pub fn agents_per_request<F, R>(mut self, resolve: F) -> Builder
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Agents, ResolveError>> + Send + 'static,
    {
        self.per_request = Some(AgentSource::per_request(resolve));
        self
    }

    /// Who runs the agents and keeps their threads. Default: [`MemoryRunner`].
    pub fn runner(mut self, runner: impl AgentRunner) -> Builder {
        self.runner = Some(Arc::new(runner));
        self
    }

    /// Tells users apart: finds out, from a request's head, who sends it. Asked at most once for each request, and
    /// not for those that neither touch threads nor cost anything, as `GET /info`.
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
        self.users = Users::identified_by(identify);
        self
    }

    /// Lets a request choose one of these policies for a busy thread, by `whenBusy` in its `forwardedProps`:
    /// `"reject"`, `"interrupt"`, `"rollback"` or `"enqueue"`. Without it, or with another one, the runner's policy
    /// holds. Default: none, requests choose nothing.
    pub fn allow_request_policies(mut self, policies: impl IntoIterator<Item = WhenBusy>) -> Builder {
        self.policies = RequestPolicies::of(policies);
        self
    }

    /// Asks the agent of a new thread's first run for a title, in the background. That is a further call of the
    /// agent, or up to three where it answers with no title. Default: off; threads are named by the first words
    /// of their first user message.
    pub fn generate_thread_names(mut self, on: bool) -> Builder {
        self.generate_thread_names = on;
        self
    }

    /// Turns speech into text for `POST /transcribe`.
    pub fn transcription(mut self, service: impl TranscriptionService) -> Builder {
        self.transcription = Some(Arc::new(service));
        self
    }

    /// How long a stream may be silent before it gets a keep-alive comment. Default: 15 s; zero turns it off.
    pub fn keep_alive(mut self, interval: Duration) -> Builder {
        self.keep_alive = interval;
        self
    }

    /// Answers on the memory routes at all. Default: they look as if they did not exist.
    pub fn expose_memory_routes(mut self, expose: bool) -> Builder {
        self.options.expose_memory_routes = expose;
        self
    }

    /// Serves `GET /cpk-debug-events`: every event of the caller's threads, which are everybody's where users are not
    /// told apart. Default: off.
    pub fn debug_feed(mut self, on: bool) -> Builder {
        self.debug_feed = on;
        self
    }

    /// Tells clients to render A2UI surfaces.
    pub fn a2ui(mut self, a2ui: A2ui) -> Builder {
        self.options.a2ui = Some(a2ui);
        self
    }

    /// Tells clients to render open generative UI that agents send.
    pub fn open_generative_ui(mut self, on: bool) -> Builder {
        self.options.open_generative_ui = on;
        self
    }

    /// The runtime.
    ///
    /// # Errors
    /// [`BuildError`] names the setting and what to do.
    pub fn build(self) -> Result<CopilotRuntime, BuildError> {
        let agents = match self.per_request {
            Some(_) if !self.agents.is_empty() => return Err(BuildError::TwoAgentSources),
            Some(source) => source,
            None => AgentSource::Fixed(Arc::new(self.agents)),
        };
        if self.keep_alive > MAX_KEEP_ALIVE {
            return Err(BuildError::KeepAliveTooLong(self.keep_alive));
        }
        let options = Options { keep_alive: (!self.keep_alive.is_zero()).then_some(self.keep_alive), ..self.options };
        let runner = self.runner.unwrap_or_else(|| Arc::new(MemoryRunner::new()));
        let feed = self.debug_feed.then(DebugFeed::default);
        let titles = self.generate_thread_names.then(Titles::default);
        let (users, policies, transcription) = (self.users, self.policies, self.transcription);
        let shared = Shared { agents, runner, users, policies, transcription, titles, feed, options };
        Ok(CopilotRuntime { shared: Arc::new(shared) })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("agents", &self.agents).field("options", &self.options).finish_non_exhaustive()
    }
}
