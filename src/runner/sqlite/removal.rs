//! Threads that go, and all that was said on them.
//!
//! A thread is hidden at once: it is in no list, and its runs are nobody's. What it leaves is swept away a little at a
//! time, so that runs go on beside a thread of ten thousand.

use rusqlite::{OptionalExtension, params};

use super::error::Failure;
use super::runs::numbers_of;
use super::writer::Write;
use crate::runner::{Owner, ThreadKey};

/// How many rows go at once.
const ROWS: usize = 256;

/// How many threads are hidden at once.
const THREADS: i64 = 256;

/// Deletes a thread. False if there is none.
pub(super) fn delete(write: &mut Write<'_>, key: &ThreadKey) -> Result<bool, Failure> {
    const FIND: &str = "SELECT id FROM threads WHERE owner = ?1 AND thread_id = ?2";
    let found = write.sql(FIND)?.query_row(params![key.owner.as_str(), &*key.id], |row| row.get(0)).optional()?;
    let Some(thread) = found else { return Ok(false) };
    hide(write, thread)?;
    Ok(true)
}

/// Deletes some threads of an owner. Says how many; 0 when there are none left.
pub(super) fn clear_some(write: &mut Write<'_>, owner: &Owner) -> Result<usize, Failure> {
    const FIND: &str = "SELECT id FROM threads WHERE owner = ?1 LIMIT ?2";
    let threads: Vec<i64> = {
        let mut statement = write.sql(FIND)?;
        let rows = statement.query_map(params![owner.as_str(), THREADS], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    threads.iter().try_for_each(|thread| hide(write, *thread))?;
    Ok(threads.len())
}

/// Takes a thread out of sight. Its open run, if any, is over for everybody but the one who runs it.
pub(super) fn hide(write: &mut Write<'_>, thread: i64) -> Result<(), Failure> {
    const REMEMBER: &str = "INSERT INTO removed VALUES (?1)";
    const CLOSE: &str = "DELETE FROM open_runs WHERE thread = ?1 RETURNING number";
    const HIDE: &str = "DELETE FROM threads WHERE id = ?1";
    write.sql(REMEMBER)?.execute([thread])?;
    write.sql(HIDE)?.execute([thread])?;
    let open = write.sql(CLOSE)?.query_row([thread], |row| row.get(0)).optional()?;
    open.into_iter().for_each(|number| write.ended(number));
    write.hidden(thread);
    Ok(())
}

/// Sweeps away some of what hidden threads left. Says whether there is more.
pub(super) fn sweep(write: &Write<'_>) -> Result<bool, Failure> {
    const NEXT: &str = "SELECT thread FROM removed LIMIT 1";
    const DONE: &str = "DELETE FROM removed WHERE thread = ?1";
    // A table, its key, where in it the thread is, and how many rows go at once.
    const RUNS: &str = "BETWEEN ?1 AND ?2";
    const THREAD: &str = "BETWEEN ?1 >> 24 AND ?2 >> 24";
    const SWEEP: [(&str, &str, &str, &str, usize); 6] = [
        ("runs", "number", "number", RUNS, 32),
        ("events", "(run, first)", "run", RUNS, 32),
        ("search", "rowid", "rowid", RUNS, 32),
        ("payloads", "id", "run", RUNS, 4),
        ("states", "thread", "thread", THREAD, 1),
        ("message_ids", "(thread, id)", "thread", THREAD, ROWS),
    ];
    let mut budget = ROWS;
    while budget > 0 {
        let next = write.sql(NEXT)?.query_row([], |row| row.get(0)).optional()?;
        let Some(thread) = next else { return Ok(false) };
        let (first, last) = numbers_of(thread);
        for (table, key, place, range, rows) in SWEEP {
            let columns = key.trim_matches(['(', ')']);
            let some = format!("SELECT {columns} FROM {table} WHERE {place} {range} LIMIT {rows}");
            let swept = write.sql(&format!("DELETE FROM {table} WHERE {key} IN ({some})"))?.execute([first, last])?;
            if swept == rows {
                return Ok(true);
            }
            budget = budget.saturating_sub(swept);
        }
        write.sql(DONE)?.execute([thread])?;
        budget = budget.saturating_sub(1);
    }
    Ok(true)
}
