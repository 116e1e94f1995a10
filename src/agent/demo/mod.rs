//! The agent that answers when nothing is configured: no key, no network, and worth looking at.
//!
//! What it says is planned whole by [`plan`](plan::plan), a pure function of the input; this file only
//! paces it. The plan is driven by the user's words, so every part of a client can be tried by asking for it.

mod example;
mod plan;
mod scene;
mod script;

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::{Agent, AgentCall, AgentError, EventStream};

/// Shows what a client can do: streams text, calls a frontend tool, keeps shared state, shows reasoning,
/// asks for approval, and suggests what to try next. It explains each of these as it does it.
///
/// ```
/// use std::time::Duration;
/// use copilotkit_runtime::agent::DemoAgent;
///
/// let agent = DemoAgent::new();
/// let for_tests = DemoAgent::new().pace(Duration::ZERO);
/// ```
#[derive(Clone, Debug)]
pub struct DemoAgent {
    pace: Duration,
    description: String,
}

/// About as fast as a quick model.
const PACE: Duration = Duration::from_millis(20);

const DESCRIPTION: &str = "Shows what a chat can do, without a model; say help";

impl DemoAgent {
    /// A demo agent that says a word every 20 ms.
    #[must_use]
    pub fn new() -> DemoAgent {
        DemoAgent { pace: PACE, description: DESCRIPTION.to_owned() }
    }

    /// Says something else of what the agent is for.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> DemoAgent {
        self.description = description.into();
        self
    }

    /// Sets the time a word takes; zero says everything at once.
    #[must_use]
    pub fn pace(mut self, word: Duration) -> DemoAgent {
        self.pace = word;
        self
    }
}

impl Default for DemoAgent {
    fn default() -> DemoAgent {
        DemoAgent::new()
    }
}

impl Agent for DemoAgent {
    fn run(&self, call: AgentCall) -> EventStream {
        let pace = self.pace;
        let steps = plan::plan(&call.input);
        // Nothing is spawned: dropping the stream drops the sleep, and with it the rest of the plan.
        stream::iter(steps)
            .then(move |step| async move {
                let pause = pace.saturating_mul(step.words);
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Ok(step.event)
            })
            .boxed()
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn class_name(&self) -> &str {
        "DemoAgent"
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        Box::pin(std::future::ready(Ok(Some(capabilities()))))
    }
}

/// What the agent really does, no more.
fn capabilities() -> Value {
    json!({
        "identity": {
            "name": "Demo agent",
            "type": "demo",
            "description": "A scripted agent that shows what a client can do",
            "version": env!("CARGO_PKG_VERSION"),
            "provider": env!("CARGO_PKG_NAME"),
        },
        "transport": { "streaming": true, "resumable": false },
        "tools": { "supported": true, "parallelCalls": false, "clientProvided": true },
        "output": { "structuredOutput": false, "supportedMimeTypes": ["text/plain", "text/markdown"] },
        "state": { "snapshots": true, "deltas": true, "memory": false, "persistentState": false },
        "reasoning": { "supported": true, "streaming": true, "encrypted": false },
        "humanInTheLoop": {
            "supported": true,
            "approvals": true,
            "interventions": false,
            "feedback": false,
            "interrupts": true,
            "approveWithEdits": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agui::RunAgentInput;

    fn call(words: &str) -> AgentCall {
        let body = json!({
            "threadId": "t", "runId": "r", "tools": [], "context": [],
            "messages": [{"id": "u1", "role": "user", "content": words}],
        });
        AgentCall::new(RunAgentInput::parse(body.to_string().as_bytes()).expect("a valid input"))
    }

    #[tokio::test(start_paused = true)]
    async fn words_are_paced_and_a_run_takes_seconds() {
        let started = tokio::time::Instant::now();
        let events = DemoAgent::new().run(call("hello")).count().await;
        let took = started.elapsed();
        assert!(events > 50, "{events}");
        assert!(took > Duration::from_secs(1) && took < Duration::from_secs(15), "{took:?}");
    }

    #[tokio::test]
    async fn without_pace_a_run_is_ready_at_once() {
        let mut run = DemoAgent::new().pace(Duration::ZERO).run(call("hello"));
        let mut events = 0;
        while let Some(next) = futures_util::FutureExt::now_or_never(run.next()).expect("ready") {
            assert!(next.is_ok());
            events += 1;
        }
        assert!(events > 50, "{events}");
    }

    #[test]
    fn capabilities_name_only_known_groups() {
        let known = [
            "identity",
            "transport",
            "tools",
            "output",
            "state",
            "multiAgent",
            "reasoning",
            "multimodal",
            "execution",
            "humanInTheLoop",
            "custom",
        ];
        let capabilities = capabilities();
        let groups = capabilities.as_object().expect("an object");
        assert!(groups.keys().all(|group| known.contains(&group.as_str())), "{groups:?}");
    }
}
