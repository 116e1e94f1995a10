//! What a finished answer said, as the hook after a request is told it.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;

use super::raw::{decode, elements, field, string_body, string_field, value};
use super::{Event, EventKind};

/// What [`messages_from_stream`] finds in an answer.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Observed {
    /// The messages, in the order they first appeared.
    pub messages: Vec<ObservedMessage>,
    /// The thread of the last `RUN_STARTED`.
    pub thread_id: Option<String>,
    /// The run of the last `RUN_STARTED`.
    pub run_id: Option<String>,
}

/// A message of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObservedMessage {
    /// The message's id.
    pub id: String,
    /// Who speaks, e.g. `assistant`.
    pub role: String,
    /// What it says: text, or whatever a snapshot holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
    /// The tool calls of an assistant message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ObservedToolCall>,
    /// The call a tool message answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A tool call of an [`ObservedMessage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ObservedToolCall {
    /// The call's id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The JSON text of the arguments.
    pub args: String,
}

/// Rebuilds the messages of an answer from its events, by the simpler rules of the hook after a request
/// (rest-sse.md chapter 6): the last `MESSAGES_SNAPSHOT` wins wholesale; otherwise text messages and tool
/// results in order of first appearance, with tool calls at the message `parentMessageId` names. A call
/// without such a message is left out.
///
/// ```
/// use copilotkit_runtime::agui::{Event, messages_from_stream};
///
/// let events = [Event::run_started("t", "r"), Event::text_start("m"), Event::text_content("m", "Hi")];
/// let observed = messages_from_stream(&events);
/// assert_eq!(observed.run_id.as_deref(), Some("r"));
/// assert_eq!(observed.messages[0].content, Some("Hi".into()));
/// ```
pub fn messages_from_stream<'a>(events: impl IntoIterator<Item = &'a Event>) -> Observed {
    let mut reader = Reader::default();
    for event in events {
        reader.read(event);
    }
    Observed {
        messages: match reader.snapshot {
            Some(messages) => messages,
            None => reader.messages.into_iter().map(Draft::finish).collect(),
        },
        thread_id: reader.thread_id,
        run_id: reader.run_id,
    }
}

#[derive(Default)]
struct Reader {
    messages: Vec<Draft>,
    places: HashMap<String, usize>,
    /// Where a tool call is: its message and its place there.
    calls: HashMap<String, (usize, usize)>,
    snapshot: Option<Vec<ObservedMessage>>,
    thread_id: Option<String>,
    run_id: Option<String>,
}

/// A message under construction. Text is kept as it stands in the JSON, so that an emoji cut in two
/// between pieces comes out whole.
#[derive(Default)]
struct Draft {
    message: ObservedMessage,
    text: String,
    args: Vec<String>,
}

impl Reader {
    fn read(&mut self, event: &Event) {
        let json = event.as_str();
        match event.kind() {
            EventKind::RunStarted => {
                self.thread_id = string_field(json, "threadId");
                self.run_id = string_field(json, "runId");
            }
            EventKind::MessagesSnapshot => {
                let messages = field(json, "messages").unwrap_or_default();
                self.snapshot = Some(elements(messages).filter_map(from_snapshot).collect());
            }
            EventKind::TextMessageStart => {
                let role = string_field(json, "role").unwrap_or_else(|| "assistant".to_owned());
                if let Some(id) = event.message_id() {
                    self.message(id, &role);
                }
            }
            EventKind::TextMessageContent => {
                if let Some(place) = event.message_id().and_then(|id| self.places.get(id)) {
                    self.messages[*place].text.push_str(piece(json, "delta"));
                }
            }
            EventKind::ToolCallStart => self.call_started(event),
            EventKind::ToolCallArgs => {
                let call = event.tool_call_id().and_then(|id| self.calls.get(id));
                if let Some((message, call)) = call {
                    self.messages[*message].args[*call].push_str(piece(json, "delta"));
                }
            }
            EventKind::ToolCallResult => {
                let Some(id) = event.message_id() else { return };
                let draft = self.message(id, "tool");
                piece(json, "content").clone_into(&mut draft.text);
                draft.message.tool_call_id = event.tool_call_id().map(str::to_owned);
            }
            _ => {}
        }
    }

    fn call_started(&mut self, event: &Event) {
        let json = event.as_str();
        let parent = string_field(json, "parentMessageId");
        let place = parent.and_then(|parent| self.places.get(&parent).copied());
        let (Some(id), Some(place)) = (event.tool_call_id(), place) else {
            return;
        };
        if self.calls.contains_key(id) {
            return;
        }
        let draft = &mut self.messages[place];
        self.calls.insert(id.to_owned(), (place, draft.args.len()));
        draft.args.push(String::new());
        draft.message.tool_calls.push(ObservedToolCall {
            id: id.to_owned(),
            name: string_field(json, "toolCallName").unwrap_or_default(),
            args: String::new(),
        });
    }

    fn message(&mut self, id: &str, role: &str) -> &mut Draft {
        let place = *self.places.entry(id.to_owned()).or_insert_with(|| {
            let mut draft = Draft::default();
            id.clone_into(&mut draft.message.id);
            role.clone_into(&mut draft.message.role);
            self.messages.push(draft);
            self.messages.len() - 1
        });
        &mut self.messages[place]
    }
}

impl Draft {
    fn finish(mut self) -> ObservedMessage {
        self.message.content = Some(Value::String(decode(&self.text)));
        for (call, args) in self.message.tool_calls.iter_mut().zip(&self.args) {
            call.args = decode(args);
        }
        self.message
    }
}

fn from_snapshot(message: &str) -> Option<ObservedMessage> {
    let calls = field(message, "toolCalls").unwrap_or_default();
    Some(ObservedMessage {
        id: string_field(message, "id")?,
        role: string_field(message, "role")?,
        content: field(message, "content").and_then(value),
        tool_calls: elements(calls).filter_map(call_from_snapshot).collect(),
        tool_call_id: string_field(message, "toolCallId"),
    })
}

fn call_from_snapshot(call: &str) -> Option<ObservedToolCall> {
    let function = field(call, "function")?;
    Some(ObservedToolCall {
        id: string_field(call, "id")?,
        name: string_field(function, "name")?,
        args: string_field(function, "arguments").unwrap_or_default(),
    })
}

/// The inside of a string field.
fn piece<'a>(json: &'a str, name: &str) -> &'a str {
    field(json, name).and_then(string_body).unwrap_or_default()
}

#[cfg(test)]
mod tests;
