//! One client with one request at a time: how long an answer takes.

use super::{Connection, Request, Target};
use crate::failure::Result;
use crate::stats::Sorted;
use std::time::{Duration, Instant};

/// Bytes read at a time.
const BUFFER: usize = 64 * 1024;

/// No scenario needs more answers than this at a time.
const MOST_ANSWERS: usize = 10_000;

/// Times of answers, ms.
#[derive(Clone, Debug)]
pub struct Times {
    /// From the first byte of the request to the first byte of the body.
    pub first: Sorted,
    /// From the first byte of the request to the end of the body.
    pub whole: Sorted,
}

/// Sends the request so many times, one after the other.
///
/// # Errors
/// When an answer fails.
pub async fn measure(target: Target, request: Request, times: usize) -> Result<Times> {
    measure_within(target, request, times, Duration::MAX).await
}

/// As [`measure`], but no further request is sent when this time is over.
///
/// # Errors
/// As there.
pub async fn measure_within(target: Target, mut request: Request, times: usize, within: Duration) -> Result<Times> {
    let (mut first, mut whole) = (Vec::new(), Vec::new());
    let mut connection = Connection::open(target, BUFFER).await?;
    let begin = Instant::now();
    for _ in 0..times.min(MOST_ANSWERS) {
        if begin.elapsed() > within {
            break;
        }
        if !connection.is_reusable() {
            connection = Connection::open(target, BUFFER).await?;
        }
        let request = request.fresh();
        let start = Instant::now();
        let mut response = connection.send(request).await?;
        let mut begun = None;
        while response.next().await?.is_some() {
            begun.get_or_insert_with(Instant::now);
        }
        whole.push(start.elapsed().as_secs_f64() * 1e3);
        first.push(begun.unwrap_or_else(Instant::now).duration_since(start).as_secs_f64() * 1e3);
    }
    Ok(Times { first: Sorted::new(first), whole: Sorted::new(whole) })
}

/// One answer in full.
///
/// # Errors
/// When it fails.
pub async fn fetch(target: Target, request: &[u8]) -> Result<Vec<u8>> {
    Connection::open(target, BUFFER).await?.send(request).await?.collect().await
}
