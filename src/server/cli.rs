//! The command line and the environment.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::commands::{Keeping, Look};
use super::problem::Place;
use super::read::Overrides;

/// Where help lists the options of every command.
const GLOBAL: &str = "Global options";

/// Serves agents to CopilotKit frontends, and keeps their threads.
///
/// Settings come from flags, then from environment variables, then from a TOML file, then from defaults. Without
/// any, a demo agent answers on http://127.0.0.1:4000/api/copilotkit, and threads are kept in copilotkit.db. The
/// file may set more than the flags can; copilotkit.example.toml in the project shows all of it.
///
/// The commands `threads`, `users` and `db` work on the database, also while a server uses it; `users hash-key` makes
/// an API key.
#[derive(Debug, Parser)]
#[command(name = "copilotkit-runtime", version, propagate_version = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    /// The configuration file [default: copilotkit.toml in the working directory, if there is one]
    #[arg(long, global = true, env = "COPILOTKIT_CONFIG", value_name = "PATH", help_heading = GLOBAL)]
    pub(super) config: Option<OsString>,

    /// The file threads are kept in, or `memory` to keep them in this process only [default: copilotkit.db in the
    /// working directory]
    #[arg(long, global = true, env = "COPILOTKIT_DATABASE", value_name = "PATH", help_heading = GLOBAL)]
    database: Option<String>,

    #[command(flatten)]
    serving: Serving,
}

/// What the server does.
#[derive(Debug, Args)]
pub(super) struct Serving {
    /// An agent: the URL of an AG-UI server, or `demo`. Repeat it for more; a URL alone is the agent `default`.
    /// In the environment, separate them by spaces
    #[arg(
        long = "agent",
        env = "COPILOTKIT_AGENTS",
        value_name = "NAME=URL",
        value_delimiter = ' ',
        hide_env_values = true
    )]
    agents: Vec<String>,

    /// Where to listen [default: 127.0.0.1:4000]
    #[arg(long, env = "COPILOTKIT_BIND", value_name = "HOST:PORT")]
    bind: Option<String>,

    /// The runtime's path, `off` for none [default: /api/copilotkit]
    #[arg(long, env = "COPILOTKIT_BASE_PATH", value_name = "PATH")]
    base_path: Option<String>,

    /// The path of a second, single-endpoint mount [default: off]
    #[arg(long, env = "COPILOTKIT_SINGLE_ROUTE_PATH", value_name = "PATH")]
    single_route_path: Option<String>,

    /// A page at / where people chat with the agents: on or off [default: on]
    #[arg(long, env = "COPILOTKIT_PAGE", value_name = "BOOL")]
    page: Option<String>,

    /// Pages that may call the runtime: local, on (all), off, or origins separated by commas [default: local]
    #[arg(long, env = "COPILOTKIT_CORS", value_name = "ORIGINS")]
    cors: Option<String>,

    /// The largest request accepted [default: 20MiB]
    #[arg(long, env = "COPILOTKIT_BODY_LIMIT", value_name = "SIZE")]
    body_limit: Option<String>,

    /// The silence after which a stream gets a comment; 0 for none [default: 15s]
    #[arg(long, env = "COPILOTKIT_KEEP_ALIVE", value_name = "TIME")]
    keep_alive: Option<String>,

    /// A new run on a busy thread: reject, interrupt, enqueue or rollback [default: reject]
    #[arg(long, env = "COPILOTKIT_WHEN_BUSY", value_name = "POLICY")]
    when_busy: Option<String>,

    /// A run nobody watches any more: keep, stop, or a time such as 30s after which to stop [default: keep]
    #[arg(long, env = "COPILOTKIT_WHEN_UNWATCHED", value_name = "POLICY")]
    when_unwatched: Option<String>,

    /// The header in which a proxy says who the user is. Only for a server that nobody reaches but through a
    /// proxy that sets it, and drops what clients send under that name [default: users are not told apart]
    #[arg(long, env = "COPILOTKIT_USER_HEADER", value_name = "NAME")]
    user_header: Option<String>,

    /// Listen to other machines although users are not told apart: everybody may read and delete every thread
    #[arg(
        long, env = "COPILOTKIT_ALLOW_ANONYMOUS", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    allow_anonymous: Option<String>,

    /// Keep threads on CopilotKit's Intelligence platform, with this key of your project: better given in the
    /// environment. Needs --user-header
    #[arg(long, env = "COPILOTKIT_INTELLIGENCE_API_KEY", value_name = "KEY", hide_env_values = true)]
    intelligence_api_key: Option<String>,

    /// Where the platform's REST interface is [default: the managed platform]
    #[arg(long, env = "COPILOTKIT_INTELLIGENCE_API_URL", value_name = "URL")]
    intelligence_api_url: Option<String>,

    /// Where the platform's sockets are [default: the managed platform]
    #[arg(long, env = "COPILOTKIT_INTELLIGENCE_WS_URL", value_name = "URL")]
    intelligence_ws_url: Option<String>,

    /// The older name of the platform's key
    #[arg(long, hide = true, env = "COPILOTKIT_CLOUD_API_KEY", value_name = "KEY", hide_env_values = true)]
    cloud_api_key: Option<String>,

    /// Reserved: platforms know the organization by the key
    #[arg(long, hide = true, env = "COPILOTKIT_CLOUD_ORG_ID", value_name = "ID")]
    cloud_org_id: Option<String>,

    /// Let other servers listen at the same address, so that a new one can take over from an old one
    #[arg(
        long, env = "COPILOTKIT_REUSE_PORT", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    reuse_port: Option<String>,

    /// How long active runs may take to end on shutdown [default: 10s]
    #[arg(long, env = "COPILOTKIT_SHUTDOWN_DEADLINE", value_name = "TIME")]
    shutdown_deadline: Option<String>,

    /// Serve every event of the caller's threads, or of all where users are not told apart, at /cpk-debug-events
    #[arg(
        long, env = "COPILOTKIT_DEBUG_FEED", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    debug_feed: Option<String>,

    /// The OpenAI-compatible service that turns speech into text [default: https://api.openai.com/v1]
    #[arg(long, env = "COPILOTKIT_TRANSCRIPTION_URL", value_name = "URL")]
    transcription_url: Option<String>,

    /// Its model [default: whisper-1]
    #[arg(long, env = "COPILOTKIT_TRANSCRIPTION_MODEL", value_name = "MODEL")]
    transcription_model: Option<String>,

    /// Its key: better given in the environment. Any of the three turns transcription on
    #[arg(long, env = "COPILOTKIT_TRANSCRIPTION_API_KEY", value_name = "KEY", hide_env_values = true)]
    transcription_api_key: Option<String>,

    /// Where operators find metrics, probes and what `status` shows, as 127.0.0.1:9464; off for nowhere [default: off]
    #[arg(long, env = "COPILOTKIT_METRICS_BIND", value_name = "HOST:PORT")]
    metrics_bind: Option<String>,

    /// The log level, or levels by module as in `info,copilotkit_runtime=debug` [default: info]
    #[arg(long, env = "COPILOTKIT_LOG", value_name = "LEVEL")]
    log: Option<String>,

    /// How the log is written to stderr: pretty or json [default: pretty]
    #[arg(long, env = "COPILOTKIT_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve; also what happens without a command
    Serve(Serving),
    /// Read the configuration, say what is wrong with it or what it amounts to, and exit
    Check(Serving),
    /// Show what a running server does: its live runs, how fast they go, and its memory
    Status(Look),
    #[command(flatten)]
    Keeping(Keeping),
}

