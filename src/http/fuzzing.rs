//! What the fuzz targets reach of this room.

use bytes::Bytes;

use super::route::Route;
use super::single_route::{Target, is_envelope, parse_envelope};
use super::{fields, route, routes};

/// What an envelope of single-route mode asks for.
#[derive(Debug)]
pub enum Opened {
    /// A route by its name.
    Route(Route),
    /// A path below the mounted one, and its query.
    Resource(String, Option<String>),
}

/// The route of a path at a mount with this base path.
#[must_use]
pub fn route_at(base: &str, path: &str) -> Option<Route> {
    route::at_mount(base, path)
}

/// Opens an envelope, reads the body inside, and tells whether a multi-route mount takes it for one.
#[must_use]
pub fn open_envelope(body: &Bytes) -> (Option<Opened>, bool) {
    const JSON: Option<&str> = Some("application/json");
    let opened = parse_envelope(JSON, body).ok().map(|envelope| {
        let _ = envelope.body();
        match envelope.target {
            Target::Route { route, .. } => Opened::Route(route),
            Target::Resource { path, query, .. } => Opened::Resource(path, query),
        }
    });
    (opened, is_envelope(JSON, body))
}

/// The JSON text of some fields of an object; `None` if the text is no JSON.
#[must_use]
pub fn fields_of<'t, const N: usize>(json: &'t str, names: [&str; N]) -> Option<[Option<&'t str>; N]> {
    fields::read(json, names).ok()
}

/// Reads a body as each route does that reads one itself.
pub fn read_bodies(body: &[u8]) {
    routes::read_bodies(body);
}
