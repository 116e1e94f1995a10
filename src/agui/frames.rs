//! Events as they leave: server-sent event frames, several in one buffer.

use bytes::Bytes;

use super::Event;

/// Some events of a run in order, already framed for the wire: `data: <json>\n\n` each
/// (rest-sse.md chapter 11). Cloning is cheap; the same bytes are stored, streamed and replayed.
///
/// ```
/// use copilotkit_runtime::agui::{Event, Frames};
///
/// let frames = Frames::of(&[Event::text_content("m1", "Hi"), Event::text_end("m1")]);
/// assert_eq!(frames.count(), 2);
/// assert_eq!(frames.bytes().as_ref(), b"data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"m1\",\"delta\":\"Hi\"}\n\n\
/// data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"m1\"}\n\n");
/// assert_eq!(frames.events().next().unwrap().as_ref(), Event::text_content("m1", "Hi").json());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    bytes: Bytes,
    count: usize,
}

const OPEN: &[u8] = b"data: ";
const CLOSE: &[u8] = b"\n\n";

impl Frames {
    /// Frames some events.
    #[must_use]
    pub fn of(events: &[Event]) -> Frames {
        let size = events.iter().map(|event| OPEN.len() + event.json().len() + CLOSE.len()).sum();
        // Exactly: these may be kept for long.
        let mut builder = FramesBuilder { bytes: Vec::with_capacity(size), count: 0 };
        events.iter().for_each(|event| builder.push(event));
        builder.finish()
    }

    /// Frames as a store kept them: the bytes of so many.
    #[must_use]
    #[cfg(feature = "sqlite")]
    pub(crate) fn kept(bytes: impl Into<Bytes>, count: usize) -> Frames {
        Frames { bytes: bytes.into(), count }
    }

    /// The bytes of all frames.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many events there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether there is no event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The JSON text of each event, in order.
    pub fn events(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.bytes.clone();
        std::iter::from_fn(move || {
            loop {
                // An event's JSON holds no line break, so the next one ends its line.
                let end = rest.iter().position(|b| *b == b'\n')?;
                let line = rest.split_to(end + 1);
                if line.starts_with(OPEN) {
                    return Some(line.slice(OPEN.len()..end));
                }
            }
        })
    }

    /// The events behind the first `skip`.
    #[must_use]
    pub(crate) fn behind(&self, skip: usize) -> Frames {
        if skip == 0 {
            return self.clone();
        }
        let skipped: usize = self.events().take(skip).map(|json| OPEN.len() + json.len() + CLOSE.len()).sum();
        Frames { bytes: self.bytes.slice(skipped.min(self.bytes.len())..), count: self.count.saturating_sub(skip) }
    }

    /// The events behind the first `skip`, each with an `id:` line: `name` and its place, counted from
    /// `first`.
    pub(crate) fn identified(&self, name: &str, first: u64, skip: usize) -> Frames {
        Frames::with_ids(name, (first..).zip(self.events()).skip(skip))
    }

    /// Some events, each with an `id:` line: `name` and its place.
    pub(crate) fn with_ids(name: &str, events: impl IntoIterator<Item = (u64, Bytes)>) -> Frames {
        let mut out = FramesBuilder::default();
        for (place, json) in events {
            out.bytes.extend_from_slice(format!("id: {name}{place}\n").as_bytes());
            out.push_json(&json);
        }
        out.finish()
    }

    /// Frames the JSON of some events.
    pub(crate) fn of_json(events: impl IntoIterator<Item = Bytes>) -> Frames {
        let mut out = FramesBuilder::default();
        events.into_iter().for_each(|json| out.push_json(&json));
        out.finish()
    }
}

/// Collects events into [`Frames`].
#[derive(Debug, Default)]
pub struct FramesBuilder {
    bytes: Vec<u8>,
    count: usize,
}

impl FramesBuilder {
    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        self.push_json(event.json());
    }

    fn push_json(&mut self, json: &[u8]) {
        self.bytes.reserve(json.len() + OPEN.len() + CLOSE.len());
        self.bytes.extend_from_slice(OPEN);
        self.bytes.extend_from_slice(json);
        self.bytes.extend_from_slice(CLOSE);
        self.count += 1;
    }

    /// Moves everything from another builder behind what is here.
    pub fn append(&mut self, other: &mut FramesBuilder) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            self.bytes.append(&mut other.bytes);
            self.count += std::mem::take(&mut other.count);
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was pushed since the last [`FramesBuilder::finish`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The frames so far; the builder is empty afterwards.
    pub fn finish(&mut self) -> Frames {
        Frames { bytes: std::mem::take(&mut self.bytes).into(), count: std::mem::take(&mut self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identified_events_carry_their_place_and_are_found_again() {
        let events = [Event::text_start("m"), Event::text_content("m", "id: x"), Event::text_end("m")];
        let frames = Frames::of(&events).identified("7-", 4, 1);
        let expected = format!("id: 7-5\ndata: {}\n\nid: 7-6\ndata: {}\n\n", events[1], events[2]);
        assert_eq!(frames.bytes(), &expected);
        assert_eq!(frames.events().collect::<Vec<_>>(), [events[1].json(), events[2].json()]);
        assert_eq!(frames.count(), 2);
    }
}
