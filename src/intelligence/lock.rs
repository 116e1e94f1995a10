//! The lock that lets one run have its thread (intelligence.md 2.3 and 3.1). The platform frees it when it stores
//! the run's end; it is released here only when a run fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use super::Intelligence;
use super::error::PlatformError;
use super::key::JoinToken;
use super::rest::segment;

/// Who wants a thread for which run.
#[derive(Clone, Debug, Default)]
pub(crate) struct LockRequest {
    pub(crate) thread_id: String,
    pub(crate) run_id: String,
    pub(crate) user_id: String,
    pub(crate) agent_id: String,
    pub(crate) learning_container_id: Option<String>,
}

/// The run as the platform knows it, and a browser's way to its events.
#[derive(Clone, Debug)]
pub(crate) struct RunCredentials {
    pub(crate) thread_id: String,
    pub(crate) run_id: String,
    pub(crate) join_token: JoinToken,
}

/// Why a run does not get its thread.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// With status 409: another run has it.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The platform let the run in without saying how its events are reached. The lock is released.
    #[error("Intelligence platform did not return canonical threadId, runId, and joinToken")]
    NoCredentials,
}

/// A lock that is held. Dropping it does not release it: it may have passed to the platform with the run's end.
#[derive(Debug)]
pub(crate) struct RunLock {
    platform: Intelligence,
    thread_id: String,
    run_id: String,
    released: AtomicBool,
}

impl Intelligence {
    /// Takes the thread for the run.
    pub(crate) async fn acquire_lock(&self, request: &LockRequest) -> Result<(RunCredentials, RunLock), LockError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Acquire<'a> {
            run_id: &'a str,
            user_id: &'a str,
            agent_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            learning_container_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            lock_key_prefix: Option<&'a str>,
            ttl_seconds: u64,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Acquired {
            thread_id: Option<String>,
            run_id: Option<String>,
            join_token: Option<JoinToken>,
        }
        let options = self.options();
        let body = Acquire {
            run_id: &request.run_id,
            user_id: &request.user_id,
            agent_id: &request.agent_id,
            learning_container_id: request.learning_container_id.as_deref(),
            lock_key_prefix: options.lock_key_prefix.as_deref(),
            ttl_seconds: options.lock_ttl.as_secs(),
        };
        let call = self.rest().post(format!("/api/threads/{}/lock", segment(&request.thread_id)?)).body(&body)?;
        let answer = call.send().await?.unwrap_or_default();
        // The lock is held from here on, whatever the answer says.
        let answer: Acquired = serde_json::from_slice(&answer).unwrap_or_default();
        let given = |id: &Option<String>| id.as_deref().is_some_and(|id| !id.is_empty());
        let is_whole = given(&answer.thread_id) && given(&answer.run_id);
        let join_token = answer.join_token.filter(|token| is_whole && !token.expose().is_empty());
        let or = |id: Option<String>, own: &str| id.filter(|id| !id.is_empty()).unwrap_or_else(|| own.to_owned());
        let thread_id = or(answer.thread_id, &request.thread_id);
        let run_id = or(answer.run_id, &request.run_id);
        let lock = RunLock {
            platform: self.clone(),
            thread_id: thread_id.clone(),
            run_id: run_id.clone(),
            released: AtomicBool::new(false),
        };
        let Some(join_token) = join_token else {
            lock.release().await;
            return Err(LockError::NoCredentials);
        };
        Ok((RunCredentials { thread_id, run_id, join_token }, lock))
    }
}

impl RunLock {
    /// Keeps the lock, and ends with the first renewal that fails; never otherwise.
    pub(crate) async fn renew(&self) -> PlatformError {
        loop {
            sleep(self.platform.options().lock_heartbeat).await;
            if let Err(error) = self.renew_once().await {
                return error;
            }
        }
    }

    async fn renew_once(&self) -> Result<(), PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Renew<'a> {
            run_id: &'a str,
            ttl_seconds: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            lock_key_prefix: Option<&'a str>,
        }
        let options = self.platform.options();
        let body = Renew {
            run_id: &self.run_id,
            ttl_seconds: options.lock_ttl.as_secs(),
            lock_key_prefix: options.lock_key_prefix.as_deref(),
        };
        let call = self.platform.rest().patch(self.path()?).body(&body)?;
        // A renewal that takes longer than the lock lives has failed.
        call.within(options.lock_ttl.min(LONGEST_RENEWAL)).send().await.map(drop)
    }

    /// Gives the thread back, once. A failure is only logged: the lock ends by itself.
    pub(crate) async fn release(&self) {
        if self.released.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.delete().await {
            warn!(thread.id = %self.thread_id, run.id = %self.run_id, "The lock of a run is not released: {error}");
        }
    }

    async fn delete(&self) -> Result<(), PlatformError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Release<'a> {
            run_id: &'a str,
        }
        let call = self.platform.rest().delete(self.path()?).unlogged();
        call.body(&Release { run_id: &self.run_id })?.send().await.map(drop)
    }

    fn path(&self) -> Result<String, PlatformError> {
        Ok(format!("/api/threads/{}/lock", segment(&self.thread_id)?))
    }
}

const LONGEST_RENEWAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
