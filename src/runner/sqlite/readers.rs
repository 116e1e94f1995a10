//! A few threads that read, each with a connection of its own. Reading never waits for writing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use super::error::{Failure, OpenError};
use super::schema;
use super::writer::panicked;
use crate::runner::StoreError;

/// How many reads may wait for a thread; what comes then waits outside.
const WAITING: usize = 256;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the threads that read.
#[derive(Debug)]
pub(super) struct Readers {
    file: PathBuf,
    queue: Mutex<Option<mpsc::Sender<Read>>>,
    room: Semaphore,
    threads: TaskTracker,
}

impl Readers {
    /// Starts so many threads over a file that has its tables.
    pub(super) fn start(file: &Path, count: usize) -> Result<Readers, OpenError> {
        let (sender, queue) = mpsc::channel::<Read>();
        let queue = Arc::new(Mutex::new(queue));
        let threads = TaskTracker::new();
        for _ in 0..count.max(1) {
            let connection = schema::open_reader(file)?;
            let (queue, alive) = (queue.clone(), threads.token());
            let serve = move || {
                loop {
                    // The lock is held while waiting: one waits for work, the others for the lock.
                    let Ok(read) = queue.lock().recv() else { break };
                    read(&connection);
                }
                drop((connection, alive));
            };
            let thread = thread::Builder::new().name("sqlite-reader".to_owned()).spawn(serve);
            thread.map_err(|error| StoreError::Failed(format!("no thread to read with: {error}")))?;
        }
        threads.close();
        Ok(Readers { file: file.to_owned(), queue: Mutex::new(Some(sender)), room: Semaphore::new(WAITING), threads })
    }

    /// Reads, all of it from one moment.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let closed = || StoreError::Failed("the store is closed".to_owned());
        let _room = self.room.acquire().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let work: Read = Box::new(move |connection| {
            let found = catch_unwind(AssertUnwindSafe(|| {
                let moment = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
                read(&moment)
            }));
            // Nobody may be waiting any more.
            let _ = answer.send(found.unwrap_or_else(|panic| Err(panicked(&*panic))));
        });
        let sent = self.queue.lock().as_ref().is_some_and(|queue| queue.send(work).is_ok());
        if !sent {
            return Err(closed());
        }
        let found = answered.await.map_err(|_| closed())?;
        found.map_err(|failure| failure.explain(&self.file))
    }

    /// Takes no more work, and waits until what was asked for is done.
    pub(super) async fn close(&self) {
        self.queue.lock().take();
        self.threads.wait().await;
    }
}
