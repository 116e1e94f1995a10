//! Compaction: the same conversation in fewer events (rest-sse.md chapter 13.4).

use std::collections::BTreeMap;

use hashbrown::HashMap;

use serde_json::Value;

use super::cuts::{CutsWriter, Seams};
use super::raw::{Fields, RawMap, field, object};
use super::{Cuts, Event, EventKind, EventWriter, StateFold};

/// Compacts the events of a run as they come.
///
/// The pieces of a text message or a tool call become one, and stand where it ended; events that came
/// in between follow it. State events become one `STATE_SNAPSHOT` before the run ends. Better than
/// the contract's model (chapter 14):
///
/// - row 2: what is still open when a run ends is closed before the end, not replayed after it;
/// - row 3: a state patch that does not apply is skipped and counted;
/// - row 18: deltas fold onto the state of the thread, not onto `{}`.
///
/// And events that wait for the end of a message or tool call come out in the order they came.
///
/// A piece costs a look-up and a copy of its text, however long the message already is. Text is
/// joined as it stands in the JSON, so an emoji cut in two between pieces comes out whole.
///
/// ```
/// use copilotkit_runtime::agui::{Compactor, Event};
///
/// let mut compactor = Compactor::new(None);
/// for event in [
///     Event::text_start("m1"),
///     Event::text_content("m1", "Hello, "),
///     Event::text_content("m1", "world"),
///     Event::text_end("m1"),
/// ] {
///     compactor.push(&event);
/// }
/// let events = compactor.finish().events;
/// assert_eq!(events.len(), 3);
/// assert_eq!(events[1], Event::text_content("m1", "Hello, world"));
/// ```
#[derive(Debug)]
pub struct Compactor {
    out: Out,
    /// How many events were said.
    said: u64,
    texts: Streams,
    calls: Streams,
    state: StateFold,
    /// The place of the last event that changed the state since the last `STATE_SNAPSHOT` written.
    state_changed: Option<u64>,
    state_metadata: RawMap,
    skipped_patches: usize,
}

/// What a [`Compactor`] made of its events.
#[derive(Debug)]
#[non_exhaustive]
pub struct Compacted {
    /// The events, fewer and in the order of their ends.
    pub events: Vec<Event>,
    /// The thread's state afterwards; `None` if there never was any.
    pub state: Option<Value>,
    /// How many state events were skipped because they do not apply (chapter 14 row 3). Worth a log line.
    pub skipped_patches: usize,
    /// Of which of the events pushed these are made.
    pub cuts: Cuts,
}

/// The compacted events so far.
#[derive(Debug, Default)]
struct Out {
    events: Vec<Event>,
    cuts: CutsWriter,
}

/// An event, and its place among those said, from 1. What is made up has the place of what made it so.
#[derive(Debug)]
struct Placed {
    event: Event,
    place: u64,
}

/// Compacts some events of a thread that has no state yet.
pub fn compact<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Event> {
    let mut compactor = Compactor::new(None);
    events.into_iter().for_each(|event| compactor.push(event));
    compactor.finish().events
}

impl Compactor {
    /// Starts with the thread's state before this run; `None` if there never was any.
    #[must_use]
    pub fn new(state: Option<Value>) -> Compactor {
        Compactor {
            out: Out::default(),
            said: 0,
            texts: Streams::default(),
            calls: Streams::default(),
            state: StateFold::new(state),
            state_changed: None,
            state_metadata: RawMap::default(),
            skipped_patches: 0,
        }
    }

    /// Takes in an event that is not said, and stands before the next one in replays. No message is open.
    pub(crate) fn precede(&mut self, event: &Event) {
        self.out.push(event.clone(), self.said + 1);
    }

