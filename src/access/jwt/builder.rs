//! How the checks of tokens are put together.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::{Algorithm, Family};
use super::claims::Expected;
use super::fetch::fetch;
use super::keys::{Key, KeySet, MOST_KEYS};
use super::remote::Remote;
use super::{Checks, Jwt};

/// Configures a [`Jwt`]. At least one key or the URL of a key set is needed.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct JwtBuilder {
    keys: Vec<Key>,
    jwks_url: Option<String>,
    algorithms: Option<Vec<Algorithm>>,
    refresh_after: Duration,
    refresh_interval: Duration,
    expected: Expected,
}

/// Why tokens cannot be checked so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No token could be good.
    #[error("a key or the URL of a key set is needed")]
    NoKeys,
    /// There is a bound to them.
    #[error("there are more than {MOST_KEYS} keys")]
    TooManyKeys,
    /// Its answers could be anybody's.
    #[error("the address of the key set must be an https URL, or http on this machine")]
    JwksUrl,
    /// Of a set that anybody can read, no key is a secret.
    #[error("{0} wants a secret, which no key set on the web can hold; give it as a key of its own")]
    SecretAlgorithm(Algorithm),
    /// No key of the set could be used.
    #[error("no algorithm is taken for the key set")]
    NoAlgorithm,
    /// The client for it cannot be made.
    #[error("there is no HTTP client for the key set: {0}")]
    Client(String),
}

impl Default for JwtBuilder {
    fn default() -> JwtBuilder {
        JwtBuilder {
            keys: Vec::new(),
            jwks_url: None,
            algorithms: None,
            refresh_after: JwtBuilder::REFRESH_AFTER,
            refresh_interval: JwtBuilder::REFRESH_INTERVAL,
            expected: Expected {
                issuers: Vec::new(),
                audiences: Vec::new(),
                leeway: JwtBuilder::LEEWAY,
                required: Vec::new(),
                id_claim: JwtBuilder::ID_CLAIM.to_owned(),
                name_claim: JwtBuilder::NAME_CLAIM.to_owned(),
            },
        }
    }
}

impl JwtBuilder {
    /// The age at which a key set is asked for again, unless another is set.
    pub const REFRESH_AFTER: Duration = Duration::from_secs(3600);
    /// The least time between two questions, unless another is set.
    pub const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
    /// How far clocks may be apart, unless told otherwise.
    pub const LEEWAY: Duration = Duration::from_secs(60);
    /// The claim that holds a user's id, unless another is named.
    pub const ID_CLAIM: &str = "sub";
    /// The claim that holds a user's name, unless another is named.
    pub const NAME_CLAIM: &str = "name";

    /// Adds a key.
    pub fn key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// Asks this address for a JSON Web Key Set. Redirects are not followed. The last good keys hold for as long as
    /// there is no good answer.
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.jwks_url = Some(url.into());
        self
    }

    /// The algorithms for which keys of the set are taken. Default: all with a public key.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// The age at which the set is asked for again, in the background. Default: an hour.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = age;
        self
    }

    /// The least time between two questions for the set, whatever tokens come. A token with a key that is not known
    /// makes for a question if this time is over. Default: 10 s.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// A token must come from this issuer, or from another that is named so. Default: any may be its issuer.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.expected.issuers.push(issuer.into());
        self
    }

    /// A token must be meant for this audience, or for another that is named so. Default: a token must name none.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.expected.audiences.push(audience.into());
        self
    }

    /// How far clocks may be apart. Default: a minute.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.expected.leeway = leeway;
        self
    }

    /// A token must have this claim: with one of these texts, as [`Claims::holds`](crate::Claims::holds) compares, or with
    /// anything if there are none. Who lacks it is answered 403.
    pub fn require<I>(mut self, claim: impl Into<String>, texts: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.expected.required.push((claim.into(), texts.into_iter().map(Into::into).collect()));
        self
    }

    /// The claim that holds the user's id; [`user_id`](super::user_id) makes it one the runtime can take. Default: `sub`.
    pub fn id_claim(mut self, claim: impl Into<String>) -> Self {
        self.expected.id_claim = claim.into();
        self
    }

    /// The claim that holds the user's name. Default: `name`.
    pub fn name_claim(mut self, claim: impl Into<String>) -> Self {
        self.expected.name_claim = claim.into();
        self
    }

    /// The checks.
    ///
    /// # Errors
    /// [`BuildError`] names the setting and what to do.
    pub fn build(self) -> Result<Jwt, BuildError> {
        let JwtBuilder { keys, jwks_url, algorithms, refresh_after, refresh_interval, expected } = self;
        if keys.is_empty() && jwks_url.is_none() {
            return Err(BuildError::NoKeys);
        }
        if keys.len() > MOST_KEYS {
            return Err(BuildError::TooManyKeys);
        }
        let remote = match jwks_url {
            Some(url) => {
                let fetch = fetch(&url, taken(algorithms)?)?;
                Some(Remote::new(fetch, refresh_after, refresh_interval))
            }
            None => None,
        };
        Ok(Jwt { checks: Arc::new(Checks { expected, own: KeySet::of(keys), remote }) })
    }
}

/// The algorithms for which keys of a set are taken.
fn taken(wanted: Option<Vec<Algorithm>>) -> Result<Vec<Algorithm>, BuildError> {
    let is_secret = |algorithm: &Algorithm| algorithm.family() == Family::Secret;
    match wanted {
        None => Ok(Algorithm::ALL.into_iter().filter(|algorithm| !is_secret(algorithm)).collect()),
        Some(wanted) => match wanted.iter().find(|algorithm| is_secret(algorithm)) {
            Some(secret) => Err(BuildError::SecretAlgorithm(*secret)),
            None if wanted.is_empty() => Err(BuildError::NoAlgorithm),
            None => Ok(wanted),
        },
    }
}
