//! Agents with the tools of MCP servers.

mod failures;
mod runs;

use std::sync::Arc;

use copilotkit_runtime::agent::{Agent, AgentCall, FunctionAgent, McpAgent, McpServer};
use copilotkit_runtime::agui::{Event, RunAgentInput};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::serve::{Answer, call, post, service};

/// What an agent was called with, turn by turn.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Arc<RunAgentInput>>>>);

impl Seen {
    pub(crate) fn turns(&self) -> Vec<Arc<RunAgentInput>> {
        self.0.lock().clone()
    }

    /// The names of the tools of a turn.
    pub(crate) fn tools(&self, turn: usize) -> Vec<String> {
        self.turns()[turn].tool_names().collect()
    }

    /// The texts of the messages of a turn.
    pub(crate) fn texts(&self, turn: usize) -> Vec<String> {
        self.turns()[turn].messages.iter().filter_map(|message| message.text()).collect()
    }
}

/// An agent that calls these tools in its first turn, and none in those that follow.
pub(crate) fn caller(calls: &[(&str, &str)]) -> (impl Agent, Seen) {
    caller_for(1, calls)
}

/// An agent that calls these tools in so many turns.
pub(crate) fn caller_for(turns: usize, calls: &[(&str, &str)]) -> (impl Agent, Seen) {
    let seen = Seen::default();
    let heard = seen.clone();
    let calls: Vec<(String, String)> =
        calls.iter().map(|(name, arguments)| ((*name).to_owned(), (*arguments).to_owned())).collect();
    let agent = FunctionAgent::new(move |call: AgentCall| {
        let turn = heard.0.lock().len();
        heard.0.lock().push(call.input.clone());
        let (thread, run) = (&call.input.thread_id, &call.input.run_id);
        let mut events = vec![Event::run_started(thread, run)];
        if turn < turns {
            for (index, (name, arguments)) in calls.iter().enumerate() {
                let id = format!("{turn}-{index}");
                events.extend([
                    Event::tool_start(&id, name, None),
                    Event::tool_args(&id, arguments),
                    Event::tool_end(&id),
                ]);
            }
        } else {
            events.extend([Event::text_start("m"), Event::text_content("m", "Done"), Event::text_end("m")]);
        }
        events.push(Event::run_finished(thread, run));
        stream::iter(events.into_iter().map(Ok))
    });
    (agent, seen)
}

/// The answer to a run of an agent with the tools of a server.
pub(crate) async fn run(agent: impl Agent, server: McpServer) -> Answer {
    let service = service(McpAgent::new(agent, [server.id("s")]));
    let tools = json!([{"name": "confirm", "description": "", "parameters": {}}]);
    let messages = json!([{"id": "u", "role": "user", "content": "go"}]);
    let input = json!({"threadId": "t", "runId": "r", "messages": messages, "tools": tools});
    call(&service, post("/agent/default/run", input.to_string())).await
}

/// The results of calls, in their order.
pub(crate) fn results(answer: &Answer) -> Vec<String> {
    let events = answer.events().into_iter().map(|event| serde_json::from_slice::<Value>(event.json()).expect("JSON"));
    let results = events.filter(|event| event["type"] == "TOOL_CALL_RESULT");
    results.map(|event| event["content"].as_str().expect("text").to_owned()).collect()
}
