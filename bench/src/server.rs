//! The servers under test: how each is started, pinned to its core, and ended.

use crate::database::Database;
use crate::failure::{Failure, Result};
use crate::load::{Request, Target, single};
use crate::process::Pid;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that has not answered after this time is broken.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// Between two attempts to get the first answer.
const LOOK_AGAIN: Duration = Duration::from_micros(250);

/// Where nothing listens: every server has the agent `remote`, most scenarios never ask it.
const NO_UPSTREAM: &str = "http://127.0.0.1:9/agent";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// This project, threads in memory.
    Ours,
    /// This project, threads in a SQLite file.
    OursDurable,
    /// The released Node runtime, threads in memory.
    Node,
    /// The released Node runtime, threads in a SQLite file.
    NodeDurable,
    /// The bare HTTP server, one write per event.
    Bare,
    /// The bare HTTP server, one write per run.
    BareWhole,
}

impl Kind {
    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ours => "ours",
            Kind::OursDurable => "ours, SQLite",
            Kind::Node => "Node",
            Kind::NodeDurable => "Node, SQLite",
            Kind::Bare => "bare",
            Kind::BareWhole => "bare, one write",
        }
    }
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub struct Program {
    /// Which one.
    pub kind: Kind,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it makes its database file, `--db`; None for one that keeps nothing.
    pub databases: Option<PathBuf>,
    /// Its environment, beyond what every server gets.
    pub env: Vec<(&'static str, String)>,
    /// Its core.
    pub core: usize,
    /// Whether its messages are shown.
    pub verbose: bool,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub kind: Kind,
    /// Where it listens.
    pub target: Target,
    /// From the start of the process to its first answer.
    pub first_answer: Duration,
    child: Child,
    /// Removed when the process has ended.
    database: Option<Database>,
}

impl Program {
    /// The same with another environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &'static str, value: impl Into<String>) -> Program {
        self.env.push((name, value.into()));
        self
    }

    /// Starts the server on a free port and waits for its first answer to `GET /info`.
    ///
    /// # Errors
    /// When it can't be started, or does not answer in time.
    pub async fn start(&self) -> Result<Running> {
        let database = self.databases.as_deref().map(Database::below).transpose()?;
        let file = database.as_ref().map(Database::file);
        let port = free_port()?;
        let start = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", &self.core.to_string()])
            .arg(&self.path)
            .args(&self.args)
            .args(file.iter().flat_map(|file| [OsStr::new("--db"), file.as_os_str()]))
            .env("UPSTREAM_URL", NO_UPSTREAM)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("PORT", port.to_string())
            .env("NODE_ENV", "production")
            .env("COPILOTKIT_TELEMETRY_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(self.output())
            .stderr(self.output())
            .spawn()?;
        let target = Target::local(port);
        let mut running = Running { kind: self.kind, target, first_answer: Duration::ZERO, child, database };
        while single::fetch(target, Request::info().fresh()).await.is_err() {
            if let Some(status) = running.child.try_wait()? {
                return Err(Failure::said(format!("{} ended at once: {status}", self.kind.name())));
            }
            if start.elapsed() > STARTS_WITHIN {
                return Err(Failure::said(format!("{} does not answer", self.kind.name())));
            }
            // Nothing else runs here, and the timers of the async runtime are too coarse.
            std::thread::sleep(LOOK_AGAIN);
        }
        running.first_answer = start.elapsed();
        Ok(running)
    }

    fn output(&self) -> Stdio {
        if self.verbose { Stdio::inherit() } else { Stdio::null() }
    }
}

impl Running {
    /// Its process: `taskset` has become the server.
    pub fn pid(&self) -> Pid {
        Pid::new(self.child.id())
    }

    /// Its database, if it has one.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only ever this child; it may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Pins this process, before it has a second thread.
///
/// # Errors
/// When `taskset` is missing or the core does not exist.
pub fn pin_generator(core: usize) -> Result<()> {
    let pinned = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .stdout(Stdio::null())
        .status()?;
    if pinned.success() { Ok(()) } else { Err(Failure::said(format!("core {core} can't be used"))) }
}
