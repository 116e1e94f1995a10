//! `threads list`, `show`, `export`, `delete`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::console::Console;
use super::output::{brief, count, harmless, local, table, utc};
use super::pages::{self, Pages};
use super::{Failure, export, shown};
use crate::runner::{Owner, Removed, SqliteStore, ThreadEntry, ThreadKey, ThreadQuery, ThreadStore, end_elsewhere};

/// What to do with threads.
#[derive(Debug, Subcommand)]
pub(in crate::server) enum Command {
    /// List threads, those with the newest activity first
    List(List),
    /// Show a thread and what was said on it
    Show(Show),
    /// Write threads with all their events, messages and state as JSON, one thread a line
    Export(Export),
    /// Delete threads for ever, with everything said on them
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(in crate::server) struct List {
    /// Only threads of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Only threads whose last run was this agent's
    #[arg(long = "agent", value_name = "AGENT")]
    of_agent: Option<String>,

    /// Archived threads too
    #[arg(long)]
    archived: bool,

    /// Only threads with these words, or words that begin like them, in their name or messages
    #[arg(long, value_name = "WORDS")]
    query: Option<String>,

    /// How many at most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::server) struct Show {
    /// The thread's id
    id: String,

    /// Whose thread, where several users have one of this id
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::server) struct Export {
    /// The thread's id
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,

    /// Every thread, archived ones too
    #[arg(long)]
    all: bool,

    /// Only threads of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Write to this file instead of the standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// With --output: say what was written as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(in crate::server) struct Delete {
    /// The threads' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// Whose threads, where several users have one of the same id
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(args, store, console).await,
        Command::Show(args) => show(args, store, console).await,
        Command::Export(args) => export(args, store, console).await,
        Command::Delete(args) => delete(args, store, console).await,
    }
}

async fn list(args: List, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    let query = ThreadQuery {
        owner: args.user.map(Owner::of),
        agent_id: args.of_agent.map(Into::into),
        include_archived: args.archived,
        matching: args.query,
        limit: if args.limit == 0 { usize::MAX } else { args.limit },
        after: None,
    };
    let mut pages = Pages::new(pages::of(store), query);
    let mut threads = Vec::new();
    while let Some(page) = pages.next().await? {
        threads.extend(page);
    }
    if args.json {
        let records: Vec<_> = threads.iter().map(record).collect();
        writeln!(console.out, "{}", json!({ "threads": records, "more": pages.has_more() }))?;
        return Ok(());
    }
    let rows: Vec<_> = threads.iter().map(row).collect();
    if rows.is_empty() {
        console.note("no threads");
    } else {
        table(console.out, ["ID", "USER", "AGENT", "LAST ACTIVITY", "NAME"], &rows)?;
    }
    if pages.has_more() {
        console.note(&format!("the first {}; more with --limit N, all with --limit 0", count(rows.len(), "thread")));
    }
    Ok(())
}

/// A thread as lists show it, by the names an export has.
fn record(thread: &ThreadEntry) -> Value {
    let mut record = json!({
        "threadId": thread.key.id,
        "agentId": thread.agent_id,
        "name": thread.name,
        "archived": thread.archived,
        "createdAt": utc(thread.created_at),
        "updatedAt": utc(thread.updated_at),
    });
    if !thread.key.owner.as_str().is_empty() {
        record["userId"] = thread.key.owner.as_str().into();
    }
    record
}

fn row(thread: &ThreadEntry) -> [String; 5] {
    let name = brief(thread.name.as_deref().unwrap_or_default());
    [
        // Whole: it is what other commands want.
        harmless(&thread.key.id),
        shown::user(thread).to_owned(),
        brief(&thread.agent_id),
        local(thread.updated_at),
        if thread.archived { format!("{name} (archived)") } else { name },
    ]
}

async fn show(args: Show, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    let thread = one(&args.id, args.user.as_deref(), store).await?;
    let exported = store.export_thread(&thread.key).await?.ok_or_else(|| unknown(&args.id, None))?;
    if args.json {
        return Ok(writeln!(console.out, "{exported}")?);
    }
    let conversation = serde_json::from_str(&exported);
    let conversation = conversation.map_err(|error| Failure::Failed(format!("the thread cannot be shown: {error}")))?;
    Ok(shown::print(&thread, &conversation, console.out)?)
}

async fn export(args: Export, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    let threads = match &args.id {
        Some(id) => vec![one(id, args.user.as_deref(), store).await?],
        None => {
            let query = ThreadQuery { include_archived: true, ..ThreadQuery::everybody() };
            pages::all(pages::of(store), ThreadQuery { owner: args.user.map(Owner::of), ..query }).await?
        }
    };
    export::threads(store, &threads, args.output.as_deref(), console, args.json).await
}

async fn delete(args: Delete, store: &SqliteStore, console: &mut Console<'_>) -> Result<(), Failure> {
    let Found { threads, missing } = find(&args.ids, args.user.as_deref(), store).await?;
    if !threads.is_empty() {
        console.confirm(args.yes, &format!("Delete {}", count(threads.len(), "thread")))?;
    }
    let mut deleted = Vec::new();
    for thread in &threads {
        // A server may be running it.
        end_elsewhere(store, Removed::Thread(&thread.key), |_| false).await?;
        // With its only run it may be gone already.
        store.delete(&thread.key).await?;
        deleted.push(&*thread.key.id);
    }
    if args.json {
        writeln!(console.out, "{}", json!({ "deleted": deleted, "missing": missing }))?;
    } else if !deleted.is_empty() {
        writeln!(console.out, "Deleted {}", count(deleted.len(), "thread"))?;
    }
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Failure::NotFound(format!("there is no thread {}", harmless(&missing.join(", "))))),
    }
}

/// The threads of some ids, and the ids that no thread has.
struct Found {
    threads: Vec<ThreadEntry>,
    missing: Vec<String>,
}

async fn one(id: &str, user: Option<&str>, store: &dyn ThreadStore) -> Result<ThreadEntry, Failure> {
    let mut found = find(&[id.to_owned()], user, store).await?;
    found.threads.pop().ok_or_else(|| unknown(id, user))
}

fn unknown(id: &str, user: Option<&str>) -> Failure {
    Failure::NotFound(match user {
        Some(user) => format!("{} has no thread {}", harmless(user), harmless(id)),
        None => format!("there is no thread {}", harmless(id)),
    })
}

/// An id is one among a user's threads; without a user, everybody's are looked through.
async fn find(ids: &[String], user: Option<&str>, store: &dyn ThreadStore) -> Result<Found, Failure> {
    let mut found = Found { threads: Vec::new(), missing: Vec::new() };
    let everybody = match user {
        Some(_) => Vec::new(),
        None => {
            pages::all(pages::of(store), ThreadQuery { include_archived: true, ..ThreadQuery::everybody() }).await?
        }
    };
    for id in ids {
        if found.threads.iter().any(|thread| *thread.key.id == **id) {
            continue;
        }
        let mut same: Vec<ThreadEntry> = match user {
            Some(user) => store.thread(&ThreadKey::new(Owner::of(user), id.as_str())).await?.into_iter().collect(),
            None => everybody.iter().filter(|thread| *thread.key.id == **id).cloned().collect(),
        };
        match (same.pop(), same.is_empty()) {
            (None, _) => found.missing.push(id.clone()),
            (Some(thread), true) => found.threads.push(thread),
            (Some(_), false) => {
                return Err(Failure::Misuse(format!(
                    "{} users have a thread {}: say whose with --user",
                    same.len() + 1,
                    harmless(id)
                )));
            }
        }
    }
    Ok(found)
}
