//! The file: how it is opened, and how its tables came to be what they are.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::{Failure, OpenError};
use super::node;

/// Each brings the schema one version further. A shipped one is never edited.
const MIGRATIONS: &[&str] = &[include_str!("../../../migrations/sqlite/0001_threads.sql")];

/// Marks a database as ours: "CKRT".
const APPLICATION_ID: i64 = 0x434b_5254;

/// How a file is opened to be served.
const SERVE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE);

/// How often a locked database is tried again, a millisecond apart.
const LOCKED_TRIES: i32 = 5000;
/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 64;
/// What the connection that writes may hold of the file: what a thousand open runs add to, in KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// How many pages the write-ahead log gets before all of it is worked into the database, and it begins anew: everybody
/// waits for what is left of that by then.
const CHECKPOINT_PAGES: i64 = 16_000;

/// Opens the connection that writes, bringing the schema up to date.
pub(super) fn open_writer(file: &Path) -> Result<Connection, OpenError> {
    let failed = |failure: Failure| OpenError::Failed(failure.explain(file));
    let mut connection = connect(file, SERVE).map_err(|error| failed(error.into()))?;
    migrate(&mut connection, file)?;
    let settings = || {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
    };
    settings().map_err(|error| failed(error.into()))?;
    Ok(connection)
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
    refuse_others(&connection, file, version(&connection).map_err(failed)?)?;
    if application(&connection).map_err(failed)? != APPLICATION_ID {
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
        thread::sleep(Duration::from_millis(1));
        tries < LOCKED_TRIES
    }))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::Failed(Failure::from(error).explain(file));
    let found = version(connection).map_err(failed)?;
    refuse_others(connection, file, found)?;
    if found == 0 {
        give_back_by_and_by(connection).map_err(failed)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(failed)?;
    // In one transaction, as another process may be starting too.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found = version(&transaction).map_err(failed)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    mark(&transaction).and_then(|()| transaction.commit()).map_err(failed)
}

/// Lets the room of what was deleted be given back a little at a time. Possible before there is a table; what others
/// made is written anew.
fn give_back_by_and_by(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 { connection.execute_batch("VACUUM") } else { Ok(()) }
}

fn refuse_others(connection: &Connection, file: &Path, version: i64) -> Result<(), OpenError> {
    const OTHERS: &str = "
        SELECT count(*) FROM sqlite_schema
        WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT IN (?1, ?2, ?3)";
    let failed = |error: rusqlite::Error| OpenError::Failed(Failure::from(error).explain(file));
    let application: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    let others: i64 = connection.query_row(OTHERS, node::TABLES, |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID && (application != 0 || others > 0) {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(OpenError::Newer { file: file.to_owned(), found: version, known });
    }
    Ok(())
}

fn application(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA application_id", [], |row| row.get(0))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Writes what stands there already.
pub(super) fn touch(connection: &Connection) -> Result<(), Failure> {
    let version = version(connection)?;
    Ok(connection.pragma_update(None, "user_version", version)?)
}

fn mark(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))
}
