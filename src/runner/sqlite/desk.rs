//! What the thread that writes does: what is asked for while it commits is committed together next, so that runs share
//! the waiting for the disk. Between commits it looks after leases, and when nobody asks for anything, after the rest.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::activity::Activity;
use super::checkpoints::Checkpoints;
use super::error::{Failure, OpenError, is_busy};
use super::lease::{self, Lease, Presence};
use super::search::Portion;
use super::tail::Tail;
use super::writer::{Ask, Chore, Job, Queue, Write, panicked};
use super::{SqliteOptions, node, recover, removal, schema, search};
use crate::runner::StoreError;

/// How much is committed at once at most.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// How long nothing must have been asked for before what can wait is done.
const IDLE: Duration = Duration::from_millis(200);
/// Who is never idle does some of it now and then: so often, and not for more than one part of so many of its time.
const BETWEEN: Duration = Duration::from_millis(20);
const SHARE: u32 = 50;
/// How many runs of a process that is gone are closed at once.
const CLOSED_AT_ONCE: usize = 16;

/// The thread that writes, and what it has.
pub(super) struct Desk {
    connection: Connection,
    file: PathBuf,
    queue: Queue,
    /// What was asked for and is not done yet, in order; the chore comes last.
    waiting: VecDeque<Box<dyn Job>>,
    chore: Option<Chore>,
    lease: Lease,
    tail: Tail,
    activity: Activity,
    checkpoints: Checkpoints,
    /// When leases are looked after next.
    due: Instant,
    /// Epochs of processes that are gone, with runs to close.
    dead: Vec<i64>,
    /// How long to wait for others before doing what can wait; `None` if there is nothing.
    patience: Option<Duration>,
    /// When some of what can wait is done though nobody waits.
    between: Instant,
    /// In a test, ends as if killed.
    #[cfg(test)]
    killed: Arc<std::sync::atomic::AtomicBool>,
}

/// Why a group of jobs was not committed.
enum Undone {
    /// The database could not be written at all.
    Locked(StoreError),
    /// One of them, or all together, failed.
    Failed(StoreError),
}

impl Desk {
    /// Opens the file and closes the runs of processes that are gone.
    pub(super) fn open(
        file: &Path,
        options: &SqliteOptions,
        presence: Arc<Presence>,
        queue: Queue,
        #[cfg(test)] killed: Arc<std::sync::atomic::AtomicBool>,
    ) -> Result<Desk, OpenError> {
        let connection = schema::open_writer(file)?;
        let lease = Lease::new(file.to_owned(), options.lease, presence);
        let mut desk = Desk {
            connection,
            file: file.to_owned(),
            queue,
            waiting: VecDeque::new(),
            chore: None,
            due: Instant::now() + lease.interval(),
            lease,
            tail: Tail::default(),
            activity: Activity::default(),
            checkpoints: Checkpoints::start(file)?,
            dead: Vec::new(),
            patience: Some(IDLE),
            between: Instant::now(),
            #[cfg(test)]
            killed,
        };
        desk.sweep_locks()?;
        if node::is_waiting(&desk.connection).map_err(|failure| failure.explain(file))? {
            let threads = desk.alone(node::take_over)?;
            tracing::info!(threads, "took over the threads of the Node runtime's SQLite runner");
        }
        desk.find_dead()?;
        while !desk.dead.is_empty() {
            desk.close_dead()?;
        }
        Ok(desk)
    }

