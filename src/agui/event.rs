//! One AG-UI event: its JSON text, and a small header read once.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// One AG-UI event: the bytes as they travel, and the few fields the runtime steers by.
///
/// The JSON is a single object without line breaks, so it can be framed as one `data:` line. Two
/// events are equal when their bytes are.
///
/// ```
/// use copilotkit_runtime::agui::{Event, EventKind};
///
/// let event = Event::parse(r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"Hi","x":1.0}"#)?;
/// assert_eq!(event.kind(), EventKind::TextMessageContent);
/// assert_eq!(event.message_id(), Some("m1"));
/// assert!(event.json().ends_with(b"\"x\":1.0}")); // untouched
/// # Ok::<(), copilotkit_runtime::agui::NotAnEvent>(())
/// ```
#[derive(Clone)]
pub struct Event {
    json: Bytes,
    kind: EventKind,
    message_id: Text,
    tool_call_id: Text,
    subagent_run_id: Text,
}

/// The text is no event: not one JSON object with a string `type`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotAnEvent {
    reason: String,
}

/// A string field of an event: where it stands in the JSON, or its decoded text if it holds escapes.
#[derive(Clone, Default)]
enum Text {
    #[default]
    Absent,
    Null,
    At(u32, u32),
    Decoded(Box<str>),
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The type of an event. [`EventKind::Unknown`] stands for every type this release does not know.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is the wire name in camel case")]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
            /// A type this release does not know; it is relayed untouched.
            Unknown,
        }

        impl EventKind {
            /// Every known type, in the order of the protocol's own list.
            pub const ALL: &[EventKind] = &[$(EventKind::$kind,)*];

            /// The kind of a wire name.
            #[must_use]
            pub fn from_name(name: &str) -> EventKind {
                match name {
                    $($name => EventKind::$kind,)*
                    _ => EventKind::Unknown,
                }
            }

            /// The wire name; empty for [`EventKind::Unknown`].
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)*
                    EventKind::Unknown => "",
                }
            }
        }
    };
}

kinds! {
    TextMessageStart = "TEXT_MESSAGE_START",
    TextMessageContent = "TEXT_MESSAGE_CONTENT",
    TextMessageEnd = "TEXT_MESSAGE_END",
    TextMessageChunk = "TEXT_MESSAGE_CHUNK",
    ToolCallStart = "TOOL_CALL_START",
    ToolCallArgs = "TOOL_CALL_ARGS",
    ToolCallEnd = "TOOL_CALL_END",
    ToolCallChunk = "TOOL_CALL_CHUNK",
    ToolCallResult = "TOOL_CALL_RESULT",
    StateSnapshot = "STATE_SNAPSHOT",
    StateDelta = "STATE_DELTA",
    MessagesSnapshot = "MESSAGES_SNAPSHOT",
    ActivitySnapshot = "ACTIVITY_SNAPSHOT",
    ActivityDelta = "ACTIVITY_DELTA",
    Raw = "RAW",
    Custom = "CUSTOM",
    RunStarted = "RUN_STARTED",
    RunFinished = "RUN_FINISHED",
    RunError = "RUN_ERROR",
    StepStarted = "STEP_STARTED",
    StepFinished = "STEP_FINISHED",
    ReasoningStart = "REASONING_START",
    ReasoningMessageStart = "REASONING_MESSAGE_START",
    ReasoningMessageContent = "REASONING_MESSAGE_CONTENT",
    ReasoningMessageEnd = "REASONING_MESSAGE_END",
    ReasoningMessageChunk = "REASONING_MESSAGE_CHUNK",
    ReasoningEnd = "REASONING_END",
    ReasoningEncryptedValue = "REASONING_ENCRYPTED_VALUE",
    SubagentStarted = "SUBAGENT_STARTED",
    SubagentFinished = "SUBAGENT_FINISHED",
    SubagentError = "SUBAGENT_ERROR",
    /// Deprecated family, gone in AG-UI 1.0.0; still relayed.
    ThinkingStart = "THINKING_START",
    ThinkingEnd = "THINKING_END",
    ThinkingTextMessageStart = "THINKING_TEXT_MESSAGE_START",
    ThinkingTextMessageContent = "THINKING_TEXT_MESSAGE_CONTENT",
    ThinkingTextMessageEnd = "THINKING_TEXT_MESSAGE_END",
}

