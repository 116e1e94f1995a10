//! Many streams with stamped deltas at a steady pace: how much later each arrives.

use super::{Connection, EventSplitter, MOST_CONNECTIONS, Request, Target};
use crate::failure::{Failure, Result};
use crate::play::unix_micros;
use crate::process::{self, Pid};
use crate::stats::Sorted;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Bytes read at a time: small, there are many.
const BUFFER: usize = 4096;

/// Streams start spread over this time, so that their deltas do not fall together.
const SPREAD: Duration = Duration::from_secs(1);

/// After the last start, before the window opens.
const SETTLE: Duration = Duration::from_millis(500);

/// Streams under measurement.
#[derive(Clone, Debug)]
pub struct Paced {
    /// The server.
    pub target: Target,
    /// Its process, whose CPU time is measured.
    pub pid: Pid,
    /// How many streams.
    pub streams: usize,
    /// Time between two deltas of a stream.
    pub every: Duration,
    /// How long is measured.
    pub window: Duration,
}

/// What happened in the window.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Arrival minus stamp, ms.
    pub added: Sorted,
    /// Deltas received, in per cent of those that were due.
    pub delivered: f64,
    /// CPU time of the server per delta, µs.
    pub cpu_per_delta: f64,
}

impl Paced {
    /// `forwardedProps` of the streams: deltas enough to outlast the window.
    pub fn props(&self) -> String {
        let all = SPREAD + SETTLE + self.window + Duration::from_millis(500);
        let deltas = all.as_millis() / self.every.as_millis().max(1);
        format!(r#"{{"deltas":{deltas},"delayMs":{},"stamp":true}}"#, self.every.as_millis())
    }

    /// Opens the streams and measures one window.
    ///
    /// # Errors
    /// When a stream fails.
    pub async fn measure(self, request: Request) -> Result<Measured> {
        let start = unix_micros();
        let opens = start + micros(SPREAD + SETTLE);
        let window = opens..opens + micros(self.window);
        let streams = self.streams.min(MOST_CONNECTIONS);
        let mut running = JoinSet::new();
        for number in 0..streams {
            let wait = SPREAD.mul_f64(number as f64 / streams as f64);
            let (mut request, window) = (request.clone(), window.clone());
            running.spawn(async move {
                sleep(wait).await;
                added_latencies(self.target, request.fresh(), window).await
            });
        }
        sleep(SPREAD + SETTLE).await;
        let before = process::usage(self.pid)?;
        sleep(self.window).await;
        let cpu = process::usage(self.pid)?.since(before).cpu;
        let mut added = Vec::new();
        while let Some(stream) = running.join_next().await {
            added.extend(stream.map_err(|error| Failure::said(error.to_string()))??);
        }
        let due = streams as f64 * self.window.as_secs_f64() / self.every.as_secs_f64();
        Ok(Measured {
            delivered: 100.0 * added.len() as f64 / due,
            cpu_per_delta: cpu.as_secs_f64() * 1e6 / added.len().max(1) as f64,
            added: Sorted::new(added),
        })
    }
}

async fn added_latencies(target: Target, request: &[u8], window: std::ops::Range<u64>) -> Result<Vec<f64>> {
    let mut connection = Connection::open(target, BUFFER).await?;
    let mut response = connection.send(request).await?;
    let (mut splitter, mut added) = (EventSplitter::default(), Vec::new());
    while let Some(piece) = response.next().await? {
        let now = unix_micros();
        splitter.feed(piece, |event| {
            if let Some(stamp) = stamp(event).filter(|stamp| window.contains(stamp)) {
                added.push(now.saturating_sub(stamp) as f64 / 1e3);
            }
        });
    }
    Ok(added)
}

/// The stamp of a delta; None for other events.
fn stamp(event: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = br#""delta":""#;
    let at = memchr::memmem::find(event, BEFORE)? + BEFORE.len();
    std::str::from_utf8(event.get(at..at + 16)?).ok()?.parse().ok()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_read_from_a_delta() {
        let event = br#"data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"1700000000000001 The"}"#;
        assert_eq!(stamp(event), Some(1_700_000_000_000_001));
        assert_eq!(stamp(br#"data: {"type":"RUN_FINISHED"}"#), None);
    }
}
