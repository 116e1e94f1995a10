//! Files that hold what people said: nobody else's to read.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a file, or empties one that is there.
pub(super) fn create(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
}

/// Makes a file that is not there.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
