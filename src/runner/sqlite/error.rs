//! What SQLite says, in words an operator can act on.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::runner::StoreError;

/// Why a piece of work on the database did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

impl Failure {
    /// A failure in words of its own.
    pub(super) fn because(text: impl Into<String>) -> Failure {
        Failure::Store(StoreError::Failed(text.into()))
    }

    /// What to tell about it.
    pub(super) fn explain(self, file: &Path) -> StoreError {
        match self {
            Failure::Sqlite(error) => StoreError::Failed(explain(&error, file)),
            Failure::Store(error) => error,
        }
    }
}

/// Why a database could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path names no file.
    #[error("SQLite threads need a file; for threads in memory use MemoryRunner")]
    NoFile,
    /// A newer version wrote the file.
    #[error(
        "{} was made by a newer version of copilotkit-runtime (its schema is {found}, this program knows {known}): \
         upgrade this program, or use another file", file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A database of some other program.
    #[error("{} is a database of another program: use another file", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The text says what happened, and what an operator can do.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// Whether somebody else holds the lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// What happened, and what to do about it.
pub(super) fn explain(error: &rusqlite::Error, file: &Path) -> String {
    let file = file.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            format!("there is no room left on the disk of {file}: free some, nothing that was kept is lost")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            format!("{file} cannot be written: give this program write access to the file and its directory")
        }
        Some(ErrorCode::CannotOpen) => {
            format!("{file} cannot be opened: check that its directory exists and that this program may write there")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            format!("{file} is locked by another program: close what holds it open for writing, then try again")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            format!(
                "{file} is damaged ({error}): stop the program, look with `copilotkit-runtime db check`, and restore \
                 a backup"
            )
        }
        Some(ErrorCode::NotADatabase) => {
            format!("{file} is no SQLite database: restore a backup, or use another file")
        }
        Some(ErrorCode::SystemIoFailure) => {
            format!("the disk of {file} failed ({error}): look at the system's log")
        }
        Some(ErrorCode::OutOfMemory) => format!("there is not enough memory to work on {file}"),
        Some(ErrorCode::TooBig) => format!("one part of the run is larger than {file} can hold"),
        _ => format!("{file}: {error}"),
    }
}
