//! Runs as they begin, speak and end.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::error::Failure;
use super::stored::{self, Piece};
use super::tail::Facts;
use super::writer::Write;
use super::{payloads, recover, removal};
use crate::runner::{AskedStop, Begun, NewRun, OpenRun, SealedRun, StopKind, StoreError};

/// The low bits of a run's number are its place on the thread, the rest is the thread.
const PLACE_BITS: u32 = 24;

/// How a run is asked to stop, as it is noted: a larger number asks for more.
pub(super) fn stop_number(how: StopKind) -> i64 {
    match how {
        StopKind::End => 1,
        StopKind::Forget => 2,
        StopKind::Delete => 3,
    }
}

/// The thread of a run.
pub(super) fn thread_of(number: i64) -> i64 {
    number >> PLACE_BITS
}

/// The number of a thread's run; its name is indexed as that of run 0.
pub(super) fn number_of(thread: i64, place: i64) -> i64 {
    thread << PLACE_BITS | place
}

/// The numbers that a thread's runs may have.
pub(super) fn numbers_of(thread: i64) -> (i64, i64) {
    (number_of(thread, 0), number_of(thread + 1, 0) - 1)
}

/// A run's number as SQLite has it; one that no run has if it is too large.
pub(super) fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Opens a run; `None` if the thread has one open.
pub(super) fn begin(write: &mut Write<'_>, run: &NewRun) -> Result<Option<Begun>, Failure> {
    const OPEN: &str = "
        INSERT INTO open_runs (thread, number, epoch, began_at, run_id, agent_id, input)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    const STATE: &str = "SELECT state FROM states WHERE thread = ?1";

    let admitted = match admit(write, run)? {
        None if recover::close_if_dead(write, &run.thread)? => admit(write, run)?,
        admitted => admitted,
    };
    let Some((thread, place)) = admitted else { return Ok(None) };
    if place >> PLACE_BITS != 0 {
        return Err(Failure::because("the thread has 16,777,215 runs and takes no more: begin a new one"));
    }
    let number = number_of(thread, place);
    let known = hear(write, thread, place, run)?;
    let input = run.input.to_json_with_messages(|index, _| !known.get(index).copied().unwrap_or(false));
    let (epoch, now) = (write.epoch()?, write.now());
    let kept = Piece::of(Bytes::copy_from_slice(input.as_bytes()));
    payloads::keep(write, thread, number, &kept)?;
    write.sql(OPEN)?.execute(params![thread, number, epoch, now, &*run.run_id, &*run.agent_id, kept])?;
    let state = match place {
        1 => None,
        _ => write.sql(STATE)?.query_row([thread], |row| row.get::<_, String>(0)).optional()?,
    };
    let state = state.map(|json| stored::value(&json)).transpose()?.map(Arc::new);
    write.begun(number, Facts { events: false, payloads: !kept.payloads().is_empty(), state: state.is_some() });
    let run = OpenRun { thread: run.thread.clone(), number: number.cast_unsigned() };
    Ok(Some(Begun { run, known, input, state }))
}

/// Finds or makes the thread of a run, unless it has a run open. Answers its id, and the run's place on it.
///
/// In plain steps: a statement that does several things keeps the pages it changes, to take back half of them.
fn admit(write: &mut Write<'_>, run: &NewRun) -> Result<Option<(i64, i64)>, Failure> {
    const FIND: &str = "
        SELECT id, next_run, name IS NULL, EXISTS (SELECT 1 FROM open_runs WHERE thread = threads.id)
        FROM threads WHERE owner = ?1 AND thread_id = ?2";
    const MAKE: &str = "
        INSERT INTO threads (owner, thread_id, agent_id, name, created_at, updated_at, active, next_run)
        VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, 2)";
    const GO_ON: &str = "
        UPDATE threads SET agent_id = ?2, updated_at = max(updated_at, ?3), active = ?4, next_run = next_run + 1
        WHERE id = ?1";
    const NAME: &str = "UPDATE threads SET name = ?2 WHERE id = ?1";

    let key = &run.thread;
    let found = write.sql(FIND)?.query_row(params![key.owner.as_str(), &*key.id], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?, row.get::<_, bool>(3)?))
    });
    let (active, now, name) = (write.next_active(), write.now(), run.name.as_deref());
    match found.optional()? {
        None => {
            let row = params![key.owner.as_str(), &*key.id, &*run.agent_id, name, now, active];
            write.sql(MAKE)?.execute(row)?;
            let id = write.connection().last_insert_rowid();
            if name.is_some() {
                write.sql(UNSEARCHED)?.execute([number_of(id, 0)])?;
            }
            Ok(Some((id, 1)))
        }
        Some((_, _, _, true)) => Ok(None),
        Some((id, place, is_unnamed, false)) => {
            write.sql(GO_ON)?.execute(params![id, &*run.agent_id, now, active])?;
            if is_unnamed && name.is_some() {
                write.sql(NAME)?.execute(params![id, name])?;
            }
            Ok(Some((id, place)))
        }
    }
}