/// The setting an argument is for.
const KEYS: &[(&str, &str)] = &[
    ("agents", "agents"),
    ("database", "runner.database"),
    ("bind", "server.bind"),
    ("base_path", "server.base_path"),
    ("single_route_path", "server.single_route_path"),
    ("page", "server.page"),
    ("cors", "cors.origins"),
    ("body_limit", "server.body_limit"),
    ("keep_alive", "runtime.keep_alive"),
    ("when_busy", "runner.when_busy"),
    ("when_unwatched", "runner.when_unwatched"),
    ("user_header", "users.header"),
    ("allow_anonymous", "server.allow_anonymous"),
    ("intelligence_api_key", "intelligence.api_key"),
    ("intelligence_api_url", "intelligence.api_url"),
    ("intelligence_ws_url", "intelligence.ws_url"),
    // The older names give way to the newer ones.
    ("cloud_api_key", "intelligence.api_key"),
    ("cloud_org_id", "intelligence.organization_id"),
    ("reuse_port", "server.reuse_port"),
    ("shutdown_deadline", "server.shutdown_deadline"),
    ("debug_feed", "runtime.debug_feed"),
    ("transcription_url", "transcription.base_url"),
    ("transcription_model", "transcription.model"),
    ("transcription_api_key", "transcription.api_key"),
    ("metrics_bind", "metrics.bind"),
    ("log", "log.level"),
    ("log_format", "log.format"),
];

impl Cli {
    /// Reads the command line and the environment; ends the program for `--help`, `--version` and misuse.
    pub(super) fn read() -> (Cli, Overrides) {
        let matches = Cli::command().get_matches();
        match Cli::from_arg_matches(&matches) {
            Ok(cli) => (cli, overrides(&matches)),
            Err(error) => error.exit(),
        }
    }
}

