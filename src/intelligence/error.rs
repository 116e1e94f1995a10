//! Why a call to the platform has no answer.

use std::error::Error;
use std::time::Duration;

/// Why a call to the platform has no answer. Its text may reach browsers: it holds no key and no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlatformError {
    /// An answer that is no success; the text is the answer's body, or else what its status is called.
    #[error("Intelligence platform error {status}: {text}")]
    Status { status: u16, text: String },
    /// The platform was not reached, or the connection broke.
    #[error("the Intelligence platform cannot be reached: {0}")]
    Network(String),
    /// No whole answer in time.
    #[error("the Intelligence platform did not answer within {0:?}")]
    TimedOut(Duration),
    /// A success whose body is not what the call answers.
    #[error("the Intelligence platform's answer {0}")]
    Malformed(&'static str),
    /// The call would go to another path than the one of this id.
    #[error("the id {0:?} cannot stand in a path")]
    Unaddressable(String),
}

impl PlatformError {
    /// The status of the platform's answer, if there was one and it was no success.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            PlatformError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub(super) fn of_transport(error: reqwest::Error, bound: Duration) -> PlatformError {
        if error.is_timeout() {
            return PlatformError::TimedOut(bound);
        }
        let error = error.without_url();
        let mut root: &dyn Error = &error;
        while let Some(source) = root.source() {
            root = source;
        }
        PlatformError::Network(root.to_string())
    }
}
