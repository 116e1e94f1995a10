//! Threads that go, and all that was said on them.

use rusqlite::{OptionalExtension, params};

use super::error::Failure;
use super::runs::numbers_of;
use super::writer::Write;
use crate::runner::{Owner, ThreadKey};

/// Deletes a thread. False if there is none.
pub(super) fn delete(write: &Write<'_>, key: &ThreadKey) -> Result<bool, Failure> {
    const FIND: &str = "SELECT id FROM threads WHERE owner = ?1 AND thread_id = ?2";
    let found = write.sql(FIND)?.query_row(params![key.owner.as_str(), &*key.id], |row| row.get(0)).optional()?;
    let Some(thread) = found else { return Ok(false) };
    remove(write, thread)?;
    Ok(true)
}

/// Deletes every thread of an owner.
pub(super) fn clear(write: &Write<'_>, owner: &Owner) -> Result<(), Failure> {
    const FIND: &str = "SELECT id FROM threads WHERE owner = ?1";
    let threads = write.sql(FIND)?.query_map([owner.as_str()], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
    threads.into_iter().try_for_each(|thread| remove(write, thread))
}

/// Removes a thread from every table.
pub(super) fn remove(write: &Write<'_>, thread: i64) -> Result<(), Failure> {
    const RANGES: [&str; 4] = [
        "DELETE FROM search WHERE rowid BETWEEN ?1 AND ?2",
        "DELETE FROM unsearched WHERE number BETWEEN ?1 AND ?2",
        "DELETE FROM runs WHERE number BETWEEN ?1 AND ?2",
        "DELETE FROM events WHERE run BETWEEN ?1 AND ?2",
    ];
    const ROWS: [&str; 5] = [
        "DELETE FROM open_runs WHERE thread = ?1",
        "DELETE FROM states WHERE thread = ?1",
        "DELETE FROM payloads WHERE thread = ?1",
        "DELETE FROM message_ids WHERE thread = ?1",
        "DELETE FROM threads WHERE id = ?1",
    ];
    let (first, last) = numbers_of(thread);
    for sql in RANGES {
        write.sql(sql)?.execute([first, last])?;
    }
    for sql in ROWS {
        write.sql(sql)?.execute([thread])?;
    }
    Ok(())
}
