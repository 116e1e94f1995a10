//! Chunk expansion (rest-sse.md chapter 12.1): the shorthand events an agent may emit become the
//! START, CONTENT and END events that travel.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, EventKind, EventWriter};

/// Turns chunk events into the events they stand for. Chunks never leave it.
///
/// Each subagent, and the parent agent, has a lane of its own with at most one open stream.
///
/// ```
/// use copilotkit_runtime::agui::{ChunkExpander, Event, EventKind};
///
/// let chunk = Event::parse(r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"m1","delta":"Hi"}"#).unwrap();
/// let (mut expander, mut out) = (ChunkExpander::default(), Vec::new());
/// expander.push(chunk, &mut out)?;
/// expander.push(Event::run_finished("t", "r"), &mut out)?;
/// let kinds: Vec<_> = out.iter().map(Event::kind).collect();
/// assert_eq!(kinds, [
///     EventKind::TextMessageStart, EventKind::TextMessageContent, EventKind::TextMessageEnd, EventKind::RunFinished,
/// ]);
/// # Ok::<(), copilotkit_runtime::agui::ChunkError>(())
/// ```
#[derive(Debug, Default)]
pub struct ChunkExpander {
    /// Lanes with an open stream, in the order in which the streams opened.
    open: Vec<Stream>,
}

/// A chunk that continues or opens nothing. The text becomes the message of the run's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChunkError {
    message: String,
}

/// What a lane has open.
#[derive(Debug)]
struct Stream {
    /// The subagent; `None` is the parent agent.
    lane: Option<Box<str>>,
    family: Family,
    id: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Text,
    ToolCall,
    Reasoning,
}

/// What matters of a chunk. Null counts as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    tool_call_name: Option<&'a RawValue>,
    parent_message_id: Option<&'a RawValue>,
    delta: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
}

impl ChunkExpander {
    /// Takes the next event and appends what travels in its place: itself, if it is no chunk, after the ends
    /// of the streams it closes.
    ///
    /// # Errors
    /// [`ChunkError`] when a chunk has no stream to continue and cannot open one, or fits several lanes.
    /// Then nothing was appended, and the run is over.
    pub fn push(&mut self, event: Event, out: &mut Vec<Event>) -> Result<(), ChunkError> {
        if let Some(family) = Family::of_chunk(event.kind()) {
            return self.expand(family, &event, out);
        }
        if !self.open.is_empty() {
            self.close_for(&event, out);
        }
        out.push(event);
        Ok(())
    }

    /// Ends the streams that an event which is no chunk closes.
    fn close_for(&mut self, event: &Event, out: &mut Vec<Event>) {
        use EventKind as K;
        match event.kind() {
            // They concern the run as a whole, so nothing may stay open behind them.
            K::RunStarted | K::RunFinished | K::RunError | K::MessagesSnapshot => {
                out.extend(self.open.drain(..).map(|stream| stream.end()));
            }
            // They go on beside a stream. Of a type we do not know we cannot tell, and to close would
            // leave the chunks that follow without a stream.
            K::Raw | K::ActivitySnapshot | K::ActivityDelta | K::ReasoningEncryptedValue | K::SubagentStarted => {}
            K::Unknown => {}
            // Without an id they are malformed, and do not speak for the parent agent.
            K::SubagentFinished | K::SubagentError if event.subagent_run_id().is_none() => {}
            _ => self.close_lane(event.subagent_run_id(), out),
        }
    }

    fn close_lane(&mut self, lane: Option<&str>, out: &mut Vec<Event>) {
        if let Some(at) = self.at_lane(lane) {
            out.push(self.open.remove(at).end());
        }
    }

    fn at_lane(&self, lane: Option<&str>) -> Option<usize> {
        self.open.iter().position(|stream| stream.lane.as_deref() == lane)
    }

    fn expand(&mut self, family: Family, event: &Event, out: &mut Vec<Event>) -> Result<(), ChunkError> {
        let chunk: Chunk<'_> = serde_json::from_str(event.as_str()).map_err(|e| ChunkError::new(e.to_string()))?;
        let id = family.id_of(event);
        let tag = event.subagent_run_id();
        let lane = self.lane_of(family, id, tag)?;
        let open = self.at_lane(lane.as_deref());
        let continued = open.filter(|at| self.open[*at].continues(family, id));

        let stream = match continued {
            Some(at) => &self.open[at],
            None => {
                let Some(id) = id else { return Err(family.first_must_have(family.id_name())) };
                if family == Family::ToolCall && chunk.tool_call_name.is_none() {
                    return Err(family.first_must_have("toolCallName"));
                }
                // Whatever else the lane has open ends before the new stream begins.
                if let Some(at) = open {
                    out.push(self.open.remove(at).end());
                }
                self.open.push(Stream { lane, family, id: id.into() });
                let stream = &self.open[self.open.len() - 1];
                out.push(stream.start(&chunk));
                stream
            }
        };
        // Metadata of a continuation has no other event to travel on.
        let delta = match (chunk.delta, continued, chunk.metadata) {
            (Some(delta), _, _) => Some(delta.get()),
            (None, Some(_), Some(_)) => Some("\"\""),
            _ => None,
        };
        if let Some(delta) = delta {
            out.push(stream.content(delta, tag, chunk.metadata));
        }
        Ok(())
    }

