//! Runs, connects and stops where this runtime keeps the threads itself.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::policies::RequestPolicies;
use super::titles::Titles;
use super::{Caller, FoundAgent, names};
use crate::agui::{Event, Frames, RunAgentInput};
use crate::runner::{
    AgentRunner, ConnectRequest, FrameStream, Outcome, RunMeter, RunPass, RunRequest, RunnerError, StopRequest,
    Stopped, codes,
};

/// A runner, and how it is used.
pub(super) struct Local {
    pub(super) runner: Arc<dyn AgentRunner>,
    pub(super) policies: RequestPolicies,
    /// Who asks agents for the titles of new threads, if that is on.
    pub(super) titles: Option<Titles>,
}

impl Local {
    /// Starts a run and watches it. A run that cannot start is a stream with one `RUN_ERROR`: the answer is 200
    /// either way (upstream's is an empty stream, which clients take for success: chapter 14, row 8).
    pub(super) async fn run(
        &self,
        caller: &Caller,
        found: FoundAgent,
        input: RunAgentInput,
        headers: HeaderMap,
        meter: RunMeter,
        pass: RunPass,
    ) -> FrameStream {
        let (owner, name) = (caller.owner().clone(), names::fallback(&input.messages));
        let when_busy = self.policies.chosen(&input);
        let bounds = found.bounds;
        let request = RunRequest::new(found.id, found.agent, input);
        let request = RunRequest { owner, name, when_busy, headers, bounds, meter: meter.clone(), pass, ..request };
        let title = match (&self.titles, self.runner.threads()) {
            (Some(titles), Some(store)) => titles.wanted(store, &request).await,
            _ => None,
        };
        let agent_id = request.agent_id.clone();
        let (thread_id, run_id) = (request.input.thread_id.clone(), request.input.run_id.clone());
        match self.runner.run(request).await {
            Ok(stream) => {
                if let (Some(titles), Some(title)) = (&self.titles, title) {
                    titles.write(title, self.runner.clone());
                }
                stream
            }
            Err(refused) => {
                meter.ended(Outcome::Refused(refused.code()));
                tracing::warn!(
                    thread.id = thread_id,
                    user.id = %caller.owner(),
                    run.id = run_id,
                    agent.id = %agent_id,
                    code = refused.code(),
                    "the run was refused: {refused}"
                );
                one_error(&refused.to_string(), refused.code())
            }
        }
    }

    /// Replays a thread and follows its active run, behind an event if the client has seen one. A failing runner is
    /// a stream with one `RUN_ERROR`.
    pub(super) async fn connect(&self, caller: &Caller, thread_id: &str, last_seen: Option<String>) -> FrameStream {
        let request = ConnectRequest { last_seen, ..ConnectRequest::new(caller.thread(thread_id)) };
        self.runner.connect(request).await.unwrap_or_else(|failure| {
            tracing::error!(
                thread.id = thread_id,
                user.id = %caller.owner(),
                error = %failure,
                "the runner could not replay the thread"
            );
            one_error(&failure.to_string(), codes::RUNNER_FAILED)
        })
    }

    /// Asks a run to end.
    pub(super) async fn stop(
        &self,
        caller: &Caller,
        thread_id: &str,
        run_id: Option<String>,
    ) -> Result<Stopped, RunnerError> {
        self.runner.stop(StopRequest { thread: caller.thread(thread_id), run_id }).await
    }

    pub(super) async fn shutdown(&self, deadline: Duration) {
        if let Some(titles) = &self.titles {
            titles.close().await;
        }
        self.runner.shutdown(deadline).await;
    }
}

/// A stream that says why there is nothing else to say.
fn one_error(message: &str, code: &str) -> FrameStream {
    Box::pin(tokio_stream::once(Frames::of(&[Event::run_error(message, code)])))
}
