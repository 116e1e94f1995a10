//! A row of the table `tail`: how it is written, and read.

use std::collections::HashSet;
use std::ops::Range;

use rusqlite::{Connection, params};

use super::super::error::Failure;
use super::super::runs::thread_of;
use super::super::stored::damaged;
use super::slot;

/// How long the words about a piece are.
const ABOUT: usize = 8 + 8 + 4 + 4;

/// A row as a place to be written over: how much it has room for, its id, and the epoch under which it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) room: usize,
    pub(super) id: i64,
    pub(super) epoch: i64,
}

/// A row of the tail in the making: what was said, and before it for each piece its run, how many events the run said
/// before, how many these are, and how long they are.
#[derive(Debug, Default)]
pub(super) struct RowWriter {
    pieces: Vec<u8>,
    said: Vec<u8>,
    pub(super) count: usize,
}

impl RowWriter {
    pub(super) fn push(&mut self, run: i64, first: i64, count: i64, frames: &[u8]) -> Result<(), Failure> {
        let too_many = |_| Failure::because("a run said more at once than can be kept");
        let (count, length) = (u32::try_from(count).map_err(too_many)?, u32::try_from(frames.len()).map_err(too_many)?);
        self.pieces.extend_from_slice(&run.to_le_bytes());
        self.pieces.extend_from_slice(&first.to_le_bytes());
        self.pieces.extend_from_slice(&count.to_le_bytes());
        self.pieces.extend_from_slice(&length.to_le_bytes());
        self.said.extend_from_slice(frames);
        self.count += 1;
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len() + self.said.len()
    }

    /// Writes it over a row that is not needed any more, or makes a new one. Answers where it stands.
    pub(super) fn write(&mut self, connection: &Connection, epoch: i64, place: Option<Slot>) -> Result<Slot, Failure> {
        const KEEP: &str = "INSERT INTO tail (epoch, pieces, said) VALUES (?1, ?2, ?3)";
        const OVERWRITE: &str = "UPDATE tail SET pieces = ?3, said = ?4 WHERE id = ?1 AND epoch = ?2";
        let room = place.map_or_else(|| slot::room(self.len()), |slot| slot.room);
        // Nobody reads behind the last piece.
        self.said.resize(slot::second(self.pieces.len(), room), 0);
        if let Some(place) = place {
            let row = params![place.id, place.epoch, self.pieces, self.said];
            if connection.prepare_cached(OVERWRITE)?.execute(row)? == 1 {
                return Ok(place);
            }
        }
        connection.prepare_cached(KEEP)?.execute(params![epoch, self.pieces, self.said])?;
        Ok(Slot { room, id: connection.last_insert_rowid(), epoch })
    }
}

/// Reads what a run said behind its first `from` events, if it stands in the tail: gives each piece, what of it to skip,
/// and how many events it is.
pub(in crate::runner::sqlite) fn read(
    connection: &Connection,
    run: i64,
    mut from: i64,
    mut take: impl FnMut(&[u8], i64, i64),
) -> Result<(), Failure> {
    const ROWS: &str = "SELECT pieces, said FROM tail";
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        for piece in pieces(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?) {
            let (about, place) = piece?;
            if about.run == run && about.first + about.count > from {
                let said = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                let frames = said.get(place).ok_or_else(|| damaged("events"))?;
                found.push((about.first, about.count, frames.to_vec()));
            }
        }
    }
    // Rows are written over, so they are in no order.
    found.sort_unstable_by_key(|(first, ..)| *first);
    for (first, count, frames) in found {
        take(&frames, count, from - first);
        from = first + count;
    }
    Ok(())
}

/// Overwrites what was said on some threads, in rows of other processes too: they may need the rest for long.
pub(super) fn overwrite(connection: &Connection, threads: &HashSet<i64>) -> Result<(), Failure> {
    const ROWS: &str = "SELECT id, pieces, said FROM tail";
    const OVERWRITE: &str = "UPDATE tail SET said = ?2 WHERE id = ?1";
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut places = Vec::new();
        for piece in pieces(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?) {
            let (about, place) = piece?;
            if threads.contains(&thread_of(about.run)) {
                places.push(place);
            }
        }
        if !places.is_empty() {
            let mut said: Vec<u8> = row.get(2)?;
            for place in places {
                said.get_mut(place).ok_or_else(|| damaged("events"))?.fill(0);
            }
            found.push((row.get::<_, i64>(0)?, said));
        }
    }
    for (id, said) in found {
        connection.prepare_cached(OVERWRITE)?.execute(params![id, said])?;
    }
    Ok(())
}

/// What is said about the pieces of a row, and where each stands.
fn pieces(about: &[u8]) -> impl Iterator<Item = Result<(About, Range<usize>), Failure>> {
    about.chunks(ABOUT).scan(0, |at, about| {
        let piece = About::read(about).ok_or_else(|| damaged("events"));
        Some(piece.map(|piece| {
            let place = *at..*at + piece.length;
            *at = place.end;
            (piece, place)
        }))
    })
}

struct About {
    run: i64,
    first: i64,
    count: i64,
    length: usize,
}

impl About {
    fn read(about: &[u8]) -> Option<About> {
        let (run, rest) = about.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let length = rest.first_chunk()?;
        Some(About {
            run: i64::from_le_bytes(*run),
            first: i64::from_le_bytes(*first),
            count: u32::from_le_bytes(*count).into(),
            length: usize::try_from(u32::from_le_bytes(*length)).ok()?,
        })
    }
}
