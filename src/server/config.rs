//! Every setting of the program, with its default and what it must be.

mod agents;
mod checks;
mod cors;
mod credentials;
mod intelligence;
mod limits;
mod metrics;
mod otlp;
#[cfg(test)]
mod reference;
mod runner;
mod server;
#[cfg(test)]
mod tests;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

pub(super) use self::agents::{AgentSettings, Forward, Kind};
use self::checks::{are_header_names, is_header_value, is_http_url, not_zero, not_zero_time};
pub(super) use self::cors::{Cors, Origins};
pub(super) use self::credentials::{Credentials, Jwt};
pub(super) use self::intelligence::Intelligence;
pub(super) use self::limits::Limits;
pub(super) use self::metrics::{Metrics, USUAL};
pub(super) use self::otlp::{Collector, Otlp};
pub(super) use self::runner::{Database, Runner, WhenBusy, WhenUnwatched};
pub(super) use self::server::{Server, is_private};
pub(super) use self::users::{KnownBy, Proxy, Users};

use super::file::{self, Env, Raw};
use super::problem::{Place, Problem};
use super::read::{Overrides, Reader, Section};
use super::value::{Bytes, Secret, Setting};
use crate::runner::Retention;

/// The file that is read when none is named.
pub(super) const DEFAULT_FILE: &str = "copilotkit.toml";

/// What the program does, read and checked.
#[derive(Debug, PartialEq)]
pub(super) struct Config {
    /// The file it was read from.
    pub(super) file: Option<PathBuf>,
    pub(super) server: Server,
    pub(super) limits: Limits,
    pub(super) runtime: Runtime,
    pub(super) runner: Runner,
    pub(super) retention: Option<Retention>,
    pub(super) users: Option<Users>,
    /// The platform that keeps threads, in place of [`Config::runner`].
    pub(super) intelligence: Option<Intelligence>,
    pub(super) cors: Cors,
    pub(super) forward_headers: ForwardHeaders,
    pub(super) transcription: Option<Transcription>,
    pub(super) metrics: Metrics,
    pub(super) log: Log,
    pub(super) otlp: Otlp,
    /// At least one.
    pub(super) agents: Vec<AgentSettings>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Runtime {
    pub(super) keep_alive: Duration,
    pub(super) debug_feed: bool,
    pub(super) expose_memory_routes: bool,
    pub(super) a2ui: A2ui,
    pub(super) open_generative_ui: bool,
}

/// Which agents answer with A2UI surfaces.
#[derive(Debug, PartialEq)]
pub(super) enum A2ui {
    Off,
    All,
    Agents(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ForwardHeaders {
    pub(super) allow: Vec<String>,
    pub(super) deny: Vec<String>,
    pub(super) deny_prefixes: Vec<String>,
    pub(super) use_default_denylist: bool,
}

#[derive(Debug, PartialEq)]
pub(super) struct Transcription {
    pub(super) base_url: String,
    pub(super) model: String,
    pub(super) api_key: Secret,
    pub(super) timeout: Duration,
}

#[derive(Debug, PartialEq)]
pub(super) struct Log {
    /// A level, or directives such as `info,copilotkit_runtime=debug`.
    pub(super) level: String,
    pub(super) json: bool,
}

/// A file's path and its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileText<'f> {
    pub(super) path: &'f Path,
    pub(super) text: &'f str,
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn load(file: Option<FileText<'_>>, overrides: Overrides, env: Env<'_>) -> Result<Config, Vec<Problem>> {
        let path: Arc<Path> = file.map_or_else(|| Path::new(DEFAULT_FILE).into(), |file| file.path.into());
        let (root, mut problems) = file.map_or_else(Default::default, |file| file::parse(&path, file.text, env));
        let has_tree = problems.is_empty() || !root.is_empty();
        if !has_tree {
            return Err(problems);
        }
        let reader = Reader::new(path, root, overrides);
        let config = Config::read(&reader, file.map(|file| file.path.to_owned()), env);
        problems.extend(reader.finish());
        // In the order of the file, which is the order they are mended in.
        problems.sort_by_key(|problem| match &problem.place {
            Place::File(_, line) => *line,
            _ => 0,
        });
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    /// Reads only where threads are kept, and minds nothing else: whoever looks after the database need not have
    /// the secrets of the agents. Where the platform keeps them, a database has to be named outside the file.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(super) fn load_database(
        file: Option<FileText<'_>>,
        overrides: Overrides,
        env: Env<'_>,
    ) -> Result<Database, Vec<Problem>> {
        let path: Arc<Path> = file.map_or_else(|| Path::new(DEFAULT_FILE).into(), |file| file.path.into());
        let (root, mut problems) = file.map_or_else(Default::default, |file| file::parse(&path, file.text, env));
        let has_tree = problems.is_empty() || !root.is_empty();
        let reader = Reader::new(path, root, overrides);
        let database = runner::read_database(&reader);
        if has_tree {
            problems.retain(|problem| matches!(problem.key.as_str(), "runner.kind" | "runner.path"));
        }
        intelligence::expect_database(&reader);
        problems.extend(reader.reported());
        if problems.is_empty() { Ok(database) } else { Err(problems) }
    }

    /// Reads only where operators look, and minds nothing else.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(super) fn load_metrics(
        file: Option<FileText<'_>>,
        overrides: Overrides,
        env: Env<'_>,
    ) -> Result<Option<String>, Vec<Problem>> {
        let path: Arc<Path> = file.map_or_else(|| Path::new(DEFAULT_FILE).into(), |file| file.path.into());
        let (root, mut problems) = file.map_or_else(Default::default, |file| file::parse(&path, file.text, env));
        let reader = Reader::new(path, root, overrides);
        let bind = metrics::read_address(&reader);
        problems.retain(|problem| problem.key == "metrics.bind");
        problems.extend(reader.reported());
        if problems.is_empty() { Ok(bind) } else { Err(problems) }
    }

