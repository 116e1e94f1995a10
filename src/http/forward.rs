//! Which headers of a request an agent gets to see (rest-sse.md chapter 7).

use std::collections::{HashMap, HashSet};

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::trace;

/// Which inbound headers go on to agents. By default `authorization` and `x-*`, without those that proxies
/// and hosting platforms add. `traceparent` and `tracestate` go on as well, whatever is allowed, unless they are denied.
///
/// Names are compared without case; blank entries are ignored.
///
/// ```
/// use copilotkit_runtime::http::ForwardPolicy;
///
/// // Cookies and nothing else; the built-in deny list does not apply to what is named here.
/// let cookies = ForwardPolicy::new().allow(["cookie"]);
/// // The default without one more family of headers.
/// let fewer = ForwardPolicy::new().deny_prefixes(["x-internal-"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardPolicy {
    allow: Vec<String>,
    deny: Vec<String>,
    deny_prefixes: Vec<String>,
    use_default_denylist: bool,
    /// Whether nothing is forwarded but what is allowed.
    is_closed: bool,
}

/// What infrastructure stamps on requests: it would tell agents about the network, or hand them a platform's key.
const DENIED: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "x-amzn-trace-id",
    "x-amz-cf-id",
    "x-cloud-trace-context",
    "x-cache",
    "x-served-by",
    "x-request-id",
    "x-copilotcloud-public-api-key",
];

const DENIED_PREFIXES: &[&str] = &["x-amz-", "x-azure-", "x-fastly-", "x-vercel-", "x-middleware-", "x-copilotcloud-"];

impl Default for ForwardPolicy {
    fn default() -> ForwardPolicy {
        ForwardPolicy {
            allow: Vec::new(),
            deny: Vec::new(),
            deny_prefixes: Vec::new(),
            use_default_denylist: true,
            is_closed: false,
        }
    }
}

impl ForwardPolicy {
    /// The default policy.
    #[must_use]
    pub fn new() -> ForwardPolicy {
        ForwardPolicy::default()
    }

    /// Forwards nothing at all.
    ///
    /// ```
    /// use copilotkit_runtime::http::ForwardPolicy;
    ///
    /// // One header, and no other.
    /// let tenant = ForwardPolicy::nothing().allow(["x-tenant"]);
    /// ```
    #[must_use]
    pub fn nothing() -> ForwardPolicy {
        ForwardPolicy { is_closed: true, ..ForwardPolicy::default() }
    }

    /// Forwards these headers and no others. Takes the built-in deny list out of play, since what is named
    /// here is wanted; [`ForwardPolicy::deny`] still applies.
    #[must_use]
    pub fn allow<I>(mut self, names: I) -> ForwardPolicy
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.allow.extend(names.into_iter().map(Into::into));
        self
    }

    /// Never forwards these headers.
    #[must_use]
    pub fn deny<I>(mut self, names: I) -> ForwardPolicy
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.deny.extend(names.into_iter().map(Into::into));
        self
    }

    /// Never forwards headers that start so.
    #[must_use]
    pub fn deny_prefixes<I>(mut self, prefixes: I) -> ForwardPolicy
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.deny_prefixes.extend(prefixes.into_iter().map(Into::into));
        self
    }

    /// Whether the built-in deny list applies. Default: yes.
    #[must_use]
    pub fn use_default_denylist(mut self, on: bool) -> ForwardPolicy {
        self.use_default_denylist = on;
        self
    }

    /// Reads the lists once, for all requests to come.
    pub(super) fn resolve(&self) -> Resolved {
        let tidy = |names: &[String]| -> Vec<String> {
            // A blank prefix would match, and so deny, everything.
            names.iter().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect()
        };
        let allow: HashSet<String> = tidy(&self.allow).into_iter().collect();
        Resolved {
            allow: (self.is_closed || !allow.is_empty()).then_some(allow),
            deny: tidy(&self.deny).into_iter().collect(),
            deny_prefixes: tidy(&self.deny_prefixes),
            use_default_denylist: self.use_default_denylist,
        }
    }
}

/// The policies of a service.
#[derive(Clone, Debug)]
pub(super) struct Forwarding {
    /// For every agent without one of its own.
    pub(super) all: Resolved,
    /// For single agents.
    pub(super) of: HashMap<String, Resolved>,
}

impl Default for Forwarding {
    fn default() -> Forwarding {
        Forwarding { all: ForwardPolicy::default().resolve(), of: HashMap::new() }
    }
}

impl Forwarding {
    /// The policy of an agent.
    pub(super) fn to(&self, agent_id: &str) -> &Resolved {
        self.of.get(agent_id).unwrap_or(&self.all)
    }
}

/// A [`ForwardPolicy`] ready for use.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    allow: Option<HashSet<String>>,
    deny: HashSet<String>,
    deny_prefixes: Vec<String>,
    use_default_denylist: bool,
}

impl Resolved {
    /// The headers to forward, in lower case. A header that came several times is one, its values joined by
    /// `, ` as the Fetch standard does.
    pub(super) fn forwarded(&self, inbound: &HeaderMap) -> HeaderMap {
        let mut forwarded = HeaderMap::new();
        for name in inbound.keys().filter(|name| self.passes(name)) {
            let mut values = inbound.get_all(name).iter();
            let (Some(first), second) = (values.next(), values.next()) else { continue };
            let value = match second {
                None => first.clone(),
                Some(second) => {
                    let all: Vec<&[u8]> =
                        [first, second].into_iter().chain(values).map(HeaderValue::as_bytes).collect();
                    // Joining values that were valid by a comma gives a valid one.
                    let Ok(joined) = HeaderValue::from_bytes(&all.join(&b", "[..])) else { continue };
                    joined
                }
            };
            forwarded.insert(name.clone(), value);
        }
        self.add_trace(inbound, &mut forwarded);
        forwarded
    }

