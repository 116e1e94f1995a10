//! Which processes hold open runs, and which of them are gone.
//!
//! A process that holds runs has a row with an epoch of its own, renews it, and keeps a file beside the database
//! locked. On one machine the lock tells: the system lets go of it the moment the process is gone, however it went.
//! Where locks do not tell, as on some network drives, or when a process hangs, the row tells: it is not renewed any
//! more. How long that has been is measured by the clock of whoever looks, so that no two clocks must agree.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::Failure;
use crate::runner::listing::now;

/// How often in its time a lease is renewed, and the others are looked at.
const RENEWALS: u32 = 4;

/// What this process holds, and what it knows of others.
#[derive(Debug)]
pub(super) struct Lease {
    database: PathBuf,
    holder: Uuid,
    /// Locked for as long as this process holds the lease; `None` where files cannot be locked.
    lock: Option<File>,
    lasts: Duration,
    epoch: Option<i64>,
    renewed: Instant,
    others: HashMap<i64, Watched>,
    presence: Arc<Presence>,
}

/// Whether this process holds runs, for those who look after them.
#[derive(Debug, Default)]
pub(super) struct Presence {
    epoch: AtomicI64,
    /// Signalled when it holds runs again.
    pub(super) changed: Notify,
    /// Signalled when it will hold none any more.
    pub(super) closed: CancellationToken,
}

impl Presence {
    /// The epoch under which this process holds runs; `None` if it holds none.
    pub(super) fn epoch(&self) -> Option<i64> {
        Some(self.epoch.load(Ordering::Acquire)).filter(|epoch| *epoch != 0)
    }

    fn set(&self, epoch: i64) {
        if self.epoch.swap(epoch, Ordering::AcqRel) != epoch && epoch != 0 {
            self.changed.notify_waiters();
        }
    }
}

/// A lease of another process, as it was seen last.
#[derive(Debug)]
struct Watched {
    renewed_at: i64,
    seen: Instant,
    /// For how long it has not been renewed while this process was looking.
    idle: Duration,
}

/// A lease of another process.
struct Other {
    epoch: i64,
    holder: String,
    renewed_at: i64,
    lasts: Duration,
    has_runs: bool,
}

impl Lease {
    pub(super) fn new(database: PathBuf, lasts: Duration, presence: Arc<Presence>) -> Lease {
        let (holder, now) = (Uuid::new_v4(), Instant::now());
        Lease { database, holder, lock: None, lasts, epoch: None, renewed: now, others: HashMap::new(), presence }
    }

    /// How long to wait until renewing it, and looking at the others.
    pub(super) fn interval(&self) -> Duration {
        (self.lasts / RENEWALS).min(Duration::from_secs(1))
    }

