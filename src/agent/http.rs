//! A remote AG-UI server as an agent.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::TryFutureExt;
use futures_util::future::{BoxFuture, ready};
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Body, Client, StatusCode};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::answer::{Answer, Times, Watch, root};
use super::{Agent, AgentCall, AgentError, AgentHeaders, EventStream, InvalidHeader};
use crate::trace;

/// An agent behind HTTP: posts the input and reads the events of the answer, server-sent or binary
/// (rest-sse.md chapter 12.6).
///
/// Events are checked on arrival; the first invalid one fails the run, after those before it were delivered.
/// So does a lost connection. Dropping the event stream closes the connection. A clone shares the connections.
///
/// Redirects are followed within the same origin and with the same method (307, 308) only, so that neither
/// credentials nor the input go astray. Proxy settings of the environment are not used, cookies are not kept,
/// and answers must not be compressed.
///
/// ```
/// use std::time::Duration;
/// use copilotkit_runtime::agent::HttpAgent;
///
/// let agent = HttpAgent::new("http://localhost:8000/agent")?
///     .description("Answers questions about the weather")
///     .header("Authorization", "Bearer service-token")?
///     .idle_timeout(Duration::from_secs(60));
/// # Ok::<(), copilotkit_runtime::agent::HttpAgentError>(())
/// ```
#[derive(Clone)]
pub struct HttpAgent {
    url: Url,
    description: String,
    headers: AgentHeaders,
    capabilities: Option<Value>,
    limits: Limits,
    /// Made when first needed: reading the system's certificates takes some milliseconds.
    client: Arc<OnceLock<Client>>,
}

/// The settings of an [`HttpAgent`] cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpAgentError {
    /// The text is no address with `http` or `https` and a host. It is not shown: it may hold credentials.
    #[error("the agent's address is no http or https URL: {0}")]
    InvalidUrl(String),
    /// A header cannot be sent.
    #[error(transparent)]
    InvalidHeader(#[from] InvalidHeader),
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    connect: Duration,
    times: Times,
    event_bytes: usize,
}

/// Connecting took too long.
const CONNECT_TIMEOUT: &str = "AGENT_CONNECT_TIMEOUT";
/// The most bytes of an error's text that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// How long that may take.
const MAX_ERROR_WAIT: Duration = Duration::from_secs(2);
const MAX_REDIRECTS: usize = 5;
/// Common servers close unused connections after five seconds: let go first, rather than lose a request.
const KEEP_UNUSED: Duration = Duration::from_secs(4);
const USER_AGENT: &str = concat!("copilotkit-runtime/", env!("CARGO_PKG_VERSION"));

impl HttpAgent {
    /// An agent at an address. A name and password in it are sent as basic authorization.
    ///
    /// # Errors
    /// [`HttpAgentError::InvalidUrl`].
    pub fn new(url: &str) -> Result<HttpAgent, HttpAgentError> {
        let url = Url::parse(url).map_err(|error| HttpAgentError::InvalidUrl(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpAgentError::InvalidUrl(format!("the scheme is `{}`", url.scheme())));
        }
        let limits = Limits {
            connect: Duration::from_secs(10),
            times: Times { idle: Duration::from_secs(300), first_event: None, total: None },
            event_bytes: 32 << 20,
        };
        Ok(HttpAgent {
            url,
            description: String::new(),
            headers: AgentHeaders::new(),
            capabilities: None,
            limits,
            client: Arc::default(),
        })
    }

