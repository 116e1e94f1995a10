//! Doors into what is not public, for the fuzz targets in `fuzz/`. No part of the API.

pub use crate::http::fuzzing::{Opened, fields_of, open_envelope, read_bodies, route_at};
pub use crate::phoenix::fuzzing::Channel;
