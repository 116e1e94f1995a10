//! What the demo agent reads from its input. Nothing here fails: what is odd is treated as absent.

use serde::Deserialize;
use serde_json::Value;

use crate::agui::{Message, RawJson, Role, RunAgentInput};

/// The input, as far as the demo agent cares.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) thread_id: &'a str,
    pub(super) run_id: &'a str,
    /// How many messages there are, if one of them is this run's: a client resumes a run under the id it had.
    pub(super) said: usize,
    /// The text of the user's last message.
    pub(super) words: String,
    /// The user has spoken last, or nobody has.
    pub(super) users_turn: bool,
    /// The user has spoken at most once.
    pub(super) first_turn: bool,
    pub(super) tools: Vec<Tool>,
    /// The tool the client insists on, by place in `tools`.
    pub(super) forced_tool: Option<usize>,
    /// The result of a tool call, if that is what the conversation ends with.
    pub(super) result: Option<ToolResult>,
    pub(super) answers: Vec<Answer>,
    /// The shared state; an object.
    pub(super) state: serde_json::Map<String, Value>,
}

/// A tool the client offers.
#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) name: String,
    #[serde(default)]
    pub(super) parameters: Value,
}

#[derive(Debug)]
pub(super) struct ToolResult {
    /// The name of the tool, if the call is in the conversation.
    pub(super) tool: Option<String>,
    pub(super) content: String,
}

/// The answer to an interrupt.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) payload: Value,
}

impl Scene<'_> {
    pub(super) fn of(input: &RunAgentInput) -> Scene<'_> {
        let tools: Vec<Tool> = input.tools.iter().filter_map(view).collect();
        let last = input.messages.last();
        let users_words = input.messages.iter().rfind(|message| message.role() == Role::User);
        Scene {
            thread_id: &input.thread_id,
            run_id: &input.run_id,
            said: if input.messages.iter().any(|message| message.id().starts_with(&*input.run_id)) {
                input.messages.len()
            } else {
                0
            },
            words: users_words.and_then(Message::text).unwrap_or_default(),
            users_turn: last.is_none_or(|message| message.role() == Role::User),
            first_turn: input.messages.iter().filter(|message| message.role() == Role::User).count() <= 1,
            forced_tool: forced_tool(input, &tools),
            tools,
            result: result(input),
            answers: input.resume.iter().flatten().filter_map(view).collect(),
            state: match input.state.as_ref().and_then(view) {
                Some(Value::Object(state)) => state,
                _ => serde_json::Map::new(),
            },
        }
    }
}

fn view<T: serde::de::DeserializeOwned>(json: &RawJson) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}

/// `forwardedProps.toolChoice`, as model providers know it; CopilotKit sets it to collect suggestions.
fn forced_tool(input: &RunAgentInput, tools: &[Tool]) -> Option<usize> {
    let props: Value = input.forwarded_props.as_ref().and_then(view)?;
    let name = props.pointer("/toolChoice/function/name")?.as_str()?;
    tools.iter().position(|tool| tool.name == name)
}

fn result(input: &RunAgentInput) -> Option<ToolResult> {
    let last = input.messages.last().filter(|message| message.role() == Role::Tool)?;
    let called = last.tool_call_id().and_then(|id| {
        let calls = input.messages.iter().rev().flat_map(Message::tool_calls);
        calls.into_iter().find(|call| call.id == id).map(|call| call.name)
    });
    Some(ToolResult { tool: called, content: last.text().unwrap_or_default() })
}