    /// The trace the request belongs to goes on, whatever else does, unless that is denied.
    fn add_trace(&self, inbound: &HeaderMap, forwarded: &mut HeaderMap) {
        let parent = trace::parent(inbound).filter(|_| !self.denies(trace::TRACEPARENT.as_str()));
        forwarded.remove(trace::TRACEPARENT);
        let Some(parent) = parent else { return drop(forwarded.remove(trace::TRACESTATE)) };
        forwarded.insert(trace::TRACEPARENT, parent.clone());
        if !self.denies(trace::TRACESTATE.as_str()) && !forwarded.contains_key(trace::TRACESTATE) {
            forwarded.extend(inbound.get_all(trace::TRACESTATE).iter().map(|state| (trace::TRACESTATE, state.clone())));
        }
    }

    fn denies(&self, name: &str) -> bool {
        self.deny.contains(name) || self.deny_prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    fn passes(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        if self.denies(text) {
            return false;
        }
        if let Some(allow) = &self.allow {
            return allow.contains(text);
        }
        let eligible = name == AUTHORIZATION || text.starts_with("x-");
        eligible && !(self.use_default_denylist && is_denied_by_default(text))
    }
}

fn is_denied_by_default(name: &str) -> bool {
    DENIED.contains(&name) || DENIED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The inbound headers of the recorded cases.
    const INBOUND: &[(&str, &str)] = &[
        ("authorization", "Bearer user"),
        ("cookie", "a=b"),
        ("x-custom", "1"),
        ("x-api-key", "k"),
        ("x-request-id", "rid"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-prefix", "/p"),
        ("x-real-ip", "9.9.9.9"),
        ("x-vercel-id", "v"),
        ("x-amz-date", "d"),
        ("x-amzn-trace-id", "t"),
        ("x-copilotcloud-public-api-key", "ck"),
        ("x-copilotkit-foo", "cf"),
        ("x-middleware-next", "1"),
        ("content-language", "en"),
        ("traceparent", "00-1-2-01"),
        ("x-static", "inbound"),
        ("content-type", "application/json"),
    ];

    fn forwarded(policy: &ForwardPolicy) -> Vec<String> {
        let inbound: HeaderMap = INBOUND
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let mut names: Vec<String> = policy.resolve().forwarded(&inbound).keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn default_is_authorization_and_x_without_infrastructure() {
        assert_eq!(
            forwarded(&ForwardPolicy::new()),
            ["authorization", "x-api-key", "x-copilotkit-foo", "x-custom", "x-forwarded-prefix", "x-static"]
        );
    }

    #[test]
    fn without_the_built_in_list_every_x_header_passes() {
        let names = forwarded(&ForwardPolicy::new().use_default_denylist(false));
        assert_eq!(names.len(), 14);
        assert!(names.iter().all(|name| name == "authorization" || name.starts_with("x-")), "{names:?}");
    }

    #[test]
    fn allow_bypasses_the_built_in_list_but_not_own_deny() {
        let policy = ForwardPolicy::new().allow(["cookie", " X-Request-ID ", "x-custom"]).deny(["x-custom"]);
        assert_eq!(forwarded(&policy), ["cookie", "x-request-id"]);
        assert_eq!(forwarded(&policy.deny_prefixes(["COOK"])), ["x-request-id"]);
    }

    #[test]
    fn blank_entries_mean_nothing() {
        let policy = ForwardPolicy::new().allow(["", " "]).deny([" "]).deny_prefixes([""]);
        assert_eq!(forwarded(&policy), forwarded(&ForwardPolicy::new()));
    }

    #[test]
    fn own_deny_lists_extend_the_built_in_one() {
        let policy = ForwardPolicy::new().deny(["Authorization"]).deny_prefixes(["x-c"]);
        assert_eq!(forwarded(&policy), ["x-api-key", "x-forwarded-prefix", "x-static"]);
    }

    #[test]
    fn the_trace_goes_on_unless_it_is_denied() {
        let inbound: HeaderMap = [
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let cookies = ForwardPolicy::new().allow(["cookie"]);
        for policy in [ForwardPolicy::new(), cookies.clone()] {
            let forwarded = policy.resolve().forwarded(&inbound);
            assert_eq!(forwarded["traceparent"], inbound["traceparent"]);
            assert_eq!(forwarded.get_all("tracestate").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
        }
        let denied = |name| cookies.clone().deny([name]).resolve().forwarded(&inbound);
        assert!(denied("Traceparent").is_empty());
        assert!(denied("tracestate").contains_key("traceparent") && !denied("tracestate").contains_key("tracestate"));
        assert!(cookies.deny_prefixes(["trace"]).resolve().forwarded(&inbound).is_empty());
    }

    #[test]
    fn repeated_headers_are_joined() {
        let mut inbound = HeaderMap::new();
        for value in ["a", "b", "c"] {
            inbound.append("x-many", HeaderValue::from_static(value));
        }
        assert_eq!(ForwardPolicy::new().resolve().forwarded(&inbound)["x-many"], "a, b, c");
    }
}
