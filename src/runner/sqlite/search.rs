//! The words of names and messages, kept so that threads are found by them. They are brought up to date between what
//! runs ask for, and when somebody searches.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Failure;
use super::runs::{number_of, thread_of};
use super::writer::Write;
use super::{history, stored};
use crate::agui::{Event, MessageList, RunAgentInput};
use crate::runner::words::Words;

/// How much is brought up to date before others get their turn: in between, while nobody waits for it, or while somebody
/// does. The more at once, the less each costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portion {
    rows: i64,
    bytes: usize,
}

impl Portion {
    pub(super) const SMALL: Portion = Portion { rows: 8, bytes: 16 * 1024 };
    pub(super) const LARGE: Portion = Portion { rows: 256, bytes: 512 * 1024 };
}

/// How many rows a search brings up to date before it answers. If so many runs have ended since anybody had the time, it
/// does not find the oldest of them yet.
pub(super) const AWAITED: i64 = if cfg!(test) { 50 } else { 8 * 1024 };

/// Whether a row is out of date, and whether there are open runs that nobody searched yet.
pub(super) fn behind(connection: &Connection) -> Result<(bool, bool), Failure> {
    const BEHIND: &str = "
        SELECT EXISTS (SELECT 1 FROM unsearched), EXISTS (SELECT 1 FROM open_runs WHERE NOT searched)";
    Ok(connection.prepare_cached(BEHIND)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Open runs are searched only when somebody searches: most end before.
pub(super) fn note_open(write: &Write<'_>) -> Result<(), Failure> {
    const NOTE: &str = "INSERT INTO unsearched (number) SELECT number FROM open_runs WHERE NOT searched";
    const NOTED: &str = "UPDATE open_runs SET searched = 1 WHERE NOT searched";
    write.sql(NOTE)?.execute([])?;
    write.sql(NOTED)?.execute([])?;
    Ok(())
}

/// Brings some rows up to date, those first that changed last. Says how many; 0 when there are none left.
pub(super) fn catch_up(write: &Write<'_>, portion: Portion) -> Result<i64, Failure> {
    const NEXT: &str = "SELECT id, number FROM unsearched ORDER BY id DESC LIMIT ?1";
    const FORGET: &str = "DELETE FROM search WHERE rowid = ?1";
    const KEEP: &str = "INSERT INTO search (rowid, words) VALUES (?1, ?2)";
    const DONE: &str = "DELETE FROM unsearched WHERE id = ?1";
    let mut statement = write.sql(NEXT)?;
    let next = statement.query_map([portion.rows], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // In the order of their numbers: the index is much slower in any other.
    let mut found = BTreeMap::new();
    let (mut done, mut bytes) = (0, 0);
    for row in next.collect::<Result<Vec<(i64, i64)>, _>>()? {
        let (id, number) = row;
        if let Entry::Vacant(vacant) = found.entry(number) {
            let texts = texts(write, number)?;
            bytes += texts.iter().map(String::len).sum::<usize>();
            vacant.insert(Words::each_once(texts.iter().map(String::as_str)));
        }
        write.sql(DONE)?.execute([id])?;
        done += 1;
        if bytes >= portion.bytes {
            break;
        }
    }
    for (number, words) in found {
        write.sql(FORGET)?.execute([number])?;
        if !words.is_empty() {
            write.sql(KEEP)?.execute(params![number, words])?;
        }
    }
    Ok(done)
}

/// What a row of the search is made from: a thread's name, or what was said in a run; nothing if it is gone.
fn texts(write: &Write<'_>, number: i64) -> Result<Vec<String>, Failure> {
    const NAME: &str = "SELECT name FROM threads WHERE id = ?1";
    const SEALED: &str = "
        SELECT unsaid, count, frames FROM runs WHERE number = ?1 AND EXISTS (SELECT 1 FROM threads WHERE id = ?2)";
    const OPEN: &str = "SELECT input FROM open_runs WHERE thread = ?1 AND number = ?2";
    let thread = thread_of(number);
    if number == number_of(thread, 0) {
        let name = write.sql(NAME)?.query_row([thread], |row| row.get::<_, Option<String>>(0)).optional()?;
        return Ok(name.flatten().into_iter().collect());
    }
    let mut messages = MessageList::default();
    let mut statement = write.sql(SEALED)?;
    let mut rows = statement.query([number, thread])?;
    if let Some(row) = rows.next()? {
        messages.add_input(&history::unsaid(write.connection(), thread, row.get_ref(0)?)?);
        let frames = history::frames(stored::read(write.connection(), thread, row.get_ref(2)?)?, row.get(1)?);
        frames.events().filter_map(|json| Event::parse(json).ok()).for_each(|event| messages.apply(&event));
        return Ok(messages.texts());
    }
    let mut statement = write.sql(OPEN)?;
    let mut rows = statement.query([thread, number])?;
    if let Some(row) = rows.next()? {
        let input = RunAgentInput::parse(&stored::read(write.connection(), thread, row.get_ref(0)?)?);
        messages.add_input(&input.map_err(|_| stored::damaged("input"))?.messages);
    }
    Ok(messages.texts())
}
