//! Whether the platform can be reached, and what came of the calls to it.

use std::time::Duration;

use super::Intelligence;
use super::error::PlatformError;

/// Shorter than those who ask wait.
const BOUND: Duration = Duration::from_millis(1500);

impl Intelligence {
    /// Whether the platform answers, and takes this project's key.
    ///
    /// # Errors
    /// Why runs would fail. A platform that does not know the question can be reached.
    pub(crate) async fn check(&self) -> Result<(), PlatformError> {
        match self.rest().get("/api/entitlements/runtime").within(BOUND).send().await {
            Ok(_) => Ok(()),
            Err(failure) => match failure.status() {
                Some(401 | 403 | 408 | 425 | 429 | 500..) | None => Err(failure),
                Some(_) => Ok(()),
            },
        }
    }

    /// How many calls to the platform succeeded, and how many failed.
    pub(crate) fn calls(&self) -> (u64, u64) {
        self.rest().calls()
    }
}
