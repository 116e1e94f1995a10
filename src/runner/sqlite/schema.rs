//! The file: how it is opened, and how its tables came to be what they are.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::{Failure, OpenError, is_busy};
use super::node;

/// Each brings the schema one version further. A shipped one is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("../../../migrations/sqlite/0001_threads.sql"),
    include_str!("../../../migrations/sqlite/0002_search.sql"),
    include_str!("../../../migrations/sqlite/0003_one_order.sql"),
    include_str!("../../../migrations/sqlite/0004_tail.sql"),
];

/// Marks a database as ours: "CKRT".
const APPLICATION_ID: i64 = 0x434b_5254;

/// How a file is opened to be served.
const SERVE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE);

/// How long a locked database is tried again, and how often.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(1);
/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 64;
/// What the connection that writes may hold of the file: what a thousand open runs add to, in KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// How many pages the write-ahead log gets before whoever writes works all of it into the database, should the thread for
/// that be late: everybody waits.
const CHECKPOINT_PAGES: i64 = 16_000;

/// Opens the connection that writes, bringing the schema up to date.
pub(super) fn open_writer(file: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Failed(Failure::from(error).explain(file));
    let mut connection = connect(file, SERVE).map_err(failed)?;
    let began = Instant::now();
    loop {
        match migrate(&mut connection, file) {
            Ok(()) => break,
            // SQLite does not wait where it would have to let go first, as when several switch to the log at once.
            Err(Unopened::Failed(error)) if is_busy(&error) && began.elapsed() < PATIENCE => thread::sleep(RETRY),
            Err(Unopened::Failed(error)) => return Err(failed(error)),
            Err(Unopened::Refused(why)) => return Err(why),
        }
    }
    let settings = || {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
    };
    settings().map_err(failed)?;
    Ok(connection)
}

/// Why a file could not be brought up to date.
enum Unopened {
    Failed(rusqlite::Error),
    Refused(OpenError),
}

impl From<rusqlite::Error> for Unopened {
    fn from(error: rusqlite::Error) -> Unopened {
        Unopened::Failed(error)
    }
}

impl From<OpenError> for Unopened {
    fn from(why: OpenError) -> Unopened {
        Unopened::Refused(why)
    }
}

/// Opens a connection that only reads.
pub(super) fn open_reader(file: &Path) -> Result<Connection, OpenError> {
    let open = || {
        let connection = connect(file, SERVE)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| OpenError::Failed(Failure::from(error).explain(file)))
}

/// Opens a connection that only reads to a file as it is, if it is one of ours.
pub(super) fn open_to_look(file: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Failed(Failure::from(error).explain(file));
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    let found = Found::of(&connection).map_err(failed)?;
    found.refuse(file)?;
    if found.application != APPLICATION_ID {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    Ok(connection)
}

fn connect(file: &Path, how: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection stays with one thread, so SQLite needs no locks of its own.
    let flags = how | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    // Another process commits in a few milliseconds; SQLite's own waiting grows to 100.
    connection.busy_handler(Some(|tries| {
        thread::sleep(RETRY);
        RETRY * tries.unsigned_abs() < PATIENCE
    }))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<(), Unopened> {
    let found = Found::of(connection)?;
    found.refuse(file)?;
    if found.version == 0 {
        give_back_by_and_by(connection, &found)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // In one transaction, as another process may be starting too.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = Found::in_transaction(&transaction)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found.version).unwrap_or_default()) {
        transaction.execute_batch(migration)?;
    }
    mark(&transaction)?;
    Ok(transaction.commit()?)
}

/// Lets the room of what was deleted be given back a little at a time. Possible before there is a table; what others
/// made is written anew.
fn give_back_by_and_by(connection: &Connection, found: &Found) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    if found.tables > 0 { connection.execute_batch("VACUUM") } else { Ok(()) }
}

/// What a file is at one moment.
struct Found {
    version: i64,
    application: i64,
    tables: i64,
    /// Tables that are neither ours nor the Node runtime's, were the file not ours.
    others: i64,
}

impl Found {
    fn of(connection: &Connection) -> rusqlite::Result<Found> {
        // Another process may be making the tables meanwhile.
        Found::in_transaction(&connection.unchecked_transaction()?)
    }

    fn in_transaction(transaction: &Transaction<'_>) -> rusqlite::Result<Found> {
        const TABLES: &str = "
            SELECT count(*), count(*) FILTER (WHERE name NOT LIKE 'sqlite_%' AND name NOT IN (?1, ?2, ?3))
            FROM sqlite_schema WHERE type = 'table'";
        let (tables, others) = transaction.query_row(TABLES, node::TABLES, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let version = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let application = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        Ok(Found { version, application, tables, others })
    }

    /// Refuses what this program cannot serve.
    fn refuse(&self, file: &Path) -> Result<(), OpenError> {
        if self.application != APPLICATION_ID && (self.application != 0 || self.others > 0) {
            return Err(OpenError::Foreign { file: file.to_owned() });
        }
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        if self.version > known {
            return Err(OpenError::Newer { file: file.to_owned(), found: self.version, known });
        }
        Ok(())
    }
}

/// Writes what stands there already.
pub(super) fn touch(connection: &Connection) -> Result<(), Failure> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(connection.pragma_update(None, "user_version", version)?)
}

fn mark(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))
}
