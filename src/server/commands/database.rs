//! `db check`, `backup`, `vacuum`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::Failure;
use super::console::{Console, bar, spinner};
use super::output::size;
use crate::runner::SqliteStore;

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

pub(super) async fn run(
    command: Command,
    store: &SqliteStore,
    path: &Path,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    match command {
        Command::Check(args) => check(args, store, path, console).await,
        Command::Backup(args) => backup(args, store, path, console).await,
        Command::Vacuum(args) => vacuum(args, store, path, console).await,
    }
}

async fn check(args: Check, store: &SqliteStore, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let spinner = spinner("checking");
    let found = store.check().await;
    spinner.finish_and_clear();
    let problems = found?;
    if args.json {
        writeln!(console.out, "{}", json!({ "ok": problems.is_empty(), "problems": problems }))?;
    } else if problems.is_empty() {
        writeln!(console.out, "{} is fine", path.display())?;
    } else {
        problems.iter().try_for_each(|problem| writeln!(console.out, "{problem}"))?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("{} is damaged: stop the servers that use it and restore a backup", path.display())))
}

async fn backup(args: Backup, store: &SqliteStore, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    if args.to.exists() {
        return Err(Failure::Misuse(format!("{} is there already; name a new file", args.to.display())));
    }
    let bar = bar("copying", 0);
    let progress = bar.clone();
    let done = store
        .backup(&args.to, move |done, total| {
            progress.set_length(total);
            progress.set_position(done);
        })
        .await;
    bar.finish_and_clear();
    done?;
    let bytes = bytes_of(&args.to);
    if args.json {
        let (database, file) = (path.to_string_lossy(), args.to.to_string_lossy());
        writeln!(console.out, "{}", json!({ "database": database, "file": file, "bytes": bytes }))?;
    } else {
        writeln!(console.out, "Copied {} to {} ({})", path.display(), args.to.display(), size(bytes))?;
    }
    Ok(())
}

async fn vacuum(args: Vacuum, store: &SqliteStore, path: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let before = bytes_of(path);
    let spinner = spinner("rewriting");
    let done = store.vacuum().await;
    spinner.finish_and_clear();
    done?;
    let after = bytes_of(path);
    if args.json {
        writeln!(console.out, "{}", json!({ "bytesBefore": before, "bytes": after }))?;
    } else {
        writeln!(console.out, "{} was {} and is {}", path.display(), size(before), size(after))?;
    }
    Ok(())
}

/// The size of a file; what cannot be asked counts for nothing.
fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
