//! What has to be alike in a recorded answer and ours (`tests/captures/rest-sse/README.md`, last chapter).

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::case::{Adapter, Case, Chunk, Exchange, Response, Server};
use super::client::Answer;
use super::play::Played;
use super::scripts::{OnAbort, Scripts, Step};
use super::spelling;
use super::sse;
use super::values::{FreeText, Unlike, text_matches, unlike};
use crate::report::WIDTH;

/// Headers the HTTP server adds, not the runtime.
const NOT_OURS: &[&str] = &["connection", "keep-alive", "transfer-encoding", "content-length", "date"];

/// How the runtime's own messages of `RUN_ERROR` begin; other messages than these, and than those of scripted
/// agents, come from a JSON, schema or network library.
const FIXED_MESSAGES: &[&str] = &["First ", "Cannot send '", "Step \"", "Run ended ", "Run stopped ", "HTTP "];

/// A field of an exchange that differs.
pub(crate) struct Difference {
    pub(crate) exchange: String,
    pub(crate) what: Unlike,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unlike { at, expected, got } = &self.what;
        write!(f, "{}: {at}\nexpected {expected:.WIDTH$}\ngot      {got:.WIDTH$}", self.exchange)
    }
}

/// Lists every difference between a case and what came of playing it.
pub(crate) fn differences(case: &Case, scripts: &Scripts, played: &Played) -> Vec<Difference> {
    let rules = Rules::new(case, scripts);
    let mut all = Vec::new();
    for exchange in &case.exchanges {
        let found = match &played.answers[&exchange.id] {
            Ok(answer) => rules.exchange(exchange, answer),
            Err(error) => vec![Unlike::new("answer", "one", error)],
        };
        all.extend(found.into_iter().map(|what| Difference { exchange: exchange.id.clone(), what }));
    }
    let mut found = Vec::new();
    let seen: Vec<Value> = played.observed.iter().map(own_headers_only).collect();
    let expected: Vec<Value> = case.observed.iter().map(own_headers_only).collect();
    unlike(&Value::from(expected), &Value::from(seen), "observed", &rules, &mut found);
    all.extend(found.into_iter().map(|what| Difference { exchange: "(server)".to_owned(), what }));
    all
}

struct Rules<'a> {
    server: &'a Server,
    /// Every text an agent was scripted to fail with, or its server to answer with.
    scripted: Vec<String>,
    /// Some agent says `RUN_FINISHED` without ids itself.
    bare_finish_is_scripted: bool,
}

impl FreeText for Rules<'_> {
    fn is_free(&self, error: &Value) -> bool {
        let Some(message) = error["message"].as_str() else { return false };
        let ours = error.get("code").is_some_and(|code| code != "INCOMPLETE_STREAM");
        let fixed = FIXED_MESSAGES.iter().any(|start| message.starts_with(start));
        !ours && !fixed && !self.scripted.iter().any(|text| text.contains(message))
    }
}

