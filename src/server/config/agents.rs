//! The agents: `[agents.NAME]` in the file, `NAME=URL` outside it.

use std::time::Duration;

use http::HeaderName;

use super::super::file::Raw;
use super::checks::{is_header_value, is_http_url, not_zero, not_zero_time};
use super::credentials::{Texts, is_user_id};
use super::{Bytes, ForwardHeaders, Place, Problem, Reader, Secret, Section, Setting};
use crate::Allow;

/// One agent.
#[derive(Debug, PartialEq)]
pub(in crate::server) struct AgentSettings {
    pub(in crate::server) name: String,
    pub(in crate::server) description: Option<String>,
    pub(in crate::server) forward: Forward,
    /// For whom it is; `None` is for everybody.
    pub(in crate::server) allow: Option<Allow>,
    pub(in crate::server) kind: Kind,
}

/// Which headers of a request an agent gets to see.
#[derive(Debug, PartialEq)]
pub(in crate::server) enum Forward {
    /// Those the policy for all lets through.
    AsAll,
    Nothing,
    /// Those a policy of its own lets through.
    Own(ForwardHeaders),
}

#[derive(Debug, PartialEq)]
pub(in crate::server) enum Kind {
    /// The agent that needs nothing.
    Demo {
        /// The time a word takes.
        pace: Duration,
    },
    /// A remote AG-UI server.
    Http {
        url: Secret,
        headers: Vec<(String, Secret)>,
        connect_timeout: Duration,
        first_event_timeout: Option<Duration>,
        idle_timeout: Duration,
        total_timeout: Option<Duration>,
        max_event_bytes: usize,
    },
}

/// The keys that only a remote agent has.
const OF_HTTP: &[&str] =
    &["url", "headers", "connect_timeout", "first_event_timeout", "idle_timeout", "total_timeout", "max_event_bytes"];

impl AgentSettings {
    fn new(name: impl Into<String>, kind: Kind) -> AgentSettings {
        AgentSettings { name: name.into(), description: None, forward: Forward::AsAll, allow: None, kind }
    }

    fn demo(name: impl Into<String>) -> AgentSettings {
        AgentSettings::new(name, Kind::Demo { pace: PACE })
    }
}

const PACE: Duration = Duration::from_millis(20);

pub(super) fn read(reader: &Reader, users_are_wanted: bool) -> Vec<AgentSettings> {
    let mut section = reader.section("agents");
    let named = section.named_sections();
    section.finish();
    let in_file = !named.is_empty();
    let mut agents: Vec<AgentSettings> =
        named.into_iter().filter_map(|(name, section)| agent(name, section, users_are_wanted)).collect();
    let mut wrong_outside = false;
    if let Some((list, place)) = reader.outside("agents") {
        for text in list.split_whitespace() {
            match outside(text) {
                Ok(given) => {
                    agents.retain(|agent| agent.name != given.name);
                    agents.push(given);
                }
                Err(reason) => {
                    wrong_outside = true;
                    reader.report(Problem::new(place.clone(), "", reason));
                }
            }
        }
    }
    if agents.is_empty() && !in_file && !wrong_outside {
        agents.push(AgentSettings::demo("default"));
    }
    agents
}

