//! `db check`, `backup`, `vacuum`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;

use super::console::{Console, bar, spinner};
use super::output::{count, size};
use super::{Failure, opened};
use crate::runner::{Progress, SqliteStore};

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(in crate::server) enum Command {
    /// Look for damage
    Check(Check),
    /// Copy the database as it is at one moment, also while a server uses it
    Backup(Backup),
    /// Give the room of deleted threads back to the disk
    Vacuum(Vacuum),
}

#[derive(Debug, Args)]
pub(in crate::server) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::server) struct Backup {
    /// The file to make; one that is there is not overwritten
    #[arg(value_name = "FILE")]
    to: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::server) struct Vacuum {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check(&args, path, console),
        Command::Backup(args) => opened(path, async |store| backup(&args, store, path, console).await).await,
        Command::Vacuum(args) => opened(path, async |store| vacuum(&args, store, path, console).await).await,
    }
}

/// The database is not opened for it: that would mend what it can, and fail where it cannot.
fn check(args: &Check, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let spinner = spinner("checking");
    let checked = SqliteStore::check_file(path);
    spinner.finish_and_clear();
    let report = checked.map_err(|error| Failure::Failed(error.to_string()))?;
    if args.json {
        let told = json!({
            "ok": report.is_healthy(),
            "threads": report.threads,
            "runs": report.runs,
            "problems": report.problems,
        });
        writeln!(console.out, "{told}")?;
    } else if report.is_healthy() {
        let (threads, runs) = (count(report.threads, "thread"), count(report.runs, "run"));
        writeln!(console.out, "{} is fine: {threads}, {runs}", path.display())?;
    } else {
        report.problems.iter().try_for_each(|problem| writeln!(console.out, "{problem}"))?;
    }
    if report.is_healthy() {
        return Ok(());
    }
    Err(Failure::Failed(format!("{} is damaged: stop the servers that use it, and restore a backup", path.display())))
}

async fn backup(args: &Backup, store: &SqliteStore, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    if args.to.exists() {
        return Err(Failure::Misuse(format!("{} is there already; name a new file", args.to.display())));
    }
    let bar = bar("copying", 0);
    let done = tokio::select! {
        done = store.backup(&args.to, showing(&bar)) => done.map_err(Failure::from),
        // What was copied so far goes.
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    };
    bar.finish_and_clear();
    done?;
    let bytes = std::fs::metadata(&args.to).map_or(0, |file| file.len());
    if args.json {
        let (database, file) = (path.to_string_lossy(), args.to.to_string_lossy());
        writeln!(console.out, "{}", json!({ "database": database, "file": file, "bytes": bytes }))?;
    } else {
        writeln!(console.out, "Copied {} to {} ({})", path.display(), args.to.display(), size(bytes))?;
    }
    Ok(())
}

async fn vacuum(args: &Vacuum, store: &SqliteStore, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let bar = bar("giving back", 0);
    let done = store.vacuum(showing(&bar)).await;
    bar.finish_and_clear();
    let freed = done?;
    if args.json {
        writeln!(console.out, "{}", json!({ "bytesFreed": freed }))?;
    } else {
        writeln!(console.out, "{} is smaller by {}", path.display(), size(freed))?;
    }
    Ok(())
}

/// Shows on a bar how far the work is.
fn showing(bar: &ProgressBar) -> impl FnMut(Progress) + Send + 'static {
    let bar = bar.clone();
    move |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    }
}