impl EventKind {
    /// `RUN_FINISHED` or `RUN_ERROR`.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, EventKind::RunFinished | EventKind::RunError)
    }
}

impl Event {
    /// Reads an event from its JSON text.
    ///
    /// Line breaks between tokens are removed; everything else stays as it is. Fields other than
    /// `type` are not validated here.
    ///
    /// # Errors
    /// [`NotAnEvent`] when the text is not UTF-8, not one JSON object, has no string `type`, or is
    /// larger than 4 GiB.
    pub fn parse(json: impl Into<Bytes>) -> Result<Event, NotAnEvent> {
        let json = one_line(json.into());
        let text = std::str::from_utf8(&json).map_err(|e| NotAnEvent::new(e.to_string()))?;
        if u32::try_from(text.len()).is_err() {
            return Err(NotAnEvent::new("the event is larger than 4 GiB"));
        }
        let head: Head<'_> = serde_json::from_str(text).map_err(|e| NotAnEvent::new(e.to_string()))?;
        let place = |field: Option<Borrowed<'_>>| match field {
            None => Text::Absent,
            Some(Borrowed::Null) => Text::Null,
            Some(Borrowed::Plain(found)) => {
                let start = found.as_ptr() as usize - text.as_ptr() as usize;
                // Cannot truncate: the text is shorter than 4 GiB, checked above.
                Text::At(start as u32, (start + found.len()) as u32)
            }
            Some(Borrowed::Decoded(found)) => Text::Decoded(found),
        };
        let kind = head.kind.ok_or_else(|| NotAnEvent::new("the event has no string `type`"))?;
        let (message_id, tool_call_id, subagent_run_id) =
            (place(head.message_id), place(head.tool_call_id), place(head.subagent_run_id));
        Ok(Event { kind, message_id, tool_call_id, subagent_run_id, json })
    }

    /// An event from a JSON value.
    ///
    /// # Errors
    /// As [`Event::parse`].
    pub fn from_value(value: &Value) -> Result<Event, NotAnEvent> {
        Event::parse(value.to_string())
    }

    /// The JSON text, as it is stored, streamed and replayed.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// The JSON text as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked when the event was made; an event cannot be changed.
        std::str::from_utf8(&self.json).unwrap_or_default()
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The type as it stands on the wire, also for unknown types.
    #[must_use]
    pub fn type_name(&self) -> String {
        #[derive(Deserialize)]
        struct Named {
            r#type: String,
        }
        match self.kind {
            EventKind::Unknown => self.view::<Named>().map(|n| n.r#type).unwrap_or_default(),
            known => known.name().to_owned(),
        }
    }

    /// `messageId`, if it is a string.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.text(&self.message_id)
    }

    /// `toolCallId`, if it is a string.
    #[must_use]
    pub fn tool_call_id(&self) -> Option<&str> {
        self.text(&self.tool_call_id)
    }

    /// `subagentRunId`, if it is a string: the lane the event belongs to.
    #[must_use]
    pub fn subagent_run_id(&self) -> Option<&str> {
        self.text(&self.subagent_run_id)
    }

    /// Whether `subagentRunId` is there but null, which verification refuses.
    pub(crate) fn has_null_subagent_run_id(&self) -> bool {
        matches!(self.subagent_run_id, Text::Null)
    }

    /// Reads the event as `T`: a typed view for code that must understand it.
    ///
    /// # Errors
    /// When the fields `T` asks for are missing or of another type.
    pub fn view<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.json)
    }

    fn text<'a>(&'a self, field: &'a Text) -> Option<&'a str> {
        match field {
            Text::Absent | Text::Null => None,
            // Only the field itself is looked at again: `as_str` would cost the length of the event.
            Text::At(start, end) => {
                self.json.get(*start as usize..*end as usize).and_then(|text| std::str::from_utf8(text).ok())
            }
            Text::Decoded(text) => Some(text),
        }
    }
}

/// The events the runtime itself, and agents written in Rust, produce.
impl Event {
    /// `RUN_STARTED`.
    #[must_use]
    pub fn run_started(thread_id: &str, run_id: &str) -> Event {
        EventWriter::new(EventKind::RunStarted).text("threadId", thread_id).text("runId", run_id).finish()
    }

    /// `RUN_FINISHED`.
    #[must_use]
    pub fn run_finished(thread_id: &str, run_id: &str) -> Event {
        EventWriter::new(EventKind::RunFinished).text("threadId", thread_id).text("runId", run_id).finish()
    }

