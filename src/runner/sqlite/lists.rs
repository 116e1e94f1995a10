//! Threads as lists show them.

use std::cmp::Reverse;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::error::Failure;
use super::writer::Write;
use crate::runner::words::Words;
use crate::runner::{Owner, ThreadCursor, ThreadEntry, ThreadKey, ThreadList, ThreadPatch, ThreadQuery};

const COLUMNS: &str = "owner, thread_id, agent_id, name, archived, created_at, updated_at, active";

fn entry(row: &Row<'_>) -> rusqlite::Result<ThreadEntry> {
    let owner: std::sync::Arc<str> = row.get(0)?;
    Ok(ThreadEntry {
        key: ThreadKey::new(Owner::of(owner), row.get::<_, std::sync::Arc<str>>(1)?),
        agent_id: row.get(2)?,
        name: row.get(3)?,
        archived: row.get(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}

/// One thread.
pub(super) fn thread(connection: &Connection, key: &ThreadKey) -> Result<Option<ThreadEntry>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM threads WHERE owner = ?1 AND thread_id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params![key.owner.as_str(), &*key.id], entry).optional()?)
}

/// A page of threads.
pub(super) fn list(connection: &Connection, query: &ThreadQuery) -> Result<ThreadList, Failure> {
    // One more than fits tells whether there is more.
    let enough = query.limit.saturating_add(1);
    let mut found = Vec::new();
    for walk in walks(connection, query)? {
        let (sql, values) = walk.select(query, enough);
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| Ok((row.get::<_, i64>(7)?, entry(row)?)))?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_unstable_by_key(|(active, _)| Reverse(*active));
    let is_more = found.len() > query.limit;
    found.truncate(query.limit);
    let next = found.last().filter(|_| is_more);
    let next = next.map(|(active, last)| ThreadCursor { updated_at: last.updated_at, tie: active.cast_unsigned() });
    Ok(ThreadList { threads: found.into_iter().map(|(_, entry)| entry).collect(), next })
}

/// Some threads in order: those that the index has in this order, or all there are.
#[derive(Clone, Debug)]
struct Walk {
    /// An owner and an agent.
    of: Option<(Owner, String)>,
    archived: bool,
}

/// The walks that meet every thread a query may ask for.
fn walks(connection: &Connection, query: &ThreadQuery) -> Result<Vec<Walk>, Failure> {
    let of = match (&query.owner, &query.agent_id) {
        (None, _) => vec![None],
        (Some(owner), Some(agent_id)) => vec![Some((owner.clone(), agent_id.to_string()))],
        (Some(owner), None) => {
            agents_of(connection, owner)?.into_iter().map(|agent_id| Some((owner.clone(), agent_id))).collect()
        }
    };
    let mut walks = Vec::new();
    for of in of {
        if query.include_archived {
            walks.push(Walk { of: of.clone(), archived: true });
        }
        walks.push(Walk { of, archived: false });
    }
    Ok(walks)
}

/// The agents with which an owner's threads ran last. One step along the index for each.
fn agents_of(connection: &Connection, owner: &Owner) -> Result<Vec<String>, Failure> {
    const FIRST: &str = "SELECT min(agent_id) FROM threads WHERE owner = ?1";
    const NEXT: &str = "SELECT min(agent_id) FROM threads WHERE owner = ?1 AND agent_id > ?2";
    let mut agents = Vec::new();
    let mut agent: Option<String> = connection.prepare_cached(FIRST)?.query_row([owner.as_str()], |row| row.get(0))?;
    let mut next = connection.prepare_cached(NEXT)?;
    while let Some(last) = agent {
        agent = next.query_row([owner.as_str(), &last], |row| row.get(0))?;
        agents.push(last);
    }
    Ok(agents)
}

impl Walk {
    /// The statement that goes so far along it.
    fn select(&self, query: &ThreadQuery, enough: usize) -> (String, Vec<Value>) {
        let mut values = Vec::new();
        let mut place = |value: Value| {
            values.push(value);
            format!("?{}", values.len())
        };
        let mut conditions = format!("archived = {}", u8::from(self.archived));
        if let Some((owner, agent_id)) = &self.of {
            conditions += &format!(" AND owner = {}", place(owner.as_str().to_owned().into()));
            conditions += &format!(" AND agent_id = {}", place(agent_id.clone().into()));
        } else if let Some(agent_id) = &query.agent_id {
            conditions += &format!(" AND agent_id = {}", place(agent_id.as_ref().to_owned().into()));
        }
        if let Some(after) = query.after {
            conditions += &format!(" AND active < {}", place(i64::try_from(after.tie).unwrap_or(i64::MAX).into()));
        }
        let words = query.matching.as_deref().map(Words::of).filter(|words| !words.is_empty());
        if let Some(words) = words {
            let found = words
                .prefix_queries()
                .map(|word| format!("SELECT rowid >> 24 FROM search WHERE search MATCH {}", place(word.into())));
            let found: Vec<_> = found.collect();
            conditions += &format!(" AND id IN ({})", found.join(" INTERSECT "));
        }
        let limit = place(i64::try_from(enough).unwrap_or(i64::MAX).into());
        (format!("SELECT {COLUMNS} FROM threads WHERE {conditions} ORDER BY active DESC LIMIT {limit}"), values)
    }
}

/// Changes what lists show of a thread.
pub(super) fn update(write: &Write<'_>, key: &ThreadKey, patch: &ThreadPatch) -> Result<Option<ThreadEntry>, Failure> {
    const UPDATE: &str = "UPDATE threads SET name = ?3, archived = ?4 WHERE owner = ?1 AND thread_id = ?2";
    let Some(mut entry) = thread(write.connection(), key)? else { return Ok(None) };
    if patch.if_named.as_ref().is_none_or(|name| *name == entry.name) {
        if let Some(name) = &patch.name {
            entry.name.clone_from(name);
        }
        if let Some(archived) = patch.archived {
            entry.archived = archived;
        }
        let row = params![key.owner.as_str(), &*key.id, entry.name.as_deref(), entry.archived];
        write.sql(UPDATE)?.execute(row)?;
    }
    Ok(Some(entry))
}
