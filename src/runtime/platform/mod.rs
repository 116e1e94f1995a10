//! Runs, connects, stops and threads where the Intelligence platform keeps them: this runtime asks the platform,
//! runs the agent, and hands the client what it needs to listen to the platform itself (intelligence.md chapter 2).

mod failure;
mod run;
mod threads;
#[cfg(feature = "mcp")]
mod tools;

use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::Caller;
use super::titles::Titles;
use crate::intelligence::{Intelligence, JoinToken};
use crate::runner::{Activity, IntelligenceRunner, PlatformStop};

pub(crate) use failure::{Operation, PlatformFailure};
pub(super) use run::Asked;
pub(crate) use threads::PlatformThreads;

/// The platform, and who runs agents for it.
pub(super) struct Platform {
    pub(super) intelligence: Intelligence,
    runner: IntelligenceRunner,
    /// Runs that have or wait for their lock, and are not the runner's yet.
    beginning: TaskTracker,
    /// Who asks agents for the titles of new threads, if that is on.
    titles: Option<Titles>,
    #[cfg(feature = "mcp")]
    tools: tools::Tools,
}

/// With this a client listens to the platform: what a run or a connect answers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bootstrap {
    thread_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    join_token: JoinToken,
    realtime: Realtime,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Realtime {
    client_url: String,
    topic: String,
}

impl Platform {
    pub(super) fn new(intelligence: Intelligence) -> Platform {
        let runner = IntelligenceRunner::new(&intelligence);
        let titles = intelligence.options().generate_thread_names.then(Titles::default);
        #[cfg(feature = "mcp")]
        let tools = tools::Tools::of(&intelligence);
        Platform {
            intelligence,
            runner,
            beginning: TaskTracker::new(),
            titles,
            #[cfg(feature = "mcp")]
            tools,
        }
    }

    pub(super) fn threads<'p>(&'p self, caller: &'p Caller) -> PlatformThreads<'p> {
        PlatformThreads { intelligence: &self.intelligence, user_id: caller.user_id() }
    }

    /// With what a client listens to a thread; `None` if the platform has none of that id for the caller.
    pub(super) async fn connect(
        &self,
        caller: &Caller,
        agent_id: &str,
        thread_id: &str,
    ) -> Result<Option<Bootstrap>, PlatformFailure> {
        let connected = self.intelligence.connect_thread(caller.user_id(), agent_id, thread_id).await;
        let connected = connected.map_err(PlatformFailure::Connect)?;
        Ok(connected.map(|connected| self.bootstrap(connected.thread_id, None, connected.join_token)))
    }

    fn bootstrap(&self, thread_id: String, run_id: Option<String>, join_token: JoinToken) -> Bootstrap {
        let realtime =
            Realtime { client_url: self.intelligence.client_url().to_owned(), topic: format!("thread:{thread_id}") };
        Bootstrap { thread_id, run_id, join_token, realtime }
    }

    /// The canonical id of a thread on which the caller may stop this agent's run.
    pub(super) async fn stoppable(
        &self,
        caller: &Caller,
        agent_id: &str,
        thread_id: &str,
    ) -> Result<String, PlatformFailure> {
        let thread = self.intelligence.get_thread(caller.user_id(), thread_id).await;
        let thread = thread.map_err(PlatformFailure::ThreadAccess)?;
        let id = thread.id.filter(|id| !id.trim().is_empty()).ok_or(PlatformFailure::InvalidThread)?;
        match thread.agent_id {
            Some(owner) if owner != agent_id => Err(PlatformFailure::OtherAgent),
            _ => Ok(id),
        }
    }

    /// What runs now.
    pub(super) fn activity(&self) -> Activity {
        self.runner.activity()
    }

    /// Ends a run, and returns when the platform has its end.
    pub(super) async fn stop(&self, thread_id: &str, run_id: Option<&str>) -> PlatformStop {
        self.runner.stop(thread_id, run_id).await
    }

    pub(super) async fn shutdown(&self, deadline: Duration) {
        if let Some(titles) = &self.titles {
            titles.close().await;
        }
        self.beginning.close();
        // The runner refuses what begins from here on, and that gives its lock back.
        tokio::join!(self.runner.shutdown(deadline), async {
            if timeout(deadline, self.beginning.wait()).await.is_err() {
                warn!("the platform had not answered runs that began when the shutdown deadline passed");
            }
        });
    }
}
