//! What a client posts to run, connect and suggest, and what an agent receives.

mod message;
mod read;
mod shape;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use message::{Message, Role, ToolCall};

use super::event::write_json_str;
use read::{Key, List};
use shape::{Checked, Field, Problem, Shape, text};

/// JSON kept as its text: numbers, nulls and key order come through as they came.
pub type RawJson = Box<RawValue>;

/// The body of run, connect and suggest (rest-sse.md chapter 8), validated; keys the protocol does not
/// know are dropped at every typed level.
///
/// ```
/// use copilotkit_runtime::agui::RunAgentInput;
///
/// let body = br#"{"threadId":"t","runId":"r","messages":[{"id":"u","role":"user","content":"Hi"}],"extra":1}"#;
/// let input = RunAgentInput::parse(body)?;
/// assert_eq!(input.messages[0].text().as_deref(), Some("Hi"));
/// assert!(!input.to_json().contains("extra"));
/// # Ok::<(), copilotkit_runtime::agui::InvalidInput>(())
/// ```
#[derive(Clone, Debug)]
pub struct RunAgentInput {
    /// The thread; may be empty.
    pub thread_id: String,
    /// The run; may be empty.
    pub run_id: String,
    /// The run this one continues.
    pub parent_run_id: Option<String>,
    /// Shared state; `None` when absent or null.
    pub state: Option<RawJson>,
    /// The conversation as the client sees it.
    pub messages: Vec<Message>,
    /// Tools the client offers, each a validated JSON object.
    pub tools: Vec<RawJson>,
    /// Context entries, each `{"description","value"}`.
    pub context: Vec<RawJson>,
    /// Whatever the application passes through; `None` when absent or null.
    pub forwarded_props: Option<RawJson>,
    /// Answers to interrupts; `None` when absent.
    pub resume: Option<Vec<RawJson>>,
}

/// The body is no [`RunAgentInput`]: not JSON, or a field is missing or of another type.
///
/// The text names the place and the reason, as in
/// `messages[2].content: expected a string or an array of content parts`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(pub(crate) String);

impl RunAgentInput {
    /// An input with nothing but its ids: for tests, and for agents that call agents.
    #[must_use]
    pub fn new(thread_id: impl Into<String>, run_id: impl Into<String>) -> RunAgentInput {
        RunAgentInput {
            thread_id: thread_id.into(),
            run_id: run_id.into(),
            parent_run_id: None,
            state: None,
            messages: Vec::new(),
            tools: Vec::new(),
            context: Vec::new(),
            forwarded_props: None,
            resume: None,
        }
    }

    /// Reads and validates a request body.
    ///
    /// Accepts what either generation of the protocol accepts. JSON without a type of its own (state,
    /// tool parameters, payloads …) keeps its text, but for line breaks between tokens.
    ///
    /// # Errors
    /// [`InvalidInput`] with the first problem found.
    pub fn parse(body: &[u8]) -> Result<RunAgentInput, InvalidInput> {
        let source = one_line(body)?;
        let mut deserializer = serde_json::Deserializer::from_str(&source);
        let body = deserializer.deserialize_map(BodyVisitor { source: &source });
        let body = body.and_then(|body| deserializer.end().map(|()| body));
        body.map_err(|e| InvalidInput(e.to_string()))?.into_input().map_err(|problem| InvalidInput(problem.to_string()))
    }

    /// The input as JSON; absent fields are left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_json_with_messages(|_, _| true)
    }

    /// The input as JSON with some of its messages: `keep` gets each with its index. `RUN_STARTED.input`
    /// holds only those new to the thread (rest-sse.md chapter 13.1).
    #[must_use]
    pub fn to_json_with_messages(&self, keep: impl Fn(usize, &Message) -> bool) -> String {
        let mut out = Vec::with_capacity(self.size_hint());
        out.extend_from_slice(b"{\"threadId\":");
        write_json_str(&mut out, &self.thread_id);
        out.extend_from_slice(b",\"runId\":");
        write_json_str(&mut out, &self.run_id);
        if let Some(parent) = &self.parent_run_id {
            out.extend_from_slice(b",\"parentRunId\":");
            write_json_str(&mut out, parent);
        }
        write_raw(&mut out, "state", self.state.as_ref());
        let messages = self.messages.iter().enumerate().filter(|(index, message)| keep(*index, message));
        write_list(&mut out, "messages", messages.map(|(_, message)| message.json()));
        write_list(&mut out, "tools", self.tools.iter().map(|tool| tool.get()));
        write_list(&mut out, "context", self.context.iter().map(|entry| entry.get()));
        write_raw(&mut out, "forwardedProps", self.forwarded_props.as_ref());
        if let Some(resume) = &self.resume {
            write_list(&mut out, "resume", resume.iter().map(|entry| entry.get()));
        }
        out.push(b'}');
        // All parts are strings.
        String::from_utf8(out).unwrap_or_default()
    }

    /// What an agent receives (rest-sse.md chapter 8): no activity messages, no parent run, a run id even if
    /// the client gave an empty one, forwarded properties even if it gave none.
    #[must_use]
    pub fn for_agent(&self, fresh_run_id: impl FnOnce() -> String) -> RunAgentInput {
        let run_id = if self.run_id.is_empty() { fresh_run_id() } else { self.run_id.clone() };
        let no_props = || RawValue::from_string("{}".to_owned()).ok();
        RunAgentInput {
            thread_id: self.thread_id.clone(),
            run_id,
            parent_run_id: None,
            state: self.state.clone(),
            messages: self.messages.iter().filter(|message| message.role() != Role::Activity).cloned().collect(),
            tools: self.tools.clone(),
            context: self.context.clone(),
            forwarded_props: self.forwarded_props.clone().or_else(no_props),
            resume: self.resume.clone(),
        }
    }

    /// The names of the tools the client offers.
    pub fn tool_names(&self) -> impl Iterator<Item = String> + '_ {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        self.tools.iter().filter_map(|tool| serde_json::from_str(tool.get()).ok()).map(|named: Named| named.name)
    }

    fn size_hint(&self) -> usize {
        let raw = |json: &RawJson| json.get().len() + 1;
        let messages: usize = self.messages.iter().map(|message| message.json().len() + 1).sum();
        let rest = self.tools.iter().chain(&self.context).chain(self.resume.iter().flatten());
        let rest: usize = rest.chain(&self.state).chain(&self.forwarded_props).map(raw).sum();
        self.thread_id.len() + self.run_id.len() + messages + rest + 192
    }
}

