//! Every setting of the program, with its default and what it must be.

mod agents;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use tracing_subscriber::EnvFilter;
use url::Url;

pub(super) use self::agents::{AgentSettings, Kind};

use super::file::{self, Env, Raw};
use super::problem::{Place, Problem};
use super::read::{Overrides, Reader, Section};
use super::value::{Bytes, Secret, Setting};

/// The file that is read when none is named.
pub(super) const DEFAULT_FILE: &str = "copilotkit.toml";

/// What the program does, read and checked.
#[derive(Debug, PartialEq)]
pub(super) struct Config {
    /// The file it was read from.
    pub(super) file: Option<PathBuf>,
    pub(super) server: Server,
    pub(super) runtime: Runtime,
    pub(super) runner: Runner,
    pub(super) cors: Cors,
    pub(super) forward_headers: ForwardHeaders,
    pub(super) transcription: Option<Transcription>,
    pub(super) log: Log,
    /// At least one.
    pub(super) agents: Vec<AgentSettings>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Server {
    /// `HOST:PORT`.
    pub(super) bind: String,
    /// Where each route has a path of its own; `None` for no such mount.
    pub(super) base_path: Option<String>,
    /// Where one path takes everything.
    pub(super) single_route_path: Option<String>,
    pub(super) body_limit: usize,
    pub(super) shutdown_deadline: Duration,
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

#[derive(Debug, PartialEq)]
pub(super) struct Runner {
    pub(super) max_threads: usize,
    pub(super) max_runs_per_thread: usize,
    pub(super) max_bytes: usize,
    pub(super) max_run_bytes: usize,
    /// Whether a new run on a busy thread ends the active one; otherwise it is refused.
    pub(super) supersede: bool,
}

#[derive(Debug, PartialEq)]
pub(super) struct Cors {
    pub(super) origins: Origins,
    pub(super) credentials: bool,
    pub(super) allow_methods: Option<Vec<String>>,
    pub(super) allow_headers: Option<Vec<String>>,
    pub(super) expose_headers: Vec<String>,
    pub(super) max_age: Option<Duration>,
}

/// Which web pages may call the runtime from a browser.
#[derive(Debug, PartialEq)]
pub(super) enum Origins {
    Off,
    Any,
    /// Pages served by this machine to itself, whatever the port.
    Local,
    List(Vec<String>),
}

#[derive(Debug, PartialEq)]
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
        let config = Config::read(&reader, file.map(|file| file.path.to_owned()));
        problems.extend(reader.finish());
        // In the order of the file, which is the order they are mended in.
        problems.sort_by_key(|problem| match &problem.place {
            Place::File(_, line) => *line,
            _ => 0,
        });
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn read(reader: &Reader, file: Option<PathBuf>) -> Config {
        let server = server(reader.section("server"));
        let agents = agents::read(reader);
        Config {
            file,
            server,
            runtime: runtime(reader.section("runtime"), &agents),
            runner: runner(reader.section("runner")),
            cors: cors(reader.section("cors")),
            forward_headers: forward_headers(reader.section("forward_headers")),
            transcription: transcription(reader.section("transcription"), reader),
            log: log(reader.section("log")),
            agents,
        }
    }
}

fn server(mut section: Section<'_>) -> Server {
    let base = section.get_placed::<MountPath>("base_path");
    let single = section.get_placed::<MountPath>("single_route_path");
    let base_path = base.map_or_else(|| Some("/api/copilotkit".to_owned()), |(path, _)| path.0);
    let (single_route_path, single_place) = single.map_or((None, section.place()), |(path, place)| (path.0, place));
    match (&base_path, &single_route_path) {
        (None, None) => {
            section.report(
                section.place(),
                "base_path",
                "nothing is mounted: both base_path and single_route_path are off",
            );
        }
        (Some(base), Some(single)) if overlap(base, single) => {
            let reason = format!("`{single}` overlaps with base_path `{base}`; neither may lie below the other");
            section.report(single_place, "single_route_path", reason);
        }
        _ => {}
    }
    let server = Server {
        bind: section.get_if("bind", is_address).unwrap_or_else(|| "127.0.0.1:4000".to_owned()),
        base_path,
        single_route_path,
        body_limit: bytes(&mut section, "body_limit", 20 << 20),
        shutdown_deadline: section.get("shutdown_deadline").unwrap_or(Duration::from_secs(10)),
    };
    section.finish();
    server
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

fn runner(mut section: Section<'_>) -> Runner {
    section.get_if::<String>("kind", |kind| match kind.as_str() {
        "memory" => Ok(()),
        _ => Err("expected \"memory\", the only runner so far".to_owned()),
    });
    let when_busy = section.get_if::<String>("when_busy", |policy| match policy.as_str() {
        "reject" | "supersede" => Ok(()),
        _ => Err("expected \"reject\" or \"supersede\"".to_owned()),
    });
    let runner = Runner {
        max_threads: section.get_if("max_threads", not_zero).unwrap_or(1000),
        max_runs_per_thread: section.get("max_runs_per_thread").unwrap_or(100),
        max_bytes: bytes(&mut section, "max_bytes", 512 << 20),
        max_run_bytes: bytes(&mut section, "max_run_bytes", 64 << 20),
        supersede: when_busy.as_deref() == Some("supersede"),
    };
    section.finish();
    runner
}

fn cors(mut section: Section<'_>) -> Cors {
    let cors = Cors {
        origins: section.get_if("origins", are_origins).unwrap_or(Origins::Local),
        credentials: section.get("credentials").unwrap_or(false),
        allow_methods: section.get_if("allow_methods", are_methods),
        allow_headers: section.get_if("allow_headers", are_header_names),
        expose_headers: section.get_if("expose_headers", are_header_names).unwrap_or_default(),
        max_age: section.get("max_age").filter(|age: &Duration| !age.is_zero()),
    };
    section.finish();
    cors
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

/// A path below which the runtime answers, without a slash at its end; `false` for none.
struct MountPath(Option<String>);

impl Setting for MountPath {
    fn read(raw: Raw) -> Result<MountPath, String> {
        match raw {
            Raw::Bool(false) => Ok(MountPath(None)),
            Raw::Text(text) if matches!(text.trim(), "off" | "false") => Ok(MountPath(None)),
            Raw::Text(text) => {
                let path = text.trim_end_matches('/');
                let plain = path.split('/').skip(1).all(|segment| {
                    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
                    !matches!(segment, "" | "." | "..") && segment.chars().all(allowed)
                });
                if !text.starts_with('/') {
                    Err("a path must begin with `/`".to_owned())
                } else if !plain {
                    Err("expected a plain path such as \"/api/copilotkit\"".to_owned())
                } else {
                    Ok(MountPath(Some(if path.is_empty() { "/".to_owned() } else { path.to_owned() })))
                }
            }
            _ => Err("expected a path such as \"/api/copilotkit\", or false".to_owned()),
        }
    }
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

impl Setting for Origins {
    fn read(raw: Raw) -> Result<Origins, String> {
        const EXPECTED: &str = "expected true, false, \"local\" or a list of origins";
        if let Ok(on) = bool::read(raw.clone()) {
            return Ok(if on { Origins::Any } else { Origins::Off });
        }
        let listed: Vec<String> = Vec::read(raw).map_err(|_| EXPECTED.to_owned())?;
        match listed.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["*"] => Ok(Origins::Any),
            ["local"] => Ok(Origins::Local),
            [] => Ok(Origins::Off),
            _ => Ok(Origins::List(listed)),
        }
    }
}

fn bytes(section: &mut Section<'_>, key: &'static str, default: usize) -> usize {
    let read = section.get_if::<Bytes>(key, |bytes| not_zero(&bytes.0));
    read.map_or(default, |bytes| bytes.0)
}

fn not_zero(number: &usize) -> Result<(), String> {
    if *number == 0 { Err("must not be zero".to_owned()) } else { Ok(()) }
}

fn not_zero_time(time: &Duration) -> Result<(), String> {
    if time.is_zero() { Err("must not be zero".to_owned()) } else { Ok(()) }
}

fn overlap(one: &str, other: &str) -> bool {
    let below = |base: &str, path: &str| {
        path.strip_prefix(base.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(one, other) || below(other, one)
}

#[expect(clippy::ptr_arg, reason = "the shape of a check")]
fn is_address(bind: &String) -> Result<(), String> {
    const EXPECTED: &str = "expected HOST:PORT, such as 127.0.0.1:4000, 0.0.0.0:4000 or [::1]:4000";
    let (host, port) = bind.rsplit_once(':').ok_or(EXPECTED)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_is_fine = !host.is_empty() && (bracketed || !host.contains([':', '/', ' ']));
    if host_is_fine && port.parse::<u16>().is_ok() { Ok(()) } else { Err(EXPECTED.to_owned()) }
}

/// The text is not shown: an address may hold a password.
fn is_http_url(url: &str) -> Result<(), String> {
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(()),
        Ok(parsed) => Err(format!("expected an http or https URL, found the scheme `{}`", parsed.scheme())),
        Err(error) => Err(format!("expected an http or https URL: {error}")),
    }
}

fn is_header_value(value: &str) -> Result<(), String> {
    match http::HeaderValue::from_str(value) {
        Ok(_) => Ok(()),
        Err(_) => Err("holds characters that cannot be sent in a header (line breaks?)".to_owned()),
    }
}

#[expect(clippy::ptr_arg, reason = "the shape of a check")]
fn are_header_names(names: &Vec<String>) -> Result<(), String> {
    let wrong = names.iter().find(|name| *name != "*" && HeaderName::try_from(name.as_str()).is_err());
    wrong.map_or(Ok(()), |name| Err(format!("`{name}` is no header name")))
}

#[expect(clippy::ptr_arg, reason = "the shape of a check")]
fn are_methods(names: &Vec<String>) -> Result<(), String> {
    let wrong = names.iter().find(|name| Method::from_bytes(name.as_bytes()).is_err());
    wrong.map_or(Ok(()), |name| Err(format!("`{name}` is no method")))
}

fn are_origins(origins: &Origins) -> Result<(), String> {
    let Origins::List(listed) = origins else { return Ok(()) };
    for origin in listed {
        if origin == "null" {
            continue;
        }
        match Url::parse(origin) {
            Ok(url) if url.origin().ascii_serialization() == *origin => {}
            Ok(url) if url.origin().is_tuple() => {
                let meant = url.origin().ascii_serialization();
                return Err(format!("`{origin}` is no origin as browsers send it; did you mean `{meant}`?"));
            }
            _ => return Err(format!("`{origin}` is no origin; expected one such as https://app.example.com")),
        }
    }
    Ok(())
}
