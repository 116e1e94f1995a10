//! Cross-origin headers (rest-sse.md chapter 5). Written by hand because clients compare them header for
//! header, and no library answers every `OPTIONS` as a preflight with exactly these.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::body::{Body, Response};

/// Which origins may use the runtime from a browser, and what they may send and read.
///
/// With CORS configured every `OPTIONS` request is answered as a preflight, whatever its path, before any
/// hook runs; every other response gets the headers last.
///
/// Names that cannot stand in a header (line breaks, for example) are left out, with a warning in the log.
///
/// ```
/// use std::time::Duration;
/// use copilotkit_runtime::http::Cors;
///
/// let cors = Cors::any()
///     .origins(["https://app.example.com", "https://admin.example.com"])
///     .credentials(true)
///     .max_age(Duration::from_secs(600));
/// ```
#[derive(Clone, Debug)]
pub struct Cors {
    origin: AllowOrigin,
    credentials: bool,
    /// Whether credentials and every origin may go together.
    is_forced: bool,
    methods: HeaderValue,
    headers: HeaderValue,
    expose: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// Why a service does not take settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CorsError {
    /// Every page anybody visits could use the runtime as they, and read the answers.
    #[error(
        "credentials for every origin would let any page of the web use the runtime as whoever visits it: name the \
         origins, or say `dangerously_allow_credentials_from_any_origin`"
    )]
    CredentialsFromAnyOrigin,
}

type OriginFn = dyn Fn(&str) -> Option<String> + Send + Sync;

#[derive(Clone)]
enum AllowOrigin {
    Any,
    /// Sent whatever the request's origin is. `None` once the configured text was no header value: nobody.
    Fixed(Option<HeaderValue>),
    Listed(Arc<[String]>),
    Asked(Arc<OriginFn>),
}

const ANY: HeaderValue = HeaderValue::from_static("*");

impl Default for Cors {
    fn default() -> Cors {
        Cors::any()
    }
}

impl Cors {
    /// Every origin, without credentials: `Access-Control-Allow-Origin: *`.
    #[must_use]
    pub fn any() -> Cors {
        Cors {
            origin: AllowOrigin::Any,
            credentials: false,
            is_forced: false,
            methods: HeaderValue::from_static("GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS"),
            headers: ANY,
            expose: None,
            max_age: None,
        }
    }

    /// One origin, named in every response whoever asks. `*` or an empty text is every origin.
    #[must_use]
    pub fn origin(mut self, origin: impl AsRef<str>) -> Cors {
        let origin = origin.as_ref();
        self.origin = match origin {
            "" | "*" => AllowOrigin::Any,
            _ => AllowOrigin::Fixed(header_value(origin)),
        };
        self
    }

