//! What `/info` tells a client (rest-sse.md chapter 9).

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, poll};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{A2ui, Caller, CopilotRuntime, Mode};
use crate::agent::{Agent, Agents};
use crate::intelligence::{RuntimeEntitlements, license_status};

/// How long an agent may take to say what it can do.
const CAPABILITIES_WAIT: Duration = Duration::from_secs(5);

/// How the runtime is mounted where the question was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mount {
    /// A path per route.
    #[default]
    MultiRoute,
    /// One path for everything.
    SingleRoute,
}

/// The answer of `/info`, its fields in the contract's order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Info<'a> {
    version: &'static str,
    #[serde(serialize_with = "by_name")]
    agents: Vec<AgentDescription<'a>>,
    audio_file_transcription_enabled: bool,
    mode: &'static str,
    thread_endpoints: ThreadEndpoints,
    #[serde(skip_serializing_if = "Option::is_none")]
    single_route: Option<SingleRoute>,
    suggestions: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    intelligence: Option<RealtimeInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspector_metadata: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspector_learning: Option<bool>,
    a2ui_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    a2ui: Option<A2uiInfo<'a>>,
    #[serde(rename = "openGenerativeUIEnabled")]
    open_generative_ui_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime_entitlements: Option<RuntimeEntitlements>,
    /// Nothing leaves this process, so there is nothing to disable.
    telemetry_disabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentDescription<'a> {
    name: &'a str,
    description: &'a str,
    class_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Value>,
}

/// Where clients listen to the platform.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RealtimeInfo<'a> {
    ws_url: &'a str,
}

#[derive(Debug, Serialize)]
struct A2uiInfo<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<&'a str>>,
}

fn by_name<S: Serializer>(agents: &[AgentDescription<'_>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(agents.iter().map(|agent| (agent.name, agent)))
}

/// Which thread routes answer with something.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadEndpoints {
    list: bool,
    inspect: bool,
    mutations: bool,
    realtime_metadata: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SingleRoute {
    resource_operations: bool,
    thread_endpoints: ThreadEndpoints,
}

impl CopilotRuntime {
    /// Describes the runtime to a client that asked at a mount of this kind, with the agents its caller may use.
    pub(crate) async fn info<'a>(&'a self, caller: Option<&Caller>, agents: &'a Agents, mount: Mount) -> Info<'a> {
        let options = &self.shared.options;
        let intelligence = self.intelligence();
        let threads = self.thread_endpoints();
        let shown = agents.iter().filter(|(name, _)| self.admits(caller, name));
        let described = join_all(shown.map(|(name, agent)| describe(name, &**agent)));
        let entitlements = async { Some(intelligence?.runtime_entitlements().await) };
        let (described, entitlements) = tokio::join!(described, entitlements);
        Info {
            version: CopilotRuntime::version(),
            agents: described,
            audio_file_transcription_enabled: self.shared.transcription.is_some(),
            mode: if intelligence.is_some() { "intelligence" } else { "sse" },
            thread_endpoints: match mount {
                Mount::MultiRoute => threads,
                Mount::SingleRoute => ThreadEndpoints::default(),
            },
            single_route: (mount == Mount::SingleRoute)
                .then_some(SingleRoute { resource_operations: true, thread_endpoints: threads }),
            suggestions: true,
            intelligence: intelligence.map(|intelligence| RealtimeInfo { ws_url: intelligence.client_url() }),
            inspector_metadata: intelligence.map(|_| true),
            inspector_learning: intelligence
                .and_then(|intelligence| intelligence.has_learning_container().then_some(true)),
            a2ui_enabled: options.a2ui.is_some(),
            a2ui: options.a2ui.as_ref().map(|a2ui| A2uiInfo { enabled: true, agents: self.told(caller, a2ui) }),
            open_generative_ui_enabled: options.open_generative_ui,
            license_status: entitlements.as_ref().map(license_status),
            runtime_entitlements: entitlements,
            telemetry_disabled: true,
        }
    }
}

impl CopilotRuntime {
    /// The agents with surfaces of which a caller may know, unless it is all of them.
    fn told<'a>(&self, caller: Option<&Caller>, a2ui: &'a A2ui) -> Option<Vec<&'a str>> {
        let names = a2ui.agents.as_ref()?.iter().map(String::as_str);
        Some(names.filter(|name| self.admits(caller, name)).collect())
    }

    fn thread_endpoints(&self) -> ThreadEndpoints {
        match &self.shared.mode {
            Mode::Local(local) => {
                let kept = local.runner.threads().is_some();
                ThreadEndpoints { list: kept, inspect: kept, mutations: kept, realtime_metadata: false }
            }
            Mode::Platform(_) => {
                ThreadEndpoints { list: true, inspect: true, mutations: true, realtime_metadata: true }
            }
        }
    }
}

async fn describe<'a>(name: &'a str, agent: &'a dyn Agent) -> AgentDescription<'a> {
    // One agent that fails, in whatever way, must not keep a client from the others.
    let mut asked = pin!(AssertUnwindSafe(async { agent.capabilities().await }).catch_unwind());
    // Most know at once, and no clock need be set for them.
    let answered = match poll!(asked.as_mut()) {
        Poll::Ready(answer) => Ok(answer),
        Poll::Pending => tokio::time::timeout(CAPABILITIES_WAIT, asked).await,
    };
    let answer = match answered {
        Ok(Ok(answer)) => answer.map_err(|failure| failure.to_string()),
        Ok(Err(_panic)) => Err("the agent panicked".to_owned()),
        Err(_) => Err(format!("no answer within {CAPABILITIES_WAIT:?}")),
    };
    let capabilities = answer.unwrap_or_else(|failure| {
        tracing::warn!(agent.id = name, error = failure, "the agent's capabilities could not be read");
        None
    });
    AgentDescription { name, description: agent.description(), class_name: agent.class_name(), capabilities }
}
