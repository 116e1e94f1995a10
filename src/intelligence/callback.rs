//! The application's own code, called where a run or a request needs its answer.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Why the application's code has no answer. Its text is logged and shown to nobody else.
pub type CallbackError = Box<dyn std::error::Error + Send + Sync>;

/// What the callback answers, or why it does not. A panic is its failure, not ours.
pub(super) async fn outcome<T, R>(call: impl FnOnce() -> R) -> Result<T, String>
where
    R: Future<Output = Result<T, CallbackError>>,
{
    match AssertUnwindSafe(async { call().await }).catch_unwind().await {
        Ok(answer) => answer.map_err(|cause| cause.to_string()),
        Err(_panic) => Err("the callback panicked".to_owned()),
    }
}
