//! Why a measurement could not be made.

use std::{fmt, io};

/// A measurement that could not be made. Nothing is retried: the operator reads it and repeats.
#[derive(Debug)]
pub enum Failure {
    /// A socket, file or process said no.
    Io(io::Error),
    /// Anything else, as a sentence.
    Said(String),
}

/// What fallible functions of this crate return.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure told as a sentence.
    pub fn said(what: impl Into<String>) -> Failure {
        Failure::Said(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(error) => write!(f, "{error}"),
            Failure::Said(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}