    /// These origins and no other; each is compared as it stands.
    #[must_use]
    pub fn origins<I>(mut self, origins: I) -> Cors
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.origin = AllowOrigin::Listed(origins.into_iter().map(Into::into).collect());
        self
    }

    /// Asks for each request's origin which one to allow. Requests without an origin are not asked about and
    /// get no headers. With credentials, the answer `*` allows nobody.
    #[must_use]
    pub fn origin_fn<F>(mut self, allowed: F) -> Cors
    where
        F: Fn(&str) -> Option<String> + Send + Sync + 'static,
    {
        self.origin = AllowOrigin::Asked(Arc::new(allowed));
        self
    }

    /// Lets browsers send cookies and other credentials, from origins that are named: a service takes them for every
    /// origin only with [`Cors::dangerously_allow_credentials_from_any_origin`].
    #[must_use]
    pub fn credentials(mut self, allowed: bool) -> Cors {
        self.credentials = allowed;
        self
    }

    /// Lets every page of the web use the runtime with the cookies of whoever visits it, and read the answers. Instead
    /// of `*`, which browsers would refuse, the request's own origin is named. Only for a runtime that whoever reaches
    /// it may use anyway.
    #[must_use]
    pub fn dangerously_allow_credentials_from_any_origin(mut self) -> Cors {
        self.credentials = true;
        self.is_forced = true;
        self
    }

    /// Whether the settings are ones a service takes.
    pub(super) fn check(&self) -> Result<(), CorsError> {
        match self.origin {
            AllowOrigin::Any if self.credentials && !self.is_forced => Err(CorsError::CredentialsFromAnyOrigin),
            _ => Ok(()),
        }
    }

    /// The methods a preflight names. Default: every one the runtime answers, and a few more.
    #[must_use]
    pub fn allow_methods<I>(mut self, methods: I) -> Cors
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.methods = list(methods);
        self
    }

    /// The request headers a preflight names. Default: `*`, which covers everything but `authorization`.
    #[must_use]
    pub fn allow_headers<I>(mut self, headers: I) -> Cors
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        self.headers = list(headers);
        self
    }

    /// The response headers scripts may read. Default: none but those browsers always show.
    #[must_use]
    pub fn expose_headers<I>(mut self, headers: I) -> Cors
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let joined = list(headers);
        self.expose = (!joined.is_empty()).then_some(joined);
        self
    }

    /// How long browsers may remember a preflight, in whole seconds. Default: not said.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Cors {
        self.max_age = Some(HeaderValue::from(age.as_secs()));
        self
    }

    /// The answer to an `OPTIONS` request.
    pub(super) fn preflight(&self, origin: Option<&str>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.apply(origin, headers);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        if let Some(age) = &self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, age.clone());
        }
        // Also for an origin that is refused: caches must not serve one preflight to another.
        vary_on(headers, "Access-Control-Request-Headers");
        vary_on(headers, "Access-Control-Request-Method");
        response
    }

    /// Adds the headers of an ordinary response to a request of this origin.
    pub(super) fn apply(&self, origin: Option<&str>, headers: &mut HeaderMap) {
        let Some(allowed) = self.allowed(origin.filter(|origin| !origin.is_empty())) else { return };
        let names_origin = allowed != ANY;
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        if names_origin {
            vary_on(headers, "Origin");
        }
    }

    fn allowed(&self, origin: Option<&str>) -> Option<HeaderValue> {
        let allowed = match &self.origin {
            AllowOrigin::Any => ANY,
            AllowOrigin::Fixed(fixed) => fixed.clone()?,
            AllowOrigin::Listed(listed) => {
                let origin = origin?;
                listed.iter().any(|one| one == origin).then(|| header_value(origin))??
            }
            AllowOrigin::Asked(ask) => {
                let answer = ask(origin?).filter(|answer| !answer.is_empty())?;
                header_value(&answer)?
            }
        };
        match self.credentials && allowed == ANY {
            // Browsers refuse `*` with credentials; without an origin there is nothing to name instead.
            true if self.is_forced => header_value(origin?),
            true => None,
            false => Some(allowed),
        }
    }
}

/// Adds a name to `Vary`, in one line with what is there.
fn vary_on(headers: &mut HeaderMap, name: &str) {
    let mut names: Vec<&[u8]> = headers.get_all(VARY).iter().map(HeaderValue::as_bytes).collect();
    let said = names.iter().flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if said.into_iter().any(|one| one == b"*" || one.eq_ignore_ascii_case(name.as_bytes())) {
        return;
    }
    names.push(name.as_bytes());
    if let Ok(joined) = HeaderValue::from_bytes(&names.join(&b", "[..])) {
        headers.insert(VARY, joined);
    }
}

fn list<I>(names: I) -> HeaderValue
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut joined = Vec::new();
    for name in names {
        let Some(name) = header_value(name.as_ref()) else { continue };
        if !joined.is_empty() {
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(name.as_bytes());
    }
    HeaderValue::from_bytes(&joined).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn header_value(text: &str) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(text).ok();
    if value.is_none() {
        tracing::warn!(?text, "A CORS setting is no header value and is left out");
    }
    value
}