    /// Takes in the next event. Any event in any order is fine: what belongs to no open message or
    /// tool call is kept as it is.
    pub fn push(&mut self, event: &Event) {
        self.said += 1;
        let place = self.said;
        let (streams, id) = match event.kind() {
            EventKind::ToolCallStart | EventKind::ToolCallArgs | EventKind::ToolCallEnd => {
                (&mut self.calls, event.tool_call_id())
            }
            _ => (&mut self.texts, event.message_id()),
        };
        match (event.kind(), id) {
            (EventKind::TextMessageContent | EventKind::ToolCallArgs, Some(id)) => match streams.get_mut(id) {
                Some(stream) => stream.append(event, place),
                None => self.hold_or_emit(event),
            },
            (EventKind::TextMessageStart | EventKind::ToolCallStart, Some(id)) => match streams.get_mut(id) {
                Some(stream) => stream.restart(event, place),
                None => streams.open(id, Placed { event: event.clone(), place }),
            },
            (EventKind::TextMessageEnd | EventKind::ToolCallEnd, Some(id)) => match streams.remove(id) {
                Some(stream) => stream.write(Some(Placed { event: event.clone(), place }), &mut self.out),
                None => self.hold_or_emit(event),
            },
            (EventKind::StateSnapshot | EventKind::StateDelta, _) => self.fold_state(event),
            (EventKind::RunStarted | EventKind::RunFinished | EventKind::RunError, _) => {
                self.close_all();
                self.write_state();
                self.out.push(event.clone(), place);
            }
            _ => self.hold_or_emit(event),
        }
    }

    /// The events and what else came of them.
    ///
    /// Messages and tool calls still open, because the run has not ended, stay open: no end is made up.
    #[must_use]
    pub fn finish(mut self) -> Compacted {
        // Were the text messages first, they would hold what is the tool call's when the result is
        // compacted again.
        if !self.texts.is_empty()
            && let Some(call) = self.calls.remove_first_holding()
        {
            call.write(None, &mut self.out);
        }
        for stream in self.texts.drain().chain(self.calls.drain()) {
            stream.write(None, &mut self.out);
        }
        self.write_state();
        Compacted {
            events: self.out.events,
            state: self.state.into_value(),
            skipped_patches: self.skipped_patches,
            cuts: self.out.cuts.finish(self.said),
        }
    }

    /// An event that is part of no stream waits for the end of the first open text message, else of
    /// the first open tool call. But if that tool call holds some already it gets those that follow
    /// too: whatever waits comes out in the order it came, e.g. a step's end after its start.
    fn hold_or_emit(&mut self, event: &Event) {
        let call = self.calls.first_mut();
        let stream = match call {
            Some(call) if !call.held.is_empty() => Some(call),
            call => self.texts.first_mut().or(call),
        };
        match stream {
            Some(stream) => stream.held.push(Placed { event: event.clone(), place: self.said }),
            None => self.out.push(event.clone(), self.said),
        }
    }

    fn close_all(&mut self) {
        for stream in self.texts.drain().chain(self.calls.drain()) {
            let end = Placed { event: stream.made_up_end(), place: self.said };
            stream.write(Some(end), &mut self.out);
        }
    }

    fn fold_state(&mut self, event: &Event) {
        if self.state.apply(event).is_err() {
            self.skipped_patches += 1;
            return;
        }
        self.state_changed = Some(self.said);
        if let Some(metadata) = field(event.as_str(), "metadata") {
            self.state_metadata.merge(metadata);
        }
    }

    fn write_state(&mut self) {
        let Some(place) = self.state_changed.take() else { return };
        let metadata = std::mem::take(&mut self.state_metadata);
        if let Some(snapshot) = self.state.json() {
            let event = EventWriter::new(EventKind::StateSnapshot).raw("snapshot", &snapshot);
            self.out.push(with_metadata(event, &metadata).finish(), place);
        }
    }
}

impl Out {
    fn push(&mut self, event: Event, place: u64) {
        self.events.push(event);
        self.cuts.single(place);
    }

    fn push_joined(&mut self, event: Event, seams: &Seams) {
        self.events.push(event);
        self.cuts.joined(seams);
    }
}

fn with_metadata(event: EventWriter, metadata: &RawMap) -> EventWriter {
    if metadata.is_empty() { event } else { event.raw("metadata", &metadata.to_json()) }
}

/// The open streams of a family: found by id, walked in the order they were opened.
#[derive(Debug, Default)]
struct Streams {
    places: HashMap<Box<str>, u64>,
    /// Boxed: a tree's node has room for many, and most runs have one open.
    open: BTreeMap<u64, Box<Stream>>,
    next: u64,
}

impl Streams {
    fn get_mut(&mut self, id: &str) -> Option<&mut Stream> {
        self.open.get_mut(self.places.get(id)?).map(Box::as_mut)
    }

    fn open(&mut self, id: &str, start: Placed) {
        self.places.insert(id.into(), self.next);
        self.open.insert(self.next, Box::new(Stream::new(id, start)));
        self.next += 1;
    }

