//! Names to agents, fixed or resolved for each request.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::request::Parts;
use indexmap::IndexMap;

use super::Agent;

/// Agents by name, in the order they were added.
#[derive(Clone, Default)]
pub struct Agents {
    by_name: IndexMap<Arc<str>, Arc<dyn Agent>>,
}

impl Agents {
    /// No agents.
    #[must_use]
    pub fn new() -> Agents {
        Agents::default()
    }

    /// Adds an agent, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, name: impl Into<Arc<str>>, agent: impl Agent) -> Agents {
        self.insert(name, Arc::new(agent));
        self
    }

    /// Adds a shared agent, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, agent: Arc<dyn Agent>) {
        self.by_name.insert(name.into(), agent);
    }

    /// The agent of a name, and the name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&Arc<str>, &Arc<dyn Agent>)> {
        self.by_name.get_key_value(name)
    }

    /// All agents, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<dyn Agent>)> {
        self.by_name.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

/// Why agents could not be resolved for a request.
pub type ResolveError = Box<dyn std::error::Error + Send + Sync>;

type PerRequest = dyn Fn(&Parts) -> BoxFuture<'static, Result<Agents, ResolveError>> + Send + Sync;

/// Where the agents of a request come from.
#[derive(Clone)]
pub(crate) enum AgentSource {
    Fixed(Arc<Agents>),
    PerRequest(Arc<PerRequest>),
}

impl AgentSource {
    /// Agents that depend on the request.
    pub(crate) fn per_request<F, R>(resolve: F) -> AgentSource
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Agents, ResolveError>> + Send + 'static,
    {
        AgentSource::PerRequest(Arc::new(move |head| Box::pin(resolve(head))))
    }

    /// The agents this request may use.
    pub(crate) async fn resolve(&self, head: &Parts) -> Result<Arc<Agents>, ResolveError> {
        match self {
            AgentSource::Fixed(agents) => Ok(agents.clone()),
            AgentSource::PerRequest(resolve) => resolve(head).await.map(Arc::new),
        }
    }
}

impl fmt::Debug for AgentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentSource::Fixed(agents) => agents.fmt(f),
            AgentSource::PerRequest(_) => f.write_str("per request"),
        }
    }
}
