//! A session with an MCP server over streamable HTTP: as much of the protocol as listing and calling tools takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use super::Failure;
use super::toolbox::ListedTool;
use crate::agent::answer::root;
use crate::agui::SseParser;

/// The newest version of the protocol that is understood, and those before it.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// How many pages of tools are asked for.
const MAX_PAGES: usize = 16;
/// The most bytes of one answer that are read.
const MAX_ANSWER: usize = 16 << 20;
/// The most bytes of the text of a failure.
const MAX_FAILURE: usize = 1 << 10;
/// How long giving a session back may take, which nobody waits for.
const GOODBYE: Duration = Duration::from_secs(5);

/// Who asks whom.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Sessions that are being given back.
    pub(super) goodbyes: TaskTracker,
}

/// An open session. It is given back when this is dropped.
pub(super) struct Session {
    peer: Peer,
    /// The server gave the session a name, and wants it back.
    is_named: bool,
    last_id: AtomicU64,
}

/// A message of the server.
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    method: Option<String>,
    result: Option<Value>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Session {
    /// Greets the server.
    pub(super) async fn open(mut peer: Peer) -> Result<Session, Failure> {
        peer.headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        peer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut session = Session { peer, is_named: false, last_id: AtomicU64::new(0) };
        let hello = json!({
            "protocolVersion": VERSIONS[0],
            "capabilities": {},
            "clientInfo": {"name": "copilotkit-runtime", "version": env!("CARGO_PKG_VERSION")},
        });
        let (name, greeting) = session.ask_with_head("initialize", hello).await?;
        session.is_named = name.is_some();
        session.peer.headers.extend(name.map(|name| (SESSION_ID, name)));
        let version = greeting["protocolVersion"].as_str().and_then(|spoken| VERSIONS.iter().find(|v| **v == spoken));
        let version = version.ok_or(Failure::Malformed("is of a version that is not understood"))?;
        session.peer.headers.insert(VERSION, HeaderValue::from_static(version));
        session.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(session)
    }

    /// The tools the server has.
    pub(super) async fn tools(&self) -> Result<Vec<ListedTool>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            tools: Vec<Tool>,
            next_cursor: Option<String>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tool {
            name: String,
            description: Option<String>,
            input_schema: Map<String, Value>,
        }
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let wanted = cursor.map_or_else(|| json!({}), |cursor: String| json!({"cursor": cursor}));
            let page = self.ask("tools/list", wanted).await?;
            let page: Page = serde_json::from_value(page).map_err(|_| Failure::Malformed("is no list of tools"))?;
            tools.extend(page.tools.into_iter().map(|tool| ListedTool {
                name: tool.name,
                description: tool.description.unwrap_or_default(),
                parameters: tool.input_schema,
            }));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool. What it answers is text for the agent, also if it says that it failed.
    pub(super) async fn call(&self, tool: &str, arguments: Map<String, Value>) -> Result<String, Failure> {
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await?;
        text_of(&result)
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, Failure> {
        self.ask_with_head(method, params).await.map(|(_, result)| result)
    }

    /// The name of the session if the server gives one, and the result.
    async fn ask_with_head(&self, method: &str, params: Value) -> Result<(Option<HeaderValue>, Value), Failure> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let asked = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let response = self.post(&asked).await?;
        let name = response.headers().get(&SESSION_ID).cloned();
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let result = if media_type.starts_with("text/event-stream") {
            self.streamed(response, id).await?
        } else {
            let body = whole(response, MAX_ANSWER).await?;
            let messages = read(&body).ok_or(Failure::Malformed("is no MCP"))?;
            answer_to(id, messages).ok_or(Failure::Malformed("answers something else"))??
        };
        Ok((name, result))
    }

    /// The answer in a stream of messages. What else the server wants of us we cannot do, and say so.
    async fn streamed(&self, mut response: Response, id: u64) -> Result<Value, Failure> {
        let mut parser = SseParser::new(MAX_ANSWER);
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            parser.push(chunk);
            while let Some(payload) = parser.next().map_err(|_| Failure::TooLarge(MAX_ANSWER))? {
                if let Some(result) = self.take(&payload, id).await? {
                    return Ok(result);
                }
            }
        }
        let rest = parser.finish().map_err(|_| Failure::TooLarge(MAX_ANSWER))?;
        let rest = rest.filter(|payload| !payload.is_empty());
        match rest {
            Some(payload) => self.take(&payload, id).await?.ok_or(Failure::Malformed("broke off")),
            None => Err(Failure::Malformed("broke off")),
        }
    }

    /// A message of a stream: the answer, if it is.
    async fn take(&self, payload: &Bytes, id: u64) -> Result<Option<Value>, Failure> {
        // Streams are kept alive with events that hold nothing.
        let Some(messages) = read(payload) else { return Ok(None) };
        for message in messages.iter().filter(|message| message.method.is_some() && !message.id.is_null()) {
            let mut reply = json!({"jsonrpc": "2.0", "id": message.id});
            if message.method.as_deref() == Some("ping") {
                reply["result"] = json!({});
            } else {
                reply["error"] = json!({"code": -32601, "message": "this client has no such method"});
            }
            self.post(&reply).await?;
        }
        answer_to(id, messages).transpose()
    }

    async fn post(&self, message: &Value) -> Result<Response, Failure> {
        let request = self.peer.client.post(self.peer.url.clone()).headers(self.peer.headers.clone());
        let sent = request.body(message.to_string()).send().await;
        let response = sent.map_err(|error| lost(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.is_named {
            let Peer { client, url, headers, goodbyes } = self.peer.clone();
            let goodbye = client.delete(url).headers(headers).send();
            // The server forgets the session by itself if it does not hear this.
            goodbyes.spawn_on(async move { drop(timeout(GOODBYE, goodbye).await) }, &runtime);
        }
    }
}

/// One message, or several.
fn read(json: &[u8]) -> Option<Vec<Message>> {
    match serde_json::from_slice(json) {
        Ok(message) => Some(vec![message]),
        Err(_) => serde_json::from_slice(json).ok(),
    }
}

/// What was answered to a question, if it was.
fn answer_to(id: u64, messages: Vec<Message>) -> Option<Result<Value, Failure>> {
    let answer = messages.into_iter().find(|message| message.method.is_none() && message.id == id)?;
    Some(match (answer.result, answer.error) {
        (_, Some(refusal)) => Err(Failure::Refused(refusal.message)),
        (Some(result), None) => Ok(result),
        (None, None) => Err(Failure::Malformed("holds no result")),
    })
}

/// The texts of a result, line by line; of one without text, its content as JSON.
fn text_of(result: &Value) -> Result<String, Failure> {
    let empty = Vec::new();
    let content = result["content"].as_array().unwrap_or(&empty);
    let texts: Vec<&str> =
        content.iter().filter(|part| part["type"] == "text").filter_map(|part| part["text"].as_str()).collect();
    let text = texts.join("\n");
    if !text.is_empty() {
        return Ok(text);
    }
    match result.get("structuredContent") {
        Some(structured) if content.is_empty() => Ok(structured.to_string()),
        _ if result["content"].is_array() => Ok(result["content"].to_string()),
        _ => Err(Failure::Malformed("is no result of a tool")),
    }
}

/// Why the server answered with a failure.
async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let body = whole(response, MAX_ANSWER.min(64 << 10)).await.unwrap_or_default();
    if let Some(refusal) = read(&body).and_then(|messages| messages.into_iter().find_map(|message| message.error)) {
        return Failure::Refused(refusal.message);
    }
    Failure::Unreachable(format!("HTTP {}: {}", status.as_u16(), shown(status, &body)))
}

fn shown(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_FAILURE)]).into_owned();
    if text.trim().is_empty() { status.canonical_reason().unwrap_or("no reason given").to_owned() } else { text }
}

async fn whole(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn lost(error: &reqwest::Error) -> Failure {
    // The outermost text names the address, which may hold secrets.
    match std::error::Error::source(error) {
        Some(source) => Failure::Unreachable(root(source)),
        None => Failure::Unreachable("the request failed".to_owned()),
    }
}
