//! Who gets in: JWTs and API keys, for [`identify_user`](crate::Builder::identify_user).
//!
//! ```no_run
//! use copilotkit_runtime::access::{Access, ApiKeys, Jwt, KeyHash};
//! use copilotkit_runtime::agent::DemoAgent;
//! use copilotkit_runtime::{CopilotRuntime, User};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let jwt = Jwt::builder()
//!     .jwks_url("https://example.eu.auth0.com/.well-known/jwks.json")
//!     .issuer("https://example.eu.auth0.com/")
//!     .audience("https://chat.example.com")
//!     .build()?;
//! let nightly: KeyHash = "sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090".parse()?;
//! let access = Access::new().jwt(jwt).api_keys(ApiKeys::new().with(nightly, User::new("nightly-report")));
//!
//! let runtime = CopilotRuntime::builder()
//!     .agent("default", DemoAgent::new())
//!     .identify_user(move |head| access.identify(head))
//!     .build()?;
//! # Ok(()) }
//! ```
//!
//! It sees the head of a request and nothing else: neither routes nor responses are known here. Tokens and keys reach no
//! log, no error and no `Debug`.

mod api_keys;
mod cross_site;
mod jwt;
mod presented;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use http::request::Parts;

pub use self::api_keys::{ApiKeys, KeyHash, NotAKeyHash, generate_key};
pub use self::jwt::{Algorithm, BuildError, Jwt, JwtBuilder, Key, KeyError, UnknownAlgorithm, user_id};
use self::presented::Presented;
use crate::runtime::{IdentifyError, User};

/// How a request may show who sends it: by an API key in `X-Api-Key`, by an API key or a JWT in
/// `Authorization: Bearer`, or by a JWT in a cookie, in this order. The first that is there counts, and no other.
///
/// API keys are kept from agents. Of a JWT agents see the header, as the forwarding policy has it: they may want to ask
/// others on behalf of the user.
#[derive(Clone, Default)]
pub struct Access {
    jwt: Option<Jwt>,
    api_keys: Option<Arc<ApiKeys>>,
    cookie: Option<Cookie>,
}

#[derive(Clone)]
struct Cookie {
    name: Arc<str>,
    trusts: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Access {
    /// Nobody gets in yet.
    #[must_use]
    pub fn new() -> Access {
        Access::default()
    }

    /// Lets in whoever has a good token.
    #[must_use]
    pub fn jwt(self, jwt: Jwt) -> Access {
        Access { jwt: Some(jwt), ..self }
    }

    /// Lets in whoever has one of these keys.
    #[must_use]
    pub fn api_keys(self, keys: ApiKeys) -> Access {
        Access { api_keys: Some(Arc::new(keys)), ..self }
    }

    /// Looks for the token in a cookie too, where there is no bearer token.
    ///
    /// Browsers send cookies along whichever page asks. So a request with one that may change something is refused if it
    /// comes from a page of another origin, unless `trusts` says yes to that origin. Give the cookie `HttpOnly`, `Secure`
    /// and `SameSite=Lax` where it is set.
    #[must_use]
    pub fn cookie<F>(self, name: impl Into<Arc<str>>, trusts: F) -> Access
    where
        F: Fn(&str) -> bool + Send + Sync + 'static,
    {
        Access { cookie: Some(Cookie { name: name.into(), trusts: Arc::new(trusts) }), ..self }
    }

    /// Who sends a request, for [`identify_user`](crate::Builder::identify_user).
    ///
    /// # Errors
    /// Why it is nobody, or nobody yet.
    pub fn identify(&self, head: &Parts) -> impl Future<Output = Result<User, IdentifyError>> + Send + use<> {
        let presented = self.presented(head);
        let jwt = self.jwt.clone();
        async move {
            match presented? {
                Found::User(user) => Ok(user),
                Found::Token(token) => match jwt {
                    Some(jwt) => jwt.user(&token).await,
                    None => Err(IdentifyError::Invalid(UNKNOWN_KEY)),
                },
            }
        }
    }

    fn presented(&self, head: &Parts) -> Result<Found, IdentifyError> {
        let cookie = self.cookie.as_ref().filter(|_| self.jwt.is_some());
        match presented::of(&head.headers, self.api_keys.is_some(), cookie.map(|cookie| &*cookie.name))? {
            Presented::Nothing => Err(IdentifyError::Unauthenticated),
            Presented::ApiKey(key) => match self.user_of(key) {
                Some(user) => Ok(Found::User(user.withhold(presented::X_API_KEY))),
                None => Err(IdentifyError::Invalid(UNKNOWN_KEY)),
            },
            Presented::Bearer(token) => Ok(match self.user_of(token) {
                Some(user) => Found::User(user.withhold(http::header::AUTHORIZATION)),
                None => Found::Token(token.into()),
            }),
            Presented::Cookie(token) => {
                if let Some(cookie) = cookie {
                    cross_site::check(head, &*cookie.trusts)?;
                }
                Ok(Found::Token(token.into()))
            }
        }
    }

    fn user_of(&self, key: &str) -> Option<User> {
        self.api_keys.as_ref()?.user_of(key)
    }
}

const UNKNOWN_KEY: &str = "the API key is not known";

/// What came of looking at a request.
enum Found {
    User(User),
    /// Still to be checked.
    Token(Box<str>),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookie = self.cookie.as_ref().map(|cookie| &cookie.name);
        f.debug_struct("Access")
            .field("jwt", &self.jwt)
            .field("api_keys", &self.api_keys)
            .field("cookie", &cookie)
            .finish()
    }
}
