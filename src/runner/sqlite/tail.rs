//! What open runs said lately.
//!
//! A token is short, and a thousand runs may say one at the same moment. A row for each, each on a page of its own, would
//! write a thousand pages. So what is committed together is one row of the table `tail`, whoever said it. A run that has
//! said more than a little there, or some time ago, gets a row of its own in `events`. Most runs end before.
//!
//! Of every run, `events` has the beginning and `tail` the rest. A row of `tail` in which nothing is needed any more is
//! written over by the next one that fits, so that a commit changes one page, not also those that tell which pages are
//! free. Rows go when nobody has said anything for a moment. What a deleted thread said there is overwritten at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, params};

use self::row::{RowWriter, Slot};
use super::error::Failure;
use super::stored::Piece;

pub(super) use self::row::read;

mod row;
mod slot;

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
/// How many rows may wait to be written over, beside as many as are needed: more than one run fills.
const SPARE: usize = 2 * RUN_PIECES;
/// How many go with one commit: others wait for it.
const GONE_AT_ONCE: usize = 64;

/// What this process knows of the tail, and of its open runs.
#[derive(Debug, Default)]
pub(super) struct Tail {
    runs: HashMap<i64, Held>,
    /// By their turn, the oldest first.
    rows: BTreeMap<u64, Row>,
    /// How large they are.
    bytes: usize,
    /// Rows in which nothing is needed any more.
    free: BTreeSet<Slot>,
    /// The turn of the next row.
    turn: u64,
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
    /// The turn of its row.
    row: u64,
    count: i64,
    frames: Bytes,
}

#[derive(Debug)]
struct Row {
    slot: Slot,
    /// How many pieces in it are needed.
    needed: usize,
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
    /// Whether rows go that could be written over.
    pub(super) tidy: bool,
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
    row: Option<Row>,
    /// Rows that were written over or deleted.
    gone: Vec<Slot>,
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

    /// Whether there are rows in which nothing is needed any more.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Writes down what a transaction changes.
    pub(super) fn write(&self, connection: &Connection, epoch: i64, changes: &Changes) -> Result<Written, Failure> {
        let mut said: BTreeMap<i64, Vec<&Said>> = BTreeMap::new();
        for more in &changes.said {
            said.entry(more.run).or_default().push(more);
        }
        for run in &changes.settled {
            said.entry(*run).or_default();
        }
        let mut written = Written { row: None, gone: Vec::new(), recent: Vec::new(), settled: Vec::new() };
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
        if row.count > 0 {
            let place = self.place(row.len(), epoch);
            let slot = row.write(connection, epoch, place)?;
            written.gone.extend(place);
            written.row = Some(Row { slot, needed: row.count, since: Instant::now() });
        }
        self.delete(connection, changes.tidy, &mut written.gone)?;
        if !changes.hidden.is_empty() {
            row::overwrite(connection, &changes.hidden)?;
        }
        Ok(written)
    }

    /// A row to write over: the smallest with room for so much, if it is not far too large.
    fn place(&self, length: usize, epoch: i64) -> Option<Slot> {
        let least = slot::room(length);
        let fitting = self.free.range(Slot { room: least, id: i64::MIN, epoch: i64::MIN }..);
        let fits = |slot: &&Slot| slot.room <= 2 * least && slot::is_reused(slot.room);
        fitting.take_while(fits).find(|slot| slot.epoch == epoch).copied()
    }

    /// Deletes rows in which nothing is needed: all, or those that are too many.
    fn delete(&self, connection: &Connection, all: bool, gone: &mut Vec<Slot>) -> Result<(), Failure> {
        // The epoch too: were this process taken for dead, the row would be gone, and its id another's.
        const DELETE: &str = "DELETE FROM tail WHERE id = ?1 AND epoch = ?2";
        let few = if all { 0 } else { self.rows.len() + SPARE };
        let mut many = self.free.len().saturating_sub(few);
        let taken = gone.first().copied();
        for slot in self.free.iter().rev().filter(|slot| Some(**slot) != taken).take(GONE_AT_ONCE) {
            if many == 0 && slot::is_reused(slot.room) {
                break;
            }
            many = many.saturating_sub(1);
            connection.prepare_cached(DELETE)?.execute([slot.id, slot.epoch])?;
            gone.push(*slot);
        }
        Ok(())
    }

    /// Takes note of what was written down and committed.
    pub(super) fn apply(&mut self, version: i64, changes: Changes, written: Written) {
        for slot in &written.gone {
            self.free.remove(slot);
        }
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
        if let Some(row) = written.row {
            let turn = self.turn;
            self.turn += 1;
            self.bytes += row.slot.room;
            self.rows.insert(turn, row);
            for (run, count, frames) in written.recent {
                let Some(held) = self.runs.get_mut(&run) else { continue };
                held.said += count;
                held.bytes += frames.len();
                held.recent.push(Recent { row: turn, count, frames });
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
                self.bytes -= row.slot.room;
                self.free.insert(row.slot);
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
