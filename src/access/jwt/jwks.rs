//! A JSON Web Key Set (RFC 7517) as the keys in it that may be used. Pure.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::keys::{Key, KeySet};

/// The largest set that is read.
pub(super) const LONGEST: usize = 256 * 1024;

/// Why a text is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotKeys {
    #[error("the answer is no JSON Web Key Set")]
    Malformed,
    /// Better the last good ones than none.
    #[error("the answer has no key that may be used for signatures")]
    Empty,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys for signatures of these algorithms. What is something else, or is not understood, is left aside: sets hold keys
/// for many ends.
pub(super) fn parse(text: &[u8], taken: &[Algorithm]) -> Result<KeySet, NotKeys> {
    let set: Set = serde_json::from_slice(text).map_err(|_| NotKeys::Malformed)?;
    let keys = KeySet::of(set.keys.into_iter().filter_map(|key| usable(key, taken)));
    if keys.is_empty() { Err(NotKeys::Empty) } else { Ok(keys) }
}

fn usable(key: Value, taken: &[Algorithm]) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(key).ok()?;
    let is_for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|end| *end == PublicKeyUse::Signature)
        && jwk.common.key_operations.as_ref().is_none_or(|ends| ends.contains(&KeyOperations::Verify));
    if !is_for_signatures {
        return None;
    }
    let possible: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        // A secret that anybody can download is none.
        _ => &[],
    };
    let is_its = |algorithm: &Algorithm| jwk.common.key_algorithm.as_ref().is_none_or(|its| names(its, *algorithm));
    let algorithms: Vec<Algorithm> =
        possible.iter().filter(|algorithm| is_its(algorithm) && taken.contains(algorithm)).copied().collect();
    if algorithms.is_empty() {
        return None;
    }
    let material = DecodingKey::from_jwk(&jwk).ok()?;
    let key = Key::pinned(algorithms, material);
    Some(match jwk.common.key_id {
        Some(id) => key.with_id(id),
        None => key,
    })
}

fn names(named: &KeyAlgorithm, algorithm: Algorithm) -> bool {
    named.to_string() == algorithm.to_string()
}