    /// Works until nobody can ask for anything any more.
    pub(super) fn serve(&mut self) {
        loop {
            let mut idle = false;
            if self.waiting.is_empty() {
                match self.queue.recv_timeout(self.wait()) {
                    Ok(ask) => self.take(ask),
                    Err(RecvTimeoutError::Timeout) => idle = true,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            if !self.waiting.is_empty() {
                let group = self.group();
                self.commit(group);
                self.checkpoints.wrote(&self.connection);
                self.patience = Some(IDLE);
            }
            if self.waiting.is_empty()
                && let Some(chore) = self.chore.take()
            {
                self.do_chore(chore);
            }
            if let Err(failure) = self.upkeep(idle) {
                tracing::warn!(error = %failure, "the store could not be looked after");
                // What keeps this process from writing may keep others from renewing.
                self.look_anew();
            }
        }
        self.leave();
    }

    /// How long to wait for somebody to ask for something.
    fn wait(&self) -> Duration {
        let until_due = self.due.saturating_duration_since(Instant::now());
        match self.patience {
            _ if !self.dead.is_empty() => Duration::ZERO,
            Some(patience) => patience.min(until_due),
            None => until_due,
        }
    }

    /// What is asked for by now and fits one commit.
    fn group(&mut self) -> Vec<Box<dyn Job>> {
        while self.waiting.len() < GROUP && self.chore.is_none() {
            match self.queue.try_recv() {
                Ok(ask) => self.take(ask),
                Err(_) => break,
            }
        }
        let mut bytes = 0;
        let fits = |more: &usize| {
            bytes += more;
            bytes <= GROUP_BYTES
        };
        let count = self.waiting.iter().take(GROUP).map(|job| job.bytes()).take_while(fits).count();
        self.waiting.drain(..count.max(1)).collect()
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Jobs(jobs) => self.waiting.extend(jobs),
            Ask::Chore(chore) => self.chore = Some(chore),
        }
    }

    fn do_chore(&self, chore: Chore) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| chore(&self.connection))) {
            // Who asked hears that it was not done.
            drop(panicked(&*panic));
        }
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
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

    fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Undone> {
        let explain = |failure: Failure| failure.explain(&self.file);
        let mut write = loop {
            let error = match Write::begin(&self.connection, &mut self.lease, &mut self.tail, &mut self.activity) {
                Ok(write) => break write,
                Err(error) => error,
            };
            if !is_busy(&error) || !self.lease.is_rewritten(&self.connection).unwrap_or(false) {
                return Err(Undone::Locked(explain(error.into())));
            }
            tracing::warn!("runs wait for another process, which writes the file anew");
        };
        for job in group {
            let worked = catch_unwind(AssertUnwindSafe(|| job.work(&mut write)));
            worked
                .unwrap_or_else(|panic| Err(panicked(&*panic)))
                .map_err(|failure| Undone::Failed(explain(failure)))?;
        }
        write.commit().map_err(|failure| Undone::Failed(explain(failure)))
    }

    /// Does some work in a transaction of its own.
    fn alone<T>(&mut self, work: impl FnOnce(&mut Write<'_>) -> Result<T, Failure>) -> Result<T, StoreError> {
        self.checkpoints.wrote(&self.connection);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut write = Write::begin(&self.connection, &mut self.lease, &mut self.tail, &mut self.activity)?;
            let done = work(&mut write)?;
            write.commit()?;
            Ok(done)
        }));
        outcome.unwrap_or_else(|panic| Err(panicked(&*panic))).map_err(|failure| failure.explain(&self.file))
    }

    fn upkeep(&mut self, idle: bool) -> Result<(), StoreError> {
        if self.due <= Instant::now() {
            self.due = Instant::now() + self.lease.interval();
            self.renew()?;
            self.find_dead()?;
        }
        if self.tail.is_due(Instant::now()) {
            // Any commit gives the oldest rows of their own.
            self.alone(|_| Ok(()))?;
        }
        if self.tail.has_free() {
            self.patience.get_or_insert(IDLE);
        }
        if !self.dead.is_empty() {
            self.close_dead()
        } else if idle && self.patience.take().is_some() {
            let more = self.alone(|write| {
                write.tidy();
                Ok(removal::sweep(write)? || search::catch_up(write, Portion::LARGE)? > 0)
            })?;
            self.patience = (more || self.tail.has_free()).then_some(Duration::ZERO);
            Ok(())
        } else if !idle && self.between <= Instant::now() {
            let begun = Instant::now();
            self.alone(|write| search::catch_up(write, Portion::SMALL))?;
            self.between = Instant::now() + (begun.elapsed() * SHARE).max(BETWEEN);
            Ok(())
        } else {
            Ok(())
        }
    }

    fn renew(&mut self) -> Result<(), StoreError> {
        let Some(epoch) = self.lease.epoch() else { return Ok(()) };
        // Asked first, so that an idle process writes nothing.
        let held = lease::has_runs(&self.connection, epoch).map_err(|failure| failure.explain(&self.file))?;
        if !held {
            self.lease.rest();
            return Ok(());
        }
        self.alone(|write| {
            let (lease, connection) = write.lease();
            lease.renew(connection)
        })
    }

    fn find_dead(&mut self) -> Result<(), StoreError> {
        self.dead = self.lease.dead(&self.connection, Instant::now()).map_err(|failure| failure.explain(&self.file))?;
        Ok(())
    }

    /// Closes some runs of a process that is gone.
    fn close_dead(&mut self) -> Result<(), StoreError> {
        let Some(epoch) = self.dead.pop() else { return Ok(()) };
        let (asked, patience) = (Instant::now(), self.lease.interval());
        let more = self.alone(|write| {
            if asked.elapsed() > patience {
                // Nobody could write for a while, so nobody could renew.
                return Ok(None);
            }
            recover::close_some(write, epoch, CLOSED_AT_ONCE).map(Some)
        })?;
        match more {
            Some(true) => self.dead.push(epoch),
            Some(false) => self.sweep_locks()?,
            None => self.look_anew(),
        }
        Ok(())
    }

    /// Removes the files that processes which are gone had locked.
    fn sweep_locks(&mut self) -> Result<(), StoreError> {
        self.alone(|write| {
            let (lease, connection) = write.lease();
            lease.sweep(connection)
        })
    }

    /// Takes nobody for dead until it was looked long enough again.
    fn look_anew(&mut self) {
        self.lease.look_anew();
        self.dead.clear();
    }

    /// Closes what this process leaves open, and lets go of the file.
    fn leave(&mut self) {
        self.checkpoints.end();
        #[cfg(test)]
        if self.killed.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        while let Some(epoch) = self.lease.epoch() {
            match self.alone(|write| recover::close_some(write, epoch, CLOSED_AT_ONCE)) {
                Ok(true) => {}
                Ok(false) => self.lease.let_go(),
                Err(failure) => {
                    tracing::warn!(error = %failure, "runs stay open in the file; the next to open it closes them");
                    break;
                }
            }
        }
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::debug!(%error, "the write-ahead log stays beside the database");
        }
    }
}