    /// `RUN_ERROR` with one of the stable codes.
    #[must_use]
    pub fn run_error(message: &str, code: &str) -> Event {
        EventWriter::new(EventKind::RunError).text("message", message).text("code", code).finish()
    }

    /// `TEXT_MESSAGE_START` of an assistant message.
    #[must_use]
    pub fn text_start(message_id: &str) -> Event {
        EventWriter::new(EventKind::TextMessageStart).text("messageId", message_id).text("role", "assistant").finish()
    }

    /// `TEXT_MESSAGE_CONTENT`.
    #[must_use]
    pub fn text_content(message_id: &str, delta: &str) -> Event {
        EventWriter::new(EventKind::TextMessageContent).text("messageId", message_id).text("delta", delta).finish()
    }

    /// `TEXT_MESSAGE_END`.
    #[must_use]
    pub fn text_end(message_id: &str) -> Event {
        EventWriter::new(EventKind::TextMessageEnd).text("messageId", message_id).finish()
    }

    /// `TOOL_CALL_START`; `parent` is the assistant message the call belongs to.
    #[must_use]
    pub fn tool_start(tool_call_id: &str, name: &str, parent: Option<&str>) -> Event {
        let start =
            EventWriter::new(EventKind::ToolCallStart).text("toolCallId", tool_call_id).text("toolCallName", name);
        match parent {
            Some(parent) => start.text("parentMessageId", parent).finish(),
            None => start.finish(),
        }
    }

    /// `TOOL_CALL_ARGS`: a piece of the JSON text of the arguments.
    #[must_use]
    pub fn tool_args(tool_call_id: &str, delta: &str) -> Event {
        EventWriter::new(EventKind::ToolCallArgs).text("toolCallId", tool_call_id).text("delta", delta).finish()
    }

    /// `TOOL_CALL_END`.
    #[must_use]
    pub fn tool_end(tool_call_id: &str) -> Event {
        EventWriter::new(EventKind::ToolCallEnd).text("toolCallId", tool_call_id).finish()
    }

    /// `TOOL_CALL_RESULT`.
    #[must_use]
    pub fn tool_result(message_id: &str, tool_call_id: &str, content: &str) -> Event {
        EventWriter::new(EventKind::ToolCallResult)
            .text("messageId", message_id)
            .text("toolCallId", tool_call_id)
            .text("content", content)
            .text("role", "tool")
            .finish()
    }

    /// `STATE_SNAPSHOT`.
    #[must_use]
    pub fn state_snapshot(snapshot: &Value) -> Event {
        EventWriter::new(EventKind::StateSnapshot).json("snapshot", snapshot).finish()
    }

    /// `STATE_DELTA`: a JSON Patch (RFC 6902).
    #[must_use]
    pub fn state_delta(patch: &Value) -> Event {
        EventWriter::new(EventKind::StateDelta).json("delta", patch).finish()
    }

    /// `CUSTOM`.
    #[must_use]
    pub fn custom(name: &str, value: &Value) -> Event {
        EventWriter::new(EventKind::Custom).text("name", name).json("value", value).finish()
    }
}

/// Writes an event field by field, in order. For events that have no constructor of their own.
///
/// ```
/// use copilotkit_runtime::agui::{EventKind, EventWriter};
///
/// let step = EventWriter::new(EventKind::StepStarted).text("stepName", "search").finish();
/// assert_eq!(step.as_str(), r#"{"type":"STEP_STARTED","stepName":"search"}"#);
/// ```
#[derive(Debug)]
pub struct EventWriter {
    out: Vec<u8>,
    event: EventParts,
}

#[derive(Default)]
struct EventParts {
    kind: Option<EventKind>,
    message_id: Text,
    tool_call_id: Text,
    subagent_run_id: Text,
}

