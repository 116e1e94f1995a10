//! The stand-alone program: command line, environment and file to settings, settings to a runtime, and a
//! listener around it. The only room that reads the environment and prints.

mod banner;
mod cli;
mod commands;
mod config;
mod file;
mod front;
mod listen;
mod log;
mod private;
mod problem;
mod read;
mod retention;
mod serve;
mod signals;
mod store;
mod value;
mod wire;

use std::ffi::OsString;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::task::JoinSet;

use self::cli::{Cli, Command};
use self::commands::{Failure, Keeping};
use self::config::{Config, DEFAULT_FILE, Database, FileText, Log};
use self::file::Env;
use self::front::Front;
use self::listen::End;
use self::problem::{Place, Problem};
use self::read::Overrides;
pub use self::serve::serve;
use self::signals::Signals;
use self::store::Store;
use crate::Builder;

/// The exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs the program and returns its exit code: 0 when it was told to stop or did what it was told, 1 when it could
/// not start or something is not there, 2 when the command line was wrong.
#[must_use]
pub fn main() -> ExitCode {
    let (cli, overrides) = Cli::read();
    let done = match cli.command {
        None | Some(Command::Serve(_)) => configured(cli.config, overrides).and_then(run),
        Some(Command::Check(_)) => configured(cli.config, overrides).and_then(check),
        Some(Command::Keeping(command)) => read(cli.config, |file, env| Config::load_database(file, overrides, env))
            .map(|database| keep(command, &database)),
    };
    done.unwrap_or_else(|problems| refuse(&problems))
}

/// Settings, and the runtime they describe but for its runner.
struct Configured {
    config: Config,
    runtime: Builder,
}

fn configured(named: Option<OsString>, overrides: Overrides) -> Result<Configured, Vec<Problem>> {
    let config = read(named, |file, env| Config::load(file, overrides, env))?;
    let runtime = wire::runtime(&config)?;
    Ok(Configured { config, runtime })
}

/// Reads a configuration from its file, if there is one.
fn read<T>(
    named: Option<OsString>,
    load: impl FnOnce(Option<FileText<'_>>, Env<'_>) -> Result<T, Vec<Problem>>,
) -> Result<T, Vec<Problem>> {
    // An empty variable counts as unset, as with every setting.
    let named = named.filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let env = |name: &str| std::env::var(name).ok();
    match std::fs::read_to_string(&path) {
        Ok(text) => load(Some(FileText { path: &path, text: &text }), &env),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => load(None, &env),
        Err(error) => {
            let place = Place::File(path.into(), 0);
            Err(vec![Problem::new(place, "", format!("the file cannot be read: {error}"))])
        }
    }
}

fn check(Configured { config, runtime }: Configured) -> Result<ExitCode, Vec<Problem>> {
    wire::build(runtime, &config)?;
    say(&banner::on_check(&config));
    Ok(ExitCode::SUCCESS)
}

fn run(configured: Configured) -> Result<ExitCode, Vec<Problem>> {
    let executor = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(executor) => executor,
        Err(error) => return Ok(fail(&format!("the program cannot start its threads: {error}"))),
    };
    let code = executor.block_on(serving(configured));
    // What is still open now has had its time.
    executor.shutdown_background();
    code
}

async fn serving(Configured { config, runtime }: Configured) -> Result<ExitCode, Vec<Problem>> {
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Ok(fail(&format!("signals cannot be handled: {error}"))),
    };
    // Before the database is opened: a second server started by mistake ends here.
    let (listener, address) = match listen::bind(&config.server, config.users.is_some()).await {
        Ok(bound) => bound,
        Err(reason) => return Ok(fail(&reason)),
    };
    let store = match Store::open(&config.runner).await {
        Ok(store) => store,
        Err(reason) => return Ok(fail(&reason)),
    };
    let runtime = wire::build(store.under(runtime), &config)?;
    // Before the log, so that the two do not mix where both go to a terminal.
    say(&banner::on_start(&config, address));
    log::start(&config.log);
    let mut sweeping = JoinSet::new();
    if config.retention.is_on() {
        let retention = config.retention;
        sweeping.spawn(async move {
            if let Some(store) = store.threads() {
                retention::sweep_every_hour(store, retention).await;
            }
        });
    }
    let front = Front::new(wire::mounts(&config, &runtime), banner::page(&config, address));
    let serving = listen::serve(listener, front, &runtime, signals, config.server.shutdown_deadline);
    Ok(match serving.await {
        End::Stopped => ExitCode::SUCCESS,
        End::Forced => ExitCode::from(INTERRUPTED),
    })
}

fn keep(command: Keeping, database: &Database) -> ExitCode {
    log::start(&Log { level: "warn".to_owned(), json: false });
    let executor = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(executor) => executor,
        Err(error) => return fail(&format!("the program cannot start its threads: {error}")),
    };
    match executor.block_on(commands::run(command, database)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.code();
            if !matches!(failure, Failure::Closed) {
                fail(&failure.to_string());
            }
            code
        }
    }
}

fn refuse(problems: &[Problem]) -> ExitCode {
    let count = match problems.len() {
        1 => "a problem".to_owned(),
        n => format!("{n} problems"),
    };
    let mut text = format!("the configuration has {count}:\n");
    for problem in problems {
        text.push_str(&format!("\n  {problem}"));
    }
    fail(&text)
}

fn fail(reason: &str) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(stderr(), "copilotkit-runtime: {reason}");
    ExitCode::FAILURE
}

fn say(text: &str) {
    // A closed stdout is no reason to stop serving.
    let _ = stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush());
}
