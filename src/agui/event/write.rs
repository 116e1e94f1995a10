//! Writing events: field by field, and the ones the runtime and agents in Rust need most.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::head::{Header, Text};
use super::{Event, EventKind};

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
        EventWriter::of_two(EventKind::TextMessageContent, ("messageId", message_id), ("delta", delta))
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
        EventWriter::of_two(EventKind::ToolCallArgs, ("toolCallId", tool_call_id), ("delta", delta))
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
pub struct EventWriter {
    out: Vec<u8>,
    kind: EventKind,
    header: Header,
}

/// What a string field costs beside its name and value: a comma, a colon, four quotes.
const FIELD: usize = 6;

impl EventWriter {
    /// Starts an event of a known type.
    ///
    /// # Panics
    /// Never for a known type; [`EventKind::Unknown`] has no name to write and gives an event with an empty type.
    #[must_use]
    pub fn new(kind: EventKind) -> EventWriter {
        EventWriter::with_room(kind, 96)
    }

    /// As [`EventWriter::new`], with room for so many bytes of fields: an event that fills its room is not copied.
    fn with_room(kind: EventKind, fields: usize) -> EventWriter {
        const OPEN: &[u8] = b"{\"type\":\"";
        let mut out = Vec::with_capacity(OPEN.len() + kind.name().len() + 2 + fields);
        out.extend_from_slice(OPEN);
        out.extend_from_slice(kind.name().as_bytes());
        out.push(b'"');
        EventWriter { out, kind, header: Header::default() }
    }

    /// An event of two string fields, the shape of nearly everything an agent streams.
    fn of_two(kind: EventKind, first: (&str, &str), second: (&str, &str)) -> Event {
        let room = first.0.len() + first.1.len() + second.0.len() + second.1.len() + 2 * FIELD;
        EventWriter::with_room(kind, room).text(first.0, first.1).text(second.0, second.1).finish()
    }

    /// Adds a string field.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> EventWriter {
        self.name(name);
        let start = self.out.len() + 1;
        write_json_str(&mut self.out, value);
        let end = self.out.len() - 1;
        let place = u32::try_from(start).ok().zip(u32::try_from(end).ok());
        let slot = match name {
            "messageId" => &mut self.header.message_id,
            "toolCallId" => &mut self.header.tool_call_id,
            "subagentRunId" => &mut self.header.subagent_run_id,
            "delta" => {
                self.header.delta = place;
                return self;
            }
            _ => return self,
        };
        *slot = match place {
            Some((start, end)) if (end - start) as usize == value.len() => Text::At(start, end),
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
    pub fn json(self, name: &str, value: &Value) -> EventWriter {
        self.raw(name, &value.to_string())
    }

    /// Adds a field whose value is already JSON text. The text must be valid JSON without line breaks.
    #[must_use]
    pub fn raw(mut self, name: &str, json: &str) -> EventWriter {
        self.name(name);
        let start = self.out.len();
        self.out.extend_from_slice(json.as_bytes());
        match name {
            "delta" if json.starts_with('"') => {
                let inside = (u32::try_from(start + 1), u32::try_from(self.out.len() - 1));
                self.header.delta = inside.0.ok().zip(inside.1.ok());
            }
            "metadata" => self.header.has_metadata = true,
            _ => {}
        }
        self
    }

    /// The finished event.
    #[must_use]
    pub fn finish(mut self) -> Event {
        self.out.push(b'}');
        Event { json: Bytes::from(self.out), kind: self.kind, header: self.header }
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

impl fmt::Debug for EventWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventWriter").field(&String::from_utf8_lossy(&self.out)).finish()
    }
}
