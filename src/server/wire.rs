//! From settings to a runtime and the services that mount it. The one file that knows both.

use futures_util::future::ready;
use http::request::Parts;
use url::Url;

use super::config::{
    self, A2ui, AgentSettings, Config, Cors, Forward, ForwardHeaders, Kind, Origins, Server, WhenBusy,
};
use super::front::{Mount, covers};
use super::identify::Identify;
use super::page::{self, Page};
use super::problem::{Place, Problem};
use super::store;
use crate::agent::{Agent, DemoAgent, HttpAgent, HttpAgentError};
use crate::http::{self as face, ForwardPolicy};
use crate::intelligence::{Intelligence, IntelligenceError};
use crate::runtime;
use crate::transcription::OpenAiTranscription;
use crate::{Builder, CopilotRuntime, KeptByPlatform, KeptHere};

/// A runtime that lacks nothing but, where threads are kept here, the place they are kept in.
pub(super) enum Prepared {
    Here(Builder<KeptHere>),
    OnPlatform(Builder<KeptByPlatform>),
}

/// The runtime a configuration describes.
///
/// # Errors
/// What only the parts themselves can know to be wrong.
pub(super) fn runtime(config: &Config) -> Result<Prepared, Vec<Problem>> {
    let mut problems = Vec::new();
    let identify = match config.users.as_ref().map(|users| Identify::of(users, &config.cors)).transpose() {
        Ok(identify) => identify,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let prepared = match (&config.intelligence, &config.users) {
        (Some(settings), Some(_)) => match intelligence(settings) {
            Ok(intelligence) => {
                let builder = identify.map(|identify| {
                    CopilotRuntime::on_intelligence(intelligence, move |head: &Parts| identify.user(head))
                });
                builder.map(|builder| Prepared::OnPlatform(equipped(builder, config, &mut problems)))
            }
            Err(error) => {
                problems.push(Problem::new(place(config), "intelligence", error.to_string()));
                None
            }
        },
        (Some(_), None) => {
            problems.push(Problem::new(place(config), "users.header", "missing; the platform keeps threads for users"));
            None
        }
        (None, _) => Some(Prepared::Here(equipped(here(config, identify), config, &mut problems))),
    };
    match prepared {
        Some(prepared) if problems.is_empty() => Ok(prepared),
        _ => Err(problems),
    }
}

/// The runtime, put together.
///
/// # Errors
/// What only the whole can know to be wrong.
pub(super) fn build(prepared: Prepared, config: &Config) -> Result<CopilotRuntime, Vec<Problem>> {
    let built = match prepared {
        Prepared::Here(builder) => builder.build(),
        Prepared::OnPlatform(builder) => builder.build(),
    };
    built.map_err(|error| vec![Problem::new(place(config), "runtime", error.to_string())])
}

/// What is set about threads that are kept here.
fn here(config: &Config, identify: Option<Identify>) -> Builder<KeptHere> {
    let mut builder = CopilotRuntime::builder().generate_thread_names(config.runner.generate_thread_names);
    if config.runner.allow_request_policy {
        builder = builder.allow_request_policies(WhenBusy::ALL.map(|policy| store::policy(policy, &config.runner)));
    }
    if let Some(identify) = identify {
        builder = builder.identify_user(move |head| identify.user(head));
    }
    builder
}

/// The platform, and what is set about it.
fn intelligence(settings: &config::Intelligence) -> Result<Intelligence, IntelligenceError> {
    let mut builder = Intelligence::builder()
        .api_key(settings.api_key.0.as_str())
        .api_url(settings.api_url.as_deref().unwrap_or_default())
        .ws_url(settings.ws_url.as_deref().unwrap_or_default())
        .generate_thread_names(settings.generate_thread_names)
        .enterprise_learning(settings.enterprise_learning)
        .lock_ttl(settings.lock_ttl)
        .lock_heartbeat(settings.lock_heartbeat)
        .max_reconnect(settings.max_reconnect)
        .max_rejoin(settings.max_rejoin);
    if let Some(id) = &settings.organization_id {
        builder = builder.organization_id(id);
    }
    if let Some(id) = &settings.learning_container {
        builder = builder.learning_container(id);
    }
    if let Some(prefix) = &settings.lock_key_prefix {
        builder = builder.lock_key_prefix(prefix);
    }
    if let Some(grant) = settings.memory {
        builder = builder.memory(move |_| ready(Ok(grant)));
    }
    builder.build()
}

/// What is set whoever keeps the threads.
fn equipped<T>(builder: Builder<T>, config: &Config, problems: &mut Vec<Problem>) -> Builder<T> {
    let mut wrong = |key: String, reason: String| problems.push(Problem::new(place(config), key, reason));
    let settings = &config.runtime;
    let mut builder = builder
        .keep_alive(settings.keep_alive)
        .limits(config.limits.of_clients.clone())
        .debug_feed(settings.debug_feed)
        .expose_memory_routes(settings.expose_memory_routes)
        .open_generative_ui(settings.open_generative_ui)
        .public_info(config.users.as_ref().is_some_and(|users| users.public_info));
    match &settings.a2ui {
        A2ui::Off => {}
        A2ui::All => builder = builder.a2ui(runtime::A2ui { agents: None }),
        A2ui::Agents(names) => builder = builder.a2ui(runtime::A2ui { agents: Some(names.clone()) }),
    }
    for settings in &config.agents {
        match agent(settings) {
            Ok(agent) => builder = builder.agent_arc(settings.name.as_str(), agent),
            Err(error) => wrong(format!("agents.{}", settings.name), error.to_string()),
        }
        if let Some(allow) = &settings.allow {
            builder = builder.allow(settings.name.as_str(), allow.clone());
        }
    }
    if let Some(settings) = &config.transcription {
        match OpenAiTranscription::new(&settings.base_url, settings.model.as_str(), &settings.api_key.0) {
            Ok(service) => builder = builder.transcription(service.timeout(settings.timeout)),
            Err(error) => wrong("transcription".to_owned(), error.to_string()),
        }
    }
    builder
}

/// The services at their paths.
///
/// # Errors
/// What only the services can know to be wrong.
pub(super) fn mounts(config: &Config, runtime: &CopilotRuntime) -> Result<Vec<Mount>, Vec<Problem>> {
    let mut service = runtime
        .clone()
        .into_service()
        .body_limit(config.server.body_limit)
        .trusted_proxies(config.server.trusted_proxies.clone())
        .forward_headers(&forward_policy(&config.forward_headers));
    for agent in &config.agents {
        service = match &agent.forward {
            Forward::AsAll => service,
            Forward::Nothing => service.forward_headers_to(&agent.name, &ForwardPolicy::nothing()),
            Forward::Own(settings) => service.forward_headers_to(&agent.name, &forward_policy(settings)),
        };
    }
    if let Some(cors) = cors(&config.cors) {
        service = service.cors(cors).map_err(|error| vec![Problem::new(place(config), "cors", error.to_string())])?;
    }
    let at = |path: &String| Mount { path: path.clone(), service: service.clone().base_path(path) };
    let multi = config.server.base_path.iter().map(at);
    let single = config.server.single_route_path.iter().map(at);
    let single = single.map(|mount| Mount { service: mount.service.single_route(), ..mount });
    Ok(multi.chain(single).collect())
}

/// The page of a runtime, if it has one.
pub(super) fn page(config: &Config, runtime: &CopilotRuntime) -> Option<Page> {
    page_talks_to(config).map(|base| Page::new(base, runtime.intelligence().map(Intelligence::client_url)))
}

/// The path of the page's runtime, if the page is wanted, and there is a runtime it can talk to, and no runtime lies where
/// its files are.
pub(super) fn page_talks_to(config: &Config) -> Option<&str> {
    let Server { page, base_path, single_route_path, .. } = &config.server;
    let base = base_path.as_deref().filter(|_| *page)?;
    let in_the_way =
        [Some(base), single_route_path.as_deref()].into_iter().flatten().any(|path| covers(path, page::FILES));
    (!in_the_way).then_some(base)
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
        Kind::Http {
            url,
            headers,
            connect_timeout,
            first_event_timeout,
            idle_timeout,
            total_timeout,
            max_event_bytes,
        } => {
            let mut agent = HttpAgent::new(&url.0)?
                .description(settings.description.as_deref().unwrap_or_default())
                .connect_timeout(*connect_timeout)
                .first_event_timeout(*first_event_timeout)
                .idle_timeout(*idle_timeout)
                .total_timeout(*total_timeout)
                .max_event_bytes(*max_event_bytes);
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
    if settings.credentials && settings.is_forced {
        cors = cors.dangerously_allow_credentials_from_any_origin();
    }
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
pub(super) fn is_local(origin: &str) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
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
        let prepared = runtime(&config).unwrap_or_else(|problems| panic!("{problems:?}"));
        let problems = build(prepared, &config).expect_err("too long");
        assert!(problems[0].to_string().starts_with("x.toml: runtime: "), "{}", problems[0]);
    }

    #[test]
    fn platform_that_cannot_work_is_a_problem() {
        let text = "[users]\nheader = \"x-user\"\n[intelligence]\napi_key = \"s3cret\"\n";
        assert!(matches!(runtime(&config(text)), Ok(Prepared::OnPlatform(_))));
        for (line, reason) in [
            ("api_key = \"s3\\ncret\"\n", "cannot be sent in a header"),
            ("api_key = \" \"\n", "required and cannot be blank"),
            ("api_key = \"s3cret\"\napi_url = \"nowhere\"\n", "api_url is no URL"),
            ("api_key = \"s3cret\"\nlock_ttl = 0\n", "lock_ttl has to be at least 1s"),
            ("api_key = \"s3cret\"\nlearning_container = \"A\"\n", "no id of a learning container"),
        ] {
            let config = config(&format!("[users]\nheader = \"x-user\"\n[intelligence]\n{line}"));
            let said = runtime(&config).err().expect("a problem")[0].to_string();
            assert!(said.starts_with("x.toml: intelligence: ") && said.contains(reason), "{said}");
            assert!(!said.contains("cret\""), "{said}");
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
            assert_eq!(page_talks_to(&config(&format!("[server]\n{server}\n"))).is_some(), is_there, "{server}");
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
