//! Where the program keeps threads.

use std::sync::Arc;

use super::config::{Database, Runner, WhenBusy, WhenUnwatched};
use super::private;
use crate::Builder;
use crate::runner::{self, MemoryLimits, MemoryRunner, RunOptions, SqliteOptions, SqliteRunner, SqliteStore};

/// The runner a configuration names.
#[derive(Clone, Debug)]
pub(super) enum Store {
    Memory(MemoryRunner),
    File(SqliteRunner),
}

impl Store {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do.
    pub(super) async fn open(settings: &Runner) -> Result<Store, String> {
        let options = options(settings);
        Ok(match &settings.database {
            Database::Memory => Store::Memory(MemoryRunner::with_options(limits(settings), options)),
            Database::File(path) => {
                // SQLite would let others read it. If it is there, or cannot be, opening it tells.
                let _ = private::create_new(path);
                let sqlite = SqliteOptions { lease: settings.lease, ..SqliteOptions::default() };
                let opened = SqliteRunner::with_options(path, sqlite, options).await;
                Store::File(opened.map_err(|error| error.to_string())?)
            }
        })
    }

    /// The database, if there is one.
    pub(super) fn database(&self) -> Option<Arc<SqliteStore>> {
        match self {
            Store::Memory(_) => None,
            Store::File(runner) => Some(runner.store().clone()),
        }
    }

    /// A runtime over it.
    pub(super) fn under(&self, runtime: Builder) -> Builder {
        match self.clone() {
            Store::Memory(runner) => runtime.runner(runner),
            Store::File(runner) => runtime.runner(runner),
        }
    }
}

fn limits(settings: &Runner) -> MemoryLimits {
    MemoryLimits {
        max_threads: settings.memory.max_threads,
        max_runs_per_thread: settings.memory.max_runs_per_thread,
        max_bytes: settings.memory.max_bytes,
    }
}

/// A policy as the runner has it, with the bounds of the queue.
pub(super) fn policy(named: WhenBusy, settings: &Runner) -> runner::WhenBusy {
    match named {
        WhenBusy::Reject => runner::WhenBusy::Reject,
        WhenBusy::Interrupt => runner::WhenBusy::Interrupt,
        WhenBusy::Rollback => runner::WhenBusy::Rollback,
        WhenBusy::Enqueue => runner::WhenBusy::Enqueue { max: settings.queue_limit, timeout: settings.queue_timeout },
    }
}

fn options(settings: &Runner) -> RunOptions {
    RunOptions {
        when_busy: policy(settings.when_busy, settings),
        when_unwatched: match settings.when_unwatched {
            WhenUnwatched::Keep => runner::WhenUnwatched::KeepRunning,
            WhenUnwatched::Stop => runner::WhenUnwatched::Stop,
            WhenUnwatched::StopAfter(time) => runner::WhenUnwatched::StopAfter(time),
        },
        max_run_bytes: settings.max_run_bytes,
        max_run_events: settings.max_run_events,
        ..RunOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::config::{Config, FileText};
    use super::*;

    fn settings(text: &str) -> Runner {
        let file = FileText { path: Path::new("x.toml"), text };
        Config::load(Some(file), Default::default(), &|_| None).expect("a good configuration").runner
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let settings = settings("");
        assert_eq!(limits(&settings), MemoryLimits::default());
        assert_eq!(format!("{:?}", options(&settings)), format!("{:?}", RunOptions::default()));
        assert_eq!(settings.lease, SqliteOptions::default().lease);
    }

    #[test]
    fn a_queue_is_as_long_as_the_settings_say() {
        let settings = settings("[runner]\nwhen_busy = \"enqueue\"\nqueue_limit = 3\nqueue_timeout = \"5s\"\n");
        let queue = runner::WhenBusy::Enqueue { max: 3, timeout: std::time::Duration::from_secs(5) };
        assert_eq!(options(&settings).when_busy, queue);
    }
}
