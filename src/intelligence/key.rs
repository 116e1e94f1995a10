//! What opens doors: the project's key and the tokens of browsers. Neither shows in `Debug`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The project's API key.
#[derive(Clone)]
pub(crate) struct ApiKey(Arc<str>);

impl ApiKey {
    pub(super) fn new(key: &str) -> ApiKey {
        ApiKey(key.into())
    }

    /// The key itself, to be sent and never shown.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Text of the platform, without the key if the platform repeats it.
    pub(super) fn removed_from(&self, text: String) -> String {
        if text.contains(&*self.0) { text.replace(&*self.0, "…") } else { text }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Lets a browser join one topic of the platform. It travels in answers' bodies and in no log.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct JoinToken(String);

impl JoinToken {
    /// The token itself, for an answer's body.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}