/// Notes the ids of the posted messages. Says which were known before the run.
fn hear(write: &Write<'_>, thread: i64, place: i64, run: &NewRun) -> Result<Vec<bool>, Failure> {
    const HEARD: &str = "SELECT run FROM message_ids WHERE thread = ?1 AND id = ?2";
    let mut known = Vec::with_capacity(run.input.messages.len());
    for message in &run.input.messages {
        // On a new thread, nothing.
        let heard = match place {
            1 => None,
            _ => write.sql(HEARD)?.query_row(params![thread, message.id()], |row| row.get::<_, i64>(0)).optional()?,
        };
        if heard.is_none() {
            write.sql(HEAR)?.execute(params![thread, message.id(), place])?;
        }
        // Or this very input has it twice.
        known.push(heard.is_some_and(|by| by != place));
    }
    Ok(known)
}

const HEAR: &str = "INSERT INTO message_ids (thread, id, run) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";

/// What is to be made ready for searches, the newest last.
const UNSEARCHED: &str = "INSERT INTO unsearched (number) VALUES (?1)";

/// Keeps more of what an open run says.
pub(super) fn append(write: &mut Write<'_>, run: &OpenRun, count: i64, frames: &Piece) -> Result<(), Failure> {
    let number = key(run.number);
    if !write.say(number, count, frames)? {
        return refuse_closed(write, number);
    }
    payloads::keep(write, thread_of(number), number, frames)
}

/// What to keep of a run that is over.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) sealed: SealedRun,
    pub(super) frames: Piece,
    pub(super) unsaid: Option<Piece>,
    pub(super) state: Option<String>,
}

impl Seal {
    pub(super) fn of(mut sealed: SealedRun) -> Seal {
        let unsaid: Vec<&str> = sealed.unsaid.iter().map(|message| message.json()).collect();
        let unsaid = (!unsaid.is_empty()).then(|| Piece::of(format!("[{}]", unsaid.join(",")).into()));
        let state = sealed.state.take().map(|state| state.to_string());
        let frames = Piece::of(sealed.frames.bytes().clone());
        Seal { sealed, frames, unsaid, state }
    }

    pub(super) fn bytes(&self) -> usize {
        self.frames.len() + self.unsaid.as_ref().map_or(0, Piece::len) + self.state.as_ref().map_or(0, String::len)
    }
}

