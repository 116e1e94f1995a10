//! The commands that look after what is kept, and after a server that runs. Most open the database beside whoever else uses it, do their
//! work, and print for people, or with `--json` for scripts.

mod console;
mod database;
mod export;
mod hash_key;
mod output;
mod pages;
mod shown;
mod status;
#[cfg(test)]
mod tests;
mod threads;
mod users;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use self::console::Console;
pub(super) use self::status::{Look, run as look};
use super::config::Database;
use crate::runner::{SqliteOptions, SqliteStore, StoreError, ThreadStore};

/// A command on the database.
#[derive(Debug, Subcommand)]
pub(super) enum Keeping {
    /// List, show, export or delete threads
    #[command(subcommand)]
    Threads(threads::Command),
    /// Export or delete everything that is kept of a user; make API keys
    #[command(subcommand)]
    Users(users::Command),
    /// Check, back up or shrink the database
    #[command(subcommand)]
    Db(database::Command),
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It was not told right.
    #[error("{0}")]
    Misuse(String),
    /// What it is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
    /// Somebody ended it before it was done.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read the output has enough.
    #[error("the output was closed")]
    Closed,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Failed(error.to_string())
    }
}

/// Output is all a command writes without naming the place in the error.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Failed(format!("the output cannot be written: {error}")),
        }
    }
}

impl Failure {
    pub(super) fn code(&self) -> ExitCode {
        match self {
            Failure::Misuse(_) => ExitCode::from(2),
            Failure::NotFound(_) | Failure::Failed(_) => ExitCode::FAILURE,
            Failure::Interrupted => ExitCode::from(super::INTERRUPTED),
            Failure::Closed => ExitCode::SUCCESS,
        }
    }
}

/// Carries a command out, on the database if it needs one.
///
/// # Errors
/// Why it was not, or not wholly, carried out.
pub(super) async fn run(command: Keeping, database: Result<Database, Failure>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    dispatch(command, database.and_then(file), &mut Console::new(&mut stdout)).await
}

/// The database's file.
fn file(database: Database) -> Result<PathBuf, Failure> {
    let Database::File(path) = database else {
        return Err(Failure::Misuse(
            "threads are kept in memory, where no command can reach them; name a database with --database PATH"
                .to_owned(),
        ));
    };
    if !path.exists() {
        return Err(Failure::NotFound(format!(
            "there is no database {}; name another with --database PATH (a server makes its own when it starts)",
            path.display()
        )));
    }
    Ok(path)
}

async fn dispatch(command: Keeping, path: Result<PathBuf, Failure>, console: &mut Console<'_>) -> Result<(), Failure> {
    match command {
        Keeping::Threads(command) => opened(&path?, async |store| threads::run(command, store, console).await).await,
        Keeping::Users(users::Command::Kept(command)) => {
            opened(&path?, async |store| users::run(command, store, console).await).await
        }
        Keeping::Users(users::Command::HashKey(args)) => hash_key::run(&args, console),
        Keeping::Db(command) => database::run(command, &path?, console).await,
    }
}

/// Does some work on a database that is there, and closes it whatever comes of that.
async fn opened(path: &Path, work: impl AsyncFnOnce(&SqliteStore) -> Result<(), Failure>) -> Result<(), Failure> {
    // Nothing else waits for this thread.
    let store = SqliteStore::open(path, &SqliteOptions::default());
    let store = store.map_err(|error| Failure::Failed(error.to_string()))?;
    let done = work(&store).await;
    store.close().await;
    done
}
