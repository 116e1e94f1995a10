//! Single-route mode: an envelope to the same routes (rest-sse.md chapter 10).

use http::request::Parts;
use http::{Method, Uri};

use super::{Target, find, gate};
use crate::http::body::{self, Request};
use crate::http::error::ApiError;
use crate::http::handler::Face;
use crate::http::route::{Route, below_base, without_dots};
use crate::http::single_route::{self, allowed_resource, parse_envelope};

const POST: &[Method] = &[Method::POST];

/// Opens the envelope. Hooks see the request that carried it, or for a resource the request inside.
pub(in crate::http) async fn route(face: &Face, request: Request) -> Result<(Target, Request), ApiError> {
    let path = without_dots(request.uri().path()).into_owned();
    below_base(face.base_path.as_deref().unwrap_or(""), &path).ok_or(ApiError::NotFound)?;
    if request.method() != Method::POST {
        return Err(ApiError::MethodNotAllowed { allowed: POST, route: None });
    }
    let (head, body) = request.into_parts();
    let body = body::read(body, face.body_limit).await?;
    let envelope = parse_envelope(super::content_type(&head), &body)?;
    match &envelope.target {
        single_route::Target::Route { route, .. } => {
            let route = route.clone();
            Ok((Target::Envelope(route, envelope), Request::from_parts(head, body.into())))
        }
        single_route::Target::Resource { path: inner, query, method } => {
            let route = resource(face, inner, method)?;
            let body = envelope.body()?;
            let head = inner_head(head, &path, inner, query.as_deref(), method.clone())?;
            Ok((Target::Resource(route), Request::from_parts(head, body.into())))
        }
    }
}

/// The route of a path inside an envelope.
fn resource(face: &Face, path: &str, method: &Method) -> Result<Route, ApiError> {
    let route = find(face, None, path)?;
    if !allowed_resource(&route, face.runtime.memory_routes_exposed()) {
        return Err(ApiError::NotFound);
    }
    gate(route, method)
}

/// The head of the request inside: the outer one's headers, and the path below the mounted one.
fn inner_head(
    mut head: Parts,
    mounted: &str,
    path: &str,
    query: Option<&str>,
    method: Method,
) -> Result<Parts, ApiError> {
    let mut uri = format!("{}{path}", mounted.trim_end_matches('/'));
    if let Some(query) = query {
        uri.push('?');
        uri.push_str(query);
    }
    head.uri = uri.parse::<Uri>().map_err(|_| ApiError::NotFound)?;
    head.method = method;
    Ok(head)
}