impl fmt::Debug for AllowOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AllowOrigin::Any => f.write_str("Any"),
            AllowOrigin::Fixed(origin) => f.debug_tuple("Fixed").field(origin).finish(),
            AllowOrigin::Listed(origins) => f.debug_tuple("Listed").field(origins).finish(),
            AllowOrigin::Asked(_) => f.write_str("Asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: Option<&str> = Some("https://app.example.com");

    /// All headers as `name: value` lines, sorted.
    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    fn applied(cors: &Cors, origin: Option<&str>) -> Vec<String> {
        let mut headers = HeaderMap::new();
        cors.apply(origin, &mut headers);
        lines(&headers)
    }

    fn preflight(cors: &Cors, origin: Option<&str>) -> Vec<String> {
        let response = cors.preflight(origin);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        lines(response.headers())
    }

    const METHODS: &str = "access-control-allow-methods: GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS";
    const REQUESTED: &str = "Access-Control-Request-Headers, Access-Control-Request-Method";

    #[test]
    fn any_origin_is_a_star_with_or_without_an_origin() {
        for origin in [APP, None] {
            assert_eq!(applied(&Cors::any(), origin), ["access-control-allow-origin: *"]);
            assert_eq!(
                preflight(&Cors::any(), origin),
                [
                    "access-control-allow-headers: *",
                    METHODS,
                    "access-control-allow-origin: *",
                    &format!("vary: {REQUESTED}"),
                ]
            );
        }
        assert_eq!(applied(&Cors::any().origin("*"), APP), ["access-control-allow-origin: *"]);
    }

    #[test]
    fn one_origin_is_sent_whoever_asks() {
        let cors = Cors::any().origin("https://other.example.com");
        let wanted = ["access-control-allow-origin: https://other.example.com", "vary: Origin"];
        assert_eq!(applied(&cors, APP), wanted);
        assert_eq!(applied(&cors, None), wanted);
    }

    #[test]
    fn listed_and_asked_origins_are_named_and_others_get_nothing() {
        let listed = Cors::any().origins(["https://a.example.com", "https://app.example.com"]);
        let asked = Cors::any().origin_fn(|o| o.ends_with(".example.com").then(|| o.to_owned()));
        for cors in [listed, asked] {
            let wanted = ["access-control-allow-origin: https://app.example.com", "vary: Origin"];
            assert_eq!(applied(&cors, APP), wanted);
            assert!(applied(&cors, Some("https://evil.test")).is_empty());
            assert!(applied(&cors, None).is_empty());
        }
    }

    #[test]
    fn refused_preflight_still_names_methods_headers_and_vary() {
        let cors = Cors::any().origins(["https://a.example.com"]);
        let wanted = ["access-control-allow-headers: *", METHODS, &format!("vary: {REQUESTED}")];
        assert_eq!(preflight(&cors, Some("https://evil.test")), wanted);
    }

    #[test]
    fn credentials_turn_the_star_into_the_origin_or_nothing() {
        let cors = Cors::any().dangerously_allow_credentials_from_any_origin();
        let wanted = [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://app.example.com",
            "vary: Origin",
        ];
        assert_eq!(applied(&cors, APP), wanted);
        assert!(applied(&cors, None).is_empty());
        let star = Cors::any().origin_fn(|_| Some("*".into()));
        assert_eq!(applied(&star.clone().dangerously_allow_credentials_from_any_origin(), APP), wanted);
        assert!(applied(&star.credentials(true), APP).is_empty());
    }

    #[test]
    fn credentials_for_every_origin_must_be_forced() {
        for any in [Cors::any(), Cors::any().origin("*"), Cors::any().origin("")] {
            assert_eq!(any.check(), Ok(()));
            let any = any.credentials(true);
            assert_eq!(any.check(), Err(CorsError::CredentialsFromAnyOrigin));
            assert!(applied(&any, APP).is_empty(), "and nothing is reflected");
            assert_eq!(any.clone().origins(["https://app.example.com"]).check(), Ok(()));
            assert_eq!(any.dangerously_allow_credentials_from_any_origin().check(), Ok(()));
        }
    }

    #[test]
    fn preflight_with_credentials_varies_on_origin_first() {
        let cors = Cors::any().origin("https://app.example.com").credentials(true);
        assert_eq!(
            preflight(&cors, APP),
            [
                "access-control-allow-credentials: true",
                "access-control-allow-headers: *",
                METHODS,
                "access-control-allow-origin: https://app.example.com",
                &format!("vary: Origin, {REQUESTED}"),
            ]
        );
    }

    #[test]
    fn configured_lists_and_age_are_sent() {
        let cors = Cors::any()
            .allow_methods(["GET", "POST"])
            .allow_headers(["Content-Type", "X-Y"])
            .expose_headers(["X-A", "X-B"])
            .max_age(Duration::from_secs(600));
        assert_eq!(
            preflight(&cors, APP),
            [
                "access-control-allow-headers: Content-Type, X-Y",
                "access-control-allow-methods: GET, POST",
                "access-control-allow-origin: *",
                "access-control-expose-headers: X-A, X-B",
                "access-control-max-age: 600",
                &format!("vary: {REQUESTED}"),
            ]
        );
    }

    #[test]
    fn vary_of_the_response_is_kept_and_said_once() {
        let cors = Cors::any().origin("https://app.example.com");
        for (before, after) in [("Accept", "Accept, Origin"), ("accept, origin", "accept, origin"), ("*", "*")] {
            let mut headers = HeaderMap::new();
            headers.insert(VARY, HeaderValue::from_static(before));
            cors.apply(APP, &mut headers);
            assert_eq!(headers[VARY], after);
        }
    }

    #[test]
    fn settings_that_are_no_header_values_are_left_out() {
        assert!(applied(&Cors::any().origin("https://a\r\nx: y"), APP).is_empty());
        assert!(applied(&Cors::any().origin_fn(|_| Some("a\nb".into())), APP).is_empty());
        let cors = Cors::any().allow_headers(["a\nb", "x-y"]).expose_headers(["\0"]);
        assert!(preflight(&cors, APP).contains(&"access-control-allow-headers: x-y".to_owned()));
        assert!(applied(&cors.credentials(true), Some("a\tb\n")).is_empty());
    }
}
