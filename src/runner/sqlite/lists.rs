//! Threads as lists show them.

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
    let (sql, values) = select(query);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut list = ThreadList::default();
    let mut last = None;
    while let Some(row) = rows.next()? {
        if list.threads.len() >= query.limit {
            list.next = last;
            break;
        }
        let entry = entry(row)?;
        let tie = row.get::<_, i64>(7)?.cast_unsigned();
        last = Some(ThreadCursor { updated_at: entry.updated_at, tie });
        list.threads.push(entry);
    }
    Ok(list)
}

/// The statement of a query: a walk along one index, newest first, or two of them joined where archived threads
/// are asked for too.
fn select(query: &ThreadQuery) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let mut place = |value: Value| {
        values.push(value);
        format!("?{}", values.len())
    };
    let mut conditions = String::new();
    if let Some(owner) = &query.owner {
        conditions += &format!(" AND owner = {}", place(owner.as_str().to_owned().into()));
    }
    if let Some(agent_id) = &query.agent_id {
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
    // One more than fits tells whether there is more.
    let limit = place(i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1).into());
    let walk = |archived: u8| format!("SELECT {COLUMNS} FROM threads WHERE archived = {archived}{conditions}");
    let sql = if query.include_archived {
        format!("{} UNION ALL {} ORDER BY active DESC LIMIT {limit}", walk(0), walk(1))
    } else {
        format!("{} ORDER BY active DESC LIMIT {limit}", walk(0))
    };
    (sql, values)
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
