//! What this project may use (intelligence.md 3.2 and 2.2). Asked for at most once at a time and kept for seconds:
//! `/info` is asked by every page.

mod fresh;
mod schema;

use std::time::Duration;

use super::Intelligence;
use super::error::PlatformError;
pub(super) use fresh::Fresh;
use schema::Failure;
pub(crate) use schema::RuntimeEntitlements;

/// How long the platform may take, its answer's body included.
const BOUND: Duration = Duration::from_millis(1500);
const ACTIVE_FOR: Duration = Duration::from_secs(30);
/// Whatever is no active grant may change soon.
const ANYTHING_ELSE_FOR: Duration = Duration::from_secs(5);

impl Intelligence {
    /// What this project may use. A failure to find out is an answer too: `/info` does not fail for it.
    pub(crate) async fn runtime_entitlements(&self) -> RuntimeEntitlements {
        self.shared.entitlements.get(self.fetch_entitlements()).await
    }

    async fn fetch_entitlements(&self) -> (RuntimeEntitlements, Duration) {
        let answer = self.rest().get("/api/entitlements/runtime").within(BOUND).send().await;
        let entitlements = match answer {
            Ok(body) => schema::read(&body.unwrap_or_default()).unwrap_or_else(misconfigured),
            Err(error) if is_retryable(&error) => unavailable(),
            Err(_) => misconfigured(),
        };
        let kept = if entitlements.is_active() { ACTIVE_FOR } else { ANYTHING_ELSE_FOR };
        (entitlements, kept)
    }
}

/// Whether the failure can pass without anybody changing the configuration.
fn is_retryable(error: &PlatformError) -> bool {
    match error {
        PlatformError::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
        PlatformError::Network(_) | PlatformError::TimedOut(_) => true,
        PlatformError::Malformed(_) | PlatformError::Unaddressable(_) => false,
    }
}

fn misconfigured() -> RuntimeEntitlements {
    RuntimeEntitlements::not_ready(
        "misconfigured",
        Failure::new("runtime_entitlements_misconfigured", "Runtime entitlement lookup is misconfigured", false),
    )
}

fn unavailable() -> RuntimeEntitlements {
    RuntimeEntitlements::not_ready(
        "unavailable",
        Failure::new("runtime_entitlements_unavailable", "Runtime entitlement lookup failed", true),
    )
}

/// What `/info` says of the licence. There is no licence of this process beside the platform's: where upstream
/// looks at a local token, this is what it says without one.
pub(crate) fn license_status(entitlements: &RuntimeEntitlements) -> &'static str {
    match entitlements {
        RuntimeEntitlements::Ready { entitlement, .. } if entitlement.active => "valid",
        RuntimeEntitlements::NotReady { error, .. } if error.retryable => "unknown",
        RuntimeEntitlements::Ready { .. } | RuntimeEntitlements::NotReady { .. } => "none",
    }
}

#[cfg(test)]
mod tests;
