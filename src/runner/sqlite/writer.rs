//! The way to the one thread that writes, and what work sees there.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::desk::Desk;
use super::error::Failure;
use super::lease::Lease;
use super::patience;
use super::stored::Piece;
use super::tail::{Changes, Facts, Said, Tail};
use crate::runner::StoreError;
use crate::runner::listing::now;

/// How much may wait to be written, in units of 1 KiB; what comes then waits outside.
const ROOM: usize = 64 * 1024;

/// The way to the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<Option<mpsc::Sender<Ask>>>,
    gathered: Mutex<Vec<Box<dyn Job>>>,
    room: Arc<Semaphore>,
    /// How many wait for an answer.
    waiting: AtomicUsize,
    /// Signalled when the thread has ended.
    ended: CancellationToken,
}

/// What is asked for, in order.
pub(super) type Queue = mpsc::Receiver<Ask>;

/// One thing that is asked for.
pub(super) enum Ask {
    Jobs(Vec<Box<dyn Job>>),
    /// Work outside of any transaction. Everybody else waits.
    Chore(Chore),
}

pub(super) type Chore = Box<dyn FnOnce(&Connection) + Send>;

/// One piece of work inside a transaction.
pub(super) trait Job: Send {
    /// Does it. It is done again if the transaction could not be committed.
    fn work(&mut self, write: &mut Write<'_>) -> Result<(), Failure>;
    /// Tells who asked.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
    fn bytes(&self) -> usize;
}

impl fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
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
    /// Starts the thread at its desk, which `set_up` makes of the queue.
    pub(super) fn start<E>(set_up: impl FnOnce(Queue) -> Result<Desk, E>) -> Result<Writer, E>
    where
        E: From<StoreError>,
    {
        let (sender, queue) = mpsc::channel();
        let ended = CancellationToken::new();
        let signal = ended.clone().drop_guard();
        let mut desk = set_up(queue)?;
        let serve = move || {
            patience::learn();
            desk.serve();
            // The file is left alone first.
            drop((desk, signal));
        };
        let thread = thread::Builder::new().name("sqlite-writer".to_owned()).spawn(serve);
        thread.map_err(|error| StoreError::Failed(format!("no thread to write with: {error}")))?;
        let (queue, room) = (Mutex::new(Some(sender)), Arc::new(Semaphore::new(ROOM)));
        Ok(Writer { queue, gathered: Mutex::default(), room, waiting: AtomicUsize::new(0), ended })
    }

    /// Has some work done, about so many bytes of it, and waits until it is kept. Work must change nothing but the
    /// database: it is done again if a transaction could not be committed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnMut(&mut Write<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _waiting = Waiting::among(&self.waiting);
        let units = u32::try_from((1 + bytes / 1024).min(ROOM)).unwrap_or(1);
        let room = self.room.clone().acquire_many_owned(units).await.map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut gathered = self.gathered.lock();
            gathered.push(Box::new(Asked { work, done: None, answer, bytes, _room: room }));
            gathered.len() == 1
        };
        if is_first {
            let handing = Handing(self);
            // Who else is about to ask for something comes along: what is handed over together is committed together,
            // and the thread that writes is woken once.
            tokio::task::yield_now().await;
            drop(handing);
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// How many wait for what they asked for.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Hands over what was gathered, in order.
    fn hand_over(&self) {
        let mut gathered = self.gathered.lock();
        if !gathered.is_empty() {
            // Who asked hears it if the store is closed.
            let _ = self.ask(Ask::Jobs(std::mem::take(&mut gathered)));
        }
    }

    /// Has some work done outside of any transaction, while everybody else waits.
    pub(super) async fn chore<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Nobody may be waiting any more.
        let chore = Box::new(move |connection: &Connection| drop(answer.send(work(connection))));
        self.ask(Ask::Chore(chore))?;
        answered.await.map_err(|_| gone())
    }

    fn ask(&self, ask: Ask) -> Result<(), StoreError> {
        let sent = self.queue.lock().as_ref().is_some_and(|queue| queue.send(ask).is_ok());
        if sent { Ok(()) } else { Err(gone()) }
    }

    /// Takes no more work, and waits until what was asked for is done.
    pub(super) async fn close(&self) {
        self.hand_over();
        self.queue.lock().take();
        self.ended.cancelled().await;
    }
}

/// Counts somebody as long as they wait.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn among(all: &'w AtomicUsize) -> Waiting<'w> {
        all.fetch_add(1, Ordering::Relaxed);
        Waiting(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Hands over what was gathered when it goes, also if who gathered it waits no longer: others do.
struct Handing<'w>(&'w Writer);

