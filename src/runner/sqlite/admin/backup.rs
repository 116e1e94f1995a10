//! A copy of the file as it is at one moment, made while it is served.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio_util::sync::CancellationToken;

use super::super::error::Failure;
use super::super::schema;
use super::{Progress, SqliteStore};
use crate::runner::StoreError;

/// How many pages are copied between two looks at the progress.
const PAGES: i32 = 512;

impl SqliteStore {
    /// Copies everything to a new file, as it is now. Runs go on meanwhile; those open now are broken off in the copy.
    /// Who no longer waits for it ends it.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when there is such a file already, or it cannot be written. Nothing is left of it then.
    pub async fn backup(
        &self,
        to: impl AsRef<Path>,
        progress: impl FnMut(Progress) + Send + 'static,
    ) -> Result<(), StoreError> {
        let (from, to) = (self.file.clone(), to.as_ref().to_owned());
        let waited_for = CancellationToken::new();
        let given_up = waited_for.clone();
        let _waiting = waited_for.drop_guard();
        let copied = tokio::task::spawn_blocking(move || back_up(&from, &to, &given_up, progress)).await;
        copied.map_err(|error| StoreError::Failed(error.to_string()))?
    }
}

fn back_up(
    from: &Path,
    to: &Path,
    given_up: &CancellationToken,
    progress: impl FnMut(Progress),
) -> Result<(), StoreError> {
    let refuse = |why: &dyn std::fmt::Display| StoreError::Failed(format!("{}: {why}", to.display()));
    if to.exists() {
        return Err(refuse(&"a backup overwrites nothing; name a new file"));
    }
    // Under its name, only once it is whole.
    let partial = Partial(with_suffix(to, ".partial"));
    partial.remove();
    made_like(from, &partial.0).map_err(|error| refuse(&error))?;
    copy(from, &partial.0, given_up, progress).map_err(|failure| failure.explain(&partial.0))?;
    fs::rename(&partial.0, to).map_err(|error| refuse(&error))
}

/// Makes an empty file that nobody may read who may not read the other. If it cannot be made, opening it tells.
fn made_like(original: &Path, file: &Path) -> io::Result<()> {
    match File::create_new(file) {
        Ok(file) => file.set_permissions(fs::metadata(original)?.permissions()),
        Err(_) => Ok(()),
    }
}

/// Makes a copy one of its own: it has no processes, and what they have no use for any more is nobody's.
const ALONE: &str = "
    PRAGMA journal_mode = DELETE;
    DELETE FROM leases;
    DELETE FROM tail WHERE epoch NOT IN (SELECT epoch FROM open_runs)";

fn copy(
    from: &Path,
    to: &Path,
    given_up: &CancellationToken,
    mut progress: impl FnMut(Progress),
) -> Result<(), Failure> {
    let source = schema::open_to_look(from).map_err(|error| Failure::because(error.to_string()))?;
    // All pages of one moment, however long it takes.
    let moment = Transaction::new_unchecked(&source, TransactionBehavior::Deferred)?;
    moment.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut copy = Connection::open(to)?;
    let backup = Backup::new(&moment, &mut copy)?;
    loop {
        let step = backup.step(PAGES)?;
        if given_up.is_cancelled() {
            return Err(Failure::because("nobody waits for the copy any more"));
        }
        if step != StepResult::More {
            break;
        }
        let state = backup.progress();
        let total = state.pagecount.unsigned_abs();
        progress(Progress { done: u64::from(total - state.remaining.unsigned_abs().min(total)), total: total.into() });
    }
    drop(backup);
    // Nobody runs what is open in the copy.
    copy.execute_batch(ALONE)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// A file that is removed unless it got its name.
struct Partial(PathBuf);

impl Partial {
    fn remove(&self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // Mostly there is none.
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        self.remove();
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