impl fmt::Debug for EventParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl EventWriter {
    /// Starts an event of a known type.
    ///
    /// # Panics
    /// Never for a known type; [`EventKind::Unknown`] has no name to write and gives an event with an empty type.
    #[must_use]
    pub fn new(kind: EventKind) -> EventWriter {
        let mut out = Vec::with_capacity(112);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.name().as_bytes());
        out.push(b'"');
        EventWriter { out, event: EventParts { kind: Some(kind), ..EventParts::default() } }
    }

    /// Adds a string field.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> EventWriter {
        self.name(name);
        let start = self.out.len() + 1;
        write_json_str(&mut self.out, value);
        let end = self.out.len() - 1;
        let slot = match name {
            "messageId" => &mut self.event.message_id,
            "toolCallId" => &mut self.event.tool_call_id,
            "subagentRunId" => &mut self.event.subagent_run_id,
            _ => return self,
        };
        *slot = match (end - start == value.len(), u32::try_from(start), u32::try_from(end)) {
            (true, Ok(start), Ok(end)) => Text::At(start, end),
            _ => Text::Decoded(value.into()),
        };
        self
    }

    /// Adds a string field if there is a value.
    #[must_use]
    pub fn optional_text(self, name: &str, value: Option<&str>) -> EventWriter {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Adds a field that is any JSON.
    #[must_use]
    pub fn json(mut self, name: &str, value: &Value) -> EventWriter {
        self.name(name);
        // Writing a `Value` into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.out, value);
        self
    }

    /// Adds a field whose value is already JSON text. The text must be valid JSON without line breaks.
    #[must_use]
    pub fn raw(mut self, name: &str, json: &str) -> EventWriter {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    /// The finished event.
    #[must_use]
    pub fn finish(mut self) -> Event {
        self.out.push(b'}');
        Event {
            json: Bytes::from(self.out),
            kind: self.event.kind.unwrap_or(EventKind::Unknown),
            message_id: self.event.message_id,
            tool_call_id: self.event.tool_call_id,
            subagent_run_id: self.event.subagent_run_id,
        }
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// Writes `value` as a JSON string, escaped as JavaScript does it (rest-sse.md chapter 11).
pub(crate) fn write_json_str(out: &mut Vec<u8>, value: &str) {
    if value.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push(b'"');
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    } else {
        // Writing a string into memory cannot fail.
        let _ = serde_json::to_writer(out, value);
    }
}

/// JSON text without line breaks: inside strings they are always escaped, so those found are white space.
fn one_line(json: Bytes) -> Bytes {
    if json.iter().any(|b| matches!(b, b'\n' | b'\r')) {
        json.iter().copied().filter(|b| !matches!(b, b'\n' | b'\r')).collect::<Vec<u8>>().into()
    } else {
        json
    }
}

impl NotAnEvent {
    fn new(reason: impl Into<String>) -> NotAnEvent {
        NotAnEvent { reason: reason.into() }
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        self.json == other.json
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The header fields, borrowed from the text.
#[derive(Default)]
struct Head<'a> {
    kind: Option<EventKind>,
    message_id: Option<Borrowed<'a>>,
    tool_call_id: Option<Borrowed<'a>>,
    subagent_run_id: Option<Borrowed<'a>>,
}

enum Borrowed<'a> {
    Null,
    Plain(&'a str),
    Decoded(Box<str>),
}

/// A field that counts only if it is a string: `{"messageId": 7}` is relayed, not refused.
struct IfString<'a>(Option<Borrowed<'a>>);

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "type")]
    Type,
    #[serde(rename = "messageId")]
    MessageId,
    #[serde(rename = "toolCallId")]
    ToolCallId,
    #[serde(rename = "subagentRunId")]
    SubagentRunId,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Head<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadVisitor;
        impl<'de> Visitor<'de> for HeadVisitor {
            type Value = Head<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an AG-UI event object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                let mut head = Head::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Type => {
                            head.kind = match map.next_value::<IfString<'de>>()?.0 {
                                Some(Borrowed::Plain(name)) => Some(EventKind::from_name(name)),
                                Some(Borrowed::Decoded(name)) => Some(EventKind::from_name(&name)),
                                Some(Borrowed::Null) | None => None,
                            };
                        }
                        Key::MessageId => head.message_id = map.next_value::<IfString<'de>>()?.0,
                        Key::ToolCallId => head.tool_call_id = map.next_value::<IfString<'de>>()?.0,
                        Key::SubagentRunId => head.subagent_run_id = map.next_value::<IfString<'de>>()?.0,
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(HeadVisitor)
    }
}

impl<'de> Deserialize<'de> for IfString<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IfStringVisitor;
        impl<'de> Visitor<'de> for IfStringVisitor {
            type Value = IfString<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(IfString(Some(Borrowed::Plain(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(IfString(Some(Borrowed::Decoded(text.into()))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(IfString(Some(Borrowed::Null)))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(IfString(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(IfString(None))
            }
        }
        deserializer.deserialize_any(IfStringVisitor)
    }
}
