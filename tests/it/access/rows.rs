//! One row for each route: whom it answers, how it is asked, and what shows that its owner got through.

use copilotkit_runtime::http::Route;
use http::Method;
use serde_json::{Value, json};

use super::world::{SECRET, Standing, Transport};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It answers whoever asks, where the application says so.
    Anybody,
    /// It answers only who is known.
    Callers,
}

/// How single-route mode asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope {
    /// As a method of its own.
    Method,
    /// By its path.
    Resource,
    /// Not at all.
    None,
}

pub(super) struct Row {
    pub(super) route: &'static str,
    pub(super) method: Method,
    pub(super) asked: Asked,
    pub(super) envelope: Envelope,
    body: fn() -> Value,
    /// How the thread must stand, and what its owner's answer then holds and nobody else's.
    pub(super) owner_sees: Option<(Standing, &'static str)>,
}

const fn row(
    route: &'static str,
    method: Method,
    asked: Asked,
    envelope: Envelope,
    body: fn() -> Value,
    owner_sees: Option<(Standing, &'static str)>,
) -> Row {
    Row { route, method, asked, envelope, body, owner_sees }
}

use Asked::{Anybody, Callers};
use Standing::{Running, Sealed};

pub(super) const ROWS: &[Row] = &[
    row("info", Method::GET, Anybody, Envelope::Method, nothing, None),
    row("inspector/metadata", Method::GET, Anybody, Envelope::Method, nothing, None),
    row("inspector/learning", Method::GET, Callers, Envelope::Method, nothing, None),
    row("transcribe", Method::POST, Callers, Envelope::Method, audio, None),
    row("cpk-debug-events", Method::GET, Callers, Envelope::None, nothing, None),
    row("agent/run", Method::POST, Callers, Envelope::Method, input, Some((Running, "THREAD_BUSY"))),
    row("agent/suggest", Method::POST, Callers, Envelope::Method, input, None),
    row("agent/connect", Method::POST, Callers, Envelope::Method, input, Some((Sealed, SECRET))),
    row("agent/stop", Method::POST, Callers, Envelope::Method, nothing, Some((Running, r#""stopped":true"#))),
    row("threads/subscribe", Method::POST, Callers, Envelope::Resource, nothing, None),
    row("threads/messages", Method::GET, Callers, Envelope::Resource, nothing, Some((Running, SECRET))),
    row("threads/events", Method::GET, Callers, Envelope::Resource, nothing, Some((Running, SECRET))),
    row("threads/state", Method::GET, Callers, Envelope::Resource, nothing, Some((Running, SECRET))),
    row("threads/archive", Method::POST, Callers, Envelope::Resource, change, Some((Sealed, r#""archived":true"#))),
    // Leaves nothing to see; `clear_forgets_the_callers_threads_alone`.
    row("threads/clear", Method::POST, Callers, Envelope::Resource, nothing, None),
    row("threads/update", Method::PATCH, Callers, Envelope::Resource, change, Some((Sealed, "Mine now"))),
    row("threads/update", Method::DELETE, Callers, Envelope::Resource, change, Some((Running, r#""deleted":true"#))),
    row("threads/list", Method::GET, Callers, Envelope::Resource, nothing, Some((Running, r#""id":"t""#))),
    row("memories/recall", Method::POST, Callers, Envelope::Resource, nothing, None),
    row("memories/subscribe", Method::POST, Callers, Envelope::Resource, nothing, None),
    row("memories/mutate", Method::PATCH, Callers, Envelope::Resource, nothing, None),
    row("memories/mutate", Method::DELETE, Callers, Envelope::Resource, nothing, None),
    row("memories/list", Method::GET, Callers, Envelope::Resource, nothing, None),
    row("memories/list", Method::POST, Callers, Envelope::Resource, nothing, None),
    row("annotate", Method::POST, Callers, Envelope::Resource, nothing, None),
];

impl Row {
    /// The route's path for the thread `t`.
    pub(super) fn path(&self) -> String {
        let (_, template, _) = Route::table().find(|(name, ..)| *name == self.route).expect("a route");
        template.replace("{agentId}", "default").replace("{threadId}", "t").replace("{memoryId}", "m")
    }

    /// The body in multi-route mode, where it has one.
    pub(super) fn body(&self) -> Option<Value> {
        Some((self.body)()).filter(|body| !body.is_null())
    }

    /// The envelope in single-route mode. A route that has none is asked for by its path all the same.
    pub(super) fn envelope(&self) -> Value {
        let mut envelope = match self.envelope {
            Envelope::Method => json!({"method": self.route, "params": {"agentId": "default", "threadId": "t"}}),
            Envelope::Resource | Envelope::None => json!({
                "method": "resource/request",
                "params": {"path": self.path(), "httpMethod": self.method.as_str()},
            }),
        };
        if let Some(body) = self.body() {
            envelope["body"] = body;
        }
        envelope
    }

    /// Whether there is a way to the route at all.
    pub(super) fn is_reached(&self, transport: Transport) -> bool {
        transport == Transport::Paths || self.envelope != Envelope::None
    }
}

fn nothing() -> Value {
    Value::Null
}

fn input() -> Value {
    json!({"threadId": "t", "runId": "next", "messages": [{"id": "u2", "role": "user", "content": "And now?"}]})
}

fn change() -> Value {
    json!({"agentId": "default", "name": "Mine now"})
}

fn audio() -> Value {
    json!({"audio": "AAECAwQ=", "mimeType": "audio/webm"})
}
