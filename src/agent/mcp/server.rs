//! One MCP server, over streamable HTTP. The only place that knows the MCP client.

mod discreet;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, redirect};
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock, Implementation,
    PaginatedRequestParams, ProtocolVersion,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError, serve_client};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use serde_json::{Map, Value};
use tokio::time::timeout;
use url::Url;

use self::discreet::{Discreet, Headers, without};
use super::toolbox::ListedTool;
use crate::agent::InvalidHeader;
use crate::agent::answer::root;

const LONGEST_CONNECT: Duration = Duration::from_secs(5);
/// How many pages of tools are asked for.
const MAX_PAGES: usize = 16;
/// What the client itself sends.
const RESERVED: [&str; 4] = ["accept", "mcp-session-id", "mcp-protocol-version", "last-event-id"];

/// An MCP server that is reached by streamable HTTP, and what it is sent with every request. Cloning is cheap and shares
/// connections. `Debug` shows no values of headers.
///
/// Proxies are taken from the usual environment variables. Redirects are not followed.
#[derive(Clone)]
pub struct McpServer {
    url: Url,
    id: Option<Arc<str>>,
    headers: Headers,
    limits: Limits,
    /// Made when first needed: reading the system's certificates takes some milliseconds.
    client: Arc<OnceLock<Client>>,
}

/// An MCP server cannot be used as it was described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum McpServerError {
    /// The text is no address with `http` or `https` and a host. It is not shown: it may hold credentials.
    #[error("the MCP server's address is no http or https URL: {0}")]
    InvalidUrl(String),
    /// A header cannot be sent, or is one the protocol itself sends.
    #[error(transparent)]
    InvalidHeader(#[from] InvalidHeader),
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    list: Duration,
    call: Duration,
    result_bytes: usize,
}

/// Why a server did not do what it was asked. The text is shown to models and people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("the HTTP client cannot be set up")]
    Client,
    #[error("the MCP server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the MCP server did not answer within {0:?}")]
    TimedOut(Duration),
    /// The server's own words.
    #[error("{0}")]
    Refused(String),
    #[error("the MCP server's answer {0}")]
    Malformed(&'static str),
    #[error("the result is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the arguments are no JSON object")]
    Arguments,
}

impl McpServer {
    /// A server at an address.
    ///
    /// # Errors
    /// [`McpServerError::InvalidUrl`].
    pub fn new(url: &str) -> Result<McpServer, McpServerError> {
        let url = Url::parse(url).map_err(|error| McpServerError::InvalidUrl(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(McpServerError::InvalidUrl(format!("the scheme is `{}`", url.scheme())));
        }
        Ok(McpServer::at(url))
    }

    /// A server at an address that is known to be one.
    pub(crate) fn at(url: Url) -> McpServer {
        let limits = Limits { list: Duration::from_secs(10), call: Duration::from_secs(60), result_bytes: 4 << 20 };
        McpServer { url, id: None, headers: Headers::new(), limits, client: Arc::default() }
    }

    /// The middle of the names its tools have: `server0`, `server1` and so on unless set.
    #[must_use]
    pub fn id(mut self, id: impl Into<Arc<str>>) -> McpServer {
        self.id = Some(id.into());
        self
    }

    /// A header sent with every request. Of several of one name, the last counts.
    ///
    /// # Errors
    /// [`McpServerError::InvalidHeader`].
    pub fn header(self, name: &str, value: &str) -> Result<McpServer, McpServerError> {
        let invalid = || InvalidHeader { name: name.to_owned() };
        let key: HeaderName = name.parse().map_err(|_| invalid())?;
        let value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        if RESERVED.contains(&key.as_str()) {
            return Err(invalid().into());
        }
        Ok(self.with_headers(HeaderMap::from_iter([(key, value)])))
    }

    /// Headers that are known to be sendable.
    pub(crate) fn with_headers(mut self, headers: HeaderMap) -> McpServer {
        for (name, mut value) in headers.into_iter().filter_map(|(name, value)| Some((name?, value))) {
            // The client writes headers into its own logs.
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        self
    }

    /// How long listing the tools may take at the start of a run: 10 seconds unless set. Then the run goes on without
    /// them.
    #[must_use]
    pub fn list_timeout(mut self, timeout: Duration) -> McpServer {
        self.limits.list = timeout;
        self
    }

    /// How long one call of a tool may take: 60 seconds unless set. Then its result says so.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> McpServer {
        self.limits.call = timeout;
        self
    }

    /// The most bytes one result may have: 4 MiB unless set. A larger one is an error to the agent.
    #[must_use]
    pub fn max_result_bytes(mut self, bytes: usize) -> McpServer {
        self.limits.result_bytes = bytes;
        self
    }

    /// What its tools are named after, if it stands at this place among the servers.
    pub(super) fn id_at(&self, index: usize) -> Arc<str> {
        self.id.clone().unwrap_or_else(|| format!("server{index}").into())
    }

    /// The tools the server has.
    pub(super) async fn tools(&self) -> Result<Vec<ListedTool>, Failure> {
        let listing = async { self.connect().await?.tools().await };
        within(self.limits.list, listing).await.map_err(|failure| self.without_secrets(failure))
    }

    /// Opens a session, in which tools can be called. Dropping it ends it.
    pub(super) async fn open(&self) -> Result<Session<'_>, Failure> {
        within(self.limits.list, self.connect()).await.map_err(|failure| self.without_secrets(failure))
    }

