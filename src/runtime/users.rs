//! Who asks. One place turns a request into a [`Caller`], and no thread is touched without one.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderName;
use http::request::Parts;
use tracing::Span;

use super::{Claims, CopilotRuntime};
use crate::runner::{Owner, ThreadKey};

/// The longest id of a user.
const MAX_ID: usize = 128;

/// Who sends a request, as the application knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// 1 to 128 characters of `A-Z a-z 0-9 _ . @ : = -`. Their threads belong to this id for ever: take one that
    /// does not change, as an e-mail address may.
    pub id: String,
    /// What they are called, if that is known; not blank.
    pub name: Option<String>,
    /// What else is known of them.
    pub claims: Claims,
    /// Headers of this request that no agent gets to see, whatever the forwarding policy says: they hold a secret that
    /// is good for this runtime alone.
    pub withheld: Vec<HeaderName>,
}

impl User {
    /// A user without a name.
    #[must_use]
    pub fn new(id: impl Into<String>) -> User {
        User { id: id.into(), name: None, claims: Claims::default(), withheld: Vec::new() }
    }

    /// The user, with a name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> User {
        User { name: Some(name.into()), ..self }
    }

    /// The user, with what else is known of them.
    #[must_use]
    pub fn with_claims(self, claims: impl Into<Claims>) -> User {
        User { claims: claims.into(), ..self }
    }

    /// Keeps a header of the request from agents.
    #[must_use]
    pub fn withhold(mut self, header: HeaderName) -> User {
        self.withheld.push(header);
        self
    }
}

