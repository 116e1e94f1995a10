//! `POST /api/copilotkit/agent/{agent}/connect`: as many stored runs as the request asks for, or,
//! for a paced run, its beginning and then silence.

use super::stream::{events, paced};
use crate::play::{Input, Script, compacted_run};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream::iter;
use std::convert::Infallible;

/// A replay is built from the request, so its length is bounded here.
const MOST_RUNS: u32 = 10_000;

pub(super) async fn connect(body: Bytes) -> Response {
    let Some(input) = Input::parse(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let props = input.props();
    if props.delay_ms > 0 {
        return events(Body::from_stream(paced(Script::new(&input, Some(&body)))));
    }
    let runs: Vec<Bytes> =
        (0..props.replay.min(MOST_RUNS)).map(|number| compacted_run(&input, number, &body)).collect();
    events(Body::from_stream(iter(runs.into_iter().map(Ok::<_, Infallible>))))
}
