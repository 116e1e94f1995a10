//! A file of the Node runtime's SQLite runner (rest-sse.md chapter 13.7): its threads are taken over once, when the file
//! is first opened. Its tables stay as they are.

use std::sync::Arc;

use rusqlite::{Connection, params};
use serde_json::value::RawValue;

use super::error::Failure;
use super::recover;
use super::runs::{self, Seal, key};
use super::stored::damaged;
use super::writer::Write;
use crate::agui::{Compactor, Event, EventKind, Message, RunAgentInput};
use crate::runner::{NewRun, ThreadKey};

/// The tables of such a file.
pub(super) const TABLES: [&str; 3] = ["agent_runs", "run_state", "schema_version"];

const SOURCE: &str = "node";
/// That runner does not keep which agent ran; this is what clients ask for who name none.
const AGENT: &str = "default";

/// Whether there are threads to take over.
pub(super) fn is_waiting(connection: &Connection) -> Result<bool, Failure> {
    const THERE: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)
        AND NOT EXISTS (SELECT 1 FROM imports WHERE source = ?2)";
    Ok(connection.query_row(THERE, [TABLES[0], SOURCE], |row| row.get(0))?)
}

/// Takes over every thread. Says how many.
pub(super) fn take_over(write: &mut Write<'_>) -> Result<usize, Failure> {
    const THREADS: &str = "SELECT thread_id FROM agent_runs GROUP BY thread_id ORDER BY max(created_at)";
    const TAKEN: &str = "INSERT INTO imports (source, at) VALUES (?1, ?2)";
    if !is_waiting(write.connection())? {
        return Ok(0);
    }
    let threads = write.sql(THREADS)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for thread in &threads {
        take_over_thread(write, thread)?;
    }
    write.sql(TAKEN)?.execute(params![SOURCE, write.now()])?;
    Ok(threads.len())
}

/// As that runner replays it: the runs that lead on from one without a parent.
fn take_over_thread(write: &mut Write<'_>, thread_id: &str) -> Result<(), Failure> {
    const RUNS: &str = "
        WITH RECURSIVE chain (id, run_id) AS (
            SELECT id, run_id FROM agent_runs WHERE thread_id = ?1 AND parent_run_id IS NULL
            UNION SELECT next.id, next.run_id FROM agent_runs AS next JOIN chain ON next.parent_run_id = chain.run_id
            WHERE next.thread_id = ?1)
        SELECT id FROM chain JOIN agent_runs USING (id) ORDER BY created_at, id";
    const TIMES: &str = "
        UPDATE threads SET created_at = ?3, updated_at = ?4 WHERE owner = ?1 AND thread_id = ?2";
    let thread = ThreadKey::anonymous(thread_id);
    let runs = write.sql(RUNS)?.query_map([thread_id], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let mut times = Vec::with_capacity(runs.len());
    for run in runs {
        times.push(take_over_run(write, &thread, run)?);
    }
    if let (Some(first), Some(last)) = (times.first(), times.last()) {
        write.sql(TIMES)?.execute(params![thread.owner.as_str(), thread_id, first, last])?;
    }
    Ok(())
}

fn take_over_run(write: &mut Write<'_>, thread: &ThreadKey, id: i64) -> Result<i64, Failure> {
    const RUN: &str = "SELECT run_id, events, input, created_at FROM agent_runs WHERE id = ?1";
    const TIMES: &str = "UPDATE runs SET began_at = ?2, ended_at = ?2 WHERE number = ?1";
    let (run_id, events, input, at) = write.sql(RUN)?.query_row([id], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
    })?;
    let input =
        RunAgentInput::parse(input.as_bytes()).unwrap_or_else(|_| RunAgentInput::new(&*thread.id, run_id.as_str()));
    let run = NewRun {
        thread: thread.clone(),
        run_id: run_id.as_str().into(),
        agent_id: AGENT.into(),
        input: Arc::new(input),
        name: None,
    };
    let begun = runs::begin(write, &run)?.ok_or_else(|| damaged("an import that was under way, and threads"))?;
    let said = repaired(&events, thread, &run_id, &begun.input)?;
    let is_new = |(_, known): &(&Message, &bool)| !**known;
    let posted = run.input.messages.iter().zip(&begun.known).filter(is_new).map(|(message, _)| message.clone());
    let compactor = Compactor::new(begun.state.as_deref().cloned());
    runs::seal(write, &begun.run, &Seal::of(recover::ended(&said, posted.collect(), compactor)))?;
    write.sql(TIMES)?.execute([key(begun.run.number), at])?;
    Ok(at)
}

/// The events of a run, without what that runner is known to break (rest-sse.md chapter 14).
fn repaired(json: &str, thread: &ThreadKey, run_id: &str, input: &str) -> Result<Vec<Event>, Failure> {
    let list: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| damaged("runs of the Node runtime"))?;
    let mut events: Vec<Event> = list.into_iter().filter_map(|json| Event::parse(json.get().to_owned()).ok()).collect();
    // A run that failed at once: what the user asked stays.
    if !events.iter().any(|event| event.kind() == EventKind::RunStarted) {
        events.insert(0, Event::run_started(&thread.id, run_id).with_field("input", input));
    }
    // Row 2: what was open when the run failed stands behind its end.
    if let Some(end) = events.iter().rposition(|event| event.kind().is_terminal())
        && !events[end..].iter().any(|event| event.kind() == EventKind::RunStarted)
    {
        let last = events.remove(end);
        events.push(last);
    }
    // Row 1: a run that was stopped ended without its ids.
    let named = events.into_iter().map(|event| match event.kind() {
        EventKind::RunFinished => with_ids(event, &thread.id, run_id),
        _ => event,
    });
    Ok(named.collect())
}

fn with_ids(event: Event, thread_id: &str, run_id: &str) -> Event {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        thread_id: Option<String>,
        run_id: Option<String>,
    }
    let Ok(named) = event.view::<Named>() else { return event };
    let missing = [("threadId", named.thread_id, thread_id), ("runId", named.run_id, run_id)];
    missing
        .into_iter()
        .filter(|(_, found, _)| found.is_none())
        .fold(event, |event, (name, _, id)| event.with_field(name, &serde_json::Value::from(id).to_string()))
}
