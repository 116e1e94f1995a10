//! Single-route mode: one JSON envelope instead of paths and methods (rest-sse.md chapter 10). Pure.

use bytes::Bytes;
use http::{Method, StatusCode};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::fields::{self, NotJson};
use super::route::Route;

/// What a client is told whose envelope reaches a multi-route mount (chapter 2).
pub(super) const ENVELOPE_ON_MULTI_ROUTE: &str = "Received a single-route request envelope ({ method: \"...\" }) \
    but this runtime is mounted in multi-route mode, so the request matched no route. Either drop \
    useSingleEndpoint from the frontend provider so it negotiates the transport, or mount the runtime with \
    mode: \"single-route\" to serve this envelope.";

const METHODS: &[&str] = &[
    "agent/run",
    "agent/suggest",
    "agent/connect",
    "agent/stop",
    "info",
    "inspector/metadata",
    "inspector/learning",
    "transcribe",
    "resource/request",
];

/// The parameters of `inspector/learning`, in the order of its query.
const LEARNING_PARAMS: [&str; 3] = ["agentId", "skillsPage", "insightsPage"];

/// A request out of its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) target: Target,
    body: InnerBody,
}

/// What an envelope asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A route by its name. `query` holds parameters that are query parameters in multi-route mode.
    Route { route: Route, query: Option<String> },
    /// A path below the mounted one, still to be routed: only what [`allowed_resource`] allows passes. Dot
    /// segments are resolved and unusual characters escaped, so it appends to any mounted path as it is.
    Resource { path: String, query: Option<String>, method: Method },
}

/// The body inside an envelope. JSON text stays as it was written; of a string, what it says is the body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum InnerBody {
    Absent,
    Null,
    Text(Bytes),
}

/// Why an envelope is refused; the text is the answer's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvelopeError {
    #[error("Single-route endpoint expects JSON payloads")]
    NotJsonType,
    #[error("Invalid JSON payload")]
    InvalidJson,
    #[error("Missing method field")]
    MissingMethod,
    #[error("Unsupported method '{0}'")]
    UnsupportedMethod(String),
    #[error("Missing or invalid parameter '{0}'")]
    Parameter(&'static str),
    #[error("Resource path must be Runtime-relative")]
    ResourcePath,
    #[error("Missing request body for JSON handler")]
    MissingBody,
}

impl EnvelopeError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            EnvelopeError::NotJsonType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Opens an envelope. The order of checks is the contract's.
pub(super) fn parse_envelope(content_type: Option<&str>, body: &Bytes) -> Result<Envelope, EnvelopeError> {
    if !is_json(content_type) {
        return Err(EnvelopeError::NotJsonType);
    }
    let text = fields::text(body);
    // Upstream takes `null` for an envelope and fails on it with 500 (chapter 14, row 23).
    if text.trim() == "null" {
        return Err(EnvelopeError::InvalidJson);
    }
    let [method, params, inner] =
        fields::read(&text, ["method", "params", "body"]).map_err(|NotJson| EnvelopeError::InvalidJson)?;
    let method = known_method(method)?;
    let target = target(method, Params(params))?;
    let body = match inner {
        None => InnerBody::Absent,
        Some("null") => InnerBody::Null,
        Some(json) => InnerBody::Text(match fields::string(json) {
            Some(said) => Bytes::copy_from_slice(said.as_bytes()),
            None => fields::share(body, json),
        }),
    };
    Ok(Envelope { target, body })
}

/// Whether the body of a POST is a single-route envelope with a method there is.
pub(super) fn is_envelope(content_type: Option<&str>, body: &[u8]) -> bool {
    is_json(content_type)
        && fields::read(&fields::text(body), ["method"])
            .is_ok_and(|[method]| method.is_some() && known_method(method).is_ok())
}

/// Whether `resource/request` may reach a route: threads, memories where they are exposed, and annotate.
pub(super) fn allowed_resource(route: &Route, memories_exposed: bool) -> bool {
    match route {
        Route::ThreadsList
        | Route::ThreadsSubscribe
        | Route::ThreadsClear
        | Route::ThreadUpdate { .. }
        | Route::ThreadArchive { .. }
        | Route::ThreadMessages { .. }
        | Route::ThreadEvents { .. }
        | Route::ThreadState { .. }
        | Route::Annotate => true,
        Route::MemoriesList | Route::MemoriesRecall | Route::MemoriesSubscribe | Route::MemoryMutate { .. } => {
            memories_exposed
        }
        _ => false,
    }
}

