//! What open runs said lately.
//!
//! A token is short, and a thousand runs may say one at the same moment. A row for each, each on a page of its own, would
//! write a thousand pages. So what is committed together is one row of the table `tail`, whoever said it. A run that has
//! said more than a little there, or some time ago, gets a row of its own in `events`. Most runs end before.
//!
//! Of every run, `events` has the beginning and `tail` the rest. A row of `tail` goes when nothing in it is needed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, params};

use super::error::Failure;
use super::stored::{Piece, damaged};

/// What is longer gets a row of its own at once.
const SHORT: usize = 2048;
/// How much of one run may stand in the tail.
const RUN_BYTES: usize = 4096;
const RUN_PIECES: usize = 64;
/// For how long.
const AGE: Duration = Duration::from_secs(5);
/// How large the tail may be.
const ROWS: usize = 1024;
const BYTES: usize = 4 * 1024 * 1024;

/// What this process knows of the tail, and of its open runs.
#[derive(Debug, Default)]
pub(super) struct Tail {
    runs: HashMap<i64, Held>,
    rows: BTreeMap<i64, Row>,
    /// How much stands in them.
    bytes: usize,
    /// Rows in which nothing is needed any more.
    dead: Vec<i64>,
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
    pub(super) const ANY: Facts = Facts { events: true, payloads: true, state: true };
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) begun: Vec<(i64, Facts)>,
    pub(super) said: Vec<Said>,
    pub(super) checked: Vec<i64>,
    pub(super) ended: HashSet<i64>,
    pub(super) settle: Settle,
}

/// More of what a run says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) run: i64,
    pub(super) count: i64,
    pub(super) piece: Piece,
}

/// Which runs get what they said into rows of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Settle {
    /// Those that said too much for the tail.
    #[default]
    Talkative,
    /// Those too with something in a row as old as this.
    Since(Instant),
    /// All. Nothing is left of the tail.
    All,
}

/// What was written down of a transaction's changes, to be known once it is committed.
#[derive(Debug)]
pub(super) struct Written {
    row: Option<(i64, Row)>,
    recent: Vec<(i64, i64, Bytes)>,
    settled: Vec<(i64, i64, bool)>,
    cleared: bool,
}

impl Tail {
    /// In which version of the file a run of this process was open for sure; `None` if it is none.
    pub(super) fn checked(&self, run: i64) -> Option<i64> {
        self.runs.get(&run).map(|held| held.checked)
    }

    /// Runs that may be open no more in a version of the file.
    pub(super) fn unchecked(&self, version: i64) -> Vec<i64> {
        self.runs.iter().filter(|(_, held)| held.checked != version).map(|(run, _)| *run).collect()
    }

    /// What the file may hold of a run.
    pub(super) fn facts(&self, run: i64) -> Facts {
        self.runs.get(&run).map_or(Facts::ANY, |held| Facts { events: held.settled > 0, ..held.facts })
    }

    /// What is to be settled by now, if anything.
    pub(super) fn due(&self, now: Instant) -> Option<Settle> {
        let (_, oldest) = self.rows.first_key_value()?;
        if self.rows.len() > ROWS || self.bytes > BYTES {
            // Half of it, or every commit would have to.
            return self.rows.values().nth(self.rows.len() / 2).map(|row| Settle::Since(row.since));
        }
        (now.saturating_duration_since(oldest.since) > AGE).then_some(Settle::Since(oldest.since))
    }

    /// Whether there are rows to delete.
    pub(super) fn has_dead(&self) -> bool {
        !self.dead.is_empty()
    }

