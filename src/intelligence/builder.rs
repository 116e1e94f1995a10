//! What can be set about the platform, and what cannot work.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::callback::CallbackError;
use super::entitlements::Fresh;
use super::key::ApiKey;
use super::learning::{LearningContainer, RunIdentity, is_container_id};
use super::listeners::{DeletedThread, Listeners, PlatformThread};
use super::memory_policy::{MemoryGrant, MemoryPolicy, MemoryRequest};
use super::rest::{Rest, Unusable};
use super::urls::{Urls, partial_override};
use super::{Intelligence, Shared};

/// The longest time a lock is asked for.
const MAX_LOCK_TTL: Duration = Duration::from_secs(3600);
/// The longest time between two renewals of a lock.
const MAX_LOCK_HEARTBEAT: Duration = Duration::from_secs(3000);

/// Why an [`Intelligence`] cannot be built. Neither the key nor a URL is shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntelligenceError {
    /// There is no key.
    #[error(
        "the Intelligence API key is required and cannot be blank: it is the project's key, usually read from the \
         environment variable COPILOTKIT_INTELLIGENCE_API_KEY"
    )]
    NoApiKey,
    /// The key holds characters that cannot be sent in a header.
    #[error("the Intelligence API key cannot be sent in a header")]
    ApiKey,
    /// A URL cannot work.
    #[error("the Intelligence {setting} {problem}")]
    Url {
        /// Which of the two.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A time that has to pass is none.
    #[error("the Intelligence {setting} has to be at least {least:?}")]
    TooShort {
        /// Which time.
        setting: &'static str,
        /// What it has to be.
        least: Duration,
    },
    /// The learning container has no valid id.
    #[error(
        "{0:?} is no id of a learning container: 1 to 64 lower-case letters and digits, in groups joined by single \
         hyphens"
    )]
    LearningContainer(String),
    /// The HTTP client cannot be set up, for want of certificates for example.
    #[error("the HTTP client for the Intelligence platform cannot be set up")]
    Client,
}

/// What was set, clamped to what the platform allows.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Reserved: nothing is sent for it.
    pub(crate) organization_id: Option<String>,
    pub(crate) lock_ttl: Duration,
    pub(crate) lock_heartbeat: Duration,
    pub(crate) lock_key_prefix: Option<String>,
    pub(crate) max_reconnect: Duration,
    pub(crate) max_rejoin: Duration,
    pub(crate) generate_thread_names: bool,
    /// Agents are given the platform's tools whether there are grants for memories or not.
    #[cfg(feature = "mcp")]
    pub(crate) enterprise_learning: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            organization_id: None,
            lock_ttl: Duration::from_secs(20),
            lock_heartbeat: Duration::from_secs(15),
            lock_key_prefix: None,
            max_reconnect: Duration::from_secs(10),
            max_rejoin: Duration::from_secs(30),
            generate_thread_names: true,
            #[cfg(feature = "mcp")]
            enterprise_learning: false,
        }
    }
}

/// Configures an [`Intelligence`]. `Debug` does not show the key.
#[derive(Default)]
pub struct IntelligenceBuilder {
    api_key: String,
    api_url: Option<String>,
    ws_url: Option<String>,
    learning: Option<LearningContainer>,
    memory: Option<MemoryPolicy>,
    listeners: Listeners,
    options: Options,
}

