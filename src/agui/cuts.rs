//! Of which said events a compacted run is made, so that who saw some of them gets the rest.

use bytes::Bytes;

use super::{Event, Frames};

/// The places of the said events in a compacted run: from it and the compacted events alone, what a client lacks
/// that saw the run's beginning as it was said.
///
/// It is made by [`Compactor::finish`](super::Compactor::finish) and kept as bytes: a byte or two for each said
/// event. Bytes that come back damaged tell nothing; they break nothing.
///
/// ```
/// use copilotkit_runtime::agui::{Compactor, Event, Frames};
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
/// let compacted = compactor.finish();
/// let frames = Frames::of(&compacted.events);
/// // Who saw the first two events lacks the second half of the message, and its end.
/// let rest = compacted.cuts.rest(&frames, 2, 0).unwrap();
/// let world = Event::text_content("m1", "world").json().clone();
/// assert_eq!(rest, [(2, world), (3, Event::text_end("m1").json().clone())]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts(Bytes);

/// How the bytes are laid out. In numbers of seven bits a byte: the format; how many events were said; then for every
/// compacted event the way to its place from the one before, four times, plus two if it goes back, plus one if the
/// event is joined of several. Behind a joined one stands how many bytes of [`Seams`] follow, and these.
const FORMAT: u64 = 1;

/// What of a compacted event a client lacks.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    Nothing,
    All,
    /// The delta behind its first bytes.
    Behind(usize),
}

impl Cuts {
    /// As they are kept.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The compacted events that a client lacks, each with its place among them, from 1. The client saw the first
    /// `seen` said events, and then those of this very rest up to the place `shown`.
    ///
    /// A joined event of which some pieces were seen comes with the others alone. Appended to what was seen, the rest
    /// is a run in an order that clients accept, and says what the whole run says.
    ///
    /// `None` if there are no such places, or these are not the cuts of `frames`.
    #[must_use]
    pub fn rest(&self, frames: &Frames, seen: u64, shown: u64) -> Option<Vec<(u64, Bytes)>> {
        let mut reader = Reader::open(&self.0)?;
        if seen > reader.said || shown > frames.count() as u64 {
            return None;
        }
        let mut rest = Vec::new();
        for (place, json) in (1..).zip(frames.events()) {
            let lacking = match reader.lack(seen)? {
                Lack::Nothing => continue,
                Lack::All => json,
                Lack::Behind(known) => Event::parse(json).ok()?.without_start_of_delta(known)?.json().clone(),
            };
            if place > shown {
                rest.push((place, lacking));
            }
        }
        reader.bytes.is_empty().then_some(rest)
    }
}

impl From<Bytes> for Cuts {
    fn from(kept: Bytes) -> Cuts {
        Cuts(kept)
    }
}

/// Where the pieces of a joined event meet. For each piece: twice the length of its delta, and one more with the way
/// from the piece before if that is not 1.
#[derive(Debug)]
pub(super) struct Seams {
    first: u64,
    last: u64,
    bytes: Vec<u8>,
}

impl Seams {
    /// Of an event whose first piece will be at this place.
    pub(super) fn from_place(first: u64) -> Seams {
        Seams { first, last: first.saturating_sub(1), bytes: Vec::new() }
    }

    /// Adds a piece. This runs for every token.
    pub(super) fn push(&mut self, place: u64, length: usize) {
        let way = place - self.last;
        let far = way != 1;
        write(&mut self.bytes, (length as u64) << 1 | u64::from(far));
        if far {
            write(&mut self.bytes, way);
        }
        self.last = place;
    }
}

/// Writes [`Cuts`], compacted event by compacted event.
#[derive(Debug, Default)]
pub(super) struct CutsWriter {
    last: u64,
    bytes: Vec<u8>,
}

impl CutsWriter {
    /// The next event stands for the said one at this place, or was made up because of it.
    pub(super) fn single(&mut self, place: u64) {
        self.go_to(place, false);
    }

    /// The next event is joined of pieces.
    pub(super) fn joined(&mut self, seams: &Seams) {
        self.go_to(seams.first, true);
        write(&mut self.bytes, seams.bytes.len() as u64);
        self.bytes.extend_from_slice(&seams.bytes);
        self.last = seams.last;
    }

    /// The cuts of a run that said so many events.
    pub(super) fn finish(self, said: u64) -> Cuts {
        let mut head = Vec::new();
        write(&mut head, FORMAT);
        write(&mut head, said);
        // With room for nothing more: these may be kept for long.
        Cuts([head, self.bytes].concat().into())
    }

    fn go_to(&mut self, place: u64, joined: bool) {
        // Events that were held back go back.
        let back = place < self.last;
        write(&mut self.bytes, place.abs_diff(self.last) << 2 | u64::from(back) << 1 | u64::from(joined));
        self.last = place;
    }
}

/// Reads [`Cuts`]; nothing in them is trusted.
struct Reader<'a> {
    bytes: &'a [u8],
    said: u64,
    last: u64,
}

impl<'a> Reader<'a> {
    fn open(mut bytes: &'a [u8]) -> Option<Reader<'a>> {
        if read(&mut bytes)? != FORMAT {
            return None;
        }
        let said = read(&mut bytes)?;
        Some(Reader { bytes, said, last: 0 })
    }

    /// What a client lacks of the next compacted event.
    fn lack(&mut self, seen: u64) -> Option<Lack> {
        let head = read(&mut self.bytes)?;
        let (joined, back, way) = (head & 1 == 1, head & 2 == 2, head >> 2);
        let place = if back { self.last.checked_sub(way)? } else { self.go(way)? };
        let lack = if place > seen { Lack::All } else { Lack::Nothing };
        self.last = place;
        if !joined {
            return (1..=self.said).contains(&place).then_some(lack);
        }
        let length = usize::try_from(read(&mut self.bytes)?).ok()?;
        let (mut seams, bytes) = self.bytes.split_at_checked(length)?;
        self.bytes = bytes;
        self.last = place.checked_sub(1)?;
        let mut known = 0_usize;
        while !seams.is_empty() {
            let piece = read(&mut seams)?;
            let way = if piece & 1 == 1 { read(&mut seams)? } else { 1 };
            self.last = self.go(way)?;
            if self.last <= seen {
                known = known.checked_add(usize::try_from(piece >> 1).ok()?)?;
            }
        }
        Some(match lack {
            Lack::Nothing if self.last > seen => Lack::Behind(known),
            lack => lack,
        })
    }

    fn go(&self, way: u64) -> Option<u64> {
        self.last.checked_add(way).filter(|place| *place <= self.said)
    }
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
