//! A script as a body: each frame when it is due.

use crate::play::{Script, Step};
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The head of every event stream.
pub(super) fn events(body: Body) -> Response {
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache"), (CONNECTION, "keep-alive")];
    (head, body).into_response()
}

/// The frames of a script, one piece each.
pub(super) fn paced(script: Script) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let start = Instant::now();
    unfold((script, false), move |(mut script, yields)| async move {
        if yields {
            tokio::task::yield_now().await;
        }
        let (frame, yields) = match script.step()? {
            Step::Frame(frame) => (frame, false),
            Step::Delta(k) => {
                if script.props().delay_ms > 0 {
                    sleep_until(start + Duration::from_millis(script.props().delay_ms.saturating_mul(k))).await;
                }
                let every = u64::from(script.props().yield_every);
                (script.delta(), every > 0 && (k + 1).is_multiple_of(every))
            }
        };
        Some((Ok(frame), (script, yields)))
    })
}
