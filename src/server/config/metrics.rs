//! Where operators look: `[metrics]`.

use super::super::file::Raw;
use super::super::read::Reader;
use super::server::is_address;
use super::{Section, Setting};

/// Where `status` looks for a server that nobody said more of.
pub(in crate::server) const USUAL: &str = "127.0.0.1:9464";

#[derive(Debug, PartialEq)]
pub(in crate::server) struct Metrics {
    /// `HOST:PORT`; `None` for no such listener.
    pub(in crate::server) bind: Option<String>,
    /// Whether live runs are shown there, with the ids of users and threads; unset, where only this machine looks.
    pub(in crate::server) status: Option<bool>,
}

pub(super) fn read(mut section: Section<'_>) -> Metrics {
    let bind = section.get::<Bind>("bind");
    let metrics =
        Metrics { bind: bind.and_then(|bind| bind.0), status: section.get::<Told>("status").and_then(|told| told.0) };
    section.finish();
    metrics
}

/// Only where the listener is, and nothing else is minded.
pub(super) fn read_address(reader: &Reader) -> Option<String> {
    reader.section("metrics").get::<Bind>("bind").and_then(|bind| bind.0)
}

/// `true`, `false`, or `"auto"`.
struct Told(Option<bool>);

impl Setting for Told {
    fn read(raw: Raw) -> Result<Told, String> {
        match raw {
            Raw::Text(text) if text == "auto" => Ok(Told(None)),
            switch => bool::read(switch).map(|told| Told(Some(told))),
        }
        .map_err(|_| "expected true, false or \"auto\"".to_owned())
    }
}

/// An address, or `false` for none.
struct Bind(Option<String>);

impl Setting for Bind {
    fn read(raw: Raw) -> Result<Bind, String> {
        match raw {
            Raw::Bool(false) => Ok(Bind(None)),
            Raw::Text(text) if matches!(text.trim(), "off" | "false") => Ok(Bind(None)),
            Raw::Text(text) => is_address(&text).map(drop).map(|()| Bind(Some(text))),
            _ => Err(format!("expected HOST:PORT, such as {USUAL}, or false")),
        }
    }
}
