//! Which pages of other origins may call: `[cors]`.

use std::time::Duration;

use http::Method;
use url::Url;

use super::super::file::Raw;
use super::checks::are_header_names;
use super::{Section, Setting};

#[derive(Debug, PartialEq)]
pub(in crate::server) struct Cors {
    pub(in crate::server) origins: Origins,
    pub(in crate::server) credentials: bool,
    /// Whether every page of the web may have them.
    pub(in crate::server) is_forced: bool,
    pub(in crate::server) allow_methods: Option<Vec<String>>,
    pub(in crate::server) allow_headers: Option<Vec<String>>,
    pub(in crate::server) expose_headers: Vec<String>,
    pub(in crate::server) max_age: Option<Duration>,
}

/// Which web pages may call the runtime from a browser.
#[derive(Debug, PartialEq)]
pub(in crate::server) enum Origins {
    Off,
    Any,
    /// Pages served by this machine to itself, whatever the port.
    Local,
    List(Vec<String>),
}

pub(super) fn read(mut section: Section<'_>) -> Cors {
    let origins = section.get_if("origins", are_origins).unwrap_or(Origins::Local);
    let credentials = section.get_placed("credentials");
    let is_forced = section.get("dangerously_allow_credentials_from_any_origin").unwrap_or(false);
    if let (Origins::Any, Some((true, place)), false) = (&origins, &credentials, is_forced) {
        let reason = "with every origin allowed, any page of the web could use the runtime as whoever visits it: list \
                      the origins, or force it by `dangerously_allow_credentials_from_any_origin = true`";
        section.report(place.clone(), "credentials", reason);
    }
    let cors = Cors {
        origins,
        credentials: credentials.is_some_and(|(on, _)| on),
        is_forced,
        allow_methods: section.get_if("allow_methods", are_methods),
        allow_headers: section.get_if("allow_headers", are_header_names),
        expose_headers: section.get_if("expose_headers", are_header_names).unwrap_or_default(),
        max_age: section.get("max_age").filter(|age: &Duration| !age.is_zero()),
    };
    section.finish();
    cors
}

impl Setting for Origins {
    fn read(raw: Raw) -> Result<Origins, String> {
        const EXPECTED: &str = "expected true, false, \"local\" or a list of origins";
        if let Ok(on) = bool::read(raw.clone()) {
            return Ok(if on { Origins::Any } else { Origins::Off });
        }
        let listed: Vec<String> = Vec::read(raw).map_err(|_| EXPECTED.to_owned())?;
        match listed.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["*"] => Ok(Origins::Any),
            ["local"] => Ok(Origins::Local),
            [] => Ok(Origins::Off),
            _ => Ok(Origins::List(listed)),
        }
    }
}

#[expect(clippy::ptr_arg, reason = "the shape of a check")]
fn are_methods(names: &Vec<String>) -> Result<(), String> {
    let wrong = names.iter().find(|name| Method::from_bytes(name.as_bytes()).is_err());
    wrong.map_or(Ok(()), |name| Err(format!("`{name}` is no method")))
}

fn are_origins(origins: &Origins) -> Result<(), String> {
    let Origins::List(listed) = origins else { return Ok(()) };
    for origin in listed {
        if origin == "null" {
            continue;
        }
        match Url::parse(origin) {
            Ok(url) if url.origin().ascii_serialization() == *origin => {}
            Ok(url) if url.origin().is_tuple() => {
                let meant = url.origin().ascii_serialization();
                return Err(format!("`{origin}` is no origin as browsers send it; did you mean `{meant}`?"));
            }
            _ => return Err(format!("`{origin}` is no origin; expected one such as https://app.example.com")),
        }
    }
    Ok(())
}