    async fn connect(&self) -> Result<Session<'_>, Failure> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str());
        config.custom_headers.clone_from(&self.headers);
        let transport = StreamableHttpClientTransport::with_client(Discreet(self.client()?), config);
        let who = Implementation::new("copilotkit-runtime", env!("CARGO_PKG_VERSION"));
        // The newest version of the protocol that opens with a handshake: those that do not are hardly spoken yet.
        let hello = ClientConfig::new(ClientCapabilities::default(), who)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE);
        let client = serve_client(hello, transport).await.map_err(unopened)?;
        Ok(Session { server: self, client })
    }

    fn client(&self) -> Result<Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        // A redirect would carry the headers to a host nobody configured.
        let client = Client::builder().connect_timeout(LONGEST_CONNECT).redirect(redirect::Policy::none());
        let client = client.build().map_err(|_| Failure::Client)?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// A server may repeat what it was sent.
    fn without_secrets(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(text) => Failure::Refused(without(&self.headers, text)),
            // Cleaned already.
            other => other,
        }
    }
}

/// A session with a server.
pub(super) struct Session<'s> {
    server: &'s McpServer,
    client: RunningService<RoleClient, ClientConfig>,
}

impl Session<'_> {
    async fn tools(&self) -> Result<Vec<ListedTool>, Failure> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let wanted = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.client.list_tools(Some(wanted)).await.map_err(failed)?;
            tools.extend(page.tools.into_iter().map(|tool| ListedTool {
                name: tool.name.into_owned(),
                description: tool.description.unwrap_or_default().into_owned(),
                parameters: Arc::unwrap_or_clone(tool.input_schema),
            }));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool. What it answers is text for the agent, also if it says that it failed.
    pub(super) async fn call(&self, tool: &str, arguments: &str) -> Result<String, Failure> {
        let wanted = CallToolRequestParams::new(tool.to_owned()).with_arguments(object(arguments)?);
        let Limits { call, result_bytes, .. } = self.server.limits;
        let calling = async { self.client.call_tool(wanted).await.map_err(failed) };
        let result = within(call, calling).await.map_err(|failure| self.server.without_secrets(failure))?;
        let text = text_of(&result)?;
        if text.len() > result_bytes { Err(Failure::TooLarge(result_bytes)) } else { Ok(text) }
    }
}

async fn within<T>(bound: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(bound, work).await.unwrap_or(Err(Failure::TimedOut(bound)))
}

/// The arguments of a call. Models write nothing where there are none.
fn object(arguments: &str) -> Result<Map<String, Value>, Failure> {
    if arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(arguments).map_err(|_| Failure::Arguments)
}

/// The texts of a result, line by line; of one without text, its content as JSON.
fn text_of(result: &CallToolResult) -> Result<String, Failure> {
    let texts: Vec<&str> = result
        .content
        .iter()
        .filter_map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            _ => None,
        })
        .collect();
    let text = texts.join("\n");
    if !text.is_empty() {
        return Ok(text);
    }
    let json = match &result.structured_content {
        Some(structured) if result.content.is_empty() => serde_json::to_string(structured),
        _ => serde_json::to_string(&result.content),
    };
    json.map_err(|_| Failure::Malformed("is no JSON"))
}

fn unopened(error: ClientInitializeError) -> Failure {
    match error {
        ClientInitializeError::TransportError { error, .. } => unsent(&error),
        ClientInitializeError::JsonRpcError(refusal) => Failure::Refused(refusal.message.into_owned()),
        ClientInitializeError::ConnectionClosed(_) => Failure::Malformed("broke off"),
        _ => Failure::Malformed("is not MCP"),
    }
}

fn failed(error: ServiceError) -> Failure {
    match error {
        ServiceError::McpError(refusal) => Failure::Refused(refusal.message.into_owned()),
        ServiceError::TransportSend(error) => unsent(&error),
        ServiceError::TransportClosed => Failure::Malformed("broke off"),
        _ => Failure::Malformed("is not what was asked for"),
    }
}

fn unsent(error: &DynamicTransportError) -> Failure {
    match error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        // Its own text names the address, which may hold secrets.
        Some(StreamableHttpError::Client(error)) if error.source().is_some() => Failure::Unreachable(root(error)),
        Some(StreamableHttpError::Client(_)) => Failure::Unreachable("the request failed".to_owned()),
        Some(other) => Failure::Unreachable(other.to_string()),
        None => Failure::Unreachable(root(&*error.error)),
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query and the user part may hold secrets.
        let address = format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
        f.debug_struct("McpServer")
            .field("url", &address)
            .field("id", &self.id)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
