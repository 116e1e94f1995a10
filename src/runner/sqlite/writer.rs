//! The one thread that writes. What is asked for while it is committing is committed together next, so that runs
//! share the waiting for the disk.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::error::Failure;
use crate::runner::StoreError;
use crate::runner::listing::now;

/// How much may wait to be written, in units of 1 KiB; what comes then waits outside.
const ROOM: usize = 64 * 1024;
/// How much is committed at once at most.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    room: Arc<Semaphore>,
    /// Signalled when the thread has ended.
    ended: CancellationToken,
}

/// One piece of work inside a transaction.
trait Job: Send {
    /// Does it. It is done again if the transaction could not be committed.
    fn work(&mut self, write: &mut Write<'_>) -> Result<(), Failure>;
    /// Tells who asked.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
    fn bytes(&self) -> usize;
}

struct Asked<T, F> {
    work: F,
    done: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

impl<T: Send, F: FnMut(&mut Write<'_>) -> Result<T, Failure> + Send> Job for Asked<T, F> {
    fn work(&mut self, write: &mut Write<'_>) -> Result<(), Failure> {
        self.done = Some((self.work)(write)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Asked { done, answer, .. } = *self;
        // Nobody may be waiting any more.
        let _ = answer.send(outcome.and_then(|()| done.ok_or_else(gone)));
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Writer {
    /// Starts the thread over a connection.
    pub(super) fn start(connection: Connection, file: PathBuf) -> std::io::Result<Writer> {
        let (sender, queue) = mpsc::channel();
        let ended = CancellationToken::new();
        let signal = ended.clone().drop_guard();
        let desk = Desk { connection, file, queue };
        let serve = move || {
            desk.serve();
            // The file is left alone first.
            drop((desk, signal));
        };
        thread::Builder::new().name("sqlite-writer".to_owned()).spawn(serve)?;
        Ok(Writer { queue: Mutex::new(Some(sender)), room: Arc::new(Semaphore::new(ROOM)), ended })
    }

    /// Has some work done, about so many bytes of it, and waits until it is kept. Work must change nothing but the
    /// database: it is done again if a transaction could not be committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&mut Write<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let units = u32::try_from((1 + bytes / 1024).min(ROOM)).unwrap_or(1);
        let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Asked { work, done: None, answer, bytes, _room: room });
        let sent = self.queue.lock().as_ref().is_some_and(|queue| queue.send(job).is_ok());
        if !sent {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Takes no more work, and waits until what was asked for is done.
    pub(super) async fn close(&self) {
        self.queue.lock().take();
        self.ended.cancelled().await;
    }
}

fn gone() -> StoreError {
    StoreError::Failed("the store is closed".to_owned())
}

/// What the thread has.
struct Desk {
    connection: Connection,
    file: PathBuf,
    queue: mpsc::Receiver<Box<dyn Job>>,
}

/// A transaction that writes.
pub(super) struct Write<'c> {
    transaction: Transaction<'c>,
    now: i64,
    /// The last activity of any thread, once it was looked up.
    active: Option<i64>,
}

impl Write<'_> {
    /// A statement, prepared once.
    pub(super) fn sql(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.transaction.prepare_cached(sql)
    }

    /// The connection the transaction is on.
    pub(super) fn connection(&self) -> &Connection {
        &self.transaction
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// A number for an activity, larger than that of any before.
    pub(super) fn next_active(&mut self) -> rusqlite::Result<i64> {
        const LAST: &str = "SELECT max(
            (SELECT coalesce(max(active), 0) FROM threads WHERE archived = 0),
            (SELECT coalesce(max(active), 0) FROM threads WHERE archived = 1))";
        let last = match self.active {
            Some(last) => last,
            None => self.sql(LAST)?.query_row([], |row| row.get(0))?,
        };
        self.active = Some(last + 1);
        Ok(last + 1)
    }
}

/// Why a group of jobs was not committed.
enum Undone {
    /// The database could not be written at all.
    Locked(StoreError),
    /// One of them, or all together, failed.
    Failed(StoreError),
}

impl Desk {
    fn serve(&self) {
        while let Ok(first) = self.queue.recv() {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(job) = self.queue.try_recv() else { break };
                bytes += job.bytes();
                group.push(job);
            }
            self.commit(group);
        }
    }

    fn commit(&self, mut group: Vec<Box<dyn Job>>) {
        let outcome = match self.attempt(&mut group) {
            Ok(()) => Ok(()),
            Err(Undone::Failed(_)) if group.len() > 1 => {
                // One may have spoilt it for all.
                return group.into_iter().for_each(|job| self.commit(vec![job]));
            }
            Err(Undone::Failed(why) | Undone::Locked(why)) => Err(why),
        };
        group.into_iter().for_each(|job| job.answer(outcome.clone()));
    }

    fn attempt(&self, group: &mut [Box<dyn Job>]) -> Result<(), Undone> {
        let explain = |failure: Failure| failure.explain(&self.file);
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
            .map_err(|error| Undone::Locked(explain(error.into())))?;
        let mut write = Write { transaction, now: now(), active: None };
        for job in group {
            let worked = catch_unwind(AssertUnwindSafe(|| job.work(&mut write)));
            worked
                .unwrap_or_else(|panic| Err(panicked(&*panic)))
                .map_err(|failure| Undone::Failed(explain(failure)))?;
        }
        write.transaction.commit().map_err(|error| Undone::Failed(explain(error.into())))
    }
}

/// A panic as a failure, for the log and for whoever asked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or_default(), "the store panicked");
    Failure::because("internal error in the store; the log says more")
}
