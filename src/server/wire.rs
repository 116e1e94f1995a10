//! From settings to a runtime and the services that mount it. The one file that knows both.

use std::time::Duration;

use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use url::Url;

use super::config::{A2ui, AgentSettings, Config, Cors, ForwardHeaders, Kind, Origins, Server, Users, WhenBusy};
use super::front::{Mount, covers};
use super::page::{self, Page};
use super::problem::{Place, Problem};
use super::store;
use crate::agent::{Agent, AgentCall, AgentError, DemoAgent, EventStream, HttpAgent, HttpAgentError};
use crate::http::{self as face, ForwardPolicy};
use crate::runtime;
use crate::transcription::OpenAiTranscription;
use crate::{Builder, CopilotRuntime, IdentifyError, User};

/// The runtime a configuration describes, but for its runner.
///
/// # Errors
/// What only the parts themselves can know to be wrong.
pub(super) fn runtime(config: &Config) -> Result<Builder, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |key: String, reason: String| problems.push(Problem::new(place(config), key, reason));
    let settings = &config.runtime;
    let mut builder = CopilotRuntime::builder()
        .keep_alive(settings.keep_alive)
        .debug_feed(settings.debug_feed)
        .expose_memory_routes(settings.expose_memory_routes)
        .open_generative_ui(settings.open_generative_ui)
        .generate_thread_names(config.runner.generate_thread_names);
    if config.runner.allow_request_policy {
        builder = builder.allow_request_policies(WhenBusy::ALL.map(|policy| store::policy(policy, &config.runner)));
    }
    match &settings.a2ui {
        A2ui::Off => {}
        A2ui::All => builder = builder.a2ui(runtime::A2ui { agents: None }),
        A2ui::Agents(names) => builder = builder.a2ui(runtime::A2ui { agents: Some(names.clone()) }),
    }
    if let Some(users) = config.users.clone() {
        builder = builder.identify_user(move |head| ready(user(&users, &head.headers)));
    }
    for settings in &config.agents {
        match agent(settings) {
            Ok(agent) if settings.forward_headers => builder = builder.agent_arc(settings.name.as_str(), agent),
            Ok(agent) => builder = builder.agent(settings.name.as_str(), WithoutHeaders(agent)),
            Err(error) => wrong(format!("agents.{}", settings.name), error.to_string()),
        }
    }
    if let Some(settings) = &config.transcription {
        match OpenAiTranscription::new(&settings.base_url, settings.model.as_str(), &settings.api_key.0) {
            Ok(service) => builder = builder.transcription(service.timeout(settings.timeout)),
            Err(error) => wrong("transcription".to_owned(), error.to_string()),
        }
    }
    if problems.is_empty() { Ok(builder) } else { Err(problems) }
}

/// The runtime, put together.
///
/// # Errors
/// What only the whole can know to be wrong.
pub(super) fn build(runtime: Builder, config: &Config) -> Result<CopilotRuntime, Vec<Problem>> {
    runtime.build().map_err(|error| vec![Problem::new(place(config), "runtime", error.to_string())])
}

/// Who a proxy says the user is. Two of a header are none: one of them may be the client's.
fn user(users: &Users, headers: &HeaderMap) -> Result<User, IdentifyError> {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?.trim();
        (values.next().is_none() && !value.is_empty()).then(|| value.to_owned())
    };
    let id = only(&users.header).ok_or(IdentifyError::Unauthenticated)?;
    Ok(User { id, name: users.name_header.as_ref().and_then(only) })
}

/// The services at their paths.
pub(super) fn mounts(config: &Config, runtime: &CopilotRuntime) -> Vec<Mount> {
    let service = |path: &str| {
        let service = runtime
            .clone()
            .into_service()
            .base_path(path)
            .body_limit(config.server.body_limit)
            .forward_headers(&forward_policy(&config.forward_headers));
        match cors(&config.cors) {
            Some(cors) => service.cors(cors),
            None => service,
        }
    };
    let multi = config.server.base_path.iter().map(|path| Mount { path: path.clone(), service: service(path) });
    let single = config.server.single_route_path.iter();
    let single = single.map(|path| Mount { path: path.clone(), service: service(path).single_route() });
    multi.chain(single).collect()
}

/// The page, if it is wanted, and there is a runtime it can talk to, and no runtime lies where its files are.
pub(super) fn page(config: &Config) -> Option<Page> {
    let Server { page, base_path, single_route_path, .. } = &config.server;
    let base = base_path.as_deref().filter(|_| *page)?;
    let in_the_way =
        [Some(base), single_route_path.as_deref()].into_iter().flatten().any(|path| covers(path, page::FILES));
    (!in_the_way).then(|| Page::new(base))
}

fn place(config: &Config) -> Place {
    config.file.as_deref().map_or(Place::Nowhere, |file| Place::File(file.into(), 0))
}