impl Envelope {
    /// The body the handler is to read. Asked for after `on_before_handler`, which a missing body does not
    /// keep from running.
    ///
    /// # Errors
    /// [`EnvelopeError::MissingBody`] for a method that needs one; a stop needs none, but `null` is none either.
    pub(super) fn body(&self) -> Result<Bytes, EnvelopeError> {
        match (&self.target, &self.body) {
            (Target::Resource { method, .. }, _) if *method == Method::GET || *method == Method::HEAD => {
                Ok(Bytes::new())
            }
            (Target::Resource { .. }, InnerBody::Absent | InnerBody::Null) => Ok(Bytes::new()),
            (Target::Resource { .. }, InnerBody::Text(text)) => Ok(text.clone()),
            (Target::Route { route, .. }, body) => match (route, body) {
                (Route::Info | Route::InspectorMetadata | Route::InspectorLearning, _) => Ok(Bytes::new()),
                (_, InnerBody::Text(text)) => Ok(text.clone()),
                (Route::AgentStop { .. }, InnerBody::Absent) => Ok(Bytes::from_static(b"{}")),
                _ => Err(EnvelopeError::MissingBody),
            },
        }
    }
}

fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|content_type| content_type.contains("application/json"))
}

/// The method's name, from its JSON. What JavaScript takes for false is missing.
fn known_method(json: Option<&str>) -> Result<&'static str, EnvelopeError> {
    let json = json.ok_or(EnvelopeError::MissingMethod)?;
    let zero = json.parse::<f64>().is_ok_and(|number| number == 0.0);
    if zero || matches!(json, "null" | "false" | "\"\"") {
        return Err(EnvelopeError::MissingMethod);
    }
    let named = match fields::string(json) {
        Some(named) => named,
        None if json.starts_with('{') => "[object Object]".into(),
        None => json.into(),
    };
    let known = METHODS.iter().find(|method| !json.starts_with('[') && **method == named);
    known.copied().ok_or_else(|| EnvelopeError::UnsupportedMethod(named.into_owned()))
}

fn target(method: &'static str, params: Params<'_>) -> Result<Target, EnvelopeError> {
    let route = match method {
        "agent/run" => Route::AgentRun { agent_id: params.string("agentId")? },
        "agent/suggest" => Route::AgentSuggest { agent_id: params.string("agentId")? },
        "agent/connect" => Route::AgentConnect { agent_id: params.string("agentId")? },
        "agent/stop" => Route::AgentStop { agent_id: params.string("agentId")?, thread_id: params.string("threadId")? },
        "info" => Route::Info,
        "inspector/metadata" => Route::InspectorMetadata,
        "inspector/learning" => {
            return Ok(Target::Route { route: Route::InspectorLearning, query: params.learning_query() });
        }
        "transcribe" => Route::Transcribe,
        // `known_method` lets nothing else through.
        _ => return resource(&params.string("path")?, &params.string("httpMethod")?),
    };
    Ok(Target::Route { route, query: None })
}

/// The target of `resource/request`. The path is read as a URL parser does, so that nothing a later parser
/// would take for another host, or for a step out of the mounted path, gets past.
fn resource(path: &str, method: &str) -> Result<Target, EnvelopeError> {
    const BASE: &str = "http://copilotkit.resource";
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(EnvelopeError::ResourcePath);
    }
    let base = Url::parse(BASE).map_err(|_| EnvelopeError::ResourcePath)?;
    let url = base.join(path).map_err(|_| EnvelopeError::ResourcePath)?;
    if url.origin() != base.origin() {
        return Err(EnvelopeError::ResourcePath);
    }
    // Upstream fails with 500 on a method that is no token.
    let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
        .map_err(|_| EnvelopeError::Parameter("httpMethod"))?;
    let query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
    Ok(Target::Resource { path: url.path().to_owned(), query, method })
}

/// The envelope's `params`, as JSON text.
#[derive(Clone, Copy)]
struct Params<'t>(Option<&'t str>);

impl Params<'_> {
    fn string(self, name: &'static str) -> Result<String, EnvelopeError> {
        self.0
            .and_then(|params| fields::read(params, [name]).ok())
            .and_then(|[value]| fields::string(value?))
            .filter(|value| !value.trim().is_empty())
            .map(std::borrow::Cow::into_owned)
            .ok_or(EnvelopeError::Parameter(name))
    }

    fn learning_query(self) -> Option<String> {
        let values = fields::read(self.0?, LEARNING_PARAMS).ok()?;
        let pairs: Vec<String> = LEARNING_PARAMS
            .iter()
            .zip(values)
            .filter_map(|(name, json)| {
                let json = json?;
                let number = json.parse::<f64>().is_ok().then_some(json.into());
                let value = fields::string(json).or(number)?;
                Some(format!("{name}={}", byte_serialize(value.as_bytes()).collect::<String>()))
            })
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

#[cfg(test)]
#[path = "single_route_tests.rs"]
mod tests;