fn write_raw(out: &mut Vec<u8>, name: &str, json: Option<&RawJson>) {
    if let Some(json) = json {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(json.get().as_bytes());
    }
}

fn write_list<'a>(out: &mut Vec<u8>, name: &str, items: impl Iterator<Item = &'a str>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":[");
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item.as_bytes());
    }
    out.push(b']');
}

/// The body as text on one line, since its parts are later put on a line of an event stream. All messages
/// share it.
fn one_line(body: &[u8]) -> Result<Arc<str>, InvalidInput> {
    let text = std::str::from_utf8(body).map_err(|e| InvalidInput(e.to_string()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.bytes().any(|b| matches!(b, b'\n' | b'\r')) {
        return Ok(text.into());
    }
    // Only in valid JSON are all line breaks between tokens.
    serde_json::from_str::<IgnoredAny>(text).map_err(|e| InvalidInput(e.to_string()))?;
    Ok(text.replace(['\n', '\r'], "").into())
}

/// The body as found: typed lists already checked, the rest as text.
#[derive(Default)]
struct Body<'a> {
    thread_id: Option<&'a str>,
    run_id: Option<&'a str>,
    parent_run_id: Option<&'a str>,
    state: Option<&'a RawValue>,
    messages: Option<Result<Vec<Message>, Problem>>,
    tools: Option<Result<Vec<RawJson>, Problem>>,
    context: Option<Result<Vec<RawJson>, Problem>>,
    forwarded_props: Option<&'a RawValue>,
    resume: Option<Result<Vec<RawJson>, Problem>>,
}

impl Body<'_> {
    fn into_input(self) -> Result<RunAgentInput, Problem> {
        let required = |name: Field| move || Problem::new("required").at(name);
        Ok(RunAgentInput {
            thread_id: id(Field::ThreadId, self.thread_id)?.ok_or_else(required(Field::ThreadId))?,
            run_id: id(Field::RunId, self.run_id)?.ok_or_else(required(Field::RunId))?,
            parent_run_id: id(Field::ParentRunId, self.parent_run_id)?,
            state: self.state.map(ToOwned::to_owned),
            messages: list(Field::Messages, self.messages)?.ok_or_else(required(Field::Messages))?,
            tools: list(Field::Tools, self.tools)?.unwrap_or_default(),
            context: list(Field::Context, self.context)?.unwrap_or_default(),
            forwarded_props: self.forwarded_props.map(ToOwned::to_owned),
            resume: list(Field::Resume, self.resume)?,
        })
    }
}

fn id(name: Field, json: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(json) = json else { return Ok(None) };
    match text(json) {
        Some(id) => Ok(Some(id.into_owned())),
        None => Err(Problem::new("expected a string").at(name)),
    }
}

fn list<T>(name: Field, items: Option<Result<Vec<T>, Problem>>) -> Result<Option<Vec<T>>, Problem> {
    items.transpose().map_err(|problem| problem.at(name))
}

struct BodyVisitor<'a> {
    source: &'a Arc<str>,
}

impl<'a> BodyVisitor<'a> {
    fn messages<A: MapAccess<'a>>(&self, map: &mut A) -> Result<Result<Vec<Message>, Problem>, A::Error> {
        let keep = |checked: Checked<'_, 'a>| Message::kept(self.source, &checked);
        map.next_value_seed(List { source: self.source, shape: &tables::MESSAGE, keep })
    }

    fn raw_list<A: MapAccess<'a>>(
        &self,
        shape: &'static Shape,
        map: &mut A,
    ) -> Result<Result<Vec<RawJson>, Problem>, A::Error> {
        let keep = |checked: Checked<'_, 'a>| checked.into_raw();
        map.next_value_seed(List { source: self.source, shape, keep })
    }
}

impl<'a> Visitor<'a> for BodyVisitor<'a> {
    type Value = Body<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Body<'a>, A::Error> {
        let mut body = Body::default();
        while let Some(key) = map.next_key_seed(Key)? {
            match key.name {
                Some(Field::ThreadId) => body.thread_id = Some(map.next_value::<&RawValue>()?.get()),
                Some(Field::RunId) => body.run_id = Some(map.next_value::<&RawValue>()?.get()),
                Some(Field::ParentRunId) => body.parent_run_id = Some(map.next_value::<&RawValue>()?.get()),
                Some(Field::State) => body.state = not_null(map.next_value()?),
                Some(Field::Messages) => body.messages = Some(self.messages(&mut map)?),
                Some(Field::Tools) => body.tools = Some(self.raw_list(&tables::TOOL, &mut map)?),
                Some(Field::Context) => body.context = Some(self.raw_list(&tables::CONTEXT, &mut map)?),
                Some(Field::ForwardedProps) => body.forwarded_props = not_null(map.next_value()?),
                Some(Field::Resume) => body.resume = Some(self.raw_list(&tables::RESUME_ENTRY, &mut map)?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(body)
    }
}

fn not_null(json: &RawValue) -> Option<&RawValue> {
    (json.get() != "null").then_some(json)
}
