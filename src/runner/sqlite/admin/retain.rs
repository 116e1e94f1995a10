//! Forgetting threads nobody came back to.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::super::error::Failure;
use super::super::removal;
use super::super::writer::Write;
use super::SqliteStore;
use crate::runner::StoreError;
use crate::runner::listing::now;

/// How many threads are looked for at once, and how many are deleted before others get their turn.
const FOUND: i64 = 4096;
const DELETED: usize = 64;

/// How long threads are kept. What is `None` does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those without activity for longer go.
    pub max_age: Option<Duration>,
    /// Of each owner's threads so many stay, those with the newest activity. Archived ones count.
    pub max_threads_per_owner: Option<usize>,
}

impl SqliteStore {
    /// Deletes the threads that are not to be kept, a few at a time: runs go on. One with an open run stays. Answers how
    /// many were deleted.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file cannot be written.
    pub async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let found = self.readers.run(move |connection| superfluous(connection, retention)).await?;
            let before = deleted;
            for some in found.chunks(DELETED) {
                let some = some.to_vec();
                deleted += self.writer.run(0, move |write| delete(write, &some)).await?;
                self.sweep().await?;
            }
            if deleted == before {
                return Ok(deleted);
            }
        }
    }
}

/// Some threads to delete, with their last activity.
fn superfluous(connection: &Connection, retention: Retention) -> Result<Vec<(i64, i64)>, Failure> {
    const OLD: &str = "
        SELECT id, active FROM threads
        WHERE updated_at < ?1 AND NOT EXISTS (SELECT 1 FROM open_runs WHERE thread = id) LIMIT ?2";
    const MANY: &str = "
        SELECT id, active FROM (
            SELECT id, active, row_number() OVER (PARTITION BY owner ORDER BY active DESC) AS place FROM threads)
        WHERE place > ?1 AND NOT EXISTS (SELECT 1 FROM open_runs WHERE thread = id) LIMIT ?2";
    let find = |sql: &str, bound: i64| -> Result<Vec<(i64, i64)>, Failure> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![bound, FOUND], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    };
    let mut found = Vec::new();
    if let Some(age) = retention.max_age {
        found = find(OLD, now().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))?;
    }
    if let Some(count) = retention.max_threads_per_owner.filter(|_| found.is_empty()) {
        found = find(MANY, i64::try_from(count).unwrap_or(i64::MAX))?;
    }
    Ok(found)
}

/// Deletes those of some threads that nobody used meanwhile. Says how many.
fn delete(write: &mut Write<'_>, threads: &[(i64, i64)]) -> Result<u64, Failure> {
    const UNUSED: &str = "SELECT EXISTS (SELECT 1 FROM threads WHERE id = ?1 AND active = ?2)";
    let mut deleted = 0;
    for (thread, active) in threads {
        if write.sql(UNUSED)?.query_row([thread, active], |row| row.get(0))? {
            removal::hide(write, *thread)?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
