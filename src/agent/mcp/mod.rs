//! Tools of MCP servers for an agent that knows nothing of them.

mod drive;
mod server;
mod session;
mod toolbox;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Agent, AgentCall, AgentError, EventStream};

pub use self::server::{McpServer, McpServerError};

/// How often the tools an agent calls are executed in one run.
const MAX_ROUNDS: usize = 32;

/// An agent with the tools of MCP servers.
///
/// At the start of a run the servers are asked for their tools, which the agent finds among those of the front end,
/// named `mcp__{server}__{tool}`. When its turn ends with calls of them, they are executed here, their results are
/// shown as `TOOL_CALL_RESULT`, and the agent has another turn with the results. All that is one run to whoever
/// watches. If it called a tool of the front end too, the run ends, and the client goes on.
///
/// A server that cannot be asked is left out of the run, and said so in the log. A call that fails is told to the agent
/// as its result.
///
/// ```
/// use copilotkit_runtime::agent::{HttpAgent, McpAgent, McpServer};
///
/// let search = McpServer::new("https://search.example.com/mcp")?.id("search").header("authorization", "Bearer …")?;
/// let agent = McpAgent::new(HttpAgent::new("http://localhost:8000/agui")?, [search]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct McpAgent {
    agent: Arc<dyn Agent>,
    servers: Arc<[McpServer]>,
    max_rounds: usize,
}

/// Why a server did not do what it was asked. The text is shown to models and people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Failure {
    #[error("the HTTP client cannot be set up")]
    Client,
    #[error("the MCP server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the MCP server did not answer within {0:?}")]
    TimedOut(Duration),
    /// The server's own words.
    #[error("{0}")]
    Refused(String),
    #[error("the MCP server's answer {0}")]
    Malformed(&'static str),
    #[error("the result is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the arguments are no JSON object")]
    Arguments,
}

impl McpAgent {
    /// An agent, and whose tools it has.
    #[must_use]
    pub fn new(agent: impl Agent, servers: impl IntoIterator<Item = McpServer>) -> McpAgent {
        McpAgent::over(Arc::new(agent), servers)
    }

    /// As [`McpAgent::new`], for an agent of any kind.
    #[must_use]
    pub fn over(agent: Arc<dyn Agent>, servers: impl IntoIterator<Item = McpServer>) -> McpAgent {
        McpAgent { agent, servers: servers.into_iter().collect(), max_rounds: MAX_ROUNDS }
    }

    /// How often calls are executed in one run: 32 times unless set, once at least. Then the calls are answered with an
    /// error, and the run ends.
    #[must_use]
    pub fn max_rounds(mut self, rounds: usize) -> McpAgent {
        self.max_rounds = rounds.max(1);
        self
    }
}

impl Agent for McpAgent {
    fn run(&self, call: AgentCall) -> EventStream {
        drive::run(self.clone(), call)
    }

    fn description(&self) -> &str {
        self.agent.description()
    }

    fn class_name(&self) -> &str {
        self.agent.class_name()
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        self.agent.capabilities()
    }

    fn stop_grace(&self) -> Duration {
        self.agent.stop_grace()
    }
}

impl fmt::Debug for McpAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpAgent")
            .field("agent", &self.agent.class_name())
            .field("servers", &self.servers)
            .field("max_rounds", &self.max_rounds)
            .finish()
    }
}