    /// Writes down what a transaction changes.
    pub(super) fn write(&self, connection: &Connection, epoch: i64, changes: &Changes) -> Result<Written, Failure> {
        const DELETE: &str = "DELETE FROM tail WHERE id = ?1";
        const CLEAR: &str = "DELETE FROM tail WHERE epoch = ?1";
        let mut written =
            Written { row: None, recent: Vec::new(), settled: Vec::new(), cleared: changes.settle == Settle::All };
        let mut said: BTreeMap<i64, Vec<&Said>> = BTreeMap::new();
        for more in changes.said.iter().filter(|said| !changes.ended.contains(&said.run)) {
            said.entry(more.run).or_default().push(more);
        }
        for run in self.to_settle(changes) {
            said.entry(run).or_default();
        }
        let mut row = RowWriter::default();
        for (run, said) in said {
            let Some(held) = self.runs.get(&run) else { continue };
            if held.fits(&said) && !held.must_settle(changes.settle, &self.rows) {
                let mut first = held.said;
                for Said { count, piece, .. } in said {
                    let Some(frames) = piece.text() else { continue };
                    row.push(run, first, *count, frames)?;
                    written.recent.push((run, *count, frames.clone()));
                    first += count;
                }
            } else {
                let (settled, payloads) = settle(connection, run, held, &said)?;
                written.settled.push((run, settled, payloads));
            }
        }
        if written.cleared {
            connection.prepare_cached(CLEAR)?.execute([epoch])?;
        } else {
            for id in &self.dead {
                connection.prepare_cached(DELETE)?.execute([id])?;
            }
        }
        written.row = row.write(connection, epoch)?;
        Ok(written)
    }

    /// Takes note of what was written down and committed.
    pub(super) fn apply(&mut self, version: i64, changes: Changes, written: Written) {
        if written.cleared {
            self.rows.clear();
            self.bytes = 0;
        }
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
        for (run, said, payloads) in written.settled {
            let Some(held) = self.runs.get_mut(&run) else { continue };
            (held.said, held.settled, held.bytes) = (said, said, 0);
            held.facts.payloads |= payloads;
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
                self.rows.remove(&piece.row);
                self.dead.push(piece.row);
            }
        }
    }

    fn to_settle(&self, changes: &Changes) -> Vec<i64> {
        if changes.settle == Settle::Talkative {
            return Vec::new();
        }
        let must =
            |(run, held): &(&i64, &Held)| !changes.ended.contains(*run) && held.must_settle(changes.settle, &self.rows);
        self.runs.iter().filter(must).map(|(run, _)| *run).collect()
    }
}

impl Held {
    /// Whether the tail may have more of it.
    fn fits(&self, more: &[&Said]) -> bool {
        let short = |said: &&Said| said.piece.text().is_some_and(|text| text.len() <= SHORT);
        let bytes: usize = more.iter().map(|said| said.piece.len()).sum();
        more.iter().all(short) && self.bytes + bytes <= RUN_BYTES && self.recent.len() + more.len() <= RUN_PIECES
    }

    fn must_settle(&self, settle: Settle, rows: &BTreeMap<i64, Row>) -> bool {
        match settle {
            Settle::Talkative => false,
            Settle::Since(since) => {
                let oldest = self.recent.first().and_then(|recent| rows.get(&recent.row));
                oldest.is_some_and(|row| row.since <= since)
            }
            Settle::All => !self.recent.is_empty(),
        }
    }
}

/// Gives a run rows of its own for what it said since the last time, and for what it says now. Answers how much it has
/// said, and whether there were payloads.
fn settle(connection: &Connection, run: i64, held: &Held, more: &[&Said]) -> Result<(i64, bool), Failure> {
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
    let mut payloads = false;
    for said in more {
        if let Some(plain) = said.piece.text() {
            text.extend_from_slice(plain);
            count += said.count;
        } else {
            keep(std::mem::take(&mut count), &Piece::plain(text.split().freeze()))?;
            keep(said.count, &said.piece)?;
            payloads = true;
        }
    }
    keep(count, &Piece::plain(text.freeze()))?;
    Ok((first, payloads))
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
        let row = Row { needed: self.count, bytes: self.said.len(), since: Instant::now() };
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
        let pieces = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        let mut at = 0;
        for about in pieces.chunks(ABOUT) {
            let piece = About::read(about).ok_or_else(|| damaged("events"))?;
            let place = at..at + piece.length;
            at = place.end;
            if piece.run == run && piece.first + piece.count > from {
                let said = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                let frames = said.get(place).ok_or_else(|| damaged("events"))?;
                take(frames, piece.count, from - piece.first);
                from = piece.first + piece.count;
            }
        }
    }
    Ok(())
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
