//! Agents that play the scripts of `agents.json`.

use std::sync::Arc;
use std::time::Duration;

use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, AgentHeaders, EventStream};
use copilotkit_runtime::agui::Event;
use futures_util::future::BoxFuture;
use futures_util::stream;
use serde_json::{Map, Value};

use crate::captures::scripts::{OnAbort, Script, Scripts, Step};

/// One script as an agent.
#[derive(Clone)]
pub(super) struct ScriptedAgent {
    script: Arc<Script>,
    class_name: Arc<str>,
}

impl ScriptedAgent {
    pub(super) fn named(id: &str, scripts: &Scripts) -> Result<ScriptedAgent, String> {
        let script = scripts.agents.get(id).ok_or_else(|| format!("agents.json has no agent `{id}`"))?;
        Ok(ScriptedAgent { script: script.clone(), class_name: scripts.class_name.as_str().into() })
    }

    fn headers(&self) -> AgentHeaders {
        let mut own = AgentHeaders::new();
        for (name, value) in &self.script.headers {
            own.push(name, value).expect("a scripted header");
        }
        own
    }
}

impl Agent for ScriptedAgent {
    fn run(&self, call: AgentCall) -> EventStream {
        let headers = self.headers().merged_over(&call.headers);
        let playing = Playing { script: self.script.clone(), at: 0, headers, call };
        Box::pin(stream::unfold(playing, |mut playing| async { Some((playing.next().await?, playing)) }))
    }

    fn description(&self) -> &str {
        &self.script.description
    }

    fn class_name(&self) -> &str {
        &self.class_name
    }

    fn capabilities(&self) -> BoxFuture<'_, Result<Option<Value>, AgentError>> {
        Box::pin(async {
            match &self.script.capabilities_error {
                Some(message) => Err(AgentError::new(message)),
                None => Ok(self.script.capabilities.clone()),
            }
        })
    }

    /// Scripts say themselves what they do when stopped.
    fn stop_grace(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// A script under way.
struct Playing {
    script: Arc<Script>,
    at: usize,
    headers: Vec<(String, String)>,
    call: AgentCall,
}

impl Playing {
    async fn next(&mut self) -> Option<Result<Event, AgentError>> {
        loop {
            let step = self.script.script.get(self.at)?.clone();
            self.at += 1;
            let pause = match step {
                Step::Emit(event) => {
                    let event = Event::from_value(&self.filled(&event));
                    return Some(event.map_err(|error| AgentError::new(error.to_string())));
                }
                Step::Throw(message) | Step::ThrowSync(message) => return self.fail(&message),
                Step::Sleep(ms) => Some(Duration::from_millis(ms)),
                Step::WaitAbort(_) => None,
                Step::Hang(_) => std::future::pending().await,
            };
            let over = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            if self.script.on_abort == OnAbort::Ignore && pause.is_some() {
                over.await;
                continue;
            }
            tokio::select! {
                () = over => {}
                () = self.call.stopped.cancelled() => match self.script.on_abort.clone() {
                    OnAbort::Complete => {
                        self.at = usize::MAX;
                        return None;
                    }
                    OnAbort::Throw(message) => return self.fail(&message),
                    OnAbort::Ignore => {}
                },
            }
        }
    }

    fn fail(&mut self, message: &str) -> Option<Result<Event, AgentError>> {
        self.at = usize::MAX;
        Some(Err(AgentError::new(message)))
    }

    /// An event with its templates replaced by what the agent received.
    fn filled(&self, template: &Value) -> Value {
        match template {
            Value::String(text) if text == "{{input}}" => {
                let input = self.call.input.to_json_with_messages(|_, _| true);
                serde_json::from_str(&input).expect("an input's JSON")
            }
            Value::String(text) if text == "{{headers}}" => {
                let headers = self.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
                Value::Object(headers.collect())
            }
            Value::String(text) => {
                let text = text.replace("{{threadId}}", &self.call.input.thread_id);
                Value::String(text.replace("{{runId}}", &self.call.input.run_id))
            }
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), self.filled(value)));
                Value::Object(fields.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }
}
