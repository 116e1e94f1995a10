//! The files a recording is kept in (`tests/captures/rest-sse/README.md`).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::scripts::Scripts;

/// One recorded case: a fresh server, and what was said to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) server: Server,
    pub(crate) exchanges: Vec<Exchange>,
    /// What was seen inside the server, in order.
    #[serde(default)]
    pub(crate) observed: Vec<Value>,
}

/// How the server was mounted. An unknown field is an error: it would change the answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Server {
    #[serde(default)]
    pub(crate) adapter: Adapter,
    pub(crate) base_path: Option<String>,
    #[serde(default)]
    pub(crate) mode: Mode,
    pub(crate) cors: Option<CorsOption>,
    #[serde(default)]
    pub(crate) hooks: Hooks,
    #[serde(default)]
    pub(crate) runtime: Runtime,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Adapter {
    #[default]
    Node,
    Express,
    Hono,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    #[default]
    MultiRoute,
    SingleRoute,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum CorsOption {
    Switch(bool),
    Config(Box<CorsConfig>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CorsConfig {
    pub(crate) origin: Option<OneOrMany>,
    #[serde(default)]
    pub(crate) credentials: bool,
    pub(crate) allow_methods: Option<Vec<String>>,
    pub(crate) allow_headers: Option<Vec<String>>,
    pub(crate) expose_headers: Option<Vec<String>>,
    pub(crate) max_age: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Hooks {
    pub(crate) on_request: Option<Hook>,
    pub(crate) on_before_handler: Option<Hook>,
    pub(crate) on_response: Option<Hook>,
    pub(crate) on_error: Option<Hook>,
}

/// What a hook does besides being observed. `true` and `{}` are nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hook {
    pub(crate) throw_response: Option<HookResponse>,
    pub(crate) throw_error: Option<String>,
    pub(crate) set_request_header: IndexMap<String, String>,
    pub(crate) set_response_header: IndexMap<String, String>,
    pub(crate) replace_response: Option<HookResponse>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookResponse {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) headers: IndexMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Runtime {
    /// Registered scripted agents; absent means all of them.
    pub(crate) agents: Option<Vec<String>>,
    pub(crate) agents_factory: Option<AgentsFactory>,
    #[serde(default)]
    pub(crate) remote: IndexMap<String, Remote>,
    #[serde(default)]
    pub(crate) runner: RunnerKind,
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Names the database of a case; one case has one.
    #[serde(rename = "dbKey")]
    pub(crate) _db_key: Option<String>,
    pub(crate) transcription: Option<Transcription>,
    pub(crate) before_request_middleware: Option<Hook>,
    pub(crate) after_request_middleware: Option<Hook>,
    pub(crate) forward_headers: Option<ForwardHeaders>,
    pub(crate) sse_keep_alive_interval_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) expose_memory_routes: bool,
    pub(crate) node_env: Option<String>,
    pub(crate) debug: Option<Debugging>,
    pub(crate) a2ui: Option<A2uiConfig>,
    #[serde(default, rename = "openGenerativeUI")]
    pub(crate) open_generative_ui: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AgentsFactory {
    ByTenant,
    Throws,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RunnerKind {
    #[default]
    Memory,
    MemorySupersede,
    MemoryLimits,
    Minimal,
    Failing,
    Sqlite,
}

/// Limits as they were configured, malformed ones included.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) max_threads: Option<Value>,
    pub(crate) max_runs_per_thread: Option<Value>,
    pub(crate) max_bytes: Option<Value>,
}

/// An agent over HTTP, and its server's raw answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Remote {
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) agent_headers: IndexMap<String, String>,
    pub(crate) status: Option<u16>,
    pub(crate) headers: Option<IndexMap<String, String>>,
    #[serde(default)]
    pub(crate) chunks: Vec<Chunk>,
    /// Nothing listens at the agent's address.
    #[serde(default)]
    pub(crate) refuse: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Chunk {
    Text(String),
    WaitMs(u64),
    Cut { destroy: bool },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transcription {
    pub(crate) text: Option<String>,
    pub(crate) error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForwardHeaders {
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    #[serde(default)]
    pub(crate) deny: Vec<String>,
    #[serde(default)]
    pub(crate) deny_prefixes: Vec<String>,
    pub(crate) use_default_denylist: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Debugging {
    Switch(bool),
    Parts {
        #[serde(default = "yes")]
        events: bool,
        #[serde(default = "yes")]
        lifecycle: bool,
    },
}

impl Debugging {
    pub(crate) fn is_on(&self) -> bool {
        match self {
            Debugging::Switch(on) => *on,
            Debugging::Parts { events, lifecycle } => *events || *lifecycle,
        }
    }
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct A2uiConfig {
    pub(crate) enabled: Option<bool>,
    pub(crate) agents: Option<Vec<String>>,
}

/// One request and its recorded answer. An unknown field is an error: it would change the order of things.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) id: String,
    /// Do not wait for the answer.
    #[serde(default)]
    pub(crate) background: bool,
    pub(crate) start_after: Option<StartAfter>,
    #[serde(default)]
    pub(crate) delay_ms: u64,
    pub(crate) disconnect_after_events: Option<usize>,
    pub(crate) disconnect_after_frames: Option<usize>,
    pub(crate) client_timeout_ms: Option<u64>,
    #[serde(default)]
    pub(crate) restart_server: bool,
    pub(crate) request: Request,
    pub(crate) response: Response,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StartAfter {
    pub(crate) exchange: String,
    pub(crate) events: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The raw request target.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: IndexMap<String, String>,
    /// A JSON body; `null` is one.
    #[serde(default, deserialize_with = "present")]
    pub(crate) body: Option<Value>,
    pub(crate) body_text: Option<String>,
    pub(crate) multipart: Option<Vec<Part>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) base64: Option<String>,
    pub(crate) text: Option<String>,
}

/// What the reference runtime answered, masked.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: IndexMap<String, String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) body: Option<Value>,
    /// The exact bytes; absent where this runtime answers something else on purpose.
    pub(crate) body_text: Option<String>,
    pub(crate) events: Option<Vec<Value>>,
    #[serde(default)]
    pub(crate) client_disconnected: bool,
    #[serde(default)]
    pub(crate) client_timed_out: bool,
}

impl<'de> Deserialize<'de> for Hook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hook, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Switch(bool),
            Deeds(Box<Deeds>),
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Deeds {
            throw_response: Option<HookResponse>,
            throw_error: Option<String>,
            #[serde(default)]
            set_request_header: IndexMap<String, String>,
            #[serde(default)]
            set_response_header: IndexMap<String, String>,
            replace_response: Option<HookResponse>,
        }
        match Written::deserialize(deserializer)? {
            Written::Switch(true) => Ok(Hook::default()),
            Written::Switch(false) => Err(serde::de::Error::custom("a hook is `true` or an object")),
            Written::Deeds(deeds) => Ok(Hook {
                throw_response: deeds.throw_response,
                throw_error: deeds.throw_error,
                set_request_header: deeds.set_request_header,
                set_response_header: deeds.set_response_header,
                replace_response: deeds.replace_response,
            }),
        }
    }
}

/// Keeps apart a field that is `null` and one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A folder of recordings.
pub(crate) struct Recordings {
    pub(crate) cases: Vec<Arc<Case>>,
    pub(crate) scripts: Arc<Scripts>,
}

/// Reads every `*.json` of `dir` as a list of cases, and the agents from `agents.json` there or in `fallback`.
pub(crate) fn load(dir: &Path, fallback: &Path) -> Recordings {
    let listing = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = listing.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let is_cases = |name: &str| name.ends_with(".json") && name != "agents.json";
    let cases = files
        .iter()
        .filter(|file| file.file_name().is_some_and(|name| is_cases(&name.to_string_lossy())))
        .flat_map(|file| read::<Vec<Arc<Case>>>(file))
        .collect();
    let own = dir.join("agents.json");
    let agents = if own.exists() { own } else { fallback.join("agents.json") };
    Recordings { cases, scripts: Arc::new(read(&agents)) }
}

fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> T {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
