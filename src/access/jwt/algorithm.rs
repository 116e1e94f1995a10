//! The algorithms signatures may have.

use std::fmt;
use std::str::FromStr;

use jsonwebtoken as lib;

/// An algorithm of signatures (RFC 7518, RFC 8037). There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants are the names of the standards")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// A text is no name of an algorithm that is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA")]
pub struct UnknownAlgorithm;

/// Which kind of key an algorithm needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// A secret both sides have.
    Secret,
    Rsa,
    Ec,
    Ed,
}

impl Algorithm {
    pub(super) const ALL: [Algorithm; 12] = [
        Algorithm::HS256,
        Algorithm::HS384,
        Algorithm::HS512,
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    pub(super) fn family(self) -> Family {
        match self {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Family::Secret,
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Family::Rsa,
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Family::Rsa,
            Algorithm::ES256 | Algorithm::ES384 => Family::Ec,
            Algorithm::EdDSA => Family::Ed,
        }
    }

    /// The bytes a secret must have at least: as many as the hash (RFC 7518, 3.2).
    pub(super) fn shortest_secret(self) -> usize {
        match self {
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => 32,
        }
    }

    pub(super) fn to_lib(self) -> lib::Algorithm {
        match self {
            Algorithm::HS256 => lib::Algorithm::HS256,
            Algorithm::HS384 => lib::Algorithm::HS384,
            Algorithm::HS512 => lib::Algorithm::HS512,
            Algorithm::RS256 => lib::Algorithm::RS256,
            Algorithm::RS384 => lib::Algorithm::RS384,
            Algorithm::RS512 => lib::Algorithm::RS512,
            Algorithm::PS256 => lib::Algorithm::PS256,
            Algorithm::PS384 => lib::Algorithm::PS384,
            Algorithm::PS512 => lib::Algorithm::PS512,
            Algorithm::ES256 => lib::Algorithm::ES256,
            Algorithm::ES384 => lib::Algorithm::ES384,
            Algorithm::EdDSA => lib::Algorithm::EdDSA,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.to_string() == name).ok_or(UnknownAlgorithm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_standards() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
            assert_eq!(format!("{:?}", algorithm.to_lib()), algorithm.to_string());
        }
        for wrong in ["none", "None", "", "hs256", "ES512", "RSA-OAEP"] {
            assert_eq!(wrong.parse::<Algorithm>(), Err(UnknownAlgorithm), "{wrong}");
        }
    }
}
