//! Databases for one test.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use uuid::Uuid;

/// A place for a database, removed with everything beside it.
#[derive(Debug)]
pub(in crate::runner::sqlite) struct TempFile {
    directory: PathBuf,
    file: PathBuf,
}

impl TempFile {
    pub(in crate::runner::sqlite) fn new() -> TempFile {
        let directory = std::env::temp_dir().join(format!("copilotkit-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("threads.db");
        TempFile { directory, file }
    }

    pub(in crate::runner::sqlite) fn path(&self) -> &Path {
        &self.file
    }

    /// A connection of its own.
    pub(in crate::runner::sqlite) fn connect(&self) -> Connection {
        Connection::open(&self.file).unwrap()
    }

    /// What is there, by name.
    pub(in crate::runner::sqlite) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