impl<'a> Rules<'a> {
    fn new(case: &'a Case, scripts: &Scripts) -> Rules<'a> {
        let steps = || scripts.agents.values().flat_map(|agent| &agent.script);
        let mut scripted: Vec<String> = steps()
            .filter_map(|step| match step {
                Step::Throw(message) | Step::ThrowSync(message) => Some(message.as_str()),
                Step::Emit(event) => event["message"].as_str(),
                _ => None,
            })
            .map(str::to_owned)
            .collect();
        scripted.extend(scripts.agents.values().filter_map(|agent| match &agent.on_abort {
            OnAbort::Throw(message) => Some(message.clone()),
            _ => None,
        }));
        scripted.extend(case.server.runtime.remote.values().flat_map(|remote| &remote.chunks).filter_map(|chunk| {
            match chunk {
                Chunk::Text(text) => Some(text.replace("\\\"", "\"")),
                _ => None,
            }
        }));
        let bare_finish_is_scripted = steps().any(|step| matches!(step, Step::Emit(event) if is_bare_finish(event)));
        Rules { server: &case.server, scripted, bare_finish_is_scripted }
    }

    fn exchange(&self, exchange: &Exchange, answer: &Answer) -> Vec<Unlike> {
        let expected = &exchange.response;
        let mut found = Vec::new();
        if expected.status != answer.status {
            found.push(Unlike::new("status", expected.status, format!("{} {}", answer.status, text(&answer.body))));
            return found;
        }
        if self.is_framework_page(expected) {
            return found;
        }
        for (field, expected, got) in [
            ("clientTimedOut", expected.client_timed_out, answer.timed_out),
            ("clientDisconnected", expected.client_disconnected, answer.left),
        ] {
            if expected != got {
                found.push(Unlike::new(field, expected, got));
            }
        }
        self.headers(expected, answer, &mut found);
        self.body(expected, answer, &mut found);
        found
    }

    /// A page of the web framework around the reference runtime: only its status is meant.
    fn is_framework_page(&self, expected: &Response) -> bool {
        let is_text = expected.body.is_none() && expected.events.is_none() && expected.body_text.is_some();
        self.server.adapter != Adapter::Node && is_text && expected.status == 404
    }

    fn headers(&self, expected: &Response, answer: &Answer, found: &mut Vec<Unlike>) {
        // Express brings a CORS library of its own, which writes lists and `Vary` in another way.
        let is_express = self.server.adapter == Adapter::Express;
        let value = |text: &str| if is_express { text.replace(", ", ",") } else { text.to_owned() };
        let counts = |name: &str| !(NOT_OURS.contains(&name) || is_express && name == "vary");
        for (name, wanted) in expected.headers.iter().filter(|(name, _)| counts(name)) {
            let got = answer.header(name);
            if got.map(value).as_ref() != Some(&value(wanted)) {
                found.push(Unlike::new(&format!("header {name}"), wanted, got.unwrap_or("nothing")));
            }
        }
        let is_owned = |name: &str| {
            matches!(name, "content-type" | "cache-control" | "allow" | "vary") || name.starts_with("access-control-")
        };
        for (name, got) in answer.headers.iter().filter(|(name, _)| is_owned(name) && counts(name)) {
            if !expected.headers.contains_key(name) {
                found.push(Unlike::new(&format!("header {name}"), "nothing", got));
            }
        }
    }

    fn body(&self, expected: &Response, answer: &Answer, found: &mut Vec<Unlike>) {
        let got = text(&answer.body);
        if let Some(events) = &expected.events {
            return self.stream(events, expected.body_text.as_deref(), answer, found);
        }
        let Some(wanted) = &expected.body else {
            if let Some(wanted) = &expected.body_text
                && !text_matches(wanted, &got)
            {
                found.push(Unlike::new("body", format!("{wanted:?}"), format!("{got:?}")));
            }
            return;
        };
        let Ok(has) = serde_json::from_slice::<Value>(&answer.body) else {
            return found.push(Unlike::new("body", wanted, format!("no JSON: {got:?}")));
        };
        let (mut wanted, mut has) = (wanted.clone(), has);
        if expected.status == 400 && wanted["error"] == "Invalid request body" {
            // The validator's words are its own.
            let details = |value: &mut Value| value.as_object_mut().and_then(|body| body.remove("details"));
            details(&mut wanted);
            match details(&mut has) {
                Some(Value::String(text)) if !text.is_empty() => {}
                other => found.push(Unlike::new("body.details", "some text", other.unwrap_or_default())),
            }
        }
        if let Some(events) = wanted.get("events").and_then(Value::as_array) {
            wanted["events"] = self.with_run_ids(events).into_owned().into();
        }
        unlike(&wanted, &has, "body", self, found);
    }

    fn stream(&self, events: &[Value], exact: Option<&str>, answer: &Answer, found: &mut Vec<Unlike>) {
        if let Some(fault) = sse::framing_fault(&answer.body) {
            return found.push(Unlike::new("framing", "`data: …` or a comment, and an empty line", fault));
        }
        let frames = sse::frames(&answer.body);
        let lines: Vec<&[u8]> = frames.iter().filter_map(sse::Frame::data).collect();
        let parsed: Result<Vec<Value>, _> = lines.iter().map(|line| serde_json::from_slice(line)).collect();
        let Ok(parsed) = parsed else {
            return found.push(Unlike::new("events", "JSON", text(&answer.body)));
        };
        let before = found.len();
        let ids = |frames: &[sse::Frame<'_>]| ids_of(frames).join(" ");
        let (expected, got) = (exact.map(|body| ids(&sse::frames(body.as_bytes()))).unwrap_or_default(), ids(&frames));
        if expected != got {
            found.push(Unlike::new("ids", expected, got));
        }
        let wanted = Value::from(self.with_run_ids(events).into_owned());
        unlike(&wanted, &Value::from(parsed), "events", self, found);
        let Some(exact) = exact else { return };
        let recorded = sse::frames(exact.as_bytes());
        let (expected, got) = (comments(&recorded), comments(&frames));
        if expected != got {
            found.push(Unlike::new("comments", expected.join(" "), got.join(" ")));
        }
        if found.len() == before {
            let recorded = recorded.iter().filter_map(sse::Frame::data);
            found.extend(recorded.zip(lines).filter_map(|(recorded, ours)| spelling::difference(recorded, ours)));
        }
    }

    /// The recorded events with what the release leaves out: the ids of a `RUN_FINISHED` it made up itself.
    fn with_run_ids<'e>(&self, events: &'e [Value]) -> Cow<'e, [Value]> {
        if self.bare_finish_is_scripted || !events.iter().any(is_bare_finish) {
            return events.into();
        }
        let mut events = events.to_vec();
        let mut started = Value::Null;
        for event in &mut events {
            if event["type"] == "RUN_STARTED" {
                started = event.clone();
            } else if is_bare_finish(event) {
                for id in ["threadId", "runId"] {
                    event[id] = started[id].clone();
                }
            }
        }
        events.into()
    }
}

