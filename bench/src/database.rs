//! The file in which a server keeps its threads, in a folder of its own that ends with it.

use crate::failure::Result;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

/// Folders are numbered, so that servers never meet.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A place for a database file. It is removed, with all that lies beside the file, when this is dropped.
#[derive(Debug)]
pub struct Database {
    folder: PathBuf,
}

impl Database {
    /// An empty place below `parent`.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn below(parent: &Path) -> Result<Database> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Database { folder })
    }

    /// Where the file is, or will be.
    pub fn file(&self) -> PathBuf {
        self.folder.join("threads.db")
    }

    /// Bytes of everything in the folder: the file, and what the database keeps beside it.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn size(&self) -> Result<u64> {
        let mut size = 0;
        for entry in fs::read_dir(&self.folder)? {
            match entry?.metadata() {
                Ok(metadata) => size += metadata.len(),
                // A journal that was there a moment ago.
                Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(size)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What can't be removed stays; it disturbs nothing.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_weighed_with_its_journal_and_leaves_nothing() {
        let database = Database::below(&std::env::temp_dir()).expect("a folder");
        let file = database.file();
        assert_eq!(database.size().expect("its size"), 0);
        fs::write(&file, [0; 10]).expect("a file");
        fs::write(file.with_extension("db-wal"), [0; 5]).expect("a journal");
        assert_eq!(database.size().expect("its size"), 15);
        drop(database);
        assert!(!file.exists());
    }
}
