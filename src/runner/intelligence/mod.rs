//! stub
use crate::agent::Agent;
use crate::agui::{Message, RunAgentInput};
use crate::intelligence::{Intelligence, RunLock};
use http::HeaderMap;
use std::sync::Arc;
use std::time::Duration;
/// stub
#[derive(Debug)]
pub struct IntelligenceRunner;
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("This build cannot run agents for the Intelligence platform yet")]
    Unsupported,
}
#[allow(dead_code)]
pub(crate) enum PlatformStop {
    Stopped,
    NoActiveRun,
    OtherRun,
    Unacknowledged,
}
#[allow(dead_code)]
pub(crate) struct PlatformRun {
    pub(crate) agent_id: Arc<str>,
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) input: RunAgentInput,
    pub(crate) headers: HeaderMap,
    pub(crate) new_messages: Vec<Message>,
    pub(crate) user_id: Arc<str>,
    pub(crate) lock: RunLock,
}
impl IntelligenceRunner {
    /// stub
    pub fn new(_: Intelligence) -> Self {
        Self
    }
    pub(crate) async fn start(&self, _: PlatformRun) -> Result<(), StartError> {
        Err(StartError::Unsupported)
    }
    pub(crate) async fn stop(&self, _: &str, _: Option<&str>) -> PlatformStop {
        PlatformStop::NoActiveRun
    }
    pub(crate) async fn shutdown(&self, _: Duration) {}
}