impl IntelligenceBuilder {
    /// The project's API key. Required.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> IntelligenceBuilder {
        self.api_key = key.into();
        self
    }

    /// Where the platform's REST calls go: the managed platform unless set. Blank is not set.
    #[must_use]
    pub fn api_url(mut self, url: impl Into<String>) -> IntelligenceBuilder {
        self.api_url = Some(url.into());
        self
    }

    /// Where the platform's sockets are: the managed platform unless set. Blank is not set. It may end with
    /// `/runner`, `/client` or `/channels`, which is replaced as needed.
    #[must_use]
    pub fn ws_url(mut self, url: impl Into<String>) -> IntelligenceBuilder {
        self.ws_url = Some(url.into());
        self
    }

    /// Reserved. Older runtimes were given the id of an organization; today the key says it, and nothing is sent.
    #[must_use]
    pub fn organization_id(mut self, id: impl Into<String>) -> IntelligenceBuilder {
        self.options.organization_id = Some(id.into());
        self
    }

    /// The learning container of every run: 1 to 64 lower-case letters and digits, in groups joined by hyphens.
    #[must_use]
    pub fn learning_container(mut self, id: impl Into<String>) -> IntelligenceBuilder {
        self.learning = Some(LearningContainer::Fixed(id.into()));
        self
    }

    /// Asks for the learning container of each run; `None` is none. A failure, or an id that is none, is answered
    /// 500 before the platform hears of the run.
    #[must_use]
    pub fn learning_container_by<F, R>(mut self, choose: F) -> IntelligenceBuilder
    where
        F: Fn(RunIdentity<'_>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<String>, CallbackError>> + Send + 'static,
    {
        self.learning = Some(LearningContainer::chosen_by(choose));
        self
    }

    /// How long a run's lock lives without being renewed: 20 seconds unless set, whole seconds, at most an hour.
    #[must_use]
    pub fn lock_ttl(mut self, ttl: Duration) -> IntelligenceBuilder {
        self.options.lock_ttl = ttl;
        self
    }

    /// How often a run's lock is renewed: every 15 seconds unless set, at most every 50 minutes.
    #[must_use]
    pub fn lock_heartbeat(mut self, interval: Duration) -> IntelligenceBuilder {
        self.options.lock_heartbeat = interval;
        self
    }

    /// What the names of locks start with: the platform's own word, `thread`, unless set.
    #[must_use]
    pub fn lock_key_prefix(mut self, prefix: impl Into<String>) -> IntelligenceBuilder {
        self.options.lock_key_prefix = Some(prefix.into());
        self
    }

    /// The longest wait before a lost socket is connected again: 10 seconds unless set.
    #[must_use]
    pub fn max_reconnect(mut self, wait: Duration) -> IntelligenceBuilder {
        self.options.max_reconnect = wait;
        self
    }

    /// The longest wait before a channel is joined again: 30 seconds unless set.
    #[must_use]
    pub fn max_rejoin(mut self, wait: Duration) -> IntelligenceBuilder {
        self.options.max_rejoin = wait;
        self
    }

    /// Whether agents are asked for the names of new threads: yes unless set.
    #[must_use]
    pub fn generate_thread_names(mut self, on: bool) -> IntelligenceBuilder {
        self.options.generate_thread_names = on;
        self
    }

    /// Gives the agents of all runs the platform's MCP tools: what the organization has learned. No unless set.
    #[cfg(feature = "mcp")]
    #[must_use]
    pub fn enterprise_learning(mut self, on: bool) -> IntelligenceBuilder {
        self.options.enterprise_learning = on;
        self
    }

    /// Opens the routes for memories, and asks for each request what it may do with them. On the routes a grant of
    /// nothing is answered 403, a failure 500.
    ///
    /// With the feature `mcp` it is also asked for every run: the agent gets the platform's tools for what is granted.
    /// A grant of nothing lets the run go on without tools for memories; a failure is answered 500.
    #[must_use]
    pub fn memory<F, R>(mut self, policy: F) -> IntelligenceBuilder
    where
        F: Fn(MemoryRequest<'_>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<MemoryGrant, CallbackError>> + Send + 'static,
    {
        self.memory = Some(MemoryPolicy::of(policy));
        self
    }

    /// Tells the application of every thread this process creates. Further listeners are told too; each is called
    /// where the answer is awaited, so it must not block.
    #[must_use]
    pub fn on_thread_created(mut self, listener: impl Fn(&PlatformThread) + Send + Sync + 'static) -> Self {
        self.listeners.created.push(Arc::new(listener));
        self
    }

    /// Tells the application of every thread this process renames, archives or changes otherwise.
    #[must_use]
    pub fn on_thread_updated(mut self, listener: impl Fn(&PlatformThread) + Send + Sync + 'static) -> Self {
        self.listeners.updated.push(Arc::new(listener));
        self
    }

    /// Tells the application of every thread this process deletes.
    #[must_use]
    pub fn on_thread_deleted(mut self, listener: impl Fn(&DeletedThread) + Send + Sync + 'static) -> Self {
        self.listeners.deleted.push(Arc::new(listener));
        self
    }

    /// Checks the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// [`IntelligenceError`].
    pub fn build(self) -> Result<Intelligence, IntelligenceError> {
        let IntelligenceBuilder { api_key, api_url, ws_url, learning, memory, listeners, options } = self;
        if api_key.trim().is_empty() {
            return Err(IntelligenceError::NoApiKey);
        }
        if let Some(LearningContainer::Fixed(id)) = &learning
            && !is_container_id(id)
        {
            return Err(IntelligenceError::LearningContainer(id.clone()));
        }
        let urls = Urls::of(api_url.as_deref(), ws_url.as_deref())?;
        let options = options.clamped()?;
        let key = ApiKey::new(&api_key);
        let rest = Rest::new(urls.api.clone(), key.clone()).map_err(|unusable| match unusable {
            Unusable::Key => IntelligenceError::ApiKey,
            Unusable::Client => IntelligenceError::Client,
        })?;
        if let Some(warning) = partial_override(api_url.as_deref(), ws_url.as_deref()) {
            warn!("{warning}");
        }
        if options.lock_heartbeat >= options.lock_ttl {
            warn!(
                "Intelligence: locks live {:?} and are renewed only every {:?}",
                options.lock_ttl, options.lock_heartbeat
            );
        }
        Ok(Intelligence {
            shared: Arc::new(Shared {
                rest,
                key,
                urls,
                options,
                learning,
                memory,
                listeners,
                entitlements: Fresh::default(),
            }),
        })
    }
}

impl Options {
    fn clamped(self) -> Result<Options, IntelligenceError> {
        let times = [
            ("lock_ttl", self.lock_ttl, Duration::from_secs(1)),
            ("lock_heartbeat", self.lock_heartbeat, Duration::from_millis(1)),
            ("max_reconnect", self.max_reconnect, Duration::from_millis(1)),
            ("max_rejoin", self.max_rejoin, Duration::from_millis(1)),
        ];
        if let Some((setting, _, least)) = times.into_iter().find(|(_, time, least)| time < least) {
            return Err(IntelligenceError::TooShort { setting, least });
        }
        let lock_ttl = Duration::from_secs(self.lock_ttl.min(MAX_LOCK_TTL).as_secs());
        Ok(Options { lock_ttl, lock_heartbeat: self.lock_heartbeat.min(MAX_LOCK_HEARTBEAT), ..self })
    }
}

impl fmt::Debug for IntelligenceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntelligenceBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(set: impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder) -> Result<Options, IntelligenceError> {
        set(Intelligence::builder().api_key("cpk-secret")).build().map(|built| built.options().clone())
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let options = built(|builder| builder).unwrap();
        assert_eq!((options.lock_ttl.as_secs(), options.lock_heartbeat.as_secs()), (20, 15));
        assert_eq!((options.max_reconnect.as_secs(), options.max_rejoin.as_secs()), (10, 30));
        assert!(options.generate_thread_names);
        assert_eq!((options.lock_key_prefix, options.organization_id), (None, None));
    }

    #[test]
    fn lock_times_are_clamped() {
        let day = Duration::from_secs(86_400);
        let options = built(|builder| builder.lock_ttl(day).lock_heartbeat(day)).unwrap();
        assert_eq!((options.lock_ttl.as_secs(), options.lock_heartbeat.as_secs()), (3600, 3000));
        let options = built(|builder| builder.lock_ttl(Duration::from_millis(2900))).unwrap();
        assert_eq!(options.lock_ttl, Duration::from_secs(2), "the platform counts whole seconds");
        let zero = built(|builder| builder.lock_heartbeat(Duration::ZERO)).unwrap_err();
        assert_eq!(zero.to_string(), "the Intelligence lock_heartbeat has to be at least 1ms");
        assert!(built(|builder| builder.lock_ttl(Duration::from_millis(900))).is_err());
    }

    #[test]
    fn key_is_required_and_never_shown() {
        for blank in ["", " \n"] {
            assert_eq!(built(|builder| builder.api_key(blank)).unwrap_err(), IntelligenceError::NoApiKey);
        }
        let refused = built(|builder| builder.api_key("cpk\nsecret")).unwrap_err();
        assert_eq!(refused, IntelligenceError::ApiKey);
        assert!(!format!("{refused} {refused:?}").contains("secret"));
        let builder = Intelligence::builder().api_key("cpk-secret").organization_id("org-1");
        let shown = format!("{builder:?}");
        let built = builder.build().unwrap();
        let shown = format!("{shown} {built:?} {:?}", built.api_key());
        assert!(!shown.contains("secret") && shown.contains("org-1"), "{shown}");
        assert_eq!(built.api_key().expose(), "cpk-secret");
    }

    #[test]
    fn learning_container_that_is_none_is_refused() {
        let refused = built(|builder| builder.learning_container("Sales_EMEA")).unwrap_err();
        assert_eq!(refused, IntelligenceError::LearningContainer("Sales_EMEA".to_owned()));
        assert!(built(|builder| builder.learning_container("sales-emea")).is_ok());
    }
}
