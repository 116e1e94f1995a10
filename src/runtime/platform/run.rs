//! A run whose thread the platform keeps (intelligence.md 2.3): the order of the steps is the contract's.

use std::collections::HashSet;
use std::panic::resume_unwind;

use http::HeaderMap;
use http::request::Parts;
use tokio::task::JoinError;
use tracing::{Instrument, debug, error_span, warn};

use super::{Bootstrap, Platform, PlatformFailure};
use crate::agui::{Message, RunAgentInput};
use crate::intelligence::{
    Intelligence, LockError, LockRequest, NewThread, PlatformError, PlatformThread, RunCredentials, RunIdentity,
    ThreadUpdate, message_ids,
};
use crate::runner::{IntelligenceRunner, PlatformRun, RunMeter, RunPass, RunRequest, StartError};
use crate::runtime::titles::Question;
use crate::runtime::{Caller, FoundAgent, names};

/// A thread, and whether this run has made it.
struct Found {
    thread: PlatformThread,
    created: bool,
}

/// What a client asked for, as the run takes it along.
pub(in crate::runtime) struct Asked {
    pub(in crate::runtime) found: FoundAgent,
    pub(in crate::runtime) input: RunAgentInput,
    pub(in crate::runtime) headers: HeaderMap,
    pub(in crate::runtime) meter: RunMeter,
    pub(in crate::runtime) pass: RunPass,
}

impl Platform {
    /// Starts a run. Answers once the platform listens to it.
    pub(in crate::runtime) async fn run(
        &self,
        caller: &Caller,
        asked: Asked,
        head: &Parts,
    ) -> Result<Bootstrap, PlatformFailure> {
        let user_id = caller.user_id();
        let Asked { found, input, headers, .. } = &asked;
        // First of all, as in the contract: a policy for memories may refuse to answer.
        #[cfg(feature = "mcp")]
        let equipped = self.tools.given_to(found, &self.intelligence, head, user_id).await?;
        #[cfg(not(feature = "mcp"))]
        let equipped = found.clone();
        let run = RunIdentity::new(head, user_id, &found.id, &input.thread_id, &input.run_id);
        let learning_container_id = self.intelligence.learning_container(run).await?;
        let new = NewThread {
            thread_id: input.thread_id.clone(),
            agent_id: found.id.to_string(),
            name: None,
            learning_container_id,
        };
        let thread = self.thread(user_id, &new).await.map_err(PlatformFailure::InitializeThread)?;
        if thread.created && thread.thread.name.is_none() {
            // A title wants no tools.
            self.name(caller, found, input, headers);
        }
        let lock = LockRequest {
            thread_id: new.thread_id,
            run_id: input.run_id.clone(),
            user_id: user_id.to_owned(),
            agent_id: new.agent_id,
            learning_container_id: new.learning_container_id,
        };
        let asked = Asked { found: equipped, ..asked };
        // A task of its own: a client that leaves in the midst of it must not leave a lock behind.
        let (intelligence, runner) = (self.intelligence.clone(), self.runner.clone());
        let begun = self.beginning.spawn(begin(intelligence, runner, lock, asked).in_current_span());
        let run = match begun.await.map_err(JoinError::try_into_panic) {
            Ok(begun) => begun?,
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_cancelled)) => return Err(PlatformFailure::Start(StartError::ShuttingDown)),
        };
        Ok(self.bootstrap(run.thread_id, Some(run.run_id), run.join_token))
    }

    /// The caller's thread, made if there is none.
    async fn thread(&self, user_id: &str, new: &NewThread) -> Result<Found, PlatformError> {
        let existing = |thread| Found { thread, created: false };
        match self.intelligence.get_thread(user_id, &new.thread_id).await {
            Err(missing) if missing.status() == Some(404) => {}
            found => return found.map(existing),
        }
        match self.intelligence.create_thread(user_id, new).await {
            // Somebody else was faster.
            Err(exists) if exists.status() == Some(409) => {
                self.intelligence.get_thread(user_id, &new.thread_id).await.map(existing)
            }
            made => made.map(|thread| Found { thread, created: true }),
        }
    }

    /// Names a new thread, in the background: as its agent calls it, or by its first words.
    fn name(&self, caller: &Caller, found: &FoundAgent, input: &RunAgentInput, headers: &HeaderMap) {
        let Some(titles) = &self.titles else { return };
        let Some(fallback) = names::fallback(&input.messages) else { return };
        let asked = RunRequest {
            owner: caller.owner().clone(),
            headers: headers.clone(),
            ..RunRequest::new(found.id.clone(), found.agent.clone(), input.clone())
        };
        let Some(question) = Question::about(&asked) else { return };
        let intelligence = self.intelligence.clone();
        let (thread_id, agent_id) = (input.thread_id.clone(), found.id.clone());
        let user_id = caller.user_id().to_owned();
        let span = error_span!("title", thread.id = thread_id, user.id = user_id, agent.id = %agent_id);
        titles.spawn(span, async move {
            let name = question.answer().await.unwrap_or_else(|| fallback.to_string());
            let update = ThreadUpdate { name: Some(name.into()), archived: None };
            match intelligence.update_thread(&user_id, &agent_id, &thread_id, &update).await {
                Ok(_) => debug!("the thread has a name"),
                Err(failure) => warn!(error = %failure, "the platform did not take the name of the thread"),
            }
        });
    }
}

/// Takes the lock and starts the run, or gives the lock back.
async fn begin(
    intelligence: Intelligence,
    runner: IntelligenceRunner,
    wanted: LockRequest,
    asked: Asked,
) -> Result<RunCredentials, PlatformFailure> {
    let Asked { found, mut input, headers, meter, pass } = asked;
    let (run, lock) = intelligence.acquire_lock(&wanted).await.map_err(|error| match error {
        LockError::Platform(cause) if cause.status() == Some(409) => PlatformFailure::LockHeld,
        LockError::Platform(cause) => PlatformFailure::Lock(cause),
        LockError::NoCredentials => PlatformFailure::NoCredentials,
    })?;
    input.thread_id.clone_from(&run.thread_id);
    input.run_id.clone_from(&run.run_id);
    let history = intelligence.thread_messages(&wanted.user_id, &input.thread_id).await;
    let kept = match history.and_then(|history| message_ids(&history)) {
        Ok(kept) => kept,
        Err(cause) => {
            lock.release().await;
            return Err(PlatformFailure::History(cause));
        }
    };
    let new_messages = unknown(&input.messages, &kept);
    let (FoundAgent { id: agent_id, agent, bounds }, user_id) = (found, wanted.user_id.into());
    let start = PlatformRun { agent_id, agent, input, headers, bounds, new_messages, user_id, pass, lock, meter };
    runner.start(start).await?;
    Ok(run)
}

/// The messages the thread does not have yet.
fn unknown(messages: &[Message], kept: &HashSet<String>) -> Vec<Message> {
    messages.iter().filter(|message| !kept.contains(message.id())).cloned().collect()
}
