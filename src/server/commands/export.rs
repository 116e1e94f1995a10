//! Threads as JSON, with everything that is kept of them.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use indicatif::ProgressBar;
use serde_json::json;

use super::console::{Console, bar};
use super::{Failure, output};
use crate::runner::{SqliteStore, ThreadEntry};
use crate::server::private;

/// Writes threads to a file or to the output, each as a line of JSON.
pub(super) async fn threads(
    store: &SqliteStore,
    threads: &[ThreadEntry],
    file: Option<&Path>,
    console: &mut Console<'_>,
    as_json: bool,
) -> Result<(), Failure> {
    let Some(path) = file else {
        let bar = console.bar_beside_output("exporting", threads.len());
        let mut out = BufWriter::new(&mut *console.out);
        write(store, threads, &mut out, &bar).await?;
        return Ok(out.flush()?);
    };
    let failed = |error: &io::Error| Failure::Failed(format!("{} cannot be written: {error}", path.display()));
    let mut out = BufWriter::new(private::create(path).map_err(|error| failed(&error))?);
    let bar = bar("exporting", threads.len());
    let written = write(store, threads, &mut out, &bar).await.map_err(|failure| match failure {
        Unwritten::Store(failure) => failure,
        Unwritten::Output(error) => failed(&error),
    })?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|error| failed(&error))?;
    if as_json {
        writeln!(console.out, "{}", json!({ "threads": written, "file": path.to_string_lossy() }))?;
    } else {
        writeln!(console.out, "Exported {} to {}", output::count(written, "thread"), path.display())?;
    }
    Ok(())
}

/// Why an export is not whole.
enum Unwritten {
    Store(Failure),
    Output(io::Error),
}

impl From<Unwritten> for Failure {
    fn from(unwritten: Unwritten) -> Failure {
        match unwritten {
            Unwritten::Store(failure) => failure,
            Unwritten::Output(error) => error.into(),
        }
    }
}

async fn write(
    store: &SqliteStore,
    threads: &[ThreadEntry],
    out: &mut impl Write,
    bar: &ProgressBar,
) -> Result<usize, Unwritten> {
    let mut written = 0;
    for thread in threads {
        let exported = store.export_thread(&thread.key).await.map_err(|error| Unwritten::Store(error.into()))?;
        // It may have been deleted since it was listed.
        if let Some(line) = exported {
            writeln!(out, "{line}").map_err(Unwritten::Output)?;
            written += 1;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(written)
}
