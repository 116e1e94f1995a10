//! The stand-alone program: command line, environment and file to settings, settings to a runtime, and a
//! listener around it. The only room that reads the environment and prints.

mod banner;
mod cli;
mod commands;
mod config;
mod file;
mod front;
mod identify;
mod listen;
mod log;
mod operators;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
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
use std::fmt;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::cli::{Cli, Command};
use self::commands::{Failure, Keeping, Look};
use self::config::{Config, DEFAULT_FILE, Database, FileText, Log};
use self::file::Env;
use self::front::Front;
use self::listen::End;
use self::log::Unsent;
use self::problem::{Place, Problem};
use self::read::Overrides;
pub use self::serve::{Connections, serve, serve_with};
use self::signals::Signals;
use self::store::Store;
use self::wire::Prepared;

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
        Some(Command::Status(how)) => {
            read(cli.config, |file, env| Config::load_metrics(file, overrides, env)).and_then(|bind| look(how, bind))
        }
        Some(Command::Keeping(command)) => {
            // Not every command needs the database, so it is the command that minds.
            let database = read(cli.config, |file, env| Config::load_database(file, overrides, env));
            keep(command, database.map_err(|refusal| Failure::Failed(refusal.to_string())))
        }
    };
    done.unwrap_or_else(|refusal| fail(&refusal.to_string()))
}

/// Why the program does not begin.
#[derive(Debug)]
enum Refusal {
    Configuration(Vec<Problem>),
    Reason(String),
}

impl From<Vec<Problem>> for Refusal {
    fn from(problems: Vec<Problem>) -> Refusal {
        Refusal::Configuration(problems)
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Refusal {
        Refusal::Reason(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Configuration(problems) => {
                match problems.len() {
                    1 => f.write_str("the configuration has a problem:\n")?,
                    n => writeln!(f, "the configuration has {n} problems:")?,
                }
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
            Refusal::Reason(reason) => f.write_str(reason),
        }
    }
}

/// Settings, and the runtime they describe.
struct Configured {
    config: Config,
    runtime: Prepared,
    unsent: Unsent,
}

fn configured(named: Option<OsString>, overrides: Overrides) -> Result<Configured, Refusal> {
    let config = read(named, |file, env| Config::load(file, overrides, env))?;
    // Before anything that may have something to say.
    let unsent = log::start(&config.log, &config.otlp)?;
    let runtime = wire::runtime(&config)?;
    Ok(Configured { config, runtime, unsent })
}

/// Reads a configuration from its file, if there is one.
fn read<T>(
    named: Option<OsString>,
    load: impl FnOnce(Option<FileText<'_>>, Env<'_>) -> Result<T, Vec<Problem>>,
) -> Result<T, Refusal> {
    // An empty variable counts as unset, as with every setting.
    let named = named.filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let env = |name: &str| std::env::var(name).ok();
    let loaded = match std::fs::read_to_string(&path) {
        Ok(text) => load(Some(FileText { path: &path, text: &text }), &env),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => load(None, &env),
        Err(error) => {
            let place = Place::File(path.into(), 0);
            Err(vec![Problem::new(place, "", format!("the file cannot be read: {error}"))])
        }
    };
    Ok(loaded?)
}

fn check(Configured { config, runtime, unsent }: Configured) -> Result<ExitCode, Refusal> {
    wire::mounts(&config, &wire::build(runtime, &config)?)?;
    say(&banner::on_check(&config));
    unsent.finish();
    Ok(ExitCode::SUCCESS)
}

fn run(Configured { config, runtime, unsent }: Configured) -> Result<ExitCode, Refusal> {
    let executor = executor(&mut tokio::runtime::Builder::new_multi_thread())?;
    let code = executor.block_on(serving(config, runtime));
    // What is still open now has had its time.
    executor.shutdown_background();
    unsent.finish();
    code
}

fn executor(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Refusal> {
    let built = builder.enable_all().build();
    Ok(built.map_err(|error| format!("the program cannot start its threads: {error}"))?)
}

async fn serving(config: Config, runtime: Prepared) -> Result<ExitCode, Refusal> {
    let signals = Signals::listen().map_err(|error| format!("signals cannot be handled: {error}"))?;
    // Before the database is opened: a second server started by mistake ends here.
    let (listener, address) = listen::bind(&config.server, config.users.is_some()).await?;
    let operators = match &config.metrics.bind {
        Some(bind) => Some(listen::bind_to(bind, "--metrics-bind").await?),
        None => None,
    };
    let (runtime, database) = match runtime {
        Prepared::Here(builder) => {
            let store = Store::open(&config.runner).await?;
            (Prepared::Here(store.under(builder)), store.database())
        }
        Prepared::OnPlatform(builder) => (Prepared::OnPlatform(builder), None),
    };
    let runtime = wire::build(runtime, &config)?;
    let mounts = wire::mounts(&config, &runtime)?;
    say(&banner::on_start(&config, address, operators.as_ref().map(|(_, address)| *address)));
    // Ended last, so that operators see the end.
    let mut beside = JoinSet::new();
    if let Some((listener, address)) = operators {
        let routes = operators::routes(&runtime, operators::may_tell_status(config.metrics.status, address));
        beside.spawn(serve(listener, routes, CancellationToken::new()));
    }
    if let (Some(retention), Some(store)) = (config.retention, database) {
        beside.spawn(async move { retention::keep_to(retention, &store).await });
    }
    let front = Front::new(mounts, banner::about(&config, address), wire::page(&config, &runtime));
    let front = front.beside(operators::probes(&runtime));
    let (deadline, connections) = (config.server.shutdown_deadline, config.limits.connections);
    let serving = listen::serve(listener, front, &runtime, signals, deadline, connections);
    Ok(match serving.await {
        End::Stopped => ExitCode::SUCCESS,
        End::Forced => ExitCode::from(INTERRUPTED),
    })
}

fn keep(command: Keeping, database: Result<Database, Failure>) -> Result<ExitCode, Refusal> {
    log::start_plain(&Log { level: "warn".to_owned(), json: false });
    let executor = executor(&mut tokio::runtime::Builder::new_current_thread())?;
    let done = executor.block_on(commands::run(command, database));
    Ok(done.map_or_else(|failure| told(&failure), |()| ExitCode::SUCCESS))
}

fn look(how: Look, configured: Option<String>) -> Result<ExitCode, Refusal> {
    let executor = executor(&mut tokio::runtime::Builder::new_current_thread())?;
    let done = executor.block_on(commands::look(how, configured));
    Ok(done.map_or_else(|failure| told(&failure), |()| ExitCode::SUCCESS))
}

fn told(failure: &Failure) -> ExitCode {
    if !matches!(failure, Failure::Closed) {
        fail(&failure.to_string());
    }
    failure.code()
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
