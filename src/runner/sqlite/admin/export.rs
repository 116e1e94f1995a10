//! Threads as JSON, for people who want what is theirs.

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::super::error::Failure;
use super::super::runs::numbers_of;
use super::super::{history, lists, stored};
use super::SqliteStore;
use crate::agui::{Event, Frames, MessageList, RunAgentInput};
use crate::runner::{Owner, StoreError, ThreadKey, ThreadQuery, ThreadStore};

/// How many threads are named at once.
const PAGE: usize = 256;

impl SqliteStore {
    /// A thread with everything said on it as a JSON object: what lists show of it, `state`, `messages`, and `runs` with
    /// their `events`, each as it was said. `None` if there is no such thread.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when the file cannot be read.
    pub async fn export_thread(&self, thread: &ThreadKey) -> Result<Option<String>, StoreError> {
        let thread = thread.clone();
        self.readers.run(move |connection| export(connection, &thread)).await
    }

    /// Every thread of a user as [`SqliteStore::export_thread`] has it, one after the other.
    pub fn export_owner(&self, owner: &Owner) -> BoxStream<'_, Result<String, StoreError>> {
        let first = ThreadQuery { include_archived: true, limit: PAGE, ..ThreadQuery::of(owner.clone()) };
        stream::try_unfold(Some(first), async |query| {
            let Some(query) = query else { return Ok(None) };
            let page = self.list(query.clone()).await?;
            let next = page.next.map(|after| ThreadQuery { after: Some(after), ..query });
            Ok::<_, StoreError>(Some((stream::iter(page.threads).map(Ok), next)))
        })
        .try_flatten()
        // One that was deleted meanwhile is left out.
        .try_filter_map(async |thread| self.export_thread(&thread.key).await)
        .boxed()
    }
}

fn export(connection: &Connection, key: &ThreadKey) -> Result<Option<String>, Failure> {
    const ID: &str = "SELECT id FROM threads WHERE owner = ?1 AND thread_id = ?2";
    let id = connection.prepare_cached(ID)?.query_row(params![key.owner.as_str(), &*key.id], |row| row.get(0));
    let (Some(id), Some(entry)) = (id.optional()?, lists::thread(connection, key)?) else { return Ok(None) };
    let mut messages = MessageList::default();
    let mut runs = sealed(connection, id, &mut messages)?;
    runs.extend(open(connection, id, &mut messages)?);
    let mut thread = json!({
        "threadId": &*entry.key.id,
        "agentId": &*entry.agent_id,
        "name": entry.name.as_deref(),
        "archived": entry.archived,
        "createdAt": time(entry.created_at),
        "updatedAt": time(entry.updated_at),
        "state": history::state(connection, key)?.as_deref(),
    });
    if !key.owner.as_str().is_empty() {
        thread["userId"] = key.owner.as_str().into();
    }
    let mut text = thread.to_string();
    // Events and messages as they came: a value would change the text of their numbers.
    text.truncate(text.len() - 1);
    text += &format!(
        ",\"messages\":{},\"runs\":[{}]}}",
        array(messages.to_messages().iter().map(|json| json.get())),
        runs.join(",")
    );
    Ok(Some(text))
}

fn sealed(connection: &Connection, thread: i64, messages: &mut MessageList) -> Result<Vec<String>, Failure> {
    const RUNS: &str = "
        SELECT number, said, count, cuts, unsaid, frames, run_id, agent_id, began_at, ended_at FROM runs
        WHERE number BETWEEN ?1 AND ?2 ORDER BY number";
    let mut statement = connection.prepare_cached(RUNS)?;
    let (first, last) = numbers_of(thread);
    let mut rows = statement.query([first, last])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        let run = history::stored_run(connection, row)?;
        messages.add_input(run.unsaid.iter());
        let (run_id, agent_id): (String, String) = (row.get(6)?, row.get(7)?);
        let about = json!({
            "runId": run_id, "agentId": agent_id, "beganAt": time(row.get(8)?), "endedAt": time(row.get(9)?)
        });
        runs.push(with_events(&about, &run.frames, messages));
    }
    Ok(runs)
}

/// The run that goes on, with what it said so far.
fn open(connection: &Connection, thread: i64, messages: &mut MessageList) -> Result<Option<String>, Failure> {
    const OPEN: &str = "SELECT number, run_id, agent_id, began_at, input FROM open_runs WHERE thread = ?1";
    let mut statement = connection.prepare_cached(OPEN)?;
    let mut rows = statement.query([thread])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let said = history::said_behind(connection, row.get(0)?, 0, usize::MAX)?;
    let (run_id, agent_id): (String, String) = (row.get(1)?, row.get(2)?);
    let about = json!({"runId": run_id, "agentId": agent_id, "beganAt": time(row.get(3)?), "endedAt": Value::Null});
    let input = RunAgentInput::parse(&stored::read(connection, thread, row.get_ref(4)?)?);
    messages.add_input(&input.map_err(|_| stored::damaged("input"))?.messages);
    Ok(Some(with_events(&about, &said, messages)))
}

fn with_events(about: &Value, frames: &Frames, messages: &mut MessageList) -> String {
    let events: Vec<Event> = frames.events().filter_map(|json| Event::parse(json).ok()).collect();
    events.iter().for_each(|event| messages.apply(event));
    let mut text = about.to_string();
    text.truncate(text.len() - 1);
    text + &format!(",\"events\":{}}}", array(events.iter().map(Event::as_str)))
}

fn array<'j>(items: impl Iterator<Item = &'j str>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A time as the threads API has it; one that is none is left to the eye of the reader.
fn time(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}
