//! What open runs said lately.
//!
//! A token is short, and a thousand runs may say one at the same moment. A row for each, each on a page of its own, would
//! write a thousand pages. So what is committed together is one row of the table `tail`, whoever said it. A run that has
//! said more than a little there, or some time ago, gets a row of its own in `events`. Most runs end before.
//!
//! Of every run, `events` has the beginning and `tail` the rest. A row of `tail` goes when nothing in it is needed; what
//! a deleted thread said there is overwritten at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, params};

use super::error::Failure;
use super::runs::thread_of;
use super::stored::{Piece, damaged};

/// What is longer gets a row of its own at once.
const SHORT: usize = 2048;
/// How much of one run may stand in the tail.
const RUN_BYTES: usize = 4096;
const RUN_PIECES: usize = 64;
/// For how long.
const AGE: Duration = Duration::from_secs(5);
/// How large the tail may be: what a few thousand open runs say in that time.
const ROWS: usize = 8 * 1024;
const BYTES: usize = 16 * 1024 * 1024;

/// What this process knows of the tail, and of its open runs.
#[derive(Debug, Default)]
pub(super) struct Tail {
    runs: HashMap<i64, Held>,
    rows: BTreeMap<i64, Row>,
    /// How much stands in them.
    bytes: usize,
    /// Rows in which nothing is needed any more, with the epoch under which they were written.
    dead: Vec<(i64, i64)>,
}

/// An open run of this process.
#[derive(Debug)]
struct Held {
    /// How many events it has said, and how many of them stand in `events`.
    said: i64,
    settled: i64,
    recent: Vec<Recent>,
    bytes: usize,
    /// The version of the file in which it was open for sure.
    checked: i64,
    facts: Facts,
}

/// Some events that stand in the tail.
#[derive(Debug)]
struct Recent {
    row: i64,
    count: i64,
    frames: Bytes,
}

#[derive(Debug)]
struct Row {
    epoch: i64,
    /// How many pieces in it are needed.
    needed: usize,
    bytes: usize,
    since: Instant,
}

/// What the file may hold of an open run, so that nobody looks for what is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) events: bool,
    pub(super) payloads: bool,
    pub(super) state: bool,
}

impl Facts {
    /// Of a run this process knows nothing about.
    const ANY: Facts = Facts { events: true, payloads: true, state: true };
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) begun: Vec<(i64, Facts)>,
    pub(super) said: Vec<Said>,
    /// Runs that brought payloads.
    pub(super) payloads: HashSet<i64>,
    pub(super) checked: Vec<i64>,
    pub(super) ended: HashSet<i64>,
    /// Runs that get rows of their own, however little they said.
    pub(super) settled: Vec<i64>,
    /// Threads that were deleted.
    pub(super) hidden: HashSet<i64>,
}

/// More of what a run says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) run: i64,
    pub(super) count: i64,
    pub(super) piece: Piece,
}

/// What was written down of a transaction's changes, to be known once it is committed.
#[derive(Debug)]
pub(super) struct Written {
    row: Option<(i64, Row)>,
    recent: Vec<(i64, i64, Bytes)>,
    /// Runs with rows of their own now, and how much each has said.
    settled: Vec<(i64, i64)>,
}

impl Tail {
    /// In which version of the file a run of this process was open for sure; `None` if it is none.
    pub(super) fn checked(&self, run: i64) -> Option<i64> {
        self.runs.get(&run).map(|held| held.checked)
    }

    /// What the file may hold of a run.
    pub(super) fn facts(&self, run: i64) -> Facts {
        self.runs.get(&run).map_or(Facts::ANY, |held| Facts { events: held.settled > 0, ..held.facts })
    }

