//! What only the Intelligence platform knows: about the project, what it learned, and what users noted on threads.

use bytes::Bytes;
use serde_json::Value;

use super::{Caller, CopilotRuntime};
use crate::intelligence::{Annotation, LearningPage, PlatformError};

impl CopilotRuntime {
    /// Whose project it is, its plan and its usage, if that is known.
    pub(crate) async fn inspector_metadata(&self) -> Option<Value> {
        self.intelligence()?.inspector_metadata().await
    }

    /// Whether what was learned can be shown.
    pub(crate) fn has_learning(&self) -> bool {
        self.intelligence().is_some_and(|intelligence| intelligence.has_learning_container())
    }

    /// What was learned from the project's threads; nothing without a learning container.
    pub(crate) async fn inspector_learning(&self, page: &LearningPage) -> Option<Result<Value, PlatformError>> {
        let intelligence = self.intelligence().filter(|intelligence| intelligence.has_learning_container())?;
        Some(intelligence.inspector_learning(page).await)
    }

    /// Whether notes on threads are kept.
    pub(crate) fn keeps_notes(&self) -> bool {
        self.intelligence().is_some()
    }

    /// Keeps the caller's note on a thread; nothing where no platform keeps any.
    pub(crate) async fn annotate(&self, caller: &Caller, note: &Annotation) -> Option<Result<Bytes, PlatformError>> {
        Some(self.intelligence()?.annotate(caller.user_id(), note).await)
    }
}
