//! Closing a run whose process is gone: what it said stays, and it ends with an error.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hashbrown::HashSet;
use rusqlite::{OptionalExtension, params};
use serde::Deserialize;

use super::error::Failure;
use super::runs::{self, Seal};
use super::writer::Write;
use super::{history, stored};
use crate::agui::{Compactor, Ending, Event, EventKind, Finalizer, Frames, Message, RunAgentInput};
use crate::runner::{OpenRun, SealedRun, ThreadKey, codes};

/// What the run's error says.
const INTERRUPTED: &str = "The process running the agent ended before the run did";

/// Closes some open runs of an epoch whose process is gone, and forgets the epoch with the last. Says whether there are
/// more.
pub(super) fn close_some(write: &mut Write<'_>, epoch: i64, count: usize) -> Result<bool, Failure> {
    const NEXT: &str = "SELECT thread FROM open_runs WHERE epoch = ?1 LIMIT 1";
    for _ in 0..count {
        let Some(thread) = write.sql(NEXT)?.query_row([epoch], |row| row.get(0)).optional()? else {
            let (lease, connection) = write.lease();
            lease.bury(connection, epoch)?;
            return Ok(false);
        };
        close(write, thread)?;
    }
    Ok(true)
}

/// Closes the open run of a thread if its process is gone. Says whether it did.
pub(super) fn close_if_dead(write: &mut Write<'_>, key: &ThreadKey) -> Result<bool, Failure> {
    const OPEN: &str = "
        SELECT threads.id, epoch FROM threads JOIN open_runs ON open_runs.thread = threads.id
        WHERE owner = ?1 AND thread_id = ?2";
    let open = write
        .sql(OPEN)?
        .query_row(params![key.owner.as_str(), &*key.id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let Some((thread, epoch)) = open else { return Ok(false) };
    let (lease, connection) = write.lease();
    if !lease.dead(connection, Instant::now())?.contains(&epoch) {
        return Ok(false);
    }
    close(write, thread)?;
    Ok(true)
}

/// Closes the open run of a thread.
fn close(write: &mut Write<'_>, thread: i64) -> Result<(), Failure> {
    const RUN: &str = "
        SELECT number, run_id, input, thread_id, (SELECT state FROM states WHERE thread = ?1)
        FROM open_runs JOIN threads ON id = thread WHERE thread = ?1";
    let (number, run_id, input, thread_id, state) = {
        let mut statement = write.sql(RUN)?;
        let mut rows = statement.query([thread])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let (run_id, thread_id): (String, String) = (row.get(1)?, row.get(3)?);
        (
            row.get::<_, i64>(0)?,
            run_id,
            stored::read(write.connection(), thread, row.get_ref(2)?)?,
            thread_id,
            row.get::<_, Option<String>>(4)?,
        )
    };
    let state = state.map(|json| stored::value(&json)).transpose()?;
    let said = history::said_behind(write.connection(), number, 0, usize::MAX)?;
    let sealed = sealed(&thread_id, &run_id, &input, &said, Compactor::new(state));
    let run = OpenRun { thread: ThreadKey::anonymous(thread_id.as_str()), number: number.cast_unsigned() };
    runs::seal(write, &run, &Seal::of(sealed))?;
    tracing::warn!(thread.id = thread_id, run.id = run_id, "closed a run whose process was gone");
    Ok(())
}

/// What stays of the run: what it said, and the events it owed.
fn sealed(thread_id: &str, run_id: &str, input: &Bytes, said: &Frames, compactor: Compactor) -> SealedRun {
    let input = std::str::from_utf8(input).unwrap_or_default();
    let mut finalizer = Finalizer::new(thread_id, run_id);
    let mut said: Vec<Event> = said.events().filter_map(|json| Event::parse(json).ok()).collect();
    if said.is_empty() {
        // What the user asked stays, whatever became of the answer.
        said.push(Event::run_started(thread_id, run_id).with_field("input", input));
    }
    said.iter().for_each(|event| finalizer.observe(event));
    let why = Ending::Failed { message: INTERRUPTED.to_owned(), code: Some(codes::RUN_INTERRUPTED) };
    said.extend(finalizer.close(why));
    let posted = RunAgentInput::parse(input.as_bytes()).map(|input| input.messages).unwrap_or_default();
    ended(&said, posted, compactor)
}

/// What stays of a run that said all this, and was posted these messages new to the thread.
pub(super) fn ended(said: &[Event], posted: Vec<Message>, mut compactor: Compactor) -> SealedRun {
    said.iter().for_each(|event| compactor.push(event));
    let compacted = compactor.finish();
    let mut message_ids: HashSet<Box<str>> = said.iter().flat_map(message_ids).collect();
    let unsaid: Vec<Message> = posted.into_iter().filter(|message| !message_ids.contains(message.id())).collect();
    message_ids.extend(unsaid.iter().map(|message| message.id().into()));
    SealedRun {
        frames: Frames::of(&compacted.events),
        said: said.len() as u64,
        cuts: compacted.cuts.bytes().clone(),
        message_ids: message_ids.into_iter().collect(),
        unsaid,
        state: compacted.state.map(Arc::new),
    }
}

/// The ids of the messages an event mentions.
fn message_ids(event: &Event) -> Vec<Box<str>> {
    #[derive(Deserialize)]
    struct Started {
        input: Option<Input>,
    }
    #[derive(Deserialize)]
    struct Input {
        #[serde(default)]
        messages: Vec<Identified>,
    }
    #[derive(Deserialize)]
    struct Identified {
        id: Box<str>,
    }
    match event.kind() {
        EventKind::RunStarted => {
            let input = event.view::<Started>().ok().and_then(|started| started.input);
            input.into_iter().flat_map(|input| input.messages).map(|message| message.id).collect()
        }
        _ => event.message_id().map(Into::into).into_iter().collect(),
    }
}
