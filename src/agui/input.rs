//! What a client posts to run, connect and suggest, and what an agent receives.

use serde_json::value::RawValue;

/// JSON kept as its text: numbers, nulls and key order come through as they came.
pub type RawJson = Box<RawValue>;

/// The body of run, connect and suggest (rest-sse.md chapter 8), validated; keys the protocol does not
/// know are dropped at every typed level.
#[derive(Clone, Debug)]
pub struct RunAgentInput {
    /// The thread; may be empty.
    pub thread_id: String,
    /// The run; may be empty.
    pub run_id: String,
    /// The run this one continues.
    pub parent_run_id: Option<String>,
    /// Shared state; `None` when absent or null.
    pub state: Option<RawJson>,
    /// The conversation as the client sees it.
    pub messages: Vec<Message>,
    /// Tools the client offers, each a validated JSON object.
    pub tools: Vec<RawJson>,
    /// Context entries, each `{"description","value"}`.
    pub context: Vec<RawJson>,
    /// Whatever the application passes through; `None` when absent or null.
    pub forwarded_props: Option<RawJson>,
    /// Answers to interrupts; `None` when absent.
    pub resume: Option<Vec<RawJson>>,
}

/// One message of a conversation: its JSON, and the fields the runtime steers by.
#[derive(Clone, Debug)]
pub struct Message {
    id: Box<str>,
    role: Role,
    json: RawJson,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Instructions of the developer.
    Developer,
    /// Instructions of the system.
    System,
    /// The model or agent.
    Assistant,
    /// The person.
    User,
    /// The result of a tool call.
    Tool,
    /// Something shown beside the conversation; never sent to an agent.
    Activity,
    /// What the model thought.
    Reasoning,
}

/// The body is no [`RunAgentInput`]: not JSON, or a field is missing or of another type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(pub(crate) String);

impl Message {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who speaks.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The message as JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        self.json.get()
    }
}
