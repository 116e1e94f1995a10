//! One AG-UI event: its JSON text, and a small header read once.

mod head;
mod kind;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::head::{Header, Text};
pub use self::kind::EventKind;
pub use self::write::EventWriter;
pub(crate) use self::write::write_json_str;
use super::raw::string_field;

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
    header: Header,
}

/// The text is no event: not one JSON object with a string `type`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotAnEvent {
    reason: String,
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
        let (kind, header) = head::read(text).map_err(|e| NotAnEvent::new(e.to_string()))?;
        let kind = kind.ok_or_else(|| NotAnEvent::new("the event has no string `type`"))?;
        Ok(Event { kind, header, json })
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
        match self.kind {
            // An event has a type, so there is one.
            EventKind::Unknown => string_field(self.as_str(), "type").unwrap_or_default(),
            known => known.name().to_owned(),
        }
    }

    /// `messageId`, if it is a string.
    #[must_use]
    pub fn message_id(&self) -> Option<&str> {
        self.text(&self.header.message_id)
    }

    /// `toolCallId`, if it is a string.
    #[must_use]
    pub fn tool_call_id(&self) -> Option<&str> {
        self.text(&self.header.tool_call_id)
    }

    /// `subagentRunId`, if it is a string: the lane the event belongs to.
    #[must_use]
    pub fn subagent_run_id(&self) -> Option<&str> {
        self.text(&self.header.subagent_run_id)
    }

    /// Whether `subagentRunId` is there but null, which verification refuses.
    pub(crate) fn has_null_subagent_run_id(&self) -> bool {
        matches!(self.header.subagent_run_id, Text::Null)
    }

    /// What stands between the quotes of `delta`, escapes as they are; `None` if it is no string.
    pub(crate) fn raw_delta(&self) -> Option<&str> {
        let (start, end) = self.header.delta?;
        self.slice(start, end)
    }

    /// Whether there is a field `metadata`.
    pub(crate) fn has_metadata(&self) -> bool {
        self.header.has_metadata
    }

    /// The event with one more field at its end, whose value is JSON text without line breaks.
    pub(crate) fn with_field(&self, name: &str, json: &str) -> Event {
        let open = self.json.trim_ascii_end();
        let open = open.strip_suffix(b"}").unwrap_or(open);
        let mut out = Vec::with_capacity(open.len() + name.len() + json.len() + 5);
        out.extend_from_slice(open);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(json.as_bytes());
        out.push(b'}');
        // What the header points at stands before the new field.
        Event { json: out.into(), kind: self.kind, header: self.header.clone() }
    }

    /// The event without the first bytes of its raw delta; `None` if there are not so many, or none can be cut there.
    pub(crate) fn without_start_of_delta(&self, bytes: usize) -> Option<Event> {
        let (start, _) = self.header.delta?;
        let start = start as usize;
        let kept = self.raw_delta()?.get(bytes..)?;
        let mut out = Vec::with_capacity(self.json.len() - bytes);
        out.extend_from_slice(&self.json[..start]);
        out.extend_from_slice(kept.as_bytes());
        out.extend_from_slice(&self.json[start + bytes + kept.len()..]);
        Event::parse(out).ok()
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
            Text::At(start, end) => self.slice(*start, *end),
            Text::Decoded(text) => Some(text),
        }
    }

    fn slice(&self, start: u32, end: u32) -> Option<&str> {
        // Only the field itself is looked at again: `as_str` would cost the length of the event.
        self.json.get(start as usize..end as usize).and_then(|text| std::str::from_utf8(text).ok())
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