fn is_bare_finish(event: &Value) -> bool {
    event["type"] == "RUN_FINISHED" && event.as_object().is_some_and(|fields| fields.len() == 1)
}

/// The ids of a stream's events. The numbers of its runs are the store's own; here they are 1, 2, … as they come.
fn ids_of(frames: &[sse::Frame<'_>]) -> Vec<String> {
    let mut runs: Vec<String> = Vec::new();
    let renumbered = frames.iter().filter_map(sse::Frame::id).map(|id| {
        let (run, place) = id.split_at(id.find(['.', '-']).unwrap_or_default());
        let known = runs.iter().position(|known| known == run);
        let number = known.unwrap_or(runs.len()) + 1;
        if known.is_none() {
            runs.push(run.to_owned());
        }
        format!("{number}{place}")
    });
    renumbered.collect()
}

/// The different comments of a stream; how often each stands there depends on time.
fn comments<'a>(frames: &[sse::Frame<'a>]) -> Vec<Cow<'a, str>> {
    let mut comments = Vec::new();
    for frame in frames.iter().filter(|frame| frame.is_comment()) {
        let comment = String::from_utf8_lossy(frame.text);
        if !comments.contains(&comment) {
            comments.push(comment);
        }
    }
    comments
}

/// An observation without the headers an HTTP client adds by itself.
fn own_headers_only(observed: &Value) -> Value {
    let mut observed = observed.clone();
    if let Some(headers) = observed.pointer_mut("/upstreamRequest/headers").and_then(Value::as_object_mut) {
        headers.retain(|name, _| {
            matches!(name.as_str(), "content-type" | "accept" | "authorization") || name.starts_with("x-")
        });
    }
    observed
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
