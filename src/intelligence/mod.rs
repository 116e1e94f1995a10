//! The client of CopilotKit's Intelligence platform: where it is, who we are to it, and its REST calls
//! (intelligence.md chapters 1 and 3).
//!
//! ```
//! use copilotkit_runtime::intelligence::Intelligence;
//!
//! // The managed platform; `api_url` and `ws_url` name another one, always both.
//! let intelligence = Intelligence::builder().api_key("cpk-…").build()?;
//! # Ok::<(), copilotkit_runtime::intelligence::IntelligenceError>(())
//! ```
//!
//! A call is sent once and never repeated: what a failure means, its caller knows. Calls with a time-out of their
//! own in the contract keep it; every other one ends after a minute at the latest, which upstream's do not: a
//! platform that hangs would hang the requests of browsers with it.

mod annotate;
mod builder;
mod callback;
mod entitlements;
mod error;
mod inspector;
mod key;
mod learning;
mod listeners;
mod lock;
#[cfg(feature = "mcp")]
mod mcp;
mod memories;
mod memory_policy;
#[cfg(test)]
pub(crate) mod platform;
mod reach;
mod rest;
mod threads;
mod urls;

use std::fmt;
use std::sync::Arc;

pub(crate) use annotate::Annotation;
pub(crate) use builder::Options;
pub use builder::{IntelligenceBuilder, IntelligenceError};
pub use callback::CallbackError;
pub(crate) use entitlements::{RuntimeEntitlements, license_status};
pub(crate) use error::PlatformError;
pub(crate) use inspector::LearningPage;
pub(crate) use key::{ApiKey, JoinToken};
pub(crate) use learning::NoLearningContainer;
pub use learning::RunIdentity;
pub use listeners::{DeletedThread, PlatformThread};
pub(crate) use lock::{LockError, LockRequest, RunCredentials, RunLock};
#[cfg(feature = "mcp")]
pub(crate) use mcp::NoTools;
pub(crate) use memories::{MemoryCredentials, MemoryUser, NewMemory, NoMemories, Recall};
pub(crate) use memory_policy::MemoryPolicyFailed;
pub use memory_policy::{MemoryAccess, MemoryConsumer, MemoryGrant, MemoryRequest};
pub(crate) use threads::{ListThreads, NewThread, ThreadUpdate, message_ids};

use entitlements::Fresh;
use learning::LearningContainer;
use listeners::Listeners;
use memory_policy::MemoryPolicy;
use rest::Rest;
use urls::Urls;

/// An Intelligence platform and this project's access to it. Cloning is cheap and shares connections, caches and
/// listeners. `Debug` does not show the key.
#[derive(Clone)]
pub struct Intelligence {
    shared: Arc<Shared>,
}

struct Shared {
    rest: Rest,
    key: ApiKey,
    urls: Urls,
    options: Options,
    learning: Option<LearningContainer>,
    memory: Option<MemoryPolicy>,
    listeners: Listeners,
    entitlements: Fresh<RuntimeEntitlements>,
}

impl Intelligence {
    /// Starts configuring a platform.
    #[must_use]
    pub fn builder() -> IntelligenceBuilder {
        IntelligenceBuilder::default()
    }

    /// Where runs deliver their events; the Phoenix client appends `/websocket`.
    pub(crate) fn runner_url(&self) -> &str {
        &self.shared.urls.runner
    }

    /// Where browsers receive events, as `/info` and the answers of runs tell them.
    pub(crate) fn client_url(&self) -> &str {
        &self.shared.urls.client
    }

    /// The project's key, for the runner's socket.
    pub(crate) fn api_key(&self) -> &ApiKey {
        &self.shared.key
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    fn rest(&self) -> &Rest {
        &self.shared.rest
    }
}

impl fmt::Debug for Intelligence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intelligence")
            .field("urls", &self.shared.urls)
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}
