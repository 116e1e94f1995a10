//! The files a transcript is kept in (`tests/captures/intelligence/README.md`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// What was said in one scenario.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Transcript {
    pub(crate) scenario: String,
    #[serde(default)]
    pub(crate) platform_options: PlatformOptions,
    #[serde(default)]
    pub(crate) runtime_options: RuntimeOptions,
    pub(crate) entries: Vec<Entry>,
}

/// How the platform behaved. Tokens and rejoins concern browsers' sockets, which are not played.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PlatformOptions {
    #[serde(rename = "tokenPolicy")]
    pub(crate) _token_policy: Option<String>,
    #[serde(rename = "rejoin")]
    pub(crate) _rejoin: Option<String>,
    pub(crate) batch: Option<bool>,
}

/// How the runtime was mounted. An unknown field is an error: it would change the answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuntimeOptions {
    pub(crate) learning_container_id: Option<String>,
    #[serde(default)]
    pub(crate) memory: bool,
    pub(crate) mode: Option<String>,
    /// The reference runtime was run without a global `WebSocket`: nothing this one could lack.
    #[serde(rename = "noWebSocketGlobal")]
    pub(crate) _no_web_socket: Option<bool>,
    #[serde(default)]
    pub(crate) runtime: Settings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) generate_thread_names: Option<bool>,
    pub(crate) lock_ttl_seconds: Option<u64>,
    pub(crate) lock_heartbeat_interval_seconds: Option<u64>,
    pub(crate) lock_key_prefix: Option<String>,
}

/// One thing that was said, or happened.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Entry {
    pub(crate) n: usize,
    pub(crate) plane: String,
    #[serde(default)]
    pub(crate) dir: String,
    #[serde(default)]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) body: Option<Value>,
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) conn: String,
    #[serde(default)]
    pub(crate) frame: Value,
    #[serde(default)]
    pub(crate) protocols: Vec<String>,
    pub(crate) refused: Option<u16>,
    /// With which a socket closed; a name where the client tells of an error.
    #[serde(default)]
    pub(crate) code: Value,
    #[serde(default)]
    pub(crate) note: String,
}

impl Entry {
    pub(crate) fn is(&self, plane: &str, dir: &str) -> bool {
        self.plane == plane && self.dir == dir
    }

    /// With which a socket closed.
    pub(crate) fn code(&self) -> Option<u16> {
        self.code.as_u64().and_then(|code| code.try_into().ok())
    }

    /// The event of a frame.
    pub(crate) fn event(&self) -> &str {
        self.frame[3].as_str().unwrap_or_default()
    }

    /// The run a runner's frame is about.
    pub(crate) fn run(&self) -> Option<&str> {
        self.frame[2].as_str()?.strip_prefix("ingestion:")
    }

    /// The events a runner pushes with this frame.
    pub(crate) fn pushed(&self) -> Vec<&Value> {
        match self.event() {
            "events" if self.is("runner", "in") => self.frame[4]["events"].as_array().into_iter().flatten().collect(),
            "event" if self.is("runner", "in") => vec![&self.frame[4]],
            _ => Vec::new(),
        }
    }

    /// Whether the reference runtime, for want of WebSockets, asked for another way to the runner's gateway here.
    /// This runtime would have asked for a socket.
    fn is_long_poll(&self) -> bool {
        self.plane == "rest" && self.path == "/runner/longpoll"
    }

    /// Whether a REST call renews a lock.
    pub(crate) fn renews(&self) -> bool {
        self.is("rest", "request") && self.method == "PATCH" && self.path.ends_with("/lock")
    }
}

/// The number of an event.
pub(crate) fn seq(event: &Value) -> u64 {
    event["metadata"]["cpki_event_seq"].as_u64().unwrap_or_default()
}

/// Keeps apart a field that is `null` and one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads every `*.json` of a folder.
pub(crate) fn load(dir: &Path) -> Vec<Transcript> {
    let listing = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = listing.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Transcript {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut transcript: Transcript =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    transcript.entries = with_sockets(std::mem::take(&mut transcript.entries));
    transcript
}

/// Where the reference runtime had no WebSockets and was not let in another way: it is as if it had asked for a socket,
/// and to join, and nobody had answered.
fn with_sockets(entries: Vec<Entry>) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for mut entry in entries {
        if !entry.is_long_poll() {
            all.push(entry);
            continue;
        }
        entry.plane = "runner".to_owned();
        entry.conn = "runner-1".to_owned();
        if entry.dir == "request" {
            entry.dir = "upgrade".to_owned();
        } else {
            let is_lock = |entry: &&Entry| entry.is("rest", "response") && entry.path.ends_with("/lock");
            let lock = all.iter().rfind(is_lock).and_then(|entry| entry.body.clone()).unwrap_or_default();
            let topic = format!("ingestion:{}", lock["runId"].as_str().unwrap_or_default());
            let params = json!({ "thread_id": lock["threadId"], "run_id": lock["runId"] });
            entry.dir = "in".to_owned();
            entry.frame = json!(["1", "1", topic, "phx_join", params]);
        }
        all.push(entry);
    }
    all
}

/// The entries the platform wrote, in the form of the recorded ones.
pub(crate) fn entries(written: Vec<Value>) -> Vec<Entry> {
    let read = |value| serde_json::from_value(value).expect("an entry");
    written.into_iter().map(read).collect()
}
