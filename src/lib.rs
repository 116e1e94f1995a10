//! The CopilotKit v2 runtime.

pub mod agent;
pub mod agui;
