//! Keys that signatures are checked with, each pinned to its algorithms.

use std::fmt;

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;

use super::algorithm::{Algorithm, Family};
use super::token::Unverified;

/// The most keys that are known at once.
pub(super) const MOST_KEYS: usize = 100;

/// A key that signatures are checked with. It is pinned to algorithms: no token can ask for it to be used otherwise, as
/// for a public key to be taken for a secret.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    material: DecodingKey,
}

/// Why a key cannot be used. None of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Guessing it would be too easy.
    #[error("a secret for {0} has at least {shortest} bytes", shortest = .0.shortest_secret())]
    ShortSecret(Algorithm),
    /// The algorithm wants a public key.
    #[error("{0} wants a public key, not a secret")]
    WantsPublicKey(Algorithm),
    /// The algorithm wants a secret.
    #[error("{0} wants a secret, not a public key: whoever knows the key could sign with it")]
    WantsSecret(Algorithm),
    /// Nothing here should know it.
    #[error("this is a private key; tokens are checked with the public one (openssl pkey -in private.pem -pubout)")]
    Private,
    /// It is something else in PEM, or nothing in PEM.
    #[error("expected a public key in PEM, `-----BEGIN PUBLIC KEY-----`")]
    NotPem,
    /// It is for another algorithm, broken, or too small.
    #[error("the public key is not one for {0}, or an RSA key of less than 2048 bits")]
    Unfit(Algorithm),
}

impl Key {
    /// A secret that whoever signs tokens has too.
    ///
    /// # Errors
    /// [`KeyError`] for another kind of algorithm and for a secret that is too short.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Key, KeyError> {
        match algorithm.family() {
            Family::Secret if secret.len() < algorithm.shortest_secret() => Err(KeyError::ShortSecret(algorithm)),
            Family::Secret => Ok(Key::pinned([algorithm], DecodingKey::from_secret(secret))),
            _ => Err(KeyError::WantsPublicKey(algorithm)),
        }
    }

    /// A public key in PEM.
    ///
    /// # Errors
    /// [`KeyError`] for another kind of algorithm and for what is no such key.
    pub fn public_pem(algorithm: Algorithm, pem: &str) -> Result<Key, KeyError> {
        if algorithm.family() == Family::Secret {
            return Err(KeyError::WantsSecret(algorithm));
        }
        let der = public_der(pem)?;
        let checks: &'static dyn signature::VerificationAlgorithm = match algorithm {
            Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
            Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDSA => &ED25519,
            _ => &RSA_PKCS1_2048_8192_SHA256,
        };
        // Here, and not when the first token comes.
        let parsed = ParsedPublicKey::new(checks, &der).map_err(|_| KeyError::Unfit(algorithm))?;
        let material = match algorithm.family() {
            Family::Rsa => DecodingKey::from_rsa_der(&der),
            Family::Ec => DecodingKey::from_ec_der(&der),
            Family::Ed | Family::Secret => DecodingKey::from_ed_der(&der),
        };
        drop(parsed);
        Ok(Key::pinned([algorithm], material))
    }

    /// The key, with the `kid` tokens name it by.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Key {
        Key { id: Some(id.into()), ..self }
    }

    pub(super) fn pinned(algorithms: impl IntoIterator<Item = Algorithm>, material: DecodingKey) -> Key {
        Key { id: None, algorithms: algorithms.into_iter().collect(), material }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn material(&self) -> &DecodingKey {
        &self.material
    }

    fn fits(&self, token: &Unverified<'_>) -> bool {
        let is_meant = match (token.key_id(), self.id()) {
            (Some(wanted), Some(id)) => wanted == id,
            // A token without a key's name may be signed with any; a key without a name may have signed any.
            _ => true,
        };
        is_meant && self.algorithms.contains(&token.algorithm())
    }
}

fn public_der(pem: &str) -> Result<Vec<u8>, KeyError> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let body = ["PUBLIC KEY", "RSA PUBLIC KEY"].iter().find_map(|label| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        rest.split_once(&format!("-----END {label}-----")).map(|(body, _)| body)
    });
    let base64: String = body.ok_or(KeyError::NotPem)?.split_whitespace().collect();
    STANDARD.decode(base64).map_err(|_| KeyError::NotPem)
}

/// The keys of one source.
#[derive(Clone, Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// The first so many.
    pub(super) fn of(keys: impl IntoIterator<Item = Key>) -> KeySet {
        KeySet(keys.into_iter().take(MOST_KEYS).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys a token may be signed with.
    pub(super) fn fitting<'k>(&'k self, token: &'k Unverified<'_>) -> impl Iterator<Item = &'k Key> {
        self.0.iter().filter(|key| key.fits(token))
    }

    /// Whether a token may be signed with one of these.
    pub(super) fn knows(&self, token: &Unverified<'_>) -> bool {
        self.fitting(token).next().is_some()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}