    /// The lane of a chunk; `None` is the parent agent's.
    fn lane_of(&self, family: Family, id: Option<&str>, tag: Option<&str>) -> Result<Option<Box<str>>, ChunkError> {
        if let Some(id) = id {
            // An id continues wherever it is open; one that nobody has opens a stream in the lane of the tag.
            let Some(holder) = self.open.iter().find(|stream| stream.family == family && *stream.id == *id) else {
                return Ok(tag.map(Into::into));
            };
            return match tag {
                Some(tag) if holder.lane.as_deref() != Some(tag) => Err(ChunkError::new(format!(
                    "Cannot continue {} '{id}': chunk subagentRunId '{tag}' does not match the open stream's subagent '{}'.",
                    family.noun(),
                    holder.lane.as_deref().unwrap_or("(the parent agent)"),
                ))),
                _ => Ok(holder.lane.clone()),
            };
        }
        if let Some(tag) = tag {
            return Ok(Some(tag.into()));
        }
        // Neither id nor tag: the parent agent's stream, else the only one there is.
        let mut candidates = self.open.iter().filter(|stream| stream.family == family);
        match (candidates.clone().any(|stream| stream.lane.is_none()), candidates.clone().count()) {
            (true, _) | (false, 0) => Ok(None),
            (false, 1) => Ok(candidates.next().and_then(|stream| stream.lane.clone())),
            (false, several) => Err(ChunkError::new(format!(
                "Ambiguous {}: it carries neither a {} nor a subagentRunId, but {several} lanes have an open {}. \
                 Attribute the chunk to the subagent it belongs to.",
                family.chunk().name(),
                family.id_name(),
                family.noun(),
            ))),
        }
    }
}

impl Stream {
    fn continues(&self, family: Family, id: Option<&str>) -> bool {
        self.family == family && id.is_none_or(|id| *self.id == *id)
    }

    fn start(&self, chunk: &Chunk<'_>) -> Event {
        let (kind, _, _) = self.family.kinds();
        let writer = EventWriter::new(kind).text(self.family.id_name(), &self.id);
        let writer = match self.family {
            Family::Text => {
                let role = chunk.role.map(RawValue::get).filter(|role| *role != "\"\"").unwrap_or("\"assistant\"");
                optional_raw(writer.raw("role", role), "name", chunk.name)
            }
            Family::ToolCall => optional_raw(
                optional_raw(writer, "toolCallName", chunk.tool_call_name),
                "parentMessageId",
                chunk.parent_message_id,
            ),
            Family::Reasoning => writer.text("role", "reasoning"),
        };
        let writer = writer.optional_text("subagentRunId", self.lane.as_deref());
        optional_raw(writer, "metadata", chunk.metadata).finish()
    }

    fn content(&self, delta: &str, tag: Option<&str>, metadata: Option<&RawValue>) -> Event {
        let (_, kind, _) = self.family.kinds();
        let writer = EventWriter::new(kind)
            .text(self.family.id_name(), &self.id)
            .raw("delta", delta)
            .optional_text("subagentRunId", tag.or(self.lane.as_deref()));
        optional_raw(writer, "metadata", metadata).finish()
    }

    fn end(&self) -> Event {
        let (_, _, kind) = self.family.kinds();
        EventWriter::new(kind)
            .text(self.family.id_name(), &self.id)
            .optional_text("subagentRunId", self.lane.as_deref())
            .finish()
    }
}

impl Family {
    fn of_chunk(kind: EventKind) -> Option<Family> {
        match kind {
            EventKind::TextMessageChunk => Some(Family::Text),
            EventKind::ToolCallChunk => Some(Family::ToolCall),
            EventKind::ReasoningMessageChunk => Some(Family::Reasoning),
            _ => None,
        }
    }

    fn chunk(self) -> EventKind {
        match self {
            Family::Text => EventKind::TextMessageChunk,
            Family::ToolCall => EventKind::ToolCallChunk,
            Family::Reasoning => EventKind::ReasoningMessageChunk,
        }
    }

    /// What the chunks of a stream become: its start, its content, its end.
    fn kinds(self) -> (EventKind, EventKind, EventKind) {
        use EventKind as K;
        match self {
            Family::Text => (K::TextMessageStart, K::TextMessageContent, K::TextMessageEnd),
            Family::ToolCall => (K::ToolCallStart, K::ToolCallArgs, K::ToolCallEnd),
            Family::Reasoning => (K::ReasoningMessageStart, K::ReasoningMessageContent, K::ReasoningMessageEnd),
        }
    }

    fn id_name(self) -> &'static str {
        if self == Family::ToolCall { "toolCallId" } else { "messageId" }
    }

    fn id_of(self, event: &Event) -> Option<&str> {
        if self == Family::ToolCall { event.tool_call_id() } else { event.message_id() }
    }

    fn noun(self) -> &'static str {
        match self {
            Family::Text => "text message",
            Family::ToolCall => "tool call",
            Family::Reasoning => "reasoning message",
        }
    }

    fn first_must_have(self, field: &str) -> ChunkError {
        ChunkError::new(format!("First {} must have a {field}", self.chunk().name()))
    }
}

impl ChunkError {
    fn new(message: impl Into<String>) -> ChunkError {
        ChunkError { message: message.into() }
    }
}

fn optional_raw(writer: EventWriter, name: &str, json: Option<&RawValue>) -> EventWriter {
    match json {
        Some(json) => writer.raw(name, json.get()),
        None => writer,
    }
}