/// Why a request has no user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// Nobody is signed in. Answered 401.
    #[error("the request does not say who sends it")]
    Unauthenticated,
    /// The token or key of the request is no good, for this reason. Answered 401.
    #[error("{0}")]
    Invalid(&'static str),
    /// Whoever it is may not come in, for this reason. Answered 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// It cannot be found out for the moment, as the keys of tokens cannot be had. Answered 503; the cause is logged.
    #[error("{0}")]
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// It could not be found out. Answered 500; the cause is logged.
    #[error(transparent)]
    Failed(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl IdentifyError {
    /// It could not be found out.
    #[must_use]
    pub fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> IdentifyError {
        IdentifyError::Failed(cause.into())
    }
}

/// Whose threads a request may touch. Only [`CopilotRuntime::caller`] makes one.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    owner: Owner,
    claims: Claims,
    withheld: Vec<HeaderName>,
}

impl Caller {
    fn owning(owner: Owner) -> Caller {
        Caller { owner, claims: Claims::default(), withheld: Vec::new() }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The id the platform knows the caller by; empty where users are not told apart.
    pub(super) fn user_id(&self) -> &str {
        self.owner.as_str()
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The headers of the request that no agent gets to see.
    pub(crate) fn withheld(&self) -> &[HeaderName] {
        &self.withheld
    }

    /// The caller's thread of an id, whether there is one or not.
    pub(super) fn thread(&self, id: &str) -> ThreadKey {
        ThreadKey::new(self.owner.clone(), id)
    }

    #[cfg(test)]
    pub(crate) fn of(user_id: &str) -> Caller {
        Caller::owning(Owner::of(user_id))
    }
}

/// Why a request has no caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCaller {
    #[error("nobody is signed in")]
    Unauthenticated,
    #[error("{0}")]
    Invalid(&'static str),
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    Unavailable(String),
    #[error("the id of the user is not 1 to 128 characters of A-Z a-z 0-9 _ . @ : = -")]
    InvalidId,
    #[error("the name of the user is blank")]
    InvalidName,
    #[error("{0}")]
    Failed(String),
}

impl NoCaller {
    /// Whether the request does not even try to say who sends it.
    pub(crate) fn is_stranger(&self) -> bool {
        matches!(self, NoCaller::Unauthenticated)
    }
}

type Identify = dyn Fn(&Parts) -> BoxFuture<'static, Result<User, IdentifyError>> + Send + Sync;

/// How users are told apart.
#[derive(Clone, Default)]
pub(super) enum Users {
    /// Not at all.
    #[default]
    Anonymous,
    Identified(Arc<Identify>),
}

impl Users {
    pub(super) fn identified_by<F, R>(identify: F) -> Users
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<User, IdentifyError>> + Send + 'static,
    {
        Users::Identified(Arc::new(move |head| Box::pin(identify(head))))
    }
}

impl CopilotRuntime {
    /// Who sends a request; to be asked once for each.
    pub(crate) async fn caller(&self, head: &Parts) -> Result<Caller, NoCaller> {
        match &self.shared.users {
            Users::Anonymous => Ok(Caller::owning(Owner::anonymous())),
            Users::Identified(identify) => Box::pin(identified(&**identify, head)).await,
        }
    }
}

async fn identified(identify: &Identify, head: &Parts) -> Result<Caller, NoCaller> {
    // The callback is the application's: a panic is its failure, not ours.
    let asked = AssertUnwindSafe(async { identify(head).await }).catch_unwind().await;
    let user = match asked {
        Ok(Ok(user)) => user,
        Ok(Err(IdentifyError::Unauthenticated)) => return Err(NoCaller::Unauthenticated),
        Ok(Err(IdentifyError::Invalid(reason))) => return Err(NoCaller::Invalid(reason)),
        Ok(Err(IdentifyError::Forbidden(reason))) => return Err(NoCaller::Forbidden(reason)),
        Ok(Err(IdentifyError::Unavailable(cause))) => return Err(NoCaller::Unavailable(cause.to_string())),
        Ok(Err(IdentifyError::Failed(cause))) => return Err(NoCaller::Failed(cause.to_string())),
        Err(_panic) => return Err(NoCaller::Failed("identify_user panicked".to_owned())),
    };
    if !is_identifier(&user.id) {
        return Err(NoCaller::InvalidId);
    }
    if user.name.is_some_and(|name| name.trim().is_empty()) {
        return Err(NoCaller::InvalidName);
    }
    // The request's span has room for it.
    Span::current().record("user.id", &*user.id);
    Ok(Caller { owner: Owner::of(user.id), claims: user.claims, withheld: user.withheld })
}

/// What the contract takes for the id of a user or agent (intelligence.md 2.1). It is never empty, so no user is the
/// anonymous owner.
pub(crate) fn is_identifier(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@:=-".contains(&byte);
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_allowed)
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Users::Anonymous => "anonymous",
            Users::Identified(_) => "identified",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::DemoAgent;

    async fn caller_of(answer: Result<User, &'static str>) -> Result<String, String> {
        let answer = move || answer.clone().map_err(IdentifyError::failed);
        asked(move |_| std::future::ready(answer())).await
    }

    async fn asked<F, R>(identify: F) -> Result<String, String>
    where
        F: Fn(&Parts) -> R + Send + Sync + 'static,
        R: Future<Output = Result<User, IdentifyError>> + Send + 'static,
    {
        let runtime = CopilotRuntime::builder().agent("a", DemoAgent::new()).identify_user(identify).build().unwrap();
        let (head, ()) = http::Request::new(()).into_parts();
        runtime.caller(&head).await.map(|caller| caller.owner().to_string()).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test]
    async fn ids_are_those_of_the_contract() {
        let longest = "x".repeat(MAX_ID);
        for id in ["a", "A-1_b.c@d:e=f", longest.as_str()] {
            assert_eq!(caller_of(Ok(User::new(id))).await.as_deref(), Ok(id));
        }
        let longer = "x".repeat(MAX_ID + 1);
        for id in ["", " ", "a b", "é", "a/b", "a\n", longer.as_str()] {
            assert_eq!(caller_of(Ok(User::new(id))).await, Err("InvalidId".to_owned()), "{id:?}");
        }
    }

    #[tokio::test]
    async fn a_name_may_be_missing_but_not_blank() {
        assert_eq!(caller_of(Ok(User::new("ada").named("Ada"))).await.as_deref(), Ok("ada"));
        for name in ["", " \n"] {
            assert_eq!(caller_of(Ok(User::new("ada").named(name))).await, Err("InvalidName".to_owned()));
        }
    }

    #[tokio::test]
    async fn a_callback_that_panics_has_failed() {
        fn now(_: &Parts) -> std::future::Ready<Result<User, IdentifyError>> {
            panic!("on purpose")
        }
        async fn later() -> Result<User, IdentifyError> {
            panic!("on purpose")
        }
        let failed = Err("Failed(\"identify_user panicked\")".to_owned());
        assert_eq!(asked(now).await, failed);
        assert_eq!(asked(|_| later()).await, failed);
        assert_eq!(caller_of(Err("no directory")).await, Err("Failed(\"no directory\")".to_owned()));
    }

    #[tokio::test]
    async fn without_a_callback_everybody_is_the_anonymous_owner() {
        let runtime = CopilotRuntime::builder().agent("a", DemoAgent::new()).build().unwrap();
        let (head, ()) = http::Request::new(()).into_parts();
        assert_eq!(*runtime.caller(&head).await.unwrap().owner(), Owner::anonymous());
    }
}
