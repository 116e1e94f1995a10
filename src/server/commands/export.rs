//! Threads as JSON, with everything that is kept of them.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::super::private;
use super::console::{Console, bar};
use super::conversation::Conversation;
use super::output::utc;
use super::{Failure, output};
use crate::agui::MessageList;
use crate::runner::{ThreadEntry, ThreadStore};

/// A thread as lists show it. Its user is `null` where users are not told apart.
pub(super) fn record(thread: &ThreadEntry) -> Value {
    let user = thread.key.owner.as_str();
    json!({
        "id": thread.key.id,
        "user": (!user.is_empty()).then_some(user),
        "agentId": thread.agent_id,
        "name": thread.name,
        "archived": thread.archived,
        "createdAt": utc(thread.created_at),
        "updatedAt": utc(thread.updated_at),
    })
}

/// The same as text, with its brace still open for what follows.
pub(super) fn head(thread: &ThreadEntry) -> String {
    let mut text = record(thread).to_string();
    text.truncate(text.len().saturating_sub(1));
    text
}

/// A list of messages as JSON.
pub(super) fn messages(list: &MessageList) -> String {
    let messages: Vec<String> = list.to_messages().into_iter().map(|message| message.get().to_owned()).collect();
    format!("[{}]", messages.join(","))
}

/// Writes threads to a file or to the output, each as a line of JSON.
pub(super) async fn threads(
    store: &dyn ThreadStore,
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
    let written = write(store, threads, &mut out, &bar("exporting", threads.len())).await?;
    out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|error| failed(&error))?;
    if as_json {
        writeln!(console.out, "{}", json!({ "threads": written, "file": path.to_string_lossy() }))?;
    } else {
        writeln!(console.out, "Exported {} to {}", output::count(written, "thread"), path.display())?;
    }
    Ok(())
}

async fn write(
    store: &dyn ThreadStore,
    threads: &[ThreadEntry],
    out: &mut impl Write,
    bar: &ProgressBar,
) -> Result<usize, Failure> {
    let mut written = 0;
    for thread in threads {
        // Deleted since it was listed, perhaps.
        if let Some(thread) = store.thread(&thread.key).await? {
            line(store, &thread, out).await?;
            written += 1;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(written)
}

/// A thread on one line. Its events leave as they are read: a long history is never in memory.
async fn line(store: &dyn ThreadStore, thread: &ThreadEntry, out: &mut impl Write) -> Result<(), Failure> {
    write!(out, "{},\"events\":[", head(thread))?;
    let mut separator = "";
    let conversation = Conversation::read(store, &thread.key, |frames| {
        frames.events().try_for_each(|event| {
            out.write_all(std::mem::replace(&mut separator, ",").as_bytes())?;
            out.write_all(&event)
        })
    })
    .await?;
    let state = store.state(&thread.key).await?;
    let running = conversation.running.map(|run| run.run_id);
    writeln!(
        out,
        "],\"messages\":{},\"state\":{},\"runningRunId\":{}}}",
        messages(&conversation.messages),
        json!(state.as_deref()),
        json!(running),
    )?;
    Ok(())
}