    /// Whether something has stood here for too long, or there is too much of it.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let old = |row: &Row| now.saturating_duration_since(row.since) > AGE;
        self.rows.len() > ROWS || self.bytes > BYTES || self.rows.values().next().is_some_and(old)
    }

    /// The runs that need the oldest row. It goes when they have rows of their own, and with it much of others.
    pub(super) fn oldest(&self) -> Vec<i64> {
        let Some((oldest, _)) = self.rows.first_key_value() else { return Vec::new() };
        let needs = |held: &Held| held.recent.first().is_some_and(|recent| recent.row == *oldest);
        self.runs.iter().filter(|(_, held)| needs(held)).map(|(run, _)| *run).collect()
    }

    /// Whether there are rows to delete.
    pub(super) fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Writes down what a transaction changes.
    pub(super) fn write(&self, connection: &Connection, epoch: i64, changes: &Changes) -> Result<Written, Failure> {
        // The epoch too: were this process taken for dead, the row would be gone, and its id another's.
        const DELETE: &str = "DELETE FROM tail WHERE id = ?1 AND epoch = ?2";
        let mut said: BTreeMap<i64, Vec<&Said>> = BTreeMap::new();
        for more in &changes.said {
            said.entry(more.run).or_default().push(more);
        }
        for run in &changes.settled {
            said.entry(*run).or_default();
        }
        let mut written = Written { row: None, recent: Vec::new(), settled: Vec::new() };
        let mut row = RowWriter::default();
        for (run, said) in said {
            let Some(held) = self.runs.get(&run).filter(|_| !changes.ended.contains(&run)) else { continue };
            if changes.settled.contains(&run) || !held.fits(&said) {
                written.settled.push((run, settle(connection, run, held, &said)?));
                continue;
            }
            let mut first = held.said;
            for Said { count, piece, .. } in said {
                let Some(frames) = piece.text() else { continue };
                row.push(run, first, *count, frames)?;
                written.recent.push((run, *count, frames.clone()));
                first += count;
            }
        }
        for (id, epoch) in &self.dead {
            connection.prepare_cached(DELETE)?.execute([id, epoch])?;
        }
        if !changes.hidden.is_empty() {
            overwrite(connection, &changes.hidden)?;
        }
        written.row = row.write(connection, epoch)?;
        Ok(written)
    }

    /// Takes note of what was written down and committed.
    pub(super) fn apply(&mut self, version: i64, changes: Changes, written: Written) {
        self.dead.clear();
        for (run, facts) in changes.begun {
            let held = Held { said: 0, settled: 0, recent: Vec::new(), bytes: 0, checked: version, facts };
            self.runs.insert(run, held);
        }
        for run in changes.checked {
            if let Some(held) = self.runs.get_mut(&run) {
                held.checked = version;
            }
        }
        for run in changes.payloads {
            if let Some(held) = self.runs.get_mut(&run) {
                held.facts.payloads = true;
            }
        }
        for (run, said) in written.settled {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            (held.said, held.settled, held.bytes) = (said, said, 0);
            let recent = std::mem::take(&mut held.recent);
            self.need_no_more(&recent);
        }
        if let Some((id, row)) = written.row {
            self.bytes += row.bytes;
            self.rows.insert(id, row);
            for (run, count, frames) in written.recent {
                let Some(held) = self.runs.get_mut(&run) else { continue };
                held.said += count;
                held.bytes += frames.len();
                held.recent.push(Recent { row: id, count, frames });
            }
        }
        for run in changes.ended {
            if let Some(held) = self.runs.remove(&run) {
                self.need_no_more(&held.recent);
            }
        }
    }

    fn need_no_more(&mut self, pieces: &[Recent]) {
        for piece in pieces {
            let Some(row) = self.rows.get_mut(&piece.row) else { continue };
            row.needed -= 1;
            if row.needed == 0 {
                self.bytes -= row.bytes;
                self.dead.push((piece.row, row.epoch));
                self.rows.remove(&piece.row);
            }
        }
    }
}

impl Held {
    /// Whether the tail may have more of it.
    fn fits(&self, more: &[&Said]) -> bool {
        let short = |said: &&Said| said.piece.text().is_some_and(|text| text.len() <= SHORT);
        let bytes: usize = more.iter().map(|said| said.piece.len()).sum();
        more.iter().all(short) && self.bytes + bytes <= RUN_BYTES && self.recent.len() + more.len() <= RUN_PIECES
    }
}

/// Gives a run rows of its own for what it said since the last time, and for what it says now. Answers how much it has
/// said.
fn settle(connection: &Connection, run: i64, held: &Held, more: &[&Said]) -> Result<i64, Failure> {
    const KEEP: &str = "INSERT INTO events (run, first, count, frames) VALUES (?1, ?2, ?3, ?4)";
    let mut first = held.settled;
    let mut keep = |count: i64, piece: &Piece| -> Result<(), Failure> {
        if count > 0 {
            connection.prepare_cached(KEEP)?.execute(params![run, first, count, piece])?;
            first += count;
        }
        Ok(())
    };
    let mut text = BytesMut::with_capacity(held.bytes);
    let mut count = 0;
    for recent in &held.recent {
        text.extend_from_slice(&recent.frames);
        count += recent.count;
    }
    for said in more {
        if let Some(plain) = said.piece.text() {
            text.extend_from_slice(plain);
            count += said.count;
        } else {
            keep(std::mem::take(&mut count), &Piece::plain(text.split().freeze()))?;
            keep(said.count, &said.piece)?;
        }
    }
    keep(count, &Piece::plain(text.freeze()))?;
    Ok(first)
}

/// A row of the tail in the making: what was said, and before it for each piece its run, how many events the run said
/// before, how many these are, and how long they are.
#[derive(Debug, Default)]
struct RowWriter {
    pieces: Vec<u8>,
    said: Vec<u8>,
    count: usize,
}

/// How long the words about a piece are.
const ABOUT: usize = 8 + 8 + 4 + 4;

impl RowWriter {
    fn push(&mut self, run: i64, first: i64, count: i64, frames: &[u8]) -> Result<(), Failure> {
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

    fn write(self, connection: &Connection, epoch: i64) -> Result<Option<(i64, Row)>, Failure> {
        const KEEP: &str = "INSERT INTO tail (epoch, pieces, said) VALUES (?1, ?2, ?3)";
        if self.count == 0 {
            return Ok(None);
        }
        connection.prepare_cached(KEEP)?.execute(params![epoch, self.pieces, self.said])?;
        let row = Row { epoch, needed: self.count, bytes: self.said.len(), since: Instant::now() };
        Ok(Some((connection.last_insert_rowid(), row)))
    }
}

/// Reads what a run said behind its first `from` events, if it stands in the tail: gives each piece, what of it to skip,
/// and how many events it is.
pub(super) fn read(
    connection: &Connection,
    run: i64,
    mut from: i64,
    mut take: impl FnMut(&[u8], i64, i64),
) -> Result<(), Failure> {
    const ROWS: &str = "SELECT pieces, said FROM tail ORDER BY id";
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for piece in pieces(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?) {
            let (about, place) = piece?;
            if about.run == run && about.first + about.count > from {
                let said = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                let frames = said.get(place).ok_or_else(|| damaged("events"))?;
                take(frames, about.count, from - about.first);
                from = about.first + about.count;
            }
        }
    }
    Ok(())
}

/// Overwrites what was said on some threads, in rows of other processes too: they may need the rest for long.
fn overwrite(connection: &Connection, threads: &HashSet<i64>) -> Result<(), Failure> {
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
