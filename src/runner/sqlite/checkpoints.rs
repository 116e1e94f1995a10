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
    let waiting =
        |sql| connection.query_row(sql, [], |row| Ok(row.get::<_, i64>("log")? - row.get::<_, i64>("checkpointed")?));
    if waiting("PRAGMA wal_checkpoint(NOOP)")? >= ENOUGH {
        waiting("PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok(())
}
