//! A token as it came, and its claims once its signature is good. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::keys::{Key, KeySet};
use crate::runtime::IdentifyError;

/// Why a token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    Malformed,
    /// Nothing may be left aside that a token calls critical (RFC 7515, 4.1.11).
    Critical,
    Algorithm,
    UnknownKey,
    Signature,
    Endless,
    Expired,
    TooEarly,
    Issuer,
    Audience,
    NoUser,
    /// It is good, and does not suffice.
    Insufficient,
}

impl Rejected {
    /// What the client is told: nothing it does not know.
    fn reason(self) -> &'static str {
        match self {
            Rejected::Malformed => "the token is no JWT",
            Rejected::Critical => "the token demands extensions that are not known here",
            Rejected::Algorithm => "the token names an algorithm that is not taken here",
            Rejected::UnknownKey => "the token is signed with a key that is not known here",
            Rejected::Signature => "the token's signature is wrong",
            Rejected::Endless => "the token does not say when it ends",
            Rejected::Expired => "the token has expired",
            Rejected::TooEarly => "the token is not valid yet",
            Rejected::Issuer => "the token comes from an issuer that is not trusted",
            Rejected::Audience => "the token is not meant for this runtime",
            Rejected::NoUser => "the token does not say whose it is",
            Rejected::Insufficient => "the token lacks a claim that is required",
        }
    }
}

impl From<Rejected> for IdentifyError {
    fn from(rejected: Rejected) -> IdentifyError {
        match rejected {
            Rejected::Insufficient => IdentifyError::Forbidden(rejected.reason()),
            _ => IdentifyError::Invalid(rejected.reason()),
        }
    }
}

/// A token whose signature is still to be checked: nothing in it may be believed but which key to try.
pub(super) struct Unverified<'t> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// Header and payload, as they were signed.
    signed: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

/// What of a token's header is looked at. That it may bring a key, or say where one is, is not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'t> Unverified<'t> {
    pub(super) fn read(token: &'t str) -> Result<Unverified<'t>, Rejected> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        if payload.contains('.') {
            return Err(Rejected::Malformed);
        }
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| Rejected::Malformed)?;
        let signature = decoded(signature)?;
        if header.crit.is_some() {
            return Err(Rejected::Critical);
        }
        let algorithm = header.alg.parse().map_err(|_| Rejected::Algorithm)?;
        Ok(Unverified { algorithm, key_id: header.kid, signed, payload, signature })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The claims, if one of the keys made the signature.
    pub(super) fn verified_by(&self, keys: &KeySet) -> Result<Map<String, Value>, Rejected> {
        if !keys.knows(self) {
            return Err(Rejected::UnknownKey);
        }
        if !keys.fitting(self).any(|key| self.is_signed_with(key)) {
            return Err(Rejected::Signature);
        }
        serde_json::from_slice(&decoded(self.payload)?).map_err(|_| Rejected::Malformed)
    }

    fn is_signed_with(&self, key: &Key) -> bool {
        // Named, because one that is looked up may be missing, where features of an application's crates disagree.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.to_lib(), key.material());
        verifier.is_ok_and(|verifier| verifier.verify(self.signed.as_bytes(), &self.signature).is_ok())
    }
}

/// Base64 has one way to write a thing here: padding or stray bits are another token.
fn decoded(part: &str) -> Result<Vec<u8>, Rejected> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejected::Malformed)
}
