//! Asks agents for the titles of new threads, in the background (intelligence.md 2.8).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, error_span, warn};
use uuid::Uuid;

use super::names;
use crate::agent::Agent;
use crate::agui::{Event, EventKind, Message, MessageList, RunAgentInput};
use crate::runner::{
    AgentRunner, FrameStream, Owner, RunRequest, StoreError, ThreadKey, ThreadPatch, ThreadStore, run_stateless,
};

/// How often an agent is asked.
const ATTEMPTS: usize = 3;
/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(60);
/// How many bytes of events it may have.
const MAX_BYTES: usize = 1024 * 1024;
/// When to look again for a thread that is not there: its first run may still be beginning.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(500), Duration::from_secs(5)];

/// The titles that are being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Titles {
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// What an agent is asked, on no thread of anybody's.
pub(super) struct Question {
    owner: Owner,
    agent_id: Arc<str>,
    agent: Arc<dyn Agent>,
    headers: HeaderMap,
    prompt: Vec<Message>,
}

/// A title to be written, for a thread that is new in the store.
pub(super) struct Title {
    thread: ThreadKey,
    /// What the thread is called meanwhile.
    fallback: Arc<str>,
    question: Question,
}

impl Titles {
    /// The title this run's thread will want: one that there is no thread of yet.
    pub(super) async fn wanted(&self, store: &dyn ThreadStore, request: &RunRequest) -> Option<Title> {
        let fallback = request.name.clone()?;
        let thread = request.thread();
        match store.thread(&thread).await {
            Ok(None) => {}
            Ok(Some(_)) => return None,
            Err(failure) => {
                warn!(thread.id = %thread.id, error = %failure, "cannot tell whether the thread is new; it gets no title");
                return None;
            }
        }
        Some(Title { thread, fallback, question: Question::about(request)? })
    }

    /// Writes a title into the store. Nobody waits for it but [`Titles::close`].
    pub(super) fn write(&self, title: Title, runner: Arc<dyn AgentRunner>) {
        let span = error_span!("title", thread.id = %title.thread.id, user.id = %title.thread.owner, agent.id = %title.question.agent_id);
        self.spawn(span, async move {
            if let Err(failure) = title.write(&*runner).await {
                warn!(error = %failure, "the title could not be kept");
            }
        });
    }

    /// Does what ends in a title, until [`Titles::close`].
    pub(super) fn spawn(&self, span: Span, work: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        let work = async move {
            closing.run_until_cancelled(work).await;
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// Gives up what is being written, and returns once that is so.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Question {
    /// The question what a run's thread is about; `None` if nothing was said.
    pub(super) fn about(request: &RunRequest) -> Option<Question> {
        Some(Question {
            owner: request.owner.clone(),
            agent_id: request.agent_id.clone(),
            agent: request.agent.clone(),
            headers: request.headers.clone(),
            prompt: names::prompt(&request.input.messages)?,
        })
    }

    /// The agent's title; `None` if it has none after a few attempts.
    pub(super) async fn answer(&self) -> Option<String> {
        for _ in 0..ATTEMPTS {
            if let Ok(Some(title)) = tokio::time::timeout(WAIT, self.ask()).await {
                return Some(title);
            }
        }
        debug!("the agent answered with no title");
        None
    }

    /// The agent's answer, if it has a title. It is asked on no thread, so that nothing of this is kept.
    async fn ask(&self) -> Option<String> {
        let mut input = RunAgentInput::new(Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
        input.state = RawValue::from_string("{}".to_owned()).ok();
        input.messages.clone_from(&self.prompt);
        let request = RunRequest {
            owner: self.owner.clone(),
            headers: self.headers.clone(),
            ..RunRequest::new(self.agent_id.clone(), self.agent.clone(), input)
        };
        title_in(run_stateless(request)).await
    }
}

impl Title {
    /// Names the thread, unless somebody has named it meanwhile or it is gone.
    async fn write(self, runner: &dyn AgentRunner) -> Result<(), StoreError> {
        let Some(store) = runner.threads() else { return Ok(()) };
        let Some(title) = self.question.answer().await else { return Ok(()) };
        let patch = ThreadPatch {
            name: Some(Some(title.into())),
            if_named: Some(Some(self.fallback.clone())),
            ..ThreadPatch::default()
        };
        for wait in LOOK_AGAIN {
            if store.update(&self.thread, patch.clone()).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(wait).await;
        }
        store.update(&self.thread, patch).await.map(drop)
    }
}

/// The title in the last message of a run that has one; none if the run fails.
async fn title_in(mut frames: FrameStream) -> Option<String> {
    let mut said = MessageList::default();
    let mut bytes = 0;
    while let Some(frames) = frames.next().await {
        bytes += frames.bytes().len();
        if bytes > MAX_BYTES {
            return None;
        }
        for event in frames.events().filter_map(|json| Event::parse(json).ok()) {
            if event.kind() == EventKind::RunError {
                return None;
            }
            said.apply(&event);
        }
    }
    #[derive(Deserialize)]
    struct Said {
        role: String,
        content: String,
    }
    let messages = said.to_messages();
    let mut said = messages.iter().rev().filter_map(|json| serde_json::from_str::<Said>(json.get()).ok());
    said.find_map(|said| (said.role == "assistant").then(|| names::title(&said.content))?)
}