/// The settings given, each with the flag or variable it came from. An empty variable counts as unset, which
/// is what compose files make of a variable that is not there.
///
/// Flags stand before or after the command; a flag wins over a variable wherever it stands.
fn overrides(matches: &ArgMatches) -> Overrides {
    let command = Cli::command();
    let mut overrides = Overrides::new();
    let after = matches.subcommand().map(|(_, after)| after);
    for matches in [Some(matches), after].into_iter().flatten() {
        for (id, key) in KEYS {
            let Some(argument) = command.get_arguments().find(|argument| argument.get_id() == *id) else { continue };
            let Ok(Some(values)) = matches.try_get_many::<String>(id) else { continue };
            let text = values.map(String::as_str).collect::<Vec<_>>().join(" ");
            let from_env = matches.value_source(id) == Some(ValueSource::EnvVariable);
            if from_env && (text.trim().is_empty() || overrides.contains_key(key)) {
                continue;
            }
            let place = match argument.get_env().filter(|_| from_env) {
                Some(name) => Place::Env(name.to_string_lossy().into_owned()),
                None => Place::Flag(argument.get_long().unwrap_or(id).to_owned()),
            };
            overrides.insert(key, (text, place));
        }
    }
    overrides
}

/// An argument that sets something, as documents show it.
#[cfg(test)]
pub(super) struct Argument {
    pub(super) flag: String,
    pub(super) variable: String,
    pub(super) help: String,
    pub(super) hidden: bool,
    pub(super) key: Option<&'static str>,
}

/// Every argument that sets something.
#[cfg(test)]
pub(super) fn arguments() -> Vec<Argument> {
    let command = Cli::command();
    let settable = command.get_arguments().filter_map(|argument| {
        Some(Argument {
            flag: argument.get_long()?.to_owned(),
            variable: argument.get_env()?.to_string_lossy().into_owned(),
            help: argument.get_help().map(ToString::to_string).unwrap_or_default(),
            hidden: argument.is_hide_set(),
            key: KEYS.iter().find(|(id, _)| argument.get_id() == *id).map(|(_, key)| *key),
        })
    });
    settable.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> (Cli, Overrides) {
        let args = std::iter::once("copilotkit-runtime").chain(args.iter().copied());
        let matches = Cli::command().try_get_matches_from(args).expect("a good command line");
        let overrides = overrides(&matches);
        (Cli::from_arg_matches(&matches).expect("a good command line"), overrides)
    }

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
        for argument in Cli::command().get_arguments() {
            let id = argument.get_id().as_str();
            let known = KEYS.iter().any(|(known, _)| *known == id) || ["config", "help", "version"].contains(&id);
            assert!(known, "{id} sets nothing");
        }
    }

    #[test]
    fn flags_stand_before_or_after_the_command() {
        for args in [["check", "--bind", "127.0.0.1:1"], ["--bind", "127.0.0.1:1", "check"]] {
            let (cli, overrides) = read(&args);
            assert!(matches!(cli.command, Some(Command::Check(_))), "{:?}", cli.command);
            let (text, place) = &overrides["server.bind"];
            assert_eq!((text.as_str(), place), ("127.0.0.1:1", &Place::Flag("bind".to_owned())));
        }
    }

    #[test]
    fn the_database_is_named_for_every_command() {
        for args in [
            &["--database", "x.db"][..],
            &["serve", "--database", "x.db"],
            &["threads", "--database", "x.db", "list"],
            &["--database", "x.db", "threads", "delete", "t1", "t2"],
            &["db", "backup", "to.db", "--database", "x.db"],
        ] {
            let (_, overrides) = read(args);
            let place = Place::Flag("database".to_owned());
            assert_eq!(overrides["runner.database"], ("x.db".to_owned(), place), "{args:?}");
        }
    }

    #[test]
    fn commands_that_keep_house_know_no_settings_of_the_server() {
        let args = ["copilotkit-runtime", "threads", "list", "--bind", "127.0.0.1:1"];
        assert!(Cli::command().try_get_matches_from(args).is_err());
        for wrong in [&["threads"][..], &["threads", "export"], &["threads", "delete"], &["users", "delete", ""]] {
            let args = std::iter::once("copilotkit-runtime").chain(wrong.iter().copied());
            assert!(Cli::command().try_get_matches_from(args).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn agents_repeat() {
        let (cli, overrides) = read(&["--agent", "a=http://a", "--agent", "b=http://b", "--debug-feed"]);
        assert!(cli.command.is_none());
        assert_eq!(overrides["agents"].0, "a=http://a b=http://b");
        assert_eq!(overrides["runtime.debug_feed"].0, "true");
    }
}