    fn remove(&mut self, id: &str) -> Option<Stream> {
        self.open.remove(&self.places.remove(id)?).map(|stream| *stream)
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn first_mut(&mut self) -> Option<&mut Stream> {
        self.open.first_entry().map(|first| first.into_mut().as_mut())
    }

    /// Removes the first stream if it holds events. No other of its family does.
    fn remove_first_holding(&mut self) -> Option<Stream> {
        let first = self.open.first_entry().filter(|first| !first.get().held.is_empty())?;
        let stream = first.remove();
        self.places.remove(&stream.id);
        Some(*stream)
    }

    fn drain(&mut self) -> impl Iterator<Item = Stream> + use<> {
        self.places.clear();
        std::mem::take(&mut self.open).into_values().map(|stream| *stream)
    }
}

/// An open text message or tool call.
#[derive(Debug)]
struct Stream {
    id: Box<str>,
    start: Placed,
    pieces: Option<Pieces>,
    held: Vec<Placed>,
}

/// The content of a stream.
#[derive(Debug)]
struct Pieces {
    /// The opening quote and the text of the deltas as it stands in the JSON.
    delta: String,
    metadata: RawMap,
    seams: Seams,
}

impl Stream {
    fn new(id: &str, start: Placed) -> Stream {
        Stream { id: id.into(), start, pieces: None, held: Vec::new() }
    }

    fn append(&mut self, event: &Event, place: u64) {
        let pieces = self.pieces.get_or_insert_with(|| Pieces {
            delta: String::from("\""),
            metadata: RawMap::default(),
            seams: Seams::from_place(place),
        });
        let delta = event.raw_delta().unwrap_or_default();
        pieces.delta.push_str(delta);
        pieces.seams.push(place, delta.len());
        if event.has_metadata()
            && let Some(metadata) = field(event.as_str(), "metadata")
        {
            pieces.metadata.merge(metadata);
        }
    }

    /// A second START of an open stream. Its fields win; metadata merges in the order it came, so after
    /// content it goes where the content's is, as a piece without text.
    fn restart(&mut self, event: &Event, place: u64) {
        let before = field(self.start.event.as_str(), "metadata").unwrap_or_default();
        let mut metadata = RawMap::default();
        metadata.merge(before);
        if let Some(new) = field(event.as_str(), "metadata") {
            match &mut self.pieces {
                Some(pieces) => {
                    pieces.metadata.merge(new);
                    pieces.seams.push(place, 0);
                }
                None => metadata.merge(new),
            }
        }
        let metadata = (!metadata.is_empty()).then(|| metadata.to_json());
        let fields: Vec<_> = Fields::of(event.as_str()).filter(|(name, _)| name != "metadata").collect();
        let json = object(
            fields
                .iter()
                .map(|(name, value)| (name.as_ref(), *value))
                .chain(metadata.as_deref().map(|json| ("metadata", json))),
        );
        // Made of the fields of an event, so it is one.
        self.start = Placed { event: Event::parse(json).unwrap_or_else(|_| event.clone()), place };
    }

    fn is_text(&self) -> bool {
        self.start.event.kind() == EventKind::TextMessageStart
    }

    fn id_field(&self) -> &'static str {
        if self.is_text() { "messageId" } else { "toolCallId" }
    }

    /// The end of a stream whose run ended first, of the same lane as its start.
    fn made_up_end(&self) -> Event {
        EventWriter::new(if self.is_text() { EventKind::TextMessageEnd } else { EventKind::ToolCallEnd })
            .text(self.id_field(), &self.id)
            .optional_text("subagentRunId", self.start.event.subagent_run_id())
            .finish()
    }

    fn write(self, end: Option<Placed>, out: &mut Out) {
        let id_field = self.id_field();
        let kind = if self.is_text() { EventKind::TextMessageContent } else { EventKind::ToolCallArgs };
        out.push(self.start.event, self.start.place);
        if let Some(mut pieces) = self.pieces {
            pieces.delta.push('"');
            let joined = EventWriter::new(kind).text(id_field, &self.id).raw("delta", &pieces.delta);
            out.push_joined(with_metadata(joined, &pieces.metadata).finish(), &pieces.seams);
        }
        for Placed { event, place } in end.into_iter().chain(self.held) {
            out.push(event, place);
        }
    }
}

#[cfg(test)]
mod tests;
