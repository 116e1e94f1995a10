//! What operators see of a runtime: its log, its metrics, its readiness, and the traces it belongs to.

#[cfg(feature = "server")]
mod logs;
mod metrics;
mod traces;
