//! A run: the frames of its script, when they are due.

use super::Write;
use super::stream::{events, paced};
use crate::play::{Input, Script, Step};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// `POST /api/copilotkit/agent/{agent}/run`: RUN_STARTED carries the input.
pub(super) async fn run(State(write): State<Write>, body: Bytes) -> Response {
    play(&body, Some(&body), write)
}

/// `POST /agent`: what an AG-UI server answers, RUN_STARTED without the input.
pub(super) async fn upstream(State(write): State<Write>, body: Bytes) -> Response {
    play(&body, None, write)
}

fn play(body: &[u8], echo: Option<&[u8]>, write: Write) -> Response {
    let Some(input) = Input::parse(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let script = Script::new(&input, echo);
    events(match write {
        Write::Whole if script.props().is_immediate() => Body::from(whole(script)),
        Write::Whole | Write::PerEvent => Body::from_stream(paced(script)),
    })
}

fn whole(mut script: Script) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(step) = script.step() {
        all.extend_from_slice(&match step {
            Step::Frame(frame) => frame,
            Step::Delta(_) => script.delta(),
        });
    }
    all
}
