//! One message of a conversation.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::InvalidInput;
use super::read::Found;
use super::shape::{Checked, Field, Problem, text};
use super::tables::MESSAGE;

/// One message of a conversation: its JSON, and the fields the runtime steers by.
///
/// Cloning is cheap. Messages read from one request share its text.
#[derive(Clone)]
pub struct Message {
    source: Arc<str>,
    json: Range<usize>,
    id: Id,
    role: Role,
}

/// Where the id stands in the source, or its text if it holds escapes.
#[derive(Clone)]
enum Id {
    At(Range<usize>),
    Decoded(Box<str>),
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

impl Role {
    /// Every role.
    pub const ALL: &[Role] =
        &[Role::Developer, Role::System, Role::Assistant, Role::User, Role::Tool, Role::Activity, Role::Reasoning];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Developer => "developer",
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::User => "user",
            Role::Tool => "tool",
            Role::Activity => "activity",
            Role::Reasoning => "reasoning",
        }
    }
}

/// One tool call of an assistant message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// The id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments: JSON text, as the model wrote it.
    pub arguments: String,
}

impl Message {
    /// What a person says.
    #[must_use]
    pub fn user(id: &str, text: &str) -> Message {
        #[derive(Serialize)]
        struct User<'a> {
            id: &'a str,
            role: &'a str,
            content: &'a str,
        }
        // Writing strings into memory cannot fail.
        let json = serde_json::to_string(&User { id, role: "user", content: text }).unwrap_or_default();
        Message::whole(json, id.into(), Role::User)
    }

    /// Reads and validates one message; unknown keys are dropped.
    ///
    /// # Errors
    /// [`InvalidInput`] if the text is not JSON or no message.
    pub fn parse(json: &str) -> Result<Message, InvalidInput> {
        let source = super::one_line(json.as_bytes())?;
        let mut found = Found::new();
        let (json, variant) =
            MESSAGE.check_text(&source, &mut found).map_err(|problem| InvalidInput(problem.to_string()))?;
        Message::kept(&source, &Checked { json, variant, found: &found }).map_err(|p| InvalidInput(p.to_string()))
    }

    /// A message that was found in `source` and checked.
    pub(super) fn kept(source: &Arc<str>, checked: &Checked<'_, '_>) -> Result<Message, Problem> {
        let id_json = checked.found.get(Field::Id).unwrap_or_default();
        let id = text(id_json).ok_or_else(|| Problem::new("expected a string").at(Field::Id))?;
        let role = Role::ALL.get(checked.variant).copied().unwrap_or(Role::Activity);
        let place = |part: &str| {
            let start = (part.as_ptr() as usize).checked_sub(source.as_ptr() as usize)?;
            let range = start..start + part.len();
            (range.end <= source.len()).then_some(range)
        };
        if let Cow::Borrowed(json) = &checked.json
            && let Some(json) = place(json)
        {
            let id = match &id {
                Cow::Borrowed(plain) => place(plain),
                Cow::Owned(_) => None,
            }
            .map_or_else(|| Id::Decoded((*id).into()), Id::At);
            return Ok(Message { source: source.clone(), json, id, role });
        }
        Ok(Message::whole(checked.json.clone().into_owned(), (*id).into(), role))
    }

    fn whole(json: String, id: Box<str>, role: Role) -> Message {
        Message { json: 0..json.len(), source: json.into(), id: Id::Decoded(id), role }
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.id {
            Id::At(range) => self.source.get(range.clone()).unwrap_or_default(),
            Id::Decoded(id) => id,
        }
    }

    /// Who speaks.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The message as JSON text, on one line.
    #[must_use]
    pub fn json(&self) -> &str {
        self.source.get(self.json.clone()).unwrap_or_default()
    }

    /// The content as plain text: of content parts the texts, one after the other. `None` if there is no
    /// content or it is an activity's.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct WithContent {
            content: Option<Content>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Content {
            Text(String),
            Parts(Vec<Part>),
        }
        #[derive(Deserialize)]
        struct Part {
            text: Option<String>,
        }
        if self.role == Role::Activity {
            return None;
        }
        match serde_json::from_str::<WithContent>(self.json()).ok()?.content? {
            Content::Text(text) => Some(text),
            Content::Parts(parts) => Some(parts.into_iter().filter_map(|part| part.text).collect()),
        }
    }

    /// The tool calls of an assistant message.
    #[must_use]
    pub fn tool_calls(&self) -> Vec<ToolCall> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct WithCalls {
            #[serde(default)]
            tool_calls: Vec<Call>,
        }
        #[derive(Deserialize)]
        struct Call {
            id: String,
            function: Function,
        }
        #[derive(Deserialize)]
        struct Function {
            name: String,
            arguments: String,
        }
        if self.role != Role::Assistant {
            return Vec::new();
        }
        let calls = serde_json::from_str::<WithCalls>(self.json()).map(|found| found.tool_calls).unwrap_or_default();
        calls
            .into_iter()
            .map(|call| ToolCall { id: call.id, name: call.function.name, arguments: call.function.arguments })
            .collect()
    }

    /// Which tool call a tool message answers.
    #[must_use]
    pub fn tool_call_id(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            tool_call_id: String,
        }
        if self.role != Role::Tool {
            return None;
        }
        serde_json::from_str::<Answer>(self.json()).ok().map(|answer| answer.tool_call_id)
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self.json() == other.json()
    }
}

impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}