/// `NAME=URL`, `NAME=demo`, or a URL alone for `default`.
fn outside(text: &str) -> Result<AgentSettings, String> {
    let (name, target) = match text.split_once('=') {
        Some((name, target)) if !name.contains("://") => (name, target),
        _ => ("default", text),
    };
    if name.is_empty() {
        return Err("expected NAME=URL, found no name".to_owned());
    }
    if target == "demo" {
        return Ok(AgentSettings::demo(name));
    }
    is_http_url(target).map_err(|reason| format!("agent `{name}`: {reason}; write NAME=URL"))?;
    let kind = Kind::Http {
        url: Secret(target.to_owned()),
        headers: Vec::new(),
        connect_timeout: CONNECT_TIMEOUT,
        first_event_timeout: None,
        idle_timeout: IDLE_TIMEOUT,
        total_timeout: None,
        max_event_bytes: MAX_EVENT_BYTES,
    };
    Ok(AgentSettings::new(name, kind))
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_EVENT_BYTES: usize = 32 << 20;

fn agent(name: String, mut section: Section<'_>, users_are_wanted: bool) -> Option<AgentSettings> {
    if name.is_empty() {
        section.report(section.place(), "", "an agent must have a name");
    }
    let description = section.get("description");
    let forward = forward(&mut section);
    let allow = allow(&mut section, users_are_wanted);
    let is_demo = section.get::<AgentKind>("kind").unwrap_or(AgentKind::Http) == AgentKind::Demo;
    let pace = section.get_placed("pace");
    let url = section.get_placed::<Secret>("url");
    let bounds = Bounds {
        connect: section.get_placed("connect_timeout"),
        first_event: section.get_placed("first_event_timeout"),
        idle: section.get_placed("idle_timeout"),
        total: section.get_placed("total_timeout"),
        event_bytes: section.get_placed("max_event_bytes"),
    };
    let mut headers_section = section.section("headers");
    let headers_place = headers_section.is_present().then(|| headers_section.place());
    let headers = headers(&mut headers_section);
    headers_section.finish();

    let kind = if is_demo {
        let given = [
            url.map(|(_, place)| place),
            headers_place,
            bounds.connect.map(|(_, place)| place),
            bounds.first_event.map(|(_, place)| place),
            bounds.idle.map(|(_, place)| place),
            bounds.total.map(|(_, place)| place),
            bounds.event_bytes.map(|(_, place)| place),
        ];
        for (key, place) in OF_HTTP.iter().zip(given) {
            if let Some(place) = place {
                section.report(place, key, "the demo agent has no such setting");
            }
        }
        Some(Kind::Demo { pace: pace.map_or(PACE, |(pace, _)| pace) })
    } else {
        if let Some((_, place)) = pace {
            section.report(place, "pace", "only the demo agent has this setting; add `kind = \"demo\"` for it");
        }
        http(&section, url, headers, bounds)
    };
    section.finish();
    kind.map(|kind| AgentSettings { name, description, forward, allow, kind })
}

fn forward(section: &mut Section<'_>) -> Forward {
    const KEY: &str = "forward_headers";
    if section.holds_table(KEY) {
        return Forward::Own(super::forward_headers(section.section(KEY)));
    }
    if section.get(KEY).unwrap_or(true) { Forward::AsAll } else { Forward::Nothing }
}

fn allow(section: &mut Section<'_>, users_are_wanted: bool) -> Option<Allow> {
    let mut listed = section.section("allow");
    let place = listed.is_present().then(|| listed.place());
    let users = listed.get_placed::<Texts>("users");
    let mut claims = listed.section("claims");
    let mut allow = Allow::nobody();
    for (name, Texts(texts), _) in claims.named_values::<Texts>() {
        allow = texts.into_iter().fold(allow, |allow, text| allow.claim(name.as_str(), text));
    }
    claims.finish();
    if let Some((Texts(ids), place)) = users {
        for id in ids {
            if let Err(reason) = is_user_id(&id) {
                listed.report(place.clone(), "users", reason);
            }
            allow = allow.user(id);
        }
    }
    listed.finish();
    let place = place?;
    if !users_are_wanted {
        section.report(
            place.clone(),
            "allow",
            "users are not told apart, so nobody could use the agent; add `[users]`",
        );
    }
    if allow == Allow::nobody() {
        section.report(place, "allow", "nobody is allowed; name `users` or `claims`, or drop the agent");
    }
    Some(allow)
}

/// How long an agent may take, and how much it may say at once.
struct Bounds {
    connect: Option<(Duration, Place)>,
    first_event: Option<(Duration, Place)>,
    idle: Option<(Duration, Place)>,
    total: Option<(Duration, Place)>,
    event_bytes: Option<(Bytes, Place)>,
}

fn http(
    section: &Section<'_>,
    url: Option<(Secret, Place)>,
    headers: Vec<(String, Secret)>,
    bounds: Bounds,
) -> Option<Kind> {
    let Some((url, place)) = url else {
        section.report(
            section.place(),
            "url",
            "missing; an agent needs the URL of an AG-UI server, or `kind = \"demo\"`",
        );
        return None;
    };
    if let Err(reason) = is_http_url(&url.0) {
        section.report(place, "url", reason);
    }
    let checked = |given: Option<(Duration, Place)>, key, default| match given {
        None => default,
        Some((time, place)) => {
            if let Err(reason) = not_zero_time(&time) {
                section.report(place, key, reason);
            }
            time
        }
    };
    let unless_off = |given: Option<(Duration, Place)>| given.map(|(time, _)| time).filter(|time| !time.is_zero());
    let max_event_bytes = bounds.event_bytes.map_or(MAX_EVENT_BYTES, |(Bytes(bytes), place)| {
        if let Err(reason) = not_zero(&bytes) {
            section.report(place, "max_event_bytes", reason);
        }
        bytes
    });
    Some(Kind::Http {
        url,
        headers,
        connect_timeout: checked(bounds.connect, "connect_timeout", CONNECT_TIMEOUT),
        first_event_timeout: unless_off(bounds.first_event),
        idle_timeout: checked(bounds.idle, "idle_timeout", IDLE_TIMEOUT),
        total_timeout: unless_off(bounds.total),
        max_event_bytes,
    })
}

fn headers(section: &mut Section<'_>) -> Vec<(String, Secret)> {
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for (name, value, place) in section.named_values::<Secret>() {
        if HeaderName::try_from(name.as_str()).is_err() {
            section.report(place, &name, "this is no header name");
        } else if let Err(reason) = is_header_value(&value.0) {
            section.report(place, &name, reason);
        } else if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            section.report(place, &name, "the header is given twice; its case does not matter");
        } else {
            headers.push((name, value));
        }
    }
    headers
}

#[derive(PartialEq)]
enum AgentKind {
    Http,
    Demo,
}

impl Setting for AgentKind {
    fn read(raw: Raw) -> Result<AgentKind, String> {
        match raw {
            Raw::Text(kind) if kind == "http" => Ok(AgentKind::Http),
            Raw::Text(kind) if kind == "demo" => Ok(AgentKind::Demo),
            _ => Err("expected \"http\" or \"demo\"".to_owned()),
        }
    }
}
