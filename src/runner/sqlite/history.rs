//! What was said, read back in pages.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::Failure;
use super::runs::{key, number_of, thread_of};
use super::{stored, tail};
use crate::agui::{Frames, Message};
use crate::runner::{ActiveRun, History, OpenRun, RunPhase, Said, StoredRun, ThreadKey};

/// About how much a page holds.
const PAGE_BYTES: usize = 256 * 1024;

/// A page of a thread's sealed runs.
pub(super) fn history(
    connection: &Connection,
    thread: &ThreadKey,
    from: u64,
    before: Option<u64>,
) -> Result<History, Failure> {
    const RUNS: &str = "
        SELECT number, said, count, cuts, unsaid, frames FROM runs
        WHERE number BETWEEN ?1 AND ?2 ORDER BY number";
    let Some(thread) = find(connection, thread)? else { return Ok(History::default()) };
    let first = key(from).max(number_of(thread, 0));
    let last = key(before.unwrap_or(u64::MAX)).min(number_of(thread + 1, 0)) - 1;
    let mut statement = connection.prepare_cached(RUNS)?;
    let mut rows = statement.query([first, last])?;
    let mut page = History::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if bytes >= PAGE_BYTES {
            page.next = Some(number(row)?);
            break;
        }
        let run = stored_run(connection, row)?;
        bytes += run.frames.bytes().len() + run.cuts.len();
        page.runs.push(run);
    }
    Ok(page)
}

/// A run of a row that begins as [`history`] asks for it.
pub(super) fn stored_run(connection: &Connection, row: &Row<'_>) -> Result<StoredRun, Failure> {
    let thread = thread_of(row.get(0)?);
    let cuts: Option<&[u8]> = row.get_ref(3)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    let unsaid = unsaid(connection, thread, row.get_ref(4)?)?;
    Ok(StoredRun {
        number: number(row)?,
        said: row.get::<_, i64>(1)?.cast_unsigned(),
        frames: frames(stored::read(connection, thread, row.get_ref(5)?)?, row.get(2)?),
        cuts: cuts.map(Bytes::copy_from_slice).unwrap_or_default(),
        unsaid: unsaid.into(),
    })
}

fn number(row: &Row<'_>) -> rusqlite::Result<u64> {
    row.get::<_, i64>(0).map(i64::cast_unsigned)
}

/// Frames as a row has them.
pub(super) fn frames(bytes: Bytes, count: i64) -> Frames {
    Frames::kept(bytes, usize::try_from(count).unwrap_or_default())
}

/// The messages of a run's input that stand in no event.
pub(super) fn unsaid(connection: &Connection, thread: i64, column: ValueRef<'_>) -> Result<Vec<Message>, Failure> {
    if column == ValueRef::Null {
        return Ok(Vec::new());
    }
    let json = stored::read(connection, thread, column)?;
    let list: Vec<&RawValue> = serde_json::from_slice(&json).map_err(|_| stored::damaged("messages"))?;
    let read = |message: &RawValue| Message::parse(message.get()).map_err(|_| stored::damaged("messages"));
    list.into_iter().map(read).collect()
}

/// A page of what an open run has said.
pub(super) fn said(connection: &Connection, run: &OpenRun, after: u64) -> Result<Said, Failure> {
    const OPEN: &str = "SELECT EXISTS (SELECT 1 FROM open_runs WHERE thread = ?1 AND number = ?2)";
    const SEALED: &str = "SELECT EXISTS (SELECT 1 FROM runs WHERE number = ?1)";
    let number = key(run.number);
    let ask = |sql, keys: &[i64]| -> Result<bool, Failure> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row(rusqlite::params_from_iter(keys), |row| row.get(0))?)
    };
    if !ask(OPEN, &[thread_of(number), number])? {
        let phase = if ask(SEALED, &[number])? { RunPhase::Sealed } else { RunPhase::Gone };
        return Ok(Said { frames: Frames::default(), phase });
    }
    Ok(Said { frames: said_behind(connection, number, key(after), PAGE_BYTES)?, phase: RunPhase::Open })
}

/// What an open run has said behind its first events, up to about so many bytes.
pub(super) fn said_behind(connection: &Connection, run: i64, after: i64, bytes: usize) -> Result<Frames, Failure> {
    // The row that holds the next event, and those behind it.
    const EVENTS: &str = "
        SELECT first, count, frames FROM events
        WHERE run = ?1 AND first >= coalesce((SELECT max(first) FROM events WHERE run = ?1 AND first <= ?2), 0)
        ORDER BY first";
    let mut page = BytesMut::new();
    let mut read = 0;
    let mut add = |batch: &[u8], count: i64, skip: i64| {
        let batch = frames(Bytes::copy_from_slice(batch), count).behind(usize::try_from(skip).unwrap_or_default());
        page.extend_from_slice(batch.bytes());
        read += batch.count();
        page.len() < bytes
    };
    let mut statement = connection.prepare_cached(EVENTS)?;
    let mut rows = statement.query([run, after])?;
    let mut next = after;
    let mut room = true;
    while room && let Some(row) = rows.next()? {
        let (first, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        if first + count > next {
            room = add(&stored::read(connection, thread_of(run), row.get_ref(2)?)?, count, next - first);
            next = first + count;
        }
    }
    if room {
        tail::read(connection, run, next, |batch, count, skip| {
            add(batch, count, skip);
        })?;
    }
    Ok(Frames::kept(page.freeze(), read))
}

/// The open run of a thread.
pub(super) fn active(connection: &Connection, thread: &ThreadKey) -> Result<Option<ActiveRun>, Failure> {
    const ACTIVE: &str = "
        SELECT open_runs.number, run_id, open_runs.agent_id FROM threads
        JOIN open_runs ON open_runs.thread = threads.id WHERE owner = ?1 AND thread_id = ?2";
    let mut statement = connection.prepare_cached(ACTIVE)?;
    let found = statement.query_row(params![thread.owner.as_str(), &*thread.id], |row| {
        Ok(ActiveRun {
            run: OpenRun { thread: thread.clone(), number: number(row)? },
            run_id: row.get(1)?,
            agent_id: row.get(2)?,
        })
    });
    Ok(found.optional()?)
}

/// The shared state of a thread.
pub(super) fn state(connection: &Connection, thread: &ThreadKey) -> Result<Option<Arc<Value>>, Failure> {
    const STATE: &str = "
        SELECT state FROM threads JOIN states ON states.thread = threads.id WHERE owner = ?1 AND thread_id = ?2";
    let mut statement = connection.prepare_cached(STATE)?;
    let found = statement.query_row(params![thread.owner.as_str(), &*thread.id], |row| row.get::<_, String>(0));
    found.optional()?.map(|json| stored::value(&json).map(Arc::new)).transpose()
}

fn find(connection: &Connection, thread: &ThreadKey) -> Result<Option<i64>, Failure> {
    const FIND: &str = "SELECT id FROM threads WHERE owner = ?1 AND thread_id = ?2";
    let mut statement = connection.prepare_cached(FIND)?;
    Ok(statement.query_row(params![thread.owner.as_str(), &*thread.id], |row| row.get(0)).optional()?)
}
