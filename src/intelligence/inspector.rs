//! What the platform tells the inspector of a page (intelligence.md 2.7 and 3.4). Nothing of it is taken on trust:
//! it ends in a browser as texts and links.

mod learning;
mod metadata;

use std::time::Duration;

use serde_json::Value;
use tracing::warn;

use super::Intelligence;
use super::error::PlatformError;
use super::rest::query;

/// How long the platform may take, its answer's body included.
const BOUND: Duration = Duration::from_secs(5);

/// The largest integer that JavaScript numbers hold exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Which part of what was learned is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LearningPage {
    pub(crate) agent_id: Option<String>,
    pub(crate) skills_page: Option<u64>,
    pub(crate) insights_page: Option<u64>,
}

impl Intelligence {
    /// Whose project it is, its plan and its usage, as far as the platform tells: a failure is silence.
    pub(crate) async fn inspector_metadata(&self) -> Option<Value> {
        let call = self.rest().get("/api/inspector/metadata").without_content_type();
        match call.within(BOUND).send().await {
            Ok(answer) => metadata::sanitised(&serde_json::from_slice(&answer?).ok()?),
            Err(error) => {
                if error.status() != Some(404) {
                    warn!("The platform's metadata for the inspector are missing: {error}");
                }
                None
            }
        }
    }

    /// What was learned from the project's threads.
    pub(crate) async fn inspector_learning(&self, page: &LearningPage) -> Result<Value, PlatformError> {
        let number = |page: Option<u64>| page.map(|page| page.to_string());
        let (skills, insights) = (number(page.skills_page), number(page.insights_page));
        let query = query([
            ("agentId", page.agent_id.as_deref()),
            ("skillsPage", skills.as_deref()),
            ("insightsPage", insights.as_deref()),
            ("runtimeContainerId", self.fixed_learning_container()),
        ]);
        let query = if query.is_empty() { query } else { format!("?{query}") };
        let call = self.rest().get(format!("/api/inspector/learning{query}")).without_content_type();
        let answer: Value = call.within(BOUND).answer("is no JSON").await?;
        learning::sanitised(&answer).ok_or(PlatformError::Malformed("is no snapshot of what was learned"))
    }
}

/// A number that is an integer in JavaScript, `1.0` included.
fn integer(value: &Value) -> Option<u64> {
    let whole =
        |number: f64| (number.fract() == 0.0 && (0.0..=MAX_SAFE as f64).contains(&number)).then_some(number as u64);
    value.as_u64().filter(|number| *number <= MAX_SAFE).or_else(|| value.as_f64().and_then(whole))
}

/// Whether the host of a link is the machine of the one who follows it.
fn is_loopback(url: &url::Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests;