    /// What the agent is for, shown by `/info`.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> HttpAgent {
        self.description = text.into();
        self
    }

    /// A header sent with every request; it replaces one of the same name, however cased, that a client sent
    /// (rest-sse.md chapter 7). Of several, the first counts. `Content-Type` and `Accept` cannot be changed,
    /// headers about the connection are not sent.
    ///
    /// # Errors
    /// [`HttpAgentError::InvalidHeader`].
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<str>) -> Result<HttpAgent, HttpAgentError> {
        self.headers.push(name, value)?;
        Ok(self)
    }

    /// How long connecting, with name lookup and encryption, may take: 10 seconds unless set. Then the run
    /// fails with `AGENT_CONNECT_TIMEOUT`.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> HttpAgent {
        self.limits.connect = timeout;
        self.client = Arc::default();
        self
    }

    /// How long the agent may send nothing, from the request on and between any two bytes, comments included:
    /// 5 minutes unless set. Then the run fails with `AGENT_IDLE_TIMEOUT`.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> HttpAgent {
        self.limits.times.idle = timeout;
        self
    }

    /// How long the agent may take to its first event, from the request on and whatever else it sends: as long as it
    /// likes unless set. Then the run fails with `AGENT_FIRST_EVENT_TIMEOUT`.
    #[must_use]
    pub fn first_event_timeout(mut self, timeout: Option<Duration>) -> HttpAgent {
        self.limits.times.first_event = timeout;
        self
    }

    /// How long a whole run may take: as long as it likes unless set. Then it fails with `AGENT_TOTAL_TIMEOUT`.
    /// [`Limits::run_time`](crate::Limits::run_time) holds for every agent.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Option<Duration>) -> HttpAgent {
        self.limits.times.total = timeout;
        self
    }

    /// The most bytes one event may have: 32 MiB unless set. A larger one fails the run with
    /// `AGENT_EVENT_TOO_LARGE`. [`Limits::event_bytes`](crate::Limits::event_bytes) holds for every agent, so raise both.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> HttpAgent {
        self.limits.event_bytes = bytes;
        self
    }

    /// What the agent can do, shown by `/info` (rest-sse.md chapter 9).
    #[must_use]
    pub fn capabilities(mut self, capabilities: Value) -> HttpAgent {
        self.capabilities = Some(capabilities);
        self
    }

    fn client(&self) -> Result<Client, AgentError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.limits.connect)
            .pool_idle_timeout(KEEP_UNUSED)
            .tcp_nodelay(true)
            .redirect(Policy::custom(redirect))
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|error| AgentError::new(format!("The HTTP client cannot be set up: {}", root(&error))))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn request(&self, call: &AgentCall) -> Result<reqwest::RequestBuilder, AgentError> {
        let mut headers = self.headers.request_headers(&call.headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        trace::hand_on(&mut headers);
        Ok(self.client()?.post(self.url.clone()).headers(headers).body(call.input.to_json()))
    }
}

impl Agent for HttpAgent {
    fn run(&self, call: AgentCall) -> EventStream {
        let (request, limits) = (self.request(&call), self.limits);
        Box::pin(async move { ask(request?, limits).await }.try_flatten_stream())
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn class_name(&self) -> &str {
        "HttpAgent"
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        Box::pin(ready(Ok(self.capabilities.clone())))
    }
}

/// Sends the request and waits for the head of the answer.
async fn ask(request: reqwest::RequestBuilder, limits: Limits) -> Result<Answer<Body>, AgentError> {
    let mut watch = Watch::start(limits.times);
    let sent = watch.limit(request.send()).await?;
    let response = sent.map_err(|error| unreachable_agent(&error.without_url(), limits.connect))?;
    let response = http::Response::from(response);
    let (status, headers) = (response.status(), response.headers());
    let content_type = header_text(headers, &CONTENT_TYPE).to_owned();
    if !status.is_success() {
        let text = error_text(response.into_body()).await;
        return Err(AgentError::new(http_error(status, &content_type, text)));
    }
    let encoding = header_text(headers, &CONTENT_ENCODING);
    if !matches!(encoding, "" | "identity") {
        return Err(AgentError::new("The agent's answer is compressed, which was not asked for"));
    }
    Ok(Answer::new(response.into_body(), &content_type, limits.event_bytes, watch))
}

fn header_text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn unreachable_agent(error: &reqwest::Error, connect_timeout: Duration) -> AgentError {
    if error.is_connect() && error.is_timeout() {
        let text = format!("The agent could not be reached within {connect_timeout:?}");
        return AgentError::new(text).with_code(CONNECT_TIMEOUT);
    }
    AgentError::new(format!("The agent could not be reached: {}", root(error)))
}

/// Follows a redirect only if it stays where it was configured to go and keeps the request as it is.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same_origin = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    let same_request = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if same_origin && same_request && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// The start of the body, as far as it comes soon.
async fn error_text(mut body: Body) -> String {
    let mut text = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                let room = MAX_ERROR_BYTES - text.len();
                text.extend_from_slice(&data[..data.len().min(room)]);
                if text.len() == MAX_ERROR_BYTES {
                    break;
                }
            }
        }
    };
    // What came in time is better than nothing.
    let _ = timeout(MAX_ERROR_WAIT, read).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// `HTTP <status>: <text>`, JSON written compactly.
fn http_error(status: StatusCode, content_type: &str, text: String) -> String {
    let is_json = content_type.to_ascii_lowercase().contains("application/json");
    let text = match serde_json::from_str::<Value>(&text) {
        Ok(Value::String(inner)) if is_json => inner,
        Ok(json) if is_json => json.to_string(),
        _ if text.is_empty() && status.is_redirection() => "the agent redirects elsewhere".to_owned(),
        _ => text,
    };
    format!("HTTP {}: {text}", status.as_u16())
}

impl fmt::Debug for HttpAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query and the user part may hold secrets.
        let address = format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
        f.debug_struct("HttpAgent")
            .field("url", &address)
            .field("headers", &self.headers)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod upstream;
