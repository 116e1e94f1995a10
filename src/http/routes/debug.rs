//! `GET /cpk-debug-events`: the events of the caller's threads, live (rest-sse.md chapter 9).

use std::time::Duration;

use http::StatusCode;

use crate::http::body::Response;
use crate::http::error::text;
use crate::http::stream::sse_response;
use crate::runtime::{Caller, DebugFeed};

/// Answers with the caller's feed, or as if it did not exist where it is off. Unlike upstream's, it has keep-alive
/// comments and shows nobody else's threads (chapter 14, row 28).
pub(super) fn debug_events(feed: Option<&DebugFeed>, caller: &Caller, keep_alive: Option<Duration>) -> Response {
    match feed {
        Some(feed) => sse_response(feed.watch(caller), keep_alive),
        None => text(StatusCode::NOT_FOUND, "Not Found"),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn feed_greets_at_once_and_keeps_alive() {
        let feed = DebugFeed::default();
        let mut body = debug_events(Some(&feed), &Caller::of("ada"), Some(Duration::from_secs(15))).into_body();
        for wanted in [": connected\n\n", ": keep-alive\n\n", ": keep-alive\n\n"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), wanted);
        }
        feed.close();
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn feed_that_is_off_does_not_exist() {
        let response = debug_events(None, &Caller::of("ada"), None);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["content-type"], "text/plain;charset=UTF-8");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Not Found");
    }
}
