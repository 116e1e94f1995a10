//! `users export`, `delete`: what a person may ask of whoever keeps their words; and `hash-key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::console::{Console, spinner};
use super::hash_key::HashKey;
use super::output::{count, harmless};
use super::{Failure, export, pages};
use crate::runner::{Owner, Removed, SqliteStore, StoreError, ThreadQuery, end_elsewhere};

/// What to do about users.
#[derive(Debug, Subcommand)]
pub(in crate::server) enum Command {
    #[command(flatten)]
    Kept(Kept),
    /// Make an API key, and the hash of it for the configuration
    HashKey(HashKey),
}

/// What to do with what is kept of a user.
#[derive(Debug, Subcommand)]
pub(in crate::server) enum Kept {
    /// Write every thread of a user with all its events, messages and state as JSON, one thread a line
    Export(Export),
    /// Delete every thread of a user for ever, so that none of their text is left in the file
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(in crate::server) struct Export {
    /// The user's id, as the proxy or the application names them
    #[arg(value_name = "USER", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,

    /// Write to this file instead of the standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// With --output: say what was written as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::server) struct Delete {
    /// The user's id, as the proxy or the application names them
    #[arg(value_name = "USER", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Kept, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    match command {
        Kept::Export(args) => export(args, store, console).await,
        Kept::Delete(args) => delete(args, store, console).await,
    }
}

fn everything_of(user: &str) -> ThreadQuery {
    ThreadQuery { include_archived: true, ..ThreadQuery::of(Owner::of(user)) }
}

fn unknown(user: &str) -> Failure {
    Failure::NotFound(format!("nothing is kept of {}", harmless(user)))
}

async fn export(args: Export, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    let threads = pages::all(pages::of(store), everything_of(&args.id)).await?;
    if threads.is_empty() {
        return Err(unknown(&args.id));
    }
    export::threads(store, &threads, args.output.as_deref(), console, args.json).await
}

async fn delete(args: Delete, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    let threads = pages::all(pages::of(store), everything_of(&args.id)).await?.len();
    let what = format!("Delete {} of {}", count(threads, "thread"), harmless(&args.id));
    console.confirm(args.yes, &what)?;
    let spinner = spinner("deleting");
    let forgotten = forget(&Owner::of(args.id.as_str()), store).await;
    spinner.finish_and_clear();
    // With their only runs some may have been gone already.
    let deleted = threads.max(forgotten?);
    if deleted == 0 {
        return Err(unknown(&args.id));
    }
    if args.json {
        writeln!(console.out, "{}", json!({ "user": args.id, "deleted": deleted }))?;
    } else {
        writeln!(console.out, "Deleted {} of {}", count(deleted, "thread"), harmless(&args.id))?;
    }
    Ok(())
}

async fn forget(owner: &Owner, store: &SqliteStore) -> Result<usize, StoreError> {
    // A server may be running them.
    end_elsewhere(store, Removed::Owner(owner), |_| false).await?;
    // Even when no thread is left: an earlier attempt may have been cut short before the file was clean.
    store.forget(owner).await
}