fn agent(settings: &AgentSettings) -> Result<std::sync::Arc<dyn Agent>, HttpAgentError> {
    match &settings.kind {
        Kind::Demo { pace } => {
            let demo = DemoAgent::new().pace(*pace);
            Ok(std::sync::Arc::new(match &settings.description {
                Some(description) => demo.described(description),
                None => demo,
            }))
        }
        Kind::Http { url, headers, connect_timeout, idle_timeout, total_timeout } => {
            let mut agent = HttpAgent::new(&url.0)?
                .description(settings.description.as_deref().unwrap_or_default())
                .connect_timeout(*connect_timeout)
                .idle_timeout(*idle_timeout)
                .total_timeout(*total_timeout);
            for (name, value) in headers {
                agent = agent.header(name, &value.0)?;
            }
            Ok(std::sync::Arc::new(agent))
        }
    }
}

fn forward_policy(settings: &ForwardHeaders) -> ForwardPolicy {
    ForwardPolicy::new()
        .allow(settings.allow.clone())
        .deny(settings.deny.clone())
        .deny_prefixes(settings.deny_prefixes.clone())
        .use_default_denylist(settings.use_default_denylist)
}

fn cors(settings: &Cors) -> Option<face::Cors> {
    let any = face::Cors::any();
    let mut cors = match &settings.origins {
        Origins::Off => return None,
        Origins::Any => any,
        Origins::Local => any.origin_fn(|origin| is_local(origin).then(|| origin.to_owned())),
        Origins::List(listed) => any.origins(listed.clone()),
    };
    cors = cors.credentials(settings.credentials).expose_headers(&settings.expose_headers);
    if let Some(methods) = &settings.allow_methods {
        cors = cors.allow_methods(methods);
    }
    if let Some(headers) = &settings.allow_headers {
        cors = cors.allow_headers(headers);
    }
    if let Some(age) = settings.max_age {
        cors = cors.max_age(age);
    }
    Some(cors)
}

/// A page this machine serves to itself. `localhost` and what lies below it never leave the machine.
fn is_local(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// An agent that never sees the headers of a request.
struct WithoutHeaders(std::sync::Arc<dyn Agent>);

impl Agent for WithoutHeaders {
    fn run(&self, mut call: AgentCall) -> EventStream {
        call.headers = HeaderMap::new();
        self.0.run(call)
    }

    fn description(&self) -> &str {
        self.0.description()
    }

    fn class_name(&self) -> &str {
        self.0.class_name()
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        self.0.capabilities()
    }

    fn stop_grace(&self) -> Duration {
        self.0.stop_grace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let file = super::super::config::FileText { path: std::path::Path::new("x.toml"), text };
        Config::load(Some(file), Default::default(), &|_| None).expect("a good configuration")
    }

    #[test]
    fn a_keep_alive_no_timer_can_hold_is_a_problem() {
        let config = config("[runtime]\nkeep_alive = \"1000h\"\n");
        let problems = build(runtime(&config).expect("good parts"), &config).expect_err("too long");
        assert!(problems[0].to_string().starts_with("x.toml: runtime: "), "{}", problems[0]);
    }

    #[test]
    fn the_user_is_who_the_proxy_says_and_nobody_if_it_says_nothing_or_two_things() {
        let users = config("[users]\nheader = \"x-user\"\nname_header = \"x-name\"\n").users.expect("users");
        let asked = |given: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.append(*name, value.parse().expect("a header"));
            }
            user(&users, &headers).ok()
        };
        assert_eq!(asked(&[("x-user", " ada "), ("x-name", "Ada")]), Some(User::new("ada").named("Ada")));
        assert_eq!(asked(&[("x-user", "ada"), ("x-name", "")]), Some(User::new("ada")));
        for nobody in [&[][..], &[("x-user", "")], &[("x-user", "ada"), ("x-user", "eve")], &[("x-name", "Ada")]] {
            assert_eq!(asked(nobody), None, "{nobody:?}");
        }
    }

    #[test]
    fn the_page_gives_way_to_a_runtime_and_needs_one() {
        for (server, is_there) in [
            ("", true),
            ("page = false", false),
            ("base_path = \"/\"", false),
            ("base_path = \"/page\"", false),
            ("single_route_path = \"/page\"", false),
            ("base_path = false\nsingle_route_path = \"/one\"", false),
            ("base_path = \"/pages\"", true),
        ] {
            assert_eq!(page(&config(&format!("[server]\n{server}\n"))).is_some(), is_there, "{server}");
        }
    }

    #[test]
    fn local_pages_are_those_of_this_machine() {
        for origin in ["http://localhost:3000", "https://app.localhost", "http://127.0.0.1", "http://[::1]:5173"] {
            assert!(is_local(origin), "{origin}");
        }
        for origin in ["https://example.com", "http://localhost.example.com", "null", "", "http://10.0.0.1"] {
            assert!(!is_local(origin), "{origin}");
        }
    }
}