impl Drop for Handing<'_> {
    fn drop(&mut self) {
        self.0.hand_over();
    }
}

fn gone() -> StoreError {
    StoreError::Failed("the store is closed".to_owned())
}

/// A transaction that writes.
pub(super) struct Write<'c> {
    transaction: Transaction<'c>,
    lease: &'c mut Lease,
    tail: &'c mut Tail,
    changes: Changes,
    /// Changes when another process writes.
    version: i64,
    now: i64,
    epoch: Option<i64>,
    activity: &'c mut Activity,
}

impl<'c> Write<'c> {
    pub(super) fn begin(
        connection: &'c Connection,
        lease: &'c mut Lease,
        tail: &'c mut Tail,
        activity: &'c mut Activity,
    ) -> rusqlite::Result<Write<'c>> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let version = transaction.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        let changes = Changes::default();
        Ok(Write { transaction, lease, tail, changes, version, now: now(), epoch: None, activity })
    }

    /// Keeps what was done.
    pub(super) fn commit(mut self) -> Result<(), Failure> {
        if self.tail.is_due(Instant::now()) {
            for run in self.tail.oldest() {
                if self.is_open(run)? {
                    self.changes.settled.push(run);
                }
            }
        }
        let epoch = self.lease.epoch().unwrap_or_default();
        let written = self.tail.write(&self.transaction, epoch, &self.changes)?;
        self.transaction.commit()?;
        self.tail.apply(self.version, self.changes, written);
        Ok(())
    }

    /// A run of this process begins.
    pub(super) fn begun(&mut self, run: i64, facts: Facts) {
        self.changes.begun.push((run, facts));
    }

    /// Keeps what an open run of this process says. False if it is none, or no more.
    pub(super) fn say(&mut self, run: i64, count: i64, piece: &Piece) -> Result<bool, Failure> {
        let open = self.is_open(run)?;
        if open {
            if !piece.payloads().is_empty() {
                self.changes.payloads.insert(run);
            }
            self.changes.said.push(Said { run, count, piece: piece.clone() });
        }
        Ok(open)
    }

    /// Whether a run is an open one of this process.
    fn is_open(&mut self, run: i64) -> Result<bool, Failure> {
        match self.tail.checked(run) {
            Some(checked) if !self.changes.ended.contains(&run) => {
                Ok(checked == self.version || self.is_still_open(run)?)
            }
            _ => Ok(false),
        }
    }

    /// Another process may have deleted a run's thread, or taken this one for dead.
    fn is_still_open(&mut self, run: i64) -> Result<bool, Failure> {
        const OPEN: &str = "SELECT EXISTS (SELECT 1 FROM open_runs WHERE thread = ?1 >> 24 AND number = ?1)";
        let open = self.sql(OPEN)?.query_row([run], |row| row.get(0))?;
        if open {
            self.changes.checked.push(run);
        } else {
            self.changes.ended.insert(run);
        }
        Ok(open)
    }

    /// A run is over.
    pub(super) fn ended(&mut self, run: i64) {
        self.changes.ended.insert(run);
    }

    /// A thread was deleted.
    pub(super) fn hidden(&mut self, thread: i64) {
        self.changes.hidden.insert(thread);
    }

    /// Nobody says anything for a moment: what is not needed goes.
    pub(super) fn tidy(&mut self) {
        self.changes.tidy = true;
    }

    /// What the file may hold of a run.
    pub(super) fn facts(&self, run: i64) -> Facts {
        let facts = self.tail.facts(run);
        Facts { payloads: facts.payloads || self.changes.payloads.contains(&run), ..facts }
    }

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

    /// The epoch under which runs begin.
    pub(super) fn epoch(&mut self) -> Result<i64, Failure> {
        let epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.lease.hold(&self.transaction)?,
        };
        self.epoch = Some(epoch);
        Ok(epoch)
    }

    /// This process's lease, and the transaction to use it in.
    pub(super) fn lease(&mut self) -> (&mut Lease, &Connection) {
        (self.lease, &self.transaction)
    }

    /// A number for an activity, by which lists are in order.
    pub(super) fn next_active(&mut self) -> i64 {
        self.activity.next(self.lease.epoch().unwrap_or_default())
    }
}

/// A panic as a failure, for the log and for whoever asked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or_default(), "the store panicked");
    Failure::because("internal error in the store; the log says more")
}
