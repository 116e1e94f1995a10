//! Where threads are kept, for how long, and the rules of a run: `[runner]` and `[retention]`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::file::Raw;
use super::checks::{not_zero, not_zero_time};
use super::intelligence::refuse_beside;
use super::{Place, Problem, Reader, Section, Setting, bytes};
use crate::runner::Retention;

/// The database that is used when none is named.
const DEFAULT_DATABASE: &str = "copilotkit.db";

/// Shorter leases would expire while a busy machine looks away.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq)]
pub(in crate::server) struct Runner {
    pub(in crate::server) database: Database,
    pub(in crate::server) memory: Memory,
    pub(in crate::server) max_run_bytes: usize,
    pub(in crate::server) max_run_events: usize,
    pub(in crate::server) when_busy: WhenBusy,
    /// Runs that wait on one thread, under [`WhenBusy::Enqueue`].
    pub(in crate::server) queue_limit: usize,
    /// How long each waits at most.
    pub(in crate::server) queue_timeout: Duration,
    /// Whether a request may choose another policy for a busy thread.
    pub(in crate::server) allow_request_policy: bool,
    pub(in crate::server) when_unwatched: WhenUnwatched,
    pub(in crate::server) lease: Duration,
    pub(in crate::server) generate_thread_names: bool,
}

/// Where threads are kept.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::server) enum Database {
    /// Nowhere but in this process.
    Memory,
    File(PathBuf),
}

/// What threads in memory may take.
#[derive(Debug, PartialEq)]
pub(in crate::server) struct Memory {
    pub(in crate::server) max_threads: usize,
    pub(in crate::server) max_runs_per_thread: usize,
    pub(in crate::server) max_bytes: usize,
}

/// What happens to a new run on a thread where one is active.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::server) enum WhenBusy {
    Reject,
    Interrupt,
    Enqueue,
    Rollback,
}

impl WhenBusy {
    pub(in crate::server) const ALL: [WhenBusy; 4] =
        [WhenBusy::Reject, WhenBusy::Interrupt, WhenBusy::Enqueue, WhenBusy::Rollback];
}

/// What happens to a run nobody watches any more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::server) enum WhenUnwatched {
    Keep,
    Stop,
    StopAfter(Duration),
}

/// What is set outside the file about threads of this program's own.
const OUTSIDE: &[&str] = &["runner.database", "runner.when_busy", "runner.when_unwatched"];

pub(super) fn read(reader: &Reader, on_platform: bool) -> Runner {
    let mut section = reader.section("runner");
    if on_platform {
        refuse_beside(reader, "runner", &section, OUTSIDE);
    }
    let database = database(&mut section, reader);
    let mut limits = section.section("memory");
    let memory = Memory {
        max_threads: limits.get_if("max_threads", not_zero).unwrap_or(1000),
        max_runs_per_thread: limits.get("max_runs_per_thread").unwrap_or(100),
        max_bytes: bytes(&mut limits, "max_bytes", 512 << 20),
    };
    limits.finish();
    let runner = Runner {
        database,
        memory,
        max_run_bytes: bytes(&mut section, "max_run_bytes", 64 << 20),
        max_run_events: section.get_if("max_run_events", not_zero).unwrap_or(1_000_000),
        when_busy: section.get("when_busy").unwrap_or(WhenBusy::Reject),
        queue_limit: section.get_if("queue_limit", not_zero).unwrap_or(8),
        queue_timeout: section.get_if("queue_timeout", not_zero_time).unwrap_or(Duration::from_secs(60)),
        allow_request_policy: section.get("allow_request_policy").unwrap_or(false),
        when_unwatched: section.get("when_unwatched").unwrap_or(WhenUnwatched::Keep),
        lease: section.get_if("lease", long_enough).unwrap_or(Duration::from_secs(5)),
        generate_thread_names: section.get("generate_thread_names").unwrap_or(false),
    };
    section.finish();
    runner
}

/// Only where threads are kept, for the commands that need nothing else.
pub(super) fn read_database(reader: &Reader) -> Database {
    database(&mut reader.section("runner"), reader)
}