    fn read(reader: &Reader, file: Option<PathBuf>, env: Env<'_>) -> Config {
        let (users_are_wanted, users) = users::read(reader);
        let (on_platform, intelligence) = intelligence::read(reader, users_are_wanted);
        let agents = agents::read(reader, users_are_wanted);
        Config {
            file,
            server: server::read(reader.section("server"), users_are_wanted),
            limits: limits::read(reader.section("limits")),
            runtime: runtime(reader.section("runtime"), &agents),
            runner: runner::read(reader, on_platform),
            retention: runner::read_retention(reader, on_platform),
            users,
            intelligence,
            cors: cors::read(reader.section("cors")),
            forward_headers: forward_headers(reader.section("forward_headers")),
            transcription: transcription(reader.section("transcription"), reader),
            metrics: metrics::read(reader.section("metrics")),
            log: log(reader.section("log")),
            otlp: otlp::read(reader.section("otlp"), env),
            agents,
        }
    }
}

fn runtime(mut section: Section<'_>, agents: &[AgentSettings]) -> Runtime {
    let a2ui = section.get_if::<A2ui>("a2ui", |a2ui| match a2ui {
        A2ui::Agents(names) => match names.iter().find(|name| !agents.iter().any(|agent| agent.name == **name)) {
            Some(unknown) => Err(format!("there is no agent `{unknown}`")),
            None => Ok(()),
        },
        A2ui::Off | A2ui::All => Ok(()),
    });
    let runtime = Runtime {
        keep_alive: section.get("keep_alive").unwrap_or(Duration::from_secs(15)),
        debug_feed: section.get("debug_feed").unwrap_or(false),
        expose_memory_routes: section.get("expose_memory_routes").unwrap_or(false),
        a2ui: a2ui.unwrap_or(A2ui::Off),
        open_generative_ui: section.get("open_generative_ui").unwrap_or(false),
    };
    section.finish();
    runtime
}

fn forward_headers(mut section: Section<'_>) -> ForwardHeaders {
    let forward = ForwardHeaders {
        allow: section.get_if("allow", are_header_names).unwrap_or_default(),
        deny: section.get_if("deny", are_header_names).unwrap_or_default(),
        deny_prefixes: section.get_if("deny_prefixes", are_header_names).unwrap_or_default(),
        use_default_denylist: section.get("use_default_denylist").unwrap_or(true),
    };
    section.finish();
    forward
}

fn transcription(mut section: Section<'_>, reader: &Reader) -> Option<Transcription> {
    let keys = ["transcription.base_url", "transcription.model", "transcription.api_key"];
    let wanted = section.is_present() || keys.iter().any(|key| reader.outside(key).is_some());
    let base_url = section.get_if::<String>("base_url", |url| is_http_url(url));
    let api_key = section.get_if::<Secret>("api_key", |key| is_header_value(&key.0));
    let transcription = Transcription {
        base_url: base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned()),
        model: section.get("model").unwrap_or_else(|| "whisper-1".to_owned()),
        // Local services need no key.
        api_key: api_key.unwrap_or_else(|| Secret(String::new())),
        timeout: section.get_if("timeout", not_zero_time).unwrap_or(Duration::from_secs(120)),
    };
    section.finish();
    wanted.then_some(transcription)
}

fn log(mut section: Section<'_>) -> Log {
    let level = section.get_if::<String>("level", |level| {
        EnvFilter::builder().parse(level).map(drop).map_err(|error| format!("no log filter: {error}"))
    });
    let format = section.get_if::<String>("format", |format| match format.as_str() {
        "pretty" | "json" => Ok(()),
        _ => Err("expected \"pretty\" or \"json\"".to_owned()),
    });
    section.finish();
    Log { level: level.unwrap_or_else(|| "info".to_owned()), json: format.as_deref() == Some("json") }
}

impl Setting for A2ui {
    fn read(raw: Raw) -> Result<A2ui, String> {
        match raw {
            Raw::List(_) => Vec::read(raw).map(A2ui::Agents),
            switch => bool::read(switch).map(|on| if on { A2ui::All } else { A2ui::Off }),
        }
        .map_err(|_| "expected true, false or a list of agents".to_owned())
    }
}

fn bytes(section: &mut Section<'_>, key: &'static str, default: usize) -> usize {
    let read = section.get_if::<Bytes>(key, |bytes| not_zero(&bytes.0));
    read.map_or(default, |bytes| bytes.0)
}
