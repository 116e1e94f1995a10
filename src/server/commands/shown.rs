//! A thread as people read it.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::output::{harmless, local};
use crate::agui::Message;
use crate::runner::ThreadEntry;

/// What an exported thread says.
#[derive(Deserialize)]
pub(super) struct Conversation<'e> {
    #[serde(borrow)]
    messages: Vec<&'e RawValue>,
    #[serde(borrow)]
    runs: Vec<Run<'e>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run<'e> {
    #[serde(borrow)]
    run_id: std::borrow::Cow<'e, str>,
    /// None yet, while the run goes on.
    #[serde(borrow)]
    ended_at: Option<&'e RawValue>,
}

/// Whose a thread is, for people.
pub(super) fn user(thread: &ThreadEntry) -> &str {
    match thread.key.owner.as_str() {
        "" => "-",
        user => user,
    }
}

/// Prints a thread and what was said on it.
pub(super) fn print(thread: &ThreadEntry, conversation: &Conversation<'_>, out: &mut dyn Write) -> io::Result<()> {
    let running = conversation.runs.iter().find(|run| run.ended_at.is_none());
    let mut about = vec![
        ("thread", thread.key.id.to_string()),
        ("name", thread.name.as_deref().unwrap_or("-").to_owned()),
        ("user", user(thread).to_owned()),
        ("agent", thread.agent_id.to_string()),
        ("created", local(thread.created_at)),
        ("updated", local(thread.updated_at)),
        ("archived", if thread.archived { "yes" } else { "no" }.to_owned()),
        ("runs", conversation.runs.len().to_string()),
    ];
    about.extend(running.map(|run| ("running", run.run_id.clone().into_owned())));
    for (label, text) in about {
        writeln!(out, "{label:<9} {}", harmless(&text))?;
    }
    for message in &conversation.messages {
        // A message an agent made up may be none by the rules; it is shown as it is.
        match Message::parse(message.get()) {
            Ok(message) => said(&message, out)?,
            Err(_) => writeln!(out, "\n{}", harmless(message.get()))?,
        }
    }
    Ok(())
}

fn said(message: &Message, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}:", message.role().name())?;
    let mut lines: Vec<String> = message.text().iter().flat_map(|text| text.lines()).map(harmless).collect();
    lines.extend(message.tool_calls().iter().map(|call| harmless(&format!("-> {}({})", call.name, call.arguments))));
    if lines.is_empty() {
        lines.push("(no text)".to_owned());
    }
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}
