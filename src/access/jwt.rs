//! JSON Web Tokens (RFC 7519): whose they are, and whether that is true.

mod algorithm;
mod builder;
mod claims;
mod fetch;
mod jwks;
mod keys;
mod refresh;
mod remote;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

pub use self::algorithm::{Algorithm, UnknownAlgorithm};
pub use self::builder::{BuildError, JwtBuilder};
use self::claims::Expected;
pub use self::claims::user_id;
use self::keys::KeySet;
pub use self::keys::{Key, KeyError};
use self::remote::Remote;
use self::token::{Rejected, Unverified};
use crate::runtime::{IdentifyError, User};

/// Checks tokens. Cloning is cheap, and clones share the keys.
///
/// Every key is pinned to the algorithms it is for, so no token chooses how it is checked; `none` is no algorithm. A
/// token must say when it ends. If it says for whom it is, an audience must have been configured that it names.
#[derive(Clone)]
pub struct Jwt {
    checks: Arc<Checks>,
}

struct Checks {
    expected: Expected,
    own: KeySet,
    remote: Option<Remote>,
}

impl Jwt {
    /// Starts configuring the checks.
    pub fn builder() -> JwtBuilder {
        JwtBuilder::default()
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`IdentifyError::Invalid`] for a token that is no good, [`IdentifyError::Forbidden`] for one that lacks a required
    /// claim, [`IdentifyError::Unavailable`] while there are no keys to check it with.
    pub async fn user(&self, token: &str) -> Result<User, IdentifyError> {
        self.user_at(token, SystemTime::now()).await
    }

    async fn user_at(&self, token: &str, now: SystemTime) -> Result<User, IdentifyError> {
        let Checks { expected, own, remote } = &*self.checks;
        let token = Unverified::read(token)?;
        let claims = match remote {
            // Who has a key here needs no other.
            _ if own.knows(&token) => token.verified_by(own)?,
            Some(remote) => token.verified_by(&*remote.keys_for(&token).await?)?,
            None => return Err(Rejected::UnknownKey.into()),
        };
        Ok(expected.user(claims, now)?)
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Checks { expected, own, remote } = &*self.checks;
        f.debug_struct("Jwt").field("expected", expected).field("keys", own).field("jwks", remote).finish()
    }
}
