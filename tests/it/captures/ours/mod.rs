//! The library under test, mounted as a case says. What the replay uses of its interface is in this folder.

mod agents;
mod hooks;
mod runners;
mod transcription;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use copilotkit_runtime::agent::{Agents, HttpAgent};
use copilotkit_runtime::http::{CopilotService, Cors, ForwardPolicy};
use copilotkit_runtime::{A2ui, CopilotRuntime};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::agents::ScriptedAgent;
use super::case::{self, Adapter, AgentsFactory, CorsConfig, CorsOption, Mode, OneOrMany, Remote, RunnerKind};
use super::observed::Recorder;
use super::scripts::Scripts;
use super::upstream::Upstreams;

/// A listening server. Dropping it closes every connection.
pub(crate) struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(
        server: &case::Server,
        scripts: &Arc<Scripts>,
        upstreams: &Upstreams,
        recorder: &Recorder,
        database: &Path,
    ) -> Result<Server, String> {
        let runtime = runtime(&server.runtime, scripts, upstreams, recorder, database).await?;
        let service = service(runtime, server, recorder);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, service));
        Ok(Server { address, _tasks: tasks })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn listen(listener: TcpListener, service: CopilotService) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            // A client that leaves early ends its connection with an error.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn runtime(
    options: &case::Runtime,
    scripts: &Arc<Scripts>,
    upstreams: &Upstreams,
    recorder: &Recorder,
    database: &Path,
) -> Result<CopilotRuntime, String> {
    let mut builder = CopilotRuntime::builder()
        .expose_memory_routes(options.expose_memory_routes)
        .debug_feed(
            options.debug.as_ref().is_some_and(case::Debugging::is_on)
                || options.node_env.as_deref() == Some("development"),
        )
        .open_generative_ui(options.open_generative_ui);
    builder = match options.agents_factory {
        Some(AgentsFactory::ByTenant) => {
            let text = ScriptedAgent::named("text", scripts)?;
            builder.agents_per_request(move |head| {
                let tenant = head.headers.get("x-tenant").and_then(|value| value.to_str().ok()).map(str::to_owned);
                let text = text.clone();
                async move { Ok(tenant.map_or_else(Agents::new, |tenant| Agents::new().with(tenant, text))) }
            })
        }
        Some(AgentsFactory::Throws) => builder.agents_per_request(|_| async { Err("factory failed".into()) }),
        None => {
            let all = || scripts.agents.keys().cloned().collect();
            for id in options.agents.clone().unwrap_or_else(all) {
                builder = builder.agent(id.as_str(), ScriptedAgent::named(&id, scripts)?);
            }
            for (id, remote) in &options.remote {
                builder = builder.agent(id.as_str(), remote_agent(&upstreams.url(id), remote)?);
            }
            builder
        }
    };
    builder = match options.runner {
        RunnerKind::Minimal => builder.runner(runners::Minimal::default()),
        RunnerKind::Failing => builder.runner(runners::Failing),
        #[cfg(feature = "sqlite")]
        RunnerKind::Sqlite => {
            let opened = copilotkit_runtime::runner::SqliteRunner::open(database).await;
            builder.runner(opened.map_err(|error| error.to_string())?)
        }
        #[cfg(not(feature = "sqlite"))]
        RunnerKind::Sqlite => return Err(format!("{} needs the feature sqlite", database.display())),
        kind => builder.runner(runners::memory(kind, &options.limits)),
    };
    if let Some(transcription) = &options.transcription {
        builder = builder.transcription(transcription::Stub::new(transcription, recorder));
    }
    if let Some(seconds) = options.sse_keep_alive_interval_seconds {
        builder = builder.keep_alive(Duration::from_secs_f64(seconds));
    }
    if let Some(a2ui) = options.a2ui.as_ref().filter(|a2ui| a2ui.enabled != Some(false)) {
        builder = builder.a2ui(A2ui { agents: a2ui.agents.clone() });
    }
    builder.build().map_err(|error| error.to_string())
}

fn remote_agent(url: &str, remote: &Remote) -> Result<HttpAgent, String> {
    let mut agent = HttpAgent::new(url).map_err(|error| error.to_string())?;
    if let Some(description) = &remote.description {
        agent = agent.description(description);
    }
    for (name, value) in &remote.agent_headers {
        agent = agent.header(name, value).map_err(|error| error.to_string())?;
    }
    Ok(agent)
}

fn service(runtime: CopilotRuntime, server: &case::Server, recorder: &Recorder) -> CopilotService {
    let mut service = runtime.into_service();
    if let Some(base_path) = &server.base_path {
        service = service.base_path(base_path);
    }
    if server.mode == Mode::SingleRoute {
        service = service.single_route();
    }
    // The adapters for web frameworks let every origin in unless told otherwise.
    let by_default = (server.adapter != Adapter::Node).then_some(CorsOption::Switch(true));
    service = match server.cors.as_ref().or(by_default.as_ref()) {
        None | Some(CorsOption::Switch(false)) => service,
        Some(CorsOption::Switch(true)) => service.cors(Cors::any()).expect("origins that may be"),
        Some(CorsOption::Config(config)) => service.cors(cors(config)).expect("origins that may be"),
    };
    if let Some(policy) = &server.runtime.forward_headers {
        let forwarded = ForwardPolicy::new()
            .allow(&policy.allow)
            .deny(&policy.deny)
            .deny_prefixes(&policy.deny_prefixes)
            .use_default_denylist(policy.use_default_denylist.unwrap_or(true));
        service = service.forward_headers(&forwarded);
    }
    hooks::install(service, server, recorder)
}

fn cors(config: &CorsConfig) -> Cors {
    // The reference runtime lets every origin have credentials without a word.
    let mut cors = Cors::any();
    if config.credentials {
        cors = cors.dangerously_allow_credentials_from_any_origin();
    }
    cors = match &config.origin {
        None => cors,
        Some(OneOrMany::Many(origins)) => cors.origins(origins),
        Some(OneOrMany::One(origin)) => match origin.strip_prefix("fn:suffix=").map(str::to_owned) {
            Some(suffix) => cors.origin_fn(move |origin| origin.ends_with(&suffix).then(|| origin.to_owned())),
            None => cors.origin(origin),
        },
    };
    if let Some(methods) = &config.allow_methods {
        cors = cors.allow_methods(methods);
    }
    if let Some(headers) = &config.allow_headers {
        cors = cors.allow_headers(headers);
    }
    if let Some(headers) = &config.expose_headers {
        cors = cors.expose_headers(headers);
    }
    if let Some(seconds) = config.max_age {
        cors = cors.max_age(Duration::from_secs(seconds));
    }
    cors
}
