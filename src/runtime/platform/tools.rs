//! The platform's tools, in the hands of the agent of a run (intelligence.md 2.9).

use http::request::Parts;

use super::PlatformFailure;
use crate::agent::{McpAgent, McpServer};
use crate::intelligence::Intelligence;
use crate::runtime::FoundAgent;

/// What stands in the middle of the tools' names.
const SERVER_ID: &str = "intelligence";

/// The platform as an MCP server; each run names its own user to it.
pub(super) struct Tools {
    server: McpServer,
}

impl Tools {
    pub(super) fn of(intelligence: &Intelligence) -> Tools {
        Tools { server: McpServer::at(intelligence.mcp_url().clone()).id(SERVER_ID) }
    }

    /// The agent with the tools that a user's run has; as it is, if that has none.
    pub(super) async fn given_to(
        &self,
        found: &FoundAgent,
        intelligence: &Intelligence,
        head: &Parts,
        user_id: &str,
    ) -> Result<FoundAgent, PlatformFailure> {
        let Some(headers) = intelligence.tool_headers(head, user_id).await? else { return Ok(found.clone()) };
        let server = self.server.clone().with_headers(headers);
        let agent = McpAgent::over(found.agent.clone(), [server]);
        Ok(FoundAgent { agent: std::sync::Arc::new(agent), ..found.clone() })
    }
}