/// Which threads are deleted by themselves. None, unless told otherwise.
pub(super) fn read_retention(reader: &Reader, on_platform: bool) -> Option<Retention> {
    let mut section = reader.section("retention");
    if on_platform {
        refuse_beside(reader, "retention", &section, &[]);
    }
    let retention = Retention {
        max_age: section.get("max_age").filter(|age: &Duration| !age.is_zero()),
        max_threads_per_owner: section.get("max_threads_per_user").filter(|count| *count != 0),
    };
    section.finish();
    (retention != Retention::default()).then_some(retention)
}

/// `runner.kind` and `runner.path` in the file; outside it one text, a path or `memory`.
fn database(section: &mut Section<'_>, reader: &Reader) -> Database {
    let kind = section.get::<Kind>("kind");
    let path = section.get_placed::<FilePath>("path");
    if let Some((text, place)) = reader.outside("runner.database") {
        return match FilePath::read(Raw::Text(text.clone())) {
            Ok(_) if text == "memory" => Database::Memory,
            Ok(path) => Database::File(path.0),
            Err(reason) => {
                reader.report(Problem::new(place.clone(), "", format!("{reason}, or `memory`")));
                Database::Memory
            }
        };
    }
    match (kind.unwrap_or(Kind::Sqlite), path) {
        (Kind::Sqlite, path) => {
            Database::File(path.map_or_else(|| DEFAULT_DATABASE.into(), |(path, _): (FilePath, Place)| path.0))
        }
        (Kind::Memory, None) => Database::Memory,
        (Kind::Memory, Some((_, place))) => {
            section.report(place, "path", "threads in memory have no file; drop this, or set `kind = \"sqlite\"`");
            Database::Memory
        }
    }
}

enum Kind {
    Sqlite,
    Memory,
}

impl Setting for Kind {
    fn read(raw: Raw) -> Result<Kind, String> {
        match raw {
            Raw::Text(kind) if kind == "sqlite" => Ok(Kind::Sqlite),
            Raw::Text(kind) if kind == "memory" => Ok(Kind::Memory),
            _ => Err("expected \"sqlite\" or \"memory\"".to_owned()),
        }
    }
}

/// A path SQLite would take for a file.
struct FilePath(PathBuf);

impl Setting for FilePath {
    fn read(raw: Raw) -> Result<FilePath, String> {
        match raw {
            // SQLite keeps nothing under these names.
            Raw::Text(path) if path.trim().is_empty() || path.starts_with(":memory:") => {
                Err("expected the path of a database file".to_owned())
            }
            Raw::Text(path) => Ok(FilePath(path.into())),
            _ => Err("expected the path of a database file".to_owned()),
        }
    }
}

impl Setting for WhenBusy {
    fn read(raw: Raw) -> Result<WhenBusy, String> {
        let named = match &raw {
            Raw::Text(policy) => match policy.as_str() {
                "reject" => Some(WhenBusy::Reject),
                "interrupt" => Some(WhenBusy::Interrupt),
                "enqueue" => Some(WhenBusy::Enqueue),
                "rollback" => Some(WhenBusy::Rollback),
                _ => None,
            },
            _ => None,
        };
        named.ok_or_else(|| "expected \"reject\", \"interrupt\", \"enqueue\" or \"rollback\"".to_owned())
    }
}

impl Setting for WhenUnwatched {
    fn read(raw: Raw) -> Result<WhenUnwatched, String> {
        const EXPECTED: &str = "expected \"keep\", \"stop\", or a time such as \"30s\" after which to stop";
        match &raw {
            Raw::Text(text) if text == "keep" => Ok(WhenUnwatched::Keep),
            Raw::Text(text) if text == "stop" => Ok(WhenUnwatched::Stop),
            Raw::Text(_) | Raw::Integer(_) | Raw::Float(_) => match Duration::read(raw) {
                // Zero stands for "off" elsewhere; which of the two it means here, nobody can know.
                Ok(time) if !time.is_zero() => Ok(WhenUnwatched::StopAfter(time)),
                _ => Err(EXPECTED.to_owned()),
            },
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

fn long_enough(lease: &Duration) -> Result<(), String> {
    if *lease < SHORTEST_LEASE { Err("must be at least a second".to_owned()) } else { Ok(()) }
}
