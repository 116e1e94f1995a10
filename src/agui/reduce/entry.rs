//! One message of a list while events still add to it.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::agui::RawJson;
use crate::agui::patch;
use crate::agui::raw::{Fields, RawMap, elements, field, object, quoted, string_body, string_field, value};

/// A message: the fields events change are apart, the others are kept as they came.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) role: String,
    pub(super) content: Content,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) metadata: RawMap,
    /// Every other field, e.g. `name`, `toolCallId`, `activityType`, `encryptedValue`.
    pub(super) other: RawMap,
    /// Made up for a tool call whose assistant message had not started yet.
    pub(super) awaits_start: bool,
}

/// What a message says.
#[derive(Clone, Debug, Default)]
pub(super) enum Content {
    #[default]
    Absent,
    /// The inside of a JSON string, as it stands between the quotes: halves of a surrogate pair that
    /// came in two pieces meet again.
    Text(String),
    /// Parts, or the object of an activity.
    Json(String),
    /// An activity that has been patched.
    Patched(Value, patch::Room),
}

/// A tool call of an assistant message.
#[derive(Clone, Debug)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    /// The inside of a JSON string, as it stands between the quotes.
    pub(super) arguments: String,
    pub(super) metadata: RawMap,
    /// Every other field, e.g. `encryptedValue`.
    pub(super) other: RawMap,
}

impl Entry {
    pub(super) fn new(id: &str, role: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            role: role.to_owned(),
            content: Content::Absent,
            tool_calls: Vec::new(),
            metadata: RawMap::default(),
            other: RawMap::default(),
            awaits_start: false,
        }
    }

    /// Reads a message; `None` without a string id and role.
    pub(super) fn read(json: &str) -> Option<Entry> {
        let mut entry = Entry::new(&string_field(json, "id")?, &string_field(json, "role")?);
        for (name, value) in Fields::of(json) {
            match name.as_ref() {
                "id" | "role" => {}
                "content" => entry.content = Content::read(value),
                "toolCalls" => {
                    entry.tool_calls = elements(value).filter_map(ToolCall::read).collect();
                }
                "metadata" => entry.metadata.merge(value),
                name => entry.other.set(name, value),
            }
        }
        Some(entry)
    }

    /// The message as AG-UI has it.
    pub(super) fn to_message(&self) -> Option<RawJson> {
        let mut fields = RawMap::default();
        fields.set("id", &quoted(&self.id));
        fields.set("role", &quoted(&self.role));
        if let Some(content) = self.content.to_json() {
            fields.set("content", &content);
        }
        if !self.tool_calls.is_empty() {
            fields.set("toolCalls", &array(self.tool_calls.iter().map(ToolCall::to_json)));
        }
        self.other.iter().for_each(|(name, json)| fields.set(name, json));
        if !self.metadata.is_empty() {
            fields.set("metadata", &self.metadata.to_json());
        }
        RawValue::from_string(fields.to_json()).ok()
    }

    /// The message as `GET /threads/{threadId}/messages` has it (rest-sse.md chapter 9).
    pub(super) fn to_rest(&self) -> String {
        let mut fields = RawMap::default();
        fields.set("id", &quoted(&self.id));
        fields.set("role", &quoted(&self.role));
        if let Some(content) = self.content.to_json() {
            fields.set("content", &content);
        }
        match self.role.as_str() {
            "assistant" if !self.tool_calls.is_empty() => {
                fields.set("toolCalls", &array(self.tool_calls.iter().map(ToolCall::to_rest)));
            }
            "tool" => {
                if let Some((_, id)) = self.other.iter().find(|(name, _)| *name == "toolCallId") {
                    fields.set("toolCallId", id);
                }
            }
            _ => {}
        }
        fields.to_json()
    }
}

impl Content {
    pub(super) fn read(json: &str) -> Content {
        match string_body(json) {
            Some(text) => Content::Text(text.to_owned()),
            None if json == "null" => Content::Absent,
            None => Content::Json(json.to_owned()),
        }
    }

    /// Adds a piece of text; parts and activities have no text to add to.
    pub(super) fn append(&mut self, piece: &str) {
        match self {
            Content::Text(text) => text.push_str(piece),
            Content::Absent => *self = Content::Text(piece.to_owned()),
            Content::Json(_) | Content::Patched(..) => {}
        }
    }

    /// Patches the content; a patch that does not apply changes nothing.
    pub(super) fn patch(&mut self, patch: &str) {
        let (mut content, mut room) = match std::mem::take(self) {
            Content::Patched(content, room) => (content, room),
            Content::Absent => (Value::Object(serde_json::Map::new()), patch::Room::default()),
            unread => match unread.to_json().as_deref().and_then(value) {
                Some(content) => (content, patch::Room::default()),
                None => return *self = unread,
            },
        };
        // All or nothing: what does not apply leaves the content as it was.
        let _ = patch::apply(&mut content, patch, &mut room);
        *self = Content::Patched(content, room);
    }

    fn to_json(&self) -> Option<String> {
        match self {
            Content::Absent => None,
            Content::Text(text) => Some(format!("\"{text}\"")),
            Content::Json(json) => Some(json.clone()),
            Content::Patched(content, _) => Some(content.to_string()),
        }
    }
}

impl ToolCall {
    pub(super) fn new(id: &str, name: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: String::new(),
            metadata: RawMap::default(),
            other: RawMap::default(),
        }
    }

    fn read(json: &str) -> Option<ToolCall> {
        let function = field(json, "function")?;
        let mut call = ToolCall::new(&string_field(json, "id")?, &string_field(function, "name")?);
        let arguments = field(function, "arguments").and_then(string_body);
        arguments.unwrap_or_default().clone_into(&mut call.arguments);
        for (name, value) in Fields::of(json) {
            match name.as_ref() {
                "id" | "type" | "function" => {}
                "metadata" => call.metadata.merge(value),
                name => call.other.set(name, value),
            }
        }
        Some(call)
    }

    fn to_json(&self) -> String {
        let mut fields = RawMap::default();
        fields.set("id", &quoted(&self.id));
        fields.set("type", "\"function\"");
        fields.set(
            "function",
            &object(
                [("name", quoted(&self.name).as_str()), ("arguments", &format!("\"{}\"", self.arguments))].into_iter(),
            ),
        );
        self.other.iter().for_each(|(name, json)| fields.set(name, json));
        if !self.metadata.is_empty() {
            fields.set("metadata", &self.metadata.to_json());
        }
        fields.to_json()
    }

    fn to_rest(&self) -> String {
        let (id, name) = (quoted(&self.id), quoted(&self.name));
        let arguments = format!("\"{}\"", self.arguments);
        object([("id", id.as_str()), ("name", &name), ("args", &arguments)].into_iter())
    }
}

/// Writes an array whose elements are JSON text.
pub(super) fn array(elements: impl Iterator<Item = String>) -> String {
    let elements: Vec<_> = elements.collect();
    format!("[{}]", elements.join(","))
}
