//! The write-ahead log is worked into the database by a thread of its own: else everybody would wait for it now and then.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::OpenError;
use super::schema;
use crate::runner::StoreError;

/// How often it is looked whether there is enough, while something is written, and how many pages are.
const LOOK: Duration = Duration::from_millis(250);
const ENOUGH: i64 = 1000;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    looked: Instant,
}

impl Checkpoints {
    /// Starts the thread over a file that has its tables.
    pub(super) fn start(file: &Path) -> Result<Checkpoints, OpenError> {
        let connection = schema::open_reader(file)?;
        let (wake, woken) = sync_channel(1);
        let serve = move || serve(&connection, &woken);
        let thread = thread::Builder::new().name("sqlite-log".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| StoreError::Failed(format!("no thread for the log: {error}")))?;
        Ok(Checkpoints { wake: Some(wake), thread: Some(thread), looked: Instant::now() })
    }

    /// Something was written.
    pub(super) fn wrote(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            // Full is woken already.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
        }
    }

    /// Leaves the file alone.
    pub(super) fn end(&mut self) {
        self.wake.take();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(connection: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        if let Err(error) = look(connection) {
            tracing::debug!(%error, "the write-ahead log waits to be worked into the database");
        }
    }
}

fn look(connection: &Connection) -> rusqlite::Result<()> {
    if unwritten(connection, "PRAGMA wal_checkpoint(NOOP)")? >= ENOUGH {
        unwritten(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok(())
}

/// How many pages of the log are not in the database yet, after this.
fn unwritten(connection: &Connection, checkpoint: &str) -> rusqlite::Result<i64> {
    connection.query_row(checkpoint, [], |row| Ok(row.get::<_, i64>("log")? - row.get::<_, i64>("checkpointed")?))
}

#[cfg(test)]
mod tests {
    use super::super::tests::files::TempFile;
    use super::*;

    #[test]
    fn a_log_that_has_grown_is_worked_into_the_database_and_a_short_one_waits() {
        let place = TempFile::new();
        let writer = schema::open_writer(place.path()).unwrap();
        let connection = schema::open_reader(place.path()).unwrap();
        let write = |count: i64| {
            for epoch in 0..count {
                writer
                    .execute("INSERT INTO tail (epoch, pieces, said) VALUES (?1, zeroblob(4000), x'')", [epoch])
                    .unwrap();
            }
        };
        let waiting = || unwritten(&connection, "PRAGMA wal_checkpoint(NOOP)").unwrap();
        write(10);
        look(&connection).unwrap();
        assert!(waiting() > 10);
        write(1000);
        assert!(waiting() > 1000);
        look(&connection).unwrap();
        assert_eq!(waiting(), 0);
    }
}
