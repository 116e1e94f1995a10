//! Which learning container a run belongs to (intelligence.md chapter 1).

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use tracing::error;

use super::Intelligence;

/// The longest id of a learning container.
const MAX_ID: usize = 64;

/// The run a learning container is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RunIdentity<'a> {
    /// The request that starts it.
    pub head: &'a Parts,
    /// Who starts it.
    pub user_id: &'a str,
    /// The agent that will run.
    pub agent_id: &'a str,
    /// The thread it runs on, as the client named it.
    pub thread_id: &'a str,
    /// Its id, as the client named it.
    pub run_id: &'a str,
}

impl<'a> RunIdentity<'a> {
    pub(crate) fn new(
        head: &'a Parts,
        user_id: &'a str,
        agent_id: &'a str,
        thread_id: &'a str,
        run_id: &'a str,
    ) -> RunIdentity<'a> {
        RunIdentity { head, user_id, agent_id, thread_id, run_id }
    }
}

/// Why the application cannot say which container a run belongs to.
pub type LearningError = Box<dyn std::error::Error + Send + Sync>;

type Choose = dyn Fn(RunIdentity<'_>) -> BoxFuture<'static, Result<Option<String>, LearningError>> + Send + Sync;

/// How the container of a run is found.
#[derive(Clone)]
pub(super) enum LearningContainer {
    Fixed(String),
    Chosen(Arc<Choose>),
}

impl LearningContainer {
    pub(super) fn chosen_by<F, R>(choose: F) -> LearningContainer
    where
        F: Fn(RunIdentity<'_>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<String>, LearningError>> + Send + 'static,
    {
        LearningContainer::Chosen(Arc::new(move |run| Box::pin(choose(run))))
    }
}

/// The container of a run could not be found out; the reason is logged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to resolve Learning Container")]
pub(crate) struct NoLearningContainer;

/// Groups of lower-case letters and digits, joined by single hyphens.
pub(super) fn is_container_id(id: &str) -> bool {
    let is_group =
        |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    id.len() <= MAX_ID && id.split('-').all(is_group)
}

impl Intelligence {
    /// Whether runs may belong to a learning container.
    pub(crate) fn has_learning_container(&self) -> bool {
        self.shared.learning.is_some()
    }

    /// The container every run belongs to, if it is one and the same.
    pub(super) fn fixed_learning_container(&self) -> Option<&str> {
        match &self.shared.learning {
            Some(LearningContainer::Fixed(id)) => Some(id),
            _ => None,
        }
    }

    /// The container of a run, to be asked before the platform hears of its thread.
    pub(crate) async fn learning_container(&self, run: RunIdentity<'_>) -> Result<Option<String>, NoLearningContainer> {
        let choose = match &self.shared.learning {
            None => return Ok(None),
            Some(LearningContainer::Fixed(id)) => return Ok(Some(id.clone())),
            Some(LearningContainer::Chosen(choose)) => choose,
        };
        // The callback is the application's: a panic is its failure, not ours.
        let cause = match AssertUnwindSafe(async { choose(run).await }).catch_unwind().await {
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(id))) if is_container_id(&id) => return Ok(Some(id)),
            Ok(Ok(Some(id))) => format!("{id:?} is no id of a learning container"),
            Ok(Err(cause)) => cause.to_string(),
            Err(_panic) => "the callback panicked".to_owned(),
        };
        error!("The learning container of a run cannot be resolved: {cause}");
        Err(NoLearningContainer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_are_those_of_the_contract() {
        let longest = "a".repeat(MAX_ID);
        for id in ["a", "sales-emea", "0-1-z9", longest.as_str()] {
            assert!(is_container_id(id), "{id}");
        }
        let longer = "a".repeat(MAX_ID + 1);
        for id in ["", "-", "a-", "-a", "a--b", "Sales", "a_b", "é", "a b", longer.as_str()] {
            assert!(!is_container_id(id), "{id}");
        }
    }

    async fn chosen(
        answer: fn() -> Result<Option<String>, LearningError>,
    ) -> Result<Option<String>, NoLearningContainer> {
        let builder = Intelligence::builder().api_key("k").learning_container_by(move |run| {
            assert_eq!((run.user_id, run.agent_id, run.thread_id, run.run_id), ("u", "a", "t", "r"));
            async move { answer() }
        });
        let (head, ()) = http::Request::new(()).into_parts();
        builder.build().unwrap().learning_container(RunIdentity::new(&head, "u", "a", "t", "r")).await
    }

    #[tokio::test]
    async fn a_callback_chooses_for_each_run() {
        assert_eq!(chosen(|| Ok(None)).await, Ok(None));
        assert_eq!(chosen(|| Ok(Some("sales-emea".to_owned()))).await, Ok(Some("sales-emea".to_owned())));
        assert_eq!(chosen(|| Ok(Some("Sales_EMEA".to_owned()))).await, Err(NoLearningContainer));
        assert_eq!(chosen(|| Err("no directory".into())).await, Err(NoLearningContainer));
        assert_eq!(chosen(|| panic!("on purpose")).await, Err(NoLearningContainer));
    }
}
