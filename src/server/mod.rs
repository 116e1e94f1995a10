//! The stand-alone program: command line, environment and file to settings, settings to a runtime, and a
//! listener around it. The only room that reads the environment and prints.

mod banner;
mod cli;
mod config;
mod file;
mod front;
mod listen;
mod log;
mod problem;
mod read;
mod signals;
mod value;
mod wire;

use std::ffi::OsString;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use self::cli::{Cli, Command};
use self::config::{Config, DEFAULT_FILE, FileText};
use self::listen::End;
use self::problem::{Place, Problem};
use self::read::Overrides;
use self::signals::Signals;
use crate::CopilotRuntime;

/// The exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: u8 = 130;

/// Runs the program and returns its exit code: 0 when it was told to stop, 1 when it could not start,
/// 2 when the command line was wrong.
#[must_use]
pub fn main() -> ExitCode {
    let (cli, overrides) = Cli::read();
    let ready = load(cli.config, overrides).and_then(|config| {
        let runtime = wire::runtime(&config)?;
        Ok((config, runtime))
    });
    let (config, runtime) = match ready {
        Ok(ready) => ready,
        Err(problems) => return refuse(&problems),
    };
    match cli.command.unwrap_or(Command::Serve) {
        Command::Check => {
            say(&banner::on_check(&config));
            ExitCode::SUCCESS
        }
        Command::Serve => serve(&config, &runtime),
    }
}

/// Reads the configuration from all its sources.
fn load(named: Option<OsString>, overrides: Overrides) -> Result<Config, Vec<Problem>> {
    // An empty variable counts as unset, as with every setting.
    let named = named.filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let env = |name: &str| std::env::var(name).ok();
    match std::fs::read_to_string(&path) {
        Ok(text) => Config::load(Some(FileText { path: &path, text: &text }), overrides, &env),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            Config::load(None, overrides, &env)
        }
        Err(error) => {
            let place = Place::File(path.into(), 0);
            Err(vec![Problem::new(place, "", format!("the file cannot be read: {error}"))])
        }
    }
}

fn serve(config: &Config, runtime: &CopilotRuntime) -> ExitCode {
    let executor = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(executor) => executor,
        Err(error) => return fail(&format!("the program cannot start its threads: {error}")),
    };
    let code = executor.block_on(async {
        let signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return fail(&format!("signals cannot be handled: {error}")),
        };
        let (listener, address) = match listen::bind(&config.server.bind).await {
            Ok(bound) => bound,
            Err(reason) => return fail(&reason),
        };
        // Before the log, so that the two do not mix where both go to a terminal.
        say(&banner::on_start(config, address));
        log::start(&config.log);
        let router = front::router(wire::mounts(config, runtime), banner::page(config, address));
        match listen::serve(listener, router, runtime, signals, config.server.shutdown_deadline).await {
            End::Stopped => ExitCode::SUCCESS,
            End::Forced => ExitCode::from(INTERRUPTED),
            End::Failed(error) => fail(&format!("the listener failed: {error}")),
        }
    });
    // What is still open now has had its time.
    executor.shutdown_background();
    code
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
