//! An agent that does again what the agent of the recording did.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, EventStream};
use copilotkit_runtime::agui::Event;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::script::{Scripts, Step};
use super::steps::Steps;

/// The agent, under one of its names.
pub(crate) struct Played {
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) description: &'static str,
    /// What has happened so far.
    pub(crate) so_far: watch::Receiver<Steps>,
    /// Runs that were given up while the agent still had something to do.
    pub(crate) given_up: Arc<AtomicUsize>,
}

impl Agent for Played {
    fn run(&self, call: AgentCall) -> EventStream {
        let known = self.scripts.runs.get(&call.input.run_id);
        let steps = known.cloned().unwrap_or_else(|| titled(&call, &self.scripts.title));
        let playing = Playing {
            steps: steps.into(),
            run: call.input.run_id.clone(),
            so_far: self.so_far.clone(),
            given_up: self.given_up.clone(),
        };
        Box::pin(stream::unfold(playing, |mut playing| async { Some((playing.next().await?, playing)) }))
    }

    fn description(&self) -> &str {
        self.description
    }

    fn class_name(&self) -> &str {
        "ScriptAgent"
    }
}

/// The answer to a request for a title.
fn titled(call: &AgentCall, title: &str) -> Vec<Step> {
    let (thread, run) = (&call.input.thread_id, &call.input.run_id);
    let events = [
        json!({ "type": "RUN_STARTED", "threadId": thread, "runId": run }),
        json!({ "type": "TEXT_MESSAGE_START", "messageId": "title", "role": "assistant" }),
        json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": "title", "delta": title }),
        json!({ "type": "TEXT_MESSAGE_END", "messageId": "title" }),
        json!({ "type": "RUN_FINISHED", "threadId": thread, "runId": run }),
    ];
    events.into_iter().map(Step::Say).collect()
}

/// A script under way.
struct Playing {
    steps: std::collections::VecDeque<Step>,
    run: String,
    so_far: watch::Receiver<Steps>,
    given_up: Arc<AtomicUsize>,
}

impl Playing {
    async fn next(&mut self) -> Option<Result<Event, AgentError>> {
        loop {
            // A step is over only when it was done: an agent that is dropped has steps left.
            match self.steps.front()?.clone() {
                Step::Say(event) => {
                    self.steps.pop_front();
                    return Some(said(&event));
                }
                Step::Throw(message) => {
                    self.steps.clear();
                    return Some(Err(AgentError::new(message)));
                }
                Step::Brought(seq) => self.wait_for(|so_far, run| so_far.brought(run) >= seq).await,
                Step::Renewed(count) => self.wait_for(|so_far, _| so_far.renewed() >= count).await,
                Step::Hang => std::future::pending().await,
            }
            self.steps.pop_front();
        }
    }
}

impl Playing {
    async fn wait_for(&mut self, holds: impl Fn(&Steps, &str) -> bool) {
        // When the play is over, nothing more happens.
        let _ = self.so_far.wait_for(|so_far| holds(so_far, &self.run)).await;
    }
}

fn said(event: &Value) -> Result<Event, AgentError> {
    Event::from_value(event).map_err(|error| AgentError::new(error.to_string()))
}

impl Drop for Playing {
    fn drop(&mut self) {
        if !self.steps.is_empty() {
            self.given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}
