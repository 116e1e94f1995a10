//! The write-ahead log is worked into the database by a thread of its own: else everybody would wait for it now and then.
//! What is written meanwhile is left each time, and the log begins anew only when nothing is. So whoever writes does the
//! last pages itself, before it goes on: a log that grows is written more slowly than one that is written over.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::OpenError;
use super::schema;
use crate::runner::StoreError;

/// How often it is looked whether there is enough, while something is written, and how many pages are. Where the thread has
/// to share a core, others wait as long as it takes: little, often.
const LOOK: Duration = Duration::from_millis(50);
const ENOUGH: i64 = 250;
/// How many pages a log may have before it begins anew.
const LONG: i64 = 4000;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    looked: Instant,
    /// Whether the thread has just done what there was.
    nearly_done: Arc<AtomicBool>,
}

impl Checkpoints {
    /// Starts the thread over a file that has its tables.
    pub(super) fn start(file: &Path) -> Result<Checkpoints, OpenError> {
        let connection = schema::open_reader(file)?;
        let (wake, woken) = sync_channel(1);
        let nearly_done = Arc::new(AtomicBool::new(false));
        let tell = nearly_done.clone();
        let serve = move || serve(&connection, &woken, &tell);
        let thread = thread::Builder::new().name("sqlite-log".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| StoreError::Failed(format!("no thread for the log: {error}")))?;
        Ok(Checkpoints { wake: Some(wake), thread: Some(thread), looked: Instant::now(), nearly_done })
    }

    /// Something was written on this connection, which is in no transaction.
    pub(super) fn wrote(&mut self, connection: &Connection) {
        if self.nearly_done.swap(false, Ordering::Relaxed)
            && let Err(error) = Log::after(connection, "PASSIVE")
        {
            tracing::debug!(%error, "the write-ahead log does not begin anew yet");
        }
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

fn serve(connection: &Connection, woken: &Receiver<()>, nearly_done: &AtomicBool) {
    while woken.recv().is_ok() {
        match look(connection) {
            Ok(done) => nearly_done.store(done, Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "the write-ahead log waits to be worked into the database"),
        }
    }
}

/// Does what there is, if it is enough. Says whether the log may begin anew with what is left.
fn look(connection: &Connection) -> rusqlite::Result<bool> {
    if Log::after(connection, "NOOP")?.waiting < ENOUGH {
        return Ok(false);
    }
    if Log::after(connection, "PASSIVE")?.pages < LONG {
        return Ok(false);
    }
    // What was written during the first time is less than that; what is written during the second hardly anything.
    Ok(Log::after(connection, "PASSIVE")?.waiting == 0)
}

/// What the log holds, and how many pages of it are not in the database.
struct Log {
    pages: i64,
    waiting: i64,
}

impl Log {
    /// As it is after a checkpoint of this kind.
    fn after(connection: &Connection, kind: &str) -> rusqlite::Result<Log> {
        connection.query_row(&format!("PRAGMA wal_checkpoint({kind})"), [], |row| {
            let (pages, done) = (row.get("log")?, row.get::<_, i64>("checkpointed")?);
            Ok(Log { pages, waiting: pages - done })
        })
    }
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
        let waiting = || Log::after(&connection, "NOOP").unwrap().waiting;
        write(10);
        assert!(!look(&connection).unwrap());
        assert!(waiting() > 10);
        write(ENOUGH);
        assert!(waiting() > ENOUGH);
        assert!(!look(&connection).unwrap());
        assert_eq!(waiting(), 0);
        write(LONG / 2);
        assert!(look(&connection).unwrap());
    }

    #[test]
    fn the_log_begins_anew_though_somebody_writes_all_the_time() {
        let place = TempFile::new();
        let writer = schema::open_writer(place.path()).unwrap();
        // Without the help of SQLite, and without waiting for the disk: only the log counts.
        writer.execute_batch("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF").unwrap();
        let mut checkpoints = Checkpoints::start(place.path()).unwrap();
        let pages = || Log::after(&writer, "NOOP").unwrap().pages;
        let began = Instant::now();
        let mut longest = 0;
        let anew = loop {
            for _ in 0..100 {
                writer.execute("INSERT INTO tail (epoch, pieces, said) VALUES (1, zeroblob(4000), x'')", []).unwrap();
                checkpoints.wrote(&writer);
            }
            if pages() < longest {
                break true;
            }
            longest = pages();
            if began.elapsed() > Duration::from_secs(60) {
                break false;
            }
        };
        checkpoints.end();
        assert!(anew, "{longest} pages");
    }
}
