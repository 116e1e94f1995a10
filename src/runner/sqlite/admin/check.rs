//! Looking for damage.

use std::path::Path;

use rusqlite::Connection;

use super::super::error::{Failure, OpenError};
use super::super::{history, schema};
use super::SqliteStore;
use crate::runner::StoreError;

/// How many problems are told; who has so many needs a backup.
const PROBLEMS: usize = 100;

/// What a look at a file found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// How many threads there are.
    pub threads: u64,
    /// How many runs that have ended.
    pub runs: u64,
    /// What is wrong, each in a sentence. The first hundred.
    pub problems: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.problems.is_empty()
    }

    fn tell(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        }
    }
}

impl SqliteStore {
    /// Reads all of the file and looks whether everything is in its place. Runs go on meanwhile.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be read at all.
    pub async fn check(&self) -> Result<CheckReport, OpenError> {
        let file = self.file.clone();
        let checked = tokio::task::spawn_blocking(move || SqliteStore::check_file(file)).await;
        checked.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// As [`SqliteStore::check`], for a file that may be too damaged to be opened. Blocks until it is done, and writes
    /// nothing.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be read at all.
    pub fn check_file(file: impl AsRef<Path>) -> Result<CheckReport, OpenError> {
        let file = file.as_ref();
        let connection = schema::open_to_look(file)?;
        let mut report = CheckReport::default();
        // What cannot be read is what was to be found out.
        for look in [sqlites_own, what_belongs_together, everything_said] {
            if let Err(failure) = look(&connection, &mut report) {
                report.tell(failure.explain(file).to_string());
            }
        }
        Ok(report)
    }
}

fn sqlites_own(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    for text in found {
        let text = text?;
        if text != "ok" {
            report.tell(text);
        }
    }
    Ok(())
}

fn what_belongs_together(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    const THREADS: &str = "SELECT id FROM threads UNION SELECT thread FROM removed";
    const RULES: [(&str, &str); 8] = [
        ("runs of no thread", "FROM runs WHERE number >> 24 NOT IN (?)"),
        ("open runs of no thread", "FROM open_runs WHERE thread NOT IN (?) OR number >> 24 <> thread"),
        ("states of no thread", "FROM states WHERE thread NOT IN (?)"),
        ("message ids of no thread", "FROM message_ids WHERE thread NOT IN (?)"),
        ("attachments of no thread", "FROM payloads WHERE thread NOT IN (?)"),
        (
            "rows of the tail of no process",
            "FROM tail WHERE epoch NOT IN (SELECT epoch FROM leases UNION SELECT epoch FROM open_runs)",
        ),
        (
            "events of no open run",
            "FROM events WHERE run NOT IN (SELECT number FROM open_runs) AND run >> 24 NOT IN (SELECT thread FROM removed)",
        ),
        (
            "threads that would give the number of a run again",
            "FROM threads WHERE EXISTS (SELECT 1 FROM runs WHERE number BETWEEN id << 24 | next_run AND (id + 1 << 24) - 1)",
        ),
    ];
    for (what, rule) in RULES {
        let sql = format!("SELECT count(*) {}", rule.replace('?', THREADS));
        let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        if count > 0 {
            report.tell(format!("{count} {what}"));
        }
    }
    let threads: i64 = connection.query_row("SELECT count(*) FROM threads", [], |row| row.get(0))?;
    report.threads = threads.unsigned_abs();
    Ok(())
}

fn everything_said(connection: &Connection, report: &mut CheckReport) -> Result<(), Failure> {
    const RUNS: &str = "SELECT number, said, count, cuts, unsaid, frames FROM runs";
    let mut statement = connection.prepare(RUNS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        report.runs += 1;
        let number: i64 = row.get(0)?;
        match history::stored_run(connection, row) {
            Ok(run) if run.frames.events().count() == run.frames.count() => {}
            Ok(_) => report.tell(format!("run {number} lacks events")),
            Err(Failure::Sqlite(error)) => report.tell(format!("run {number}: {error}")),
            Err(Failure::Store(error)) => report.tell(format!("run {number}: {error}")),
        }
    }
    Ok(())
}