/// Ends a run.
pub(super) fn seal(write: &mut Write<'_>, run: &OpenRun, seal: &Seal) -> Result<(), Failure> {
    const OPEN: &str = "SELECT run_id, agent_id, began_at FROM open_runs WHERE thread = ?1 AND number = ?2";
    const SEAL: &str = "
        INSERT INTO runs (number, run_id, agent_id, began_at, ended_at, said, count, cuts, unsaid, frames)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    const REST: &str = "
        UPDATE threads SET updated_at = max(updated_at, ?2), active = ?3 WHERE id = ?1";
    const KEEP_STATE: &str = "
        INSERT INTO states (thread, state) VALUES (?1, ?2)
        ON CONFLICT DO UPDATE SET state = excluded.state WHERE state <> excluded.state";
    const NO_STATE: &str = "DELETE FROM states WHERE thread = ?1";

    let number = key(run.number);
    let thread = thread_of(number);
    let now = write.now();
    let sealed = &seal.sealed;
    let said = i64::try_from(sealed.said).unwrap_or(i64::MAX);
    let count = i64::try_from(sealed.frames.count()).unwrap_or(i64::MAX);
    let cuts = (!sealed.cuts.is_empty()).then_some(&*sealed.cuts);
    let open = write.sql(OPEN)?.query_row([thread, number], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    let Some((run_id, agent_id, began_at)) = open.optional()? else { return refuse_closed(write, number) };
    let row = params![number, run_id, agent_id, began_at, now, said, count, cuts, seal.unsaid, seal.frames];
    write.sql(SEAL)?.execute(row)?;
    let facts = write.facts(number);
    close(write, thread, number, facts)?;
    let kept: Vec<&Piece> = [Some(&seal.frames), seal.unsaid.as_ref()].into_iter().flatten().collect();
    kept.iter().try_for_each(|piece| payloads::keep(write, thread, number, piece))?;
    if facts.payloads {
        payloads::forget(write, number, &kept)?;
    }
    let place = number & ((1 << PLACE_BITS) - 1);
    for id in &sealed.message_ids {
        write.sql(HEAR)?.execute(params![thread, id, place])?;
    }
    write.sql(UNSEARCHED)?.execute([number])?;
    if let Some(state) = &seal.state {
        write.sql(KEEP_STATE)?.execute(params![thread, state])?;
    } else if facts.state {
        write.sql(NO_STATE)?.execute([thread])?;
    }
    let active = write.next_active();
    write.sql(REST)?.execute(params![thread, now, active])?;
    Ok(())
}

/// Notes that somebody wants an open run to stop. False if it is not open, or was asked as much already.
pub(super) fn ask_to_stop(write: &Write<'_>, stop: &AskedStop) -> Result<bool, Failure> {
    const ASK: &str = "UPDATE open_runs SET stop_asked = ?3 WHERE thread = ?1 AND number = ?2 AND stop_asked < ?3";
    let number = key(stop.run.number);
    Ok(write.sql(ASK)?.execute([thread_of(number), number, stop_number(stop.how)])? > 0)
}

/// Ends a run as if it had never begun.
pub(super) fn discard(write: &mut Write<'_>, run: &OpenRun) -> Result<(), Failure> {
    const UNHEAR: &str = "DELETE FROM message_ids WHERE thread = ?1 AND run = ?2";
    const USED: &str = "SELECT EXISTS (SELECT 1 FROM runs WHERE number BETWEEN ?1 AND ?2)";

    let number = key(run.number);
    let thread = thread_of(number);
    let facts = write.facts(number);
    if !close(write, thread, number, facts)? {
        return refuse_closed(write, number);
    }
    let (first, last) = numbers_of(thread);
    if !write.sql(USED)?.query_row([first, last], |row| row.get(0))? {
        removal::hide(write, thread)?;
        return removal::sweep(write).map(drop);
    }
    payloads::forget(write, number, &[])?;
    write.sql(UNHEAR)?.execute([thread, number - first])?;
    write.sql(UNSEARCHED)?.execute([number])?;
    Ok(())
}

/// Forgets what only an open run has. Says whether it was open.
fn close(write: &mut Write<'_>, thread: i64, number: i64, facts: Facts) -> Result<bool, Failure> {
    const CLOSE: &str = "DELETE FROM open_runs WHERE thread = ?1 AND number = ?2";
    const UNSAY: &str = "DELETE FROM events WHERE run = ?1";
    let was_open = write.sql(CLOSE)?.execute([thread, number])? > 0;
    if was_open && facts.events {
        write.sql(UNSAY)?.execute([number])?;
    }
    write.ended(number);
    Ok(was_open)
}

/// A run that is not open: its thread was deleted, which is no failure, or somebody else closed it.
fn refuse_closed(write: &Write<'_>, number: i64) -> Result<(), Failure> {
    const SEALED: &str = "SELECT EXISTS (SELECT 1 FROM runs WHERE number = ?1)";
    if write.sql(SEALED)?.query_row([number], |row| row.get(0))? {
        return Err(StoreError::LeaseLost.into());
    }
    Ok(())
}
