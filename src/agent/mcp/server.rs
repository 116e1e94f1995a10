//! Where an MCP server is, what it is sent, and how long it may take.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, redirect};
use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use super::Failure;
use super::session::{Peer, Session};
use super::toolbox::ListedTool;
use crate::agent::InvalidHeader;
use crate::trace;

const LONGEST_CONNECT: Duration = Duration::from_secs(5);
/// What the client itself sends.
const RESERVED: [&str; 5] = ["accept", "content-type", "mcp-session-id", "mcp-protocol-version", "last-event-id"];

/// An MCP server that is reached by streamable HTTP, and what it is sent with every request. Cloning is cheap and shares
/// connections. `Debug` shows no values of headers.
///
/// Proxies are taken from the usual environment variables. Redirects are not followed.
#[derive(Clone)]
pub struct McpServer {
    url: Url,
    id: Option<Arc<str>>,
    headers: HeaderMap,
    limits: Limits,
    /// Made when first needed: reading the system's certificates takes some milliseconds.
    client: Arc<OnceLock<Client>>,
    /// Sessions that are being given back.
    goodbyes: TaskTracker,
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
        McpServer {
            url,
            id: None,
            headers: HeaderMap::new(),
            limits,
            client: Arc::default(),
            goodbyes: TaskTracker::new(),
        }
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
            // It may open doors: nothing that logs headers shows it.
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

    /// The tools the server has. Of the run's headers it is told where in a trace it happens, and nothing else.
    pub(super) async fn tools(&self, of_run: &HeaderMap) -> Result<Vec<ListedTool>, Failure> {
        let listing = async { self.connect(of_run).await?.tools().await };
        within(self.limits.list, listing).await.map_err(|failure| self.without_secrets(failure))
    }

    /// Opens a session for a run with these headers, in which tools can be called. Dropping it ends it.
    pub(super) async fn open(&self, of_run: &HeaderMap) -> Result<Session, Failure> {
        within(self.limits.list, self.connect(of_run)).await.map_err(|failure| self.without_secrets(failure))
    }

    async fn connect(&self, of_run: &HeaderMap) -> Result<Session, Failure> {
        let (client, goodbyes) = (self.client()?, self.goodbyes.clone());
        let mut headers = self.headers.clone();
        if let (Some(parent), false) = (trace::parent(of_run), headers.contains_key(trace::TRACEPARENT)) {
            headers.insert(trace::TRACEPARENT, parent.clone());
            headers.extend(of_run.get_all(trace::TRACESTATE).iter().map(|state| (trace::TRACESTATE, state.clone())));
        }
        trace::hand_on(&mut headers);
        Session::open(Peer { client, url: self.url.clone(), headers, goodbyes }).await
    }

    /// Calls a tool in a session with this server.
    pub(super) async fn call(&self, session: &Session, tool: &str, arguments: &str) -> Result<String, Failure> {
        let calling = session.call(tool, object(arguments)?);
        let text = within(self.limits.call, calling).await.map_err(|failure| self.without_secrets(failure))?;
        let limit = self.limits.result_bytes;
        if text.len() > limit { Err(Failure::TooLarge(limit)) } else { Ok(text) }
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
            Failure::Unreachable(text) => Failure::Unreachable(without(&self.headers, text)),
            Failure::Refused(text) => Failure::Refused(without(&self.headers, text)),
            other => other,
        }
    }
}

/// A server's text without the values of headers it was sent.
fn without(headers: &HeaderMap, mut text: String) -> String {
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        // Of `Bearer x` the server may repeat `x` alone.
        let secret = value.split_once(' ').map_or(value, |(_scheme, secret)| secret);
        if !secret.is_empty() && text.contains(secret) {
            text = text.replace(secret, "…");
        }
    }
    text
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
