//! What operators do with the file, while it is served or not.

mod backup;
mod check;
mod export;
mod retain;

use std::time::Duration;

use rusqlite::Connection;

use super::SqliteStore;
use super::error::Failure;
use super::writer::Write;
use crate::runner::{Owner, StoreError};

pub use check::CheckReport;
pub use retain::Retention;

/// How much of a file is given back to the system at once.
const PAGES: i64 = 512;
/// How often it is looked whether nobody reads from the write-ahead log any more, and the time between.
const EMPTYING: u32 = 500;
const BETWEEN: Duration = Duration::from_millis(10);

/// How far a long piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done, of `total`.
    pub done: u64,
    /// All there is, as far as it is known.
    pub total: u64,
}

impl SqliteStore {
    /// Gives the room of what was deleted back to the system, a little at a time: runs go on. Answers how many bytes.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file cannot be written.
    pub async fn vacuum(&self, mut progress: impl FnMut(Progress)) -> Result<u64, StoreError> {
        let (mut left, page_size) =
            self.readers.run(|connection| Ok((free(connection)?, page_size(connection)?))).await?;
        let total = left;
        while left > 0 {
            progress(Progress { done: total.saturating_sub(left).unsigned_abs(), total: total.unsigned_abs() });
            let now = self.writer.chore(give_back).await?;
            let now = now.map_err(|failure| failure.explain(&self.file))?;
            if now >= left {
                break;
            }
            left = now;
        }
        self.empty_log().await?;
        progress(Progress { done: total.unsigned_abs(), total: total.unsigned_abs() });
        Ok((total - left).max(0).unsigned_abs() * page_size.unsigned_abs())
    }

    /// Forgets a user: deletes all threads, and leaves none of their text in the file, nor in the log beside it. Answers
    /// how many threads there were.
    ///
    /// The file is written anew, and runs wait for it, those of other processes too: some seconds for each gigabyte.
    /// Without that, pages would keep copies of what once stood on them.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file cannot be written, or somebody keeps reading what was deleted. Call it again.
    pub async fn forget(&self, owner: &Owner) -> Result<usize, StoreError> {
        let count = self.clear_all(owner.clone()).await?;
        self.rewrites(true).await?;
        let rewritten = self.writer.chore(|connection| connection.execute_batch("VACUUM")).await;
        self.rewrites(false).await?;
        rewritten?.map_err(|error| Failure::from(error).explain(&self.file))?;
        self.empty_log().await?;
        Ok(count)
    }

    async fn rewrites(&self, whether: bool) -> Result<(), StoreError> {
        let say = move |write: &mut Write<'_>| {
            let (lease, connection) = write.lease();
            lease.rewrites(connection, whether)
        };
        self.writer.run(0, say).await
    }

    /// Works the log into the file and empties it. What stood there may have been deleted since.
    async fn empty_log(&self) -> Result<(), StoreError> {
        for _ in 0..EMPTYING {
            let emptied = self.writer.chore(empty_log).await?;
            if emptied.map_err(|error| Failure::from(error).explain(&self.file))? {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Err(StoreError::Failed("somebody keeps reading an old state of the file; try again".to_owned()))
    }
}

fn free(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))
}

fn page_size(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA page_size", [], |row| row.get(0))
}

/// Gives some free pages back. Says how many are left.
fn give_back(connection: &Connection) -> Result<i64, Failure> {
    connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    Ok(free(connection)?)
}

/// False if somebody still reads from the log.
fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}
