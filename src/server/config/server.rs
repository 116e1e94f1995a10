//! Where the program listens, and for whom: `[server]`.

use std::net::IpAddr;
use std::time::Duration;

use super::super::file::Raw;
use super::{Section, Setting, bytes};
use crate::http::{ProxyHeader, TrustedProxies};

#[derive(Debug, PartialEq)]
pub(in crate::server) struct Server {
    /// `HOST:PORT`.
    pub(in crate::server) bind: String,
    /// Where each route has a path of its own; `None` for no such mount.
    pub(in crate::server) base_path: Option<String>,
    /// Where one path takes everything.
    pub(in crate::server) single_route_path: Option<String>,
    pub(in crate::server) body_limit: usize,
    pub(in crate::server) shutdown_deadline: Duration,
    /// The proxies that say for whom they ask.
    pub(in crate::server) trusted_proxies: TrustedProxies,
    /// Whether other servers may listen at the same address.
    pub(in crate::server) reuse_port: bool,
    /// Whether other machines may reach a runtime that does not tell users apart.
    pub(in crate::server) allow_anonymous: bool,
    /// Whether people may chat with the agents on a page at `/`.
    pub(in crate::server) page: bool,
}

pub(super) fn read(mut section: Section<'_>, users_are_wanted: bool) -> Server {
    let base = section.get_placed::<MountPath>("base_path");
    let single = section.get_placed::<MountPath>("single_route_path");
    let base_path = base.map_or_else(|| Some("/api/copilotkit".to_owned()), |(path, _)| path.0);
    let (single_route_path, single_place) = single.map_or((None, section.place()), |(path, place)| (path.0, place));
    match (&base_path, &single_route_path) {
        (None, None) => {
            section.report(
                section.place(),
                "base_path",
                "nothing is mounted: both base_path and single_route_path are off",
            );
        }
        (Some(base), Some(single)) if overlap(base, single) => {
            let reason = format!("`{single}` overlaps with base_path `{base}`; neither may lie below the other");
            section.report(single_place, "single_route_path", reason);
        }
        _ => {}
    }
    let allow_anonymous = section.get("allow_anonymous").unwrap_or(false);
    let bind = section.get_if::<String>("bind", |bind| {
        let host = is_address(bind)?;
        match host.parse::<IpAddr>() {
            Ok(ip) if !users_are_wanted && !allow_anonymous => is_private(ip),
            // What a name stands for is known when the program listens.
            _ => Ok(()),
        }
    });
    let mut trusted_proxies = TrustedProxies::default();
    section.get_if::<Vec<String>>("trusted_proxies", |networks| {
        trusted_proxies = TrustedProxies::new(networks).map_err(|error| error.to_string())?;
        Ok(())
    });
    let header = section.get::<NamedHeader>("proxy_header").map_or_else(ProxyHeader::default, |named| named.0);
    let server = Server {
        trusted_proxies: trusted_proxies.header(header),
        bind: bind.unwrap_or_else(|| "127.0.0.1:4000".to_owned()),
        base_path,
        single_route_path,
        body_limit: bytes(&mut section, "body_limit", 20 << 20),
        reuse_port: section.get("reuse_port").unwrap_or(false),
        shutdown_deadline: section.get("shutdown_deadline").unwrap_or(Duration::from_secs(10)),
        allow_anonymous,
        page: section.get("page").unwrap_or(true),
    };
    section.finish();
    server
}

/// Whether only this machine reaches an address, for a runtime that lets everybody do everything.
///
/// # Errors
/// Why not to listen there, and the ways out.
pub(in crate::server) fn is_private(ip: IpAddr) -> Result<(), String> {
    if ip.to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!(
        "other machines reach {ip}, and whoever reaches the runtime could read, continue and delete every thread, \
         because users are not told apart. Let them show tokens or keys (`[users.jwt]`, `[users.api_keys.NAME]`), or name \
         the header in which a proxy says who the user is (`users.header`, --user-header), or, if everybody may do everything, set `server.allow_anonymous = true` \
         (--allow-anonymous)"
    ))
}

/// Checks `HOST:PORT`, and gives the host without brackets.
pub(super) fn is_address(bind: &str) -> Result<&str, String> {
    const EXPECTED: &str = "expected HOST:PORT, such as 127.0.0.1:4000, 0.0.0.0:4000 or [::1]:4000";
    let (host, port) = bind.rsplit_once(':').ok_or(EXPECTED)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_fine = !host.is_empty() && (bracketed.is_some() || !host.contains([':', '/', ' ']));
    if host_is_fine && port.parse::<u16>().is_ok() { Ok(bracketed.unwrap_or(host)) } else { Err(EXPECTED.to_owned()) }
}

/// A path below which the runtime answers, without a slash at its end; `false` for none.
struct MountPath(Option<String>);

impl Setting for MountPath {
    fn read(raw: Raw) -> Result<MountPath, String> {
        match raw {
            Raw::Bool(false) => Ok(MountPath(None)),
            Raw::Text(text) if matches!(text.trim(), "off" | "false") => Ok(MountPath(None)),
            Raw::Text(text) => {
                let path = text.trim_end_matches('/');
                let plain = path.split('/').skip(1).all(|segment| {
                    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c);
                    !matches!(segment, "" | "." | "..") && segment.chars().all(allowed)
                });
                if !text.starts_with('/') {
                    Err("a path must begin with `/`".to_owned())
                } else if !plain {
                    Err("expected a plain path such as \"/api/copilotkit\"".to_owned())
                } else {
                    Ok(MountPath(Some(if path.is_empty() { "/".to_owned() } else { path.to_owned() })))
                }
            }
            _ => Err("expected a path such as \"/api/copilotkit\", or false".to_owned()),
        }
    }
}

/// The header in which a proxy says for whom it asks.
struct NamedHeader(ProxyHeader);

impl Setting for NamedHeader {
    fn read(raw: Raw) -> Result<NamedHeader, String> {
        match raw {
            Raw::Text(name) if name.eq_ignore_ascii_case("x-forwarded-for") => {
                Ok(NamedHeader(ProxyHeader::XForwardedFor))
            }
            Raw::Text(name) if name.eq_ignore_ascii_case("forwarded") => Ok(NamedHeader(ProxyHeader::Forwarded)),
            _ => Err("expected \"x-forwarded-for\" or \"forwarded\"".to_owned()),
        }
    }
}

fn overlap(one: &str, other: &str) -> bool {
    let below = |base: &str, path: &str| {
        path.strip_prefix(base.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    below(one, other) || below(other, one)
}
