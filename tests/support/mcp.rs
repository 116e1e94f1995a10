//! A stand-in for an MCP server over streamable HTTP: it answers as JSON or as an event stream, gives out sessions, and
//! records what it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Its one session.
const SESSION: &str = "session-1";
const SESSION_HEADER: &str = "mcp-session-id";

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Json,
    /// An event stream for each answer.
    Sse,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The method of the JSON-RPC call, or of the HTTP request where that has no body.
    pub(crate) method: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) params: Value,
}

/// An MCP server that is not listening yet.
#[derive(Clone)]
pub(crate) struct McpStandIn {
    shared: Arc<Shared>,
}

struct Shared {
    style: Style,
    /// Whether it gives out sessions and wants them back.
    sessions: bool,
    /// What every request is answered, if not by itself.
    refusal: Option<(StatusCode, String)>,
    tools: Vec<Value>,
    asked: Mutex<Vec<Asked>>,
    /// How many calls of `hangs` somebody waits for.
    hanging: Arc<AtomicUsize>,
}

/// One tool as it is listed.
pub(crate) fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("The tool {name}"), "inputSchema": {"type": "object"}})
}

impl McpStandIn {
    /// A server with tools; what they do, their names say.
    pub(crate) fn new(style: Style, tools: &[&str]) -> McpStandIn {
        McpStandIn::with(style, None, tools.iter().map(|name| tool(name)).collect())
    }

    /// A server that answers everything alike.
    pub(crate) fn refusing(status: StatusCode, text: &str) -> McpStandIn {
        McpStandIn::with(Style::Json, Some((status, text.to_owned())), Vec::new())
    }

    fn with(style: Style, refusal: Option<(StatusCode, String)>, tools: Vec<Value>) -> McpStandIn {
        let sessions = style == Style::Sse;
        let shared = Shared { style, sessions, refusal, tools, asked: Mutex::default(), hanging: Arc::default() };
        McpStandIn { shared: Arc::new(shared) }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().route("/mcp", axum::routing::any(serve)).with_state(self.shared.clone())
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// What it was asked to execute.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let calls = self.asked().into_iter().filter(|asked| asked.method == "tools/call");
        calls.map(|asked| json!({"name": asked.params["name"], "arguments": asked.params["arguments"]})).collect()
    }

    pub(crate) fn hanging(&self) -> usize {
        self.shared.hanging.load(Ordering::SeqCst)
    }

    /// Lets it listen; it ends with what is returned.
    pub(crate) async fn listen(&self) -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let (mut tasks, app) = (JoinSet::new(), self.router());
        tasks.spawn(async move { axum::serve(listener, app).await.expect("a server") });
        (url, tasks)
    }
}

/// One more waits, until this is dropped.
struct Hanging(Arc<AtomicUsize>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(State(shared): State<Arc<Shared>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let name = message["method"].as_str().map_or_else(|| method.to_string(), str::to_owned);
    let session = headers.get(SESSION_HEADER).cloned();
    shared.asked.lock().push(Asked { method: name.clone(), headers, params: message["params"].clone() });
    if let Some((status, text)) = &shared.refusal {
        return (*status, text.clone()).into_response();
    }
    if shared.sessions && name != "initialize" && session.as_deref() != Some(SESSION) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let outcome = match name.as_str() {
        // It has nothing to say by itself.
        "GET" => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
        "DELETE" => return StatusCode::OK.into_response(),
        "notifications/initialized" | "notifications/cancelled" => return StatusCode::ACCEPTED.into_response(),
        "initialize" => Ok(json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "stand-in", "version": "1"},
        })),
        "tools/list" => Ok(page(&shared.tools, &message["params"])),
        "tools/call" => execute(&shared, &message["params"]).await,
        _ => Err((-32601, "no such method")),
    };
    let answer = match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
        Err((code, text)) => {
            json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": text}})
        }
    };
    let mut response = match shared.style {
        Style::Json => axum::Json(answer).into_response(),
        Style::Sse => {
            let stream = format!("event: message\nid: 1\ndata: {answer}\n\n");
            ([("content-type", "text/event-stream")], stream).into_response()
        }
    };
    if shared.sessions && name == "initialize" {
        response.headers_mut().insert(SESSION_HEADER, SESSION.parse().expect("a header"));
    }
    response
}

/// Two tools a page.
fn page(tools: &[Value], params: &Value) -> Value {
    let start: usize = params["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let end = tools.len().min(start + 2);
    let mut page = json!({"tools": tools[start..end]});
    if end < tools.len() {
        page["nextCursor"] = end.to_string().into();
    }
    page
}

async fn execute(shared: &Shared, params: &Value) -> Result<Value, (i32, &'static str)> {
    let text = |text: &str| json!({"type": "text", "text": text});
    match params["name"].as_str().unwrap_or_default() {
        "echoes" => Ok(json!({"content": [text("you said"), text(&params["arguments"].to_string())]})),
        "fails" => Ok(json!({"content": [text("it is broken")], "isError": true})),
        "refuses" => Err((-32602, "not with me")),
        "paints" => Ok(json!({"content": [{"type": "image", "data": "aGk=", "mimeType": "image/png"}]})),
        "counts" => Ok(json!({"content": [], "structuredContent": {"n": 1}})),
        "floods" => Ok(json!({"content": [text(&"x".repeat(10_000))]})),
        "hangs" => {
            shared.hanging.fetch_add(1, Ordering::SeqCst);
            let _hanging = Hanging(shared.hanging.clone());
            std::future::pending().await
        }
        _ => Err((-32602, "no such tool")),
    }
}