    /// The epoch under which a run may begin, inside a transaction: the one this process has, or a new one if it has
    /// none or was taken for dead.
    pub(super) fn hold(&mut self, connection: &Connection) -> Result<i64, Failure> {
        const HELD: &str = "SELECT EXISTS (SELECT 1 FROM leases WHERE epoch = ?1 AND holder = ?2)";
        const TAKE: &str = "INSERT INTO leases (holder, renewed_at, lasts) VALUES (?1, ?2, ?3) RETURNING epoch";
        let holder = self.holder.to_string();
        if let Some(epoch) = self.epoch {
            // The holder too: were the transaction that took it rolled back, another could have it.
            if connection.prepare_cached(HELD)?.query_row(params![epoch, holder], |row| row.get(0))? {
                if self.renewed.elapsed() > self.interval() {
                    self.renew(connection)?;
                }
                self.presence.set(epoch);
                return Ok(epoch);
            }
        }
        self.lock();
        let lasts = i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX);
        let mut take = connection.prepare_cached(TAKE)?;
        let epoch = take.query_row(params![holder, now(), lasts], |row| row.get(0))?;
        self.epoch = Some(epoch);
        self.renewed = Instant::now();
        self.presence.set(epoch);
        Ok(epoch)
    }

    /// Tells others by the lock that this process lives.
    fn lock(&mut self) {
        if self.lock.is_none() {
            self.lock = lock_new(&self.path_of(&self.holder.to_string()));
        }
    }

    /// Says, inside a transaction, whether this process is about to write the whole file anew.
    pub(super) fn rewrites(&mut self, connection: &Connection, whether: bool) -> Result<(), Failure> {
        const BEGIN: &str = "INSERT OR IGNORE INTO rewriting VALUES (?1)";
        const END: &str = "DELETE FROM rewriting WHERE holder = ?1";
        self.lock();
        connection.prepare_cached(if whether { BEGIN } else { END })?.execute([self.holder.to_string()])?;
        Ok(())
    }

    /// Whether another process that lives writes the whole file anew.
    pub(super) fn is_rewritten(&self, connection: &Connection) -> Result<bool, Failure> {
        const BY: &str = "SELECT holder FROM rewriting WHERE holder <> ?1";
        let mut statement = connection.prepare_cached(BY)?;
        let holders = statement.query_map([self.holder.to_string()], |row| row.get::<_, String>(0))?;
        let holders = holders.collect::<Result<Vec<_>, _>>()?;
        Ok(holders.iter().any(|holder| Lock::of(&self.path_of(holder)) == Lock::Held))
    }

    /// No runs are open under it.
    pub(super) fn rest(&self) {
        self.presence.set(0);
    }

    /// Renews the lease, inside a transaction.
    pub(super) fn renew(&mut self, connection: &Connection) -> Result<(), Failure> {
        const RENEW: &str = "UPDATE leases SET renewed_at = ?2 WHERE epoch = ?1";
        let Some(epoch) = self.epoch else { return Ok(()) };
        if connection.prepare_cached(RENEW)?.execute(params![epoch, now()])? == 1 {
            self.renewed = Instant::now();
        } else {
            tracing::warn!("another process took this one for dead and closed its runs");
            self.epoch = None;
        }
        Ok(())
    }

    /// Epochs whose process is gone, as it looks now.
    pub(super) fn dead(&mut self, connection: &Connection, now: Instant) -> Result<Vec<i64>, Failure> {
        const OTHERS: &str = "SELECT epoch, holder, renewed_at, lasts,
            EXISTS (SELECT 1 FROM open_runs WHERE open_runs.epoch = leases.epoch) FROM leases WHERE epoch <> ?1";
        const NOBODYS: &str = "SELECT DISTINCT epoch FROM open_runs WHERE epoch NOT IN (SELECT epoch FROM leases)";
        let mut statement = connection.prepare_cached(OTHERS)?;
        let others = statement.query_map([self.epoch.unwrap_or_default()], |row| {
            Ok(Other {
                epoch: row.get(0)?,
                holder: row.get(1)?,
                renewed_at: row.get(2)?,
                lasts: Duration::from_millis(row.get::<_, i64>(3)?.unsigned_abs()),
                has_runs: row.get(4)?,
            })
        })?;
        let others = others.collect::<Result<Vec<_>, _>>()?;
        self.others.retain(|epoch, _| others.iter().any(|other| other.epoch == *epoch));
        let mut dead: Vec<i64> =
            connection.prepare_cached(NOBODYS)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        dead.extend(others.iter().filter(|other| self.is_dead(other, now)).map(|other| other.epoch));
        Ok(dead)
    }

    fn is_dead(&mut self, other: &Other, now: Instant) -> bool {
        let lock = Lock::of(&self.path_of(&other.holder));
        let fresh = Watched { renewed_at: other.renewed_at, seen: now, idle: Duration::ZERO };
        let watched = self.others.entry(other.epoch).or_insert(fresh);
        if watched.renewed_at == other.renewed_at {
            // No more than one interval at once: if nobody could write for a while, it was not the other's fault.
            watched.idle += (now - watched.seen).min(other.lasts / RENEWALS);
            watched.seen = now;
        } else {
            *watched = Watched { renewed_at: other.renewed_at, seen: now, idle: Duration::ZERO };
        }
        // One that lives and holds nothing does no harm.
        lock == Lock::Free || watched.idle >= other.lasts && (other.has_runs || lock == Lock::Unknown)
    }

    /// Watches the others from now on, whatever was seen before.
    pub(super) fn look_anew(&mut self) {
        self.others.clear();
    }

    /// Forgets the lease of a process whose runs are closed, inside a transaction. Its lock file is [swept](Lease::sweep)
    /// away when that is kept: were this process killed in between, nothing else would tell the next that it is dead.
    pub(super) fn bury(&mut self, connection: &Connection, epoch: i64) -> Result<(), Failure> {
        const BURY: &str = "DELETE FROM leases WHERE epoch = ?1";
        const NO_TAIL: &str = "DELETE FROM tail WHERE epoch = ?1";
        connection.prepare_cached(NO_TAIL)?.execute([epoch])?;
        connection.prepare_cached(BURY)?.execute([epoch])?;
        self.others.remove(&epoch);
        Ok(())
    }

    /// The epoch this process has.
    pub(super) fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    /// Lets go of the lock; nothing holds for this process any more.
    pub(super) fn let_go(&mut self) {
        self.presence.set(0);
        self.epoch = None;
        if self.lock.take().is_some() {
            let _ = fs::remove_file(self.path_of(&self.holder.to_string()));
        }
    }

    /// Removes the lock files of processes that are gone and hold nothing. Inside a transaction, so that nobody is just
    /// taking a lease.
    pub(super) fn sweep(&self, connection: &Connection) -> Result<(), Failure> {
        const HELD: &str = "SELECT EXISTS (SELECT 1 FROM leases WHERE holder = ?1)";
        let prefix = self.path_of("");
        let Some((directory, prefix)) = prefix.parent().zip(prefix.file_name().and_then(|name| name.to_str())) else {
            return Ok(());
        };
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        // A directory that cannot be listed keeps its empty files.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(holder) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else { continue };
            let held: bool = connection.prepare_cached(HELD)?.query_row([holder], |row| row.get(0))?;
            if !held && Lock::of(&entry.path()) == Lock::Free {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn path_of(&self, holder: &str) -> PathBuf {
        let mut name = OsString::from(&self.database);
        name.push("-holder-");
        name.push(holder);
        name.into()
    }
}

/// Whether runs are open under an epoch.
pub(super) fn has_runs(connection: &Connection, epoch: i64) -> Result<bool, Failure> {
    const OPEN: &str = "SELECT EXISTS (SELECT 1 FROM open_runs WHERE epoch = ?1)";
    Ok(connection.prepare_cached(OPEN)?.query_row([epoch], |row| row.get(0))?)
}

fn lock_new(path: &Path) -> Option<File> {
    let lock = || {
        let file = File::create_new(path)?;
        file.try_lock().map_err(std::io::Error::from).map(|()| file)
    };
    match lock() {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::debug!(%error, "no file to lock beside the database; other processes go by the lease's time");
            let _ = fs::remove_file(path);
            None
        }
    }
}

/// What a lock file tells of its process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Free,
    Held,
    /// There is no file, or locks do not work here.
    Unknown,
}

impl Lock {
    fn of(path: &Path) -> Lock {
        match File::open(path).map(|file| file.try_lock()) {
            Ok(Ok(())) => Lock::Free,
            Ok(Err(TryLockError::WouldBlock)) => Lock::Held,
            Ok(Err(TryLockError::Error(_))) | Err(_) => Lock::Unknown,
        }
    }
}
