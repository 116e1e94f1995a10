//! Threads in a SQLite file.
//!
//! One thread writes, and commits what several runs ask for together; a few others read. What a call answers is on
//! the disk. Several processes may use one file.

mod activity;
mod admin;
mod checkpoints;
mod desk;
mod error;
mod history;
mod lease;
mod lists;
mod node;
mod patience;
mod payloads;
mod readers;
mod recover;
mod removal;
mod runs;
mod schema;
mod search;
mod stops;
mod store;
mod stored;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    Activity, AgentRunner, ConnectRequest, FrameStream, LiveRunner, Owner, RunOptions, RunRefused, RunRequest,
    RunnerError, StopRequest, Stopped, StoreError, ThreadKey, ThreadStore,
};

pub use admin::{CheckReport, Progress, Retention};
pub use error::OpenError;
pub use store::SqliteStore;

/// Runs agents and keeps their threads in a SQLite file.
///
/// ```
/// use copilotkit_runtime::runner::SqliteRunner;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("copilotkit-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let runner = SqliteRunner::open(directory.join("copilotkit.db")).await?;
/// # drop(runner);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteRunner {
    engine: LiveRunner,
    store: Arc<SqliteStore>,
}

/// How a [`SqliteStore`] works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// How many threads read. Default: 4.
    pub readers: usize,
    /// For how long a process may hang before others take it for dead and close its runs. One that is gone is noticed
    /// at once where files can be locked. Default: 5 seconds.
    pub lease: Duration,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions { readers: 4, lease: Duration::from_secs(5) }
    }
}

impl SqliteRunner {
    /// A runner over a file, which is created if it is not there. What a user asked is kept also if the agent failed
    /// at once ([`RunOptions::keep_failed_starts`]).
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be opened, or is not ours.
    pub async fn open(file: impl AsRef<Path>) -> Result<SqliteRunner, OpenError> {
        let run_options = RunOptions { keep_failed_starts: true, ..RunOptions::default() };
        SqliteRunner::with_options(file, SqliteOptions::default(), run_options).await
    }

    /// A runner over a file, with options of its own.
    ///
    /// # Errors
    /// As [`SqliteRunner::open`].
    pub async fn with_options(
        file: impl AsRef<Path>,
        options: SqliteOptions,
        run_options: RunOptions,
    ) -> Result<SqliteRunner, OpenError> {
        let file = file.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open(file, &options)).await;
        let store = Arc::new(opened.map_err(|error| StoreError::Failed(error.to_string()))??);
        Ok(SqliteRunner { engine: LiveRunner::new(store.clone(), run_options), store })
    }

    /// What the runner keeps its threads in.
    #[must_use]
    pub fn store(&self) -> &Arc<SqliteStore> {
        &self.store
    }
}

impl AgentRunner for SqliteRunner {
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        self.engine.run(request)
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        self.engine.connect(request)
    }
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        self.engine.stop(request)
    }
    fn threads(&self) -> Option<&dyn ThreadStore> {
        self.engine.threads()
    }
    fn delete_thread<'r>(&'r self, thread: &'r ThreadKey) -> BoxFuture<'r, Result<bool, RunnerError>> {
        self.engine.delete_thread(thread)
    }
    fn clear_threads<'r>(&'r self, owner: &'r Owner) -> BoxFuture<'r, Result<(), RunnerError>> {
        self.engine.clear_threads(owner)
    }
    fn activity(&self) -> Activity {
        self.engine.activity()
    }
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        self.engine.shutdown(deadline)
    }
}
