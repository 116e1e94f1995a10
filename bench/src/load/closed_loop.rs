//! Clients that each send the next request when the last answer is complete.

use super::{Connection, MOST_CONNECTIONS, PATIENCE, Request, Target};
use crate::failure::{Failure, Result};
use crate::process::{self, Pid, Usage};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Time for all clients to be under way before the window opens.
const RAMP: Duration = Duration::from_millis(300);

/// Bytes read at a time.
const BUFFER: usize = 64 * 1024;

/// How a server is loaded.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// The server.
    pub target: Target,
    /// Its process, whose CPU time is measured.
    pub pid: Pid,
    /// How many clients.
    pub clients: usize,
    /// What each asks for.
    pub request: Request,
    /// Line feeds in the right answer: two per event, 0 for an answer without events.
    pub lines: u64,
    /// How long is measured.
    pub window: Duration,
}

/// What happened in the window.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// How long it was.
    pub wall: Duration,
    /// Answers completed.
    pub answers: u64,
    /// Events received.
    pub events: u64,
    /// What the server used.
    pub server: Usage,
    /// What this process used.
    pub generator: Usage,
}

impl Measured {
    /// Events per second.
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64()
    }

    /// Answers per second.
    pub fn answers_per_second(&self) -> f64 {
        self.answers as f64 / self.wall.as_secs_f64()
    }

    /// CPU time of the server per event, µs.
    pub fn cpu_per_event(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    /// CPU time of the server per answer, µs.
    pub fn cpu_per_answer(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / self.answers as f64
    }

    /// A part of the window, per cent.
    pub fn share(&self, part: Duration) -> f64 {
        100.0 * part.as_secs_f64() / self.wall.as_secs_f64()
    }
}

#[derive(Debug, Default)]
struct Counters {
    answers: AtomicU64,
    lines: AtomicU64,
    /// Requests that may still be sent.
    left: AtomicU64,
}

impl Counters {
    fn allowing(requests: u64) -> Counters {
        Counters { left: AtomicU64::new(requests), ..Counters::default() }
    }

    /// Whether one more request may be sent.
    fn take_turn(&self) -> bool {
        self.left.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl ClosedLoop {
    /// Loads the server and measures one window.
    ///
    /// # Errors
    /// When any answer is wrong or missing.
    pub async fn measure(self) -> Result<Measured> {
        let counters = Arc::new(Counters::allowing(u64::MAX));
        let clients = self.clients(&counters);
        sleep(RAMP).await;
        let before = Snapshot::take(self.pid, &counters)?;
        sleep(self.window).await;
        let measured = Snapshot::take(self.pid, &counters)?.since(&before);
        counters.left.store(0, Ordering::Relaxed);
        all_ended(clients).await?;
        if measured.answers + measured.events == 0 {
            return Err(Failure::said("nothing arrived within the window"));
        }
        Ok(measured)
    }

    /// Loads the server with so many requests, however long that takes.
    ///
    /// # Errors
    /// When any answer is wrong or missing.
    pub async fn measure_requests(self, requests: u64) -> Result<Measured> {
        let counters = Arc::new(Counters::allowing(requests));
        let before = Snapshot::take(self.pid, &counters)?;
        all_ended(self.clients(&counters)).await?;
        Ok(Snapshot::take(self.pid, &counters)?.since(&before))
    }

    fn clients(&self, counters: &Arc<Counters>) -> JoinSet<Result<()>> {
        let mut clients = JoinSet::new();
        for _ in 0..self.clients.min(MOST_CONNECTIONS) {
            clients.spawn(client(self.target, self.request.clone(), self.lines, counters.clone()));
        }
        clients
    }

    /// One client, and whole answers only: until the window is over and the last answer complete.
    /// For answers so large that a window would cut a good part of them.
    ///
    /// # Errors
    /// When an answer is wrong or missing.
    pub async fn measure_whole_answers(mut self) -> Result<Measured> {
        let counters = Counters::default();
        let mut connection = Connection::open(self.target, BUFFER).await?;
        let before = Snapshot::take(self.pid, &counters)?;
        while before.at.elapsed() < self.window {
            if !connection.is_reusable() {
                connection = Connection::open(self.target, BUFFER).await?;
            }
            complete(&mut connection, self.request.fresh(), self.lines, &counters).await?;
        }
        Ok(Snapshot::take(self.pid, &counters)?.since(&before))
    }
}

async fn all_ended(mut clients: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| Failure::said(error.to_string()))??;
    }
    Ok(())
}

async fn client(target: Target, mut request: Request, lines: u64, counters: Arc<Counters>) -> Result<()> {
    let mut connection = Connection::open(target, BUFFER).await?;
    while counters.take_turn() {
        if !connection.is_reusable() {
            connection = Connection::open(target, BUFFER).await?;
        }
        complete(&mut connection, request.fresh(), lines, &counters).await?;
    }
    Ok(())
}

/// One answer, which must be right and come in time.
async fn complete(connection: &mut Connection, request: &[u8], lines: u64, counters: &Counters) -> Result<()> {
    let answer = answer(connection, request, counters);
    let seen = timeout(PATIENCE, answer).await.map_err(|_| Failure::said("an answer took too long"))??;
    if lines > 0 && seen != lines {
        return Err(Failure::said(format!("{} events where {} were due", seen / 2, lines / 2)));
    }
    counters.answers.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn answer(connection: &mut Connection, request: &[u8], counters: &Counters) -> Result<u64> {
    let mut response = connection.send(request).await?;
    let mut seen = 0;
    while let Some(piece) = response.next().await? {
        // JSON has no raw line feed, so every event has exactly the two that end it.
        let lines = memchr::memchr_iter(b'\n', piece).count() as u64;
        seen += lines;
        counters.lines.fetch_add(lines, Ordering::Relaxed);
    }
    Ok(seen)
}

struct Snapshot {
    at: Instant,
    answers: u64,
    lines: u64,
    server: Usage,
    generator: Usage,
}

impl Snapshot {
    fn take(server: Pid, counters: &Counters) -> Result<Snapshot> {
        Ok(Snapshot {
            server: process::usage(server)?,
            generator: process::usage(Pid::own())?,
            at: Instant::now(),
            answers: counters.answers.load(Ordering::Relaxed),
            lines: counters.lines.load(Ordering::Relaxed),
        })
    }

    fn since(&self, before: &Snapshot) -> Measured {
        Measured {
            wall: self.at - before.at,
            answers: self.answers - before.answers,
            events: (self.lines - before.lines) / 2,
            server: self.server.since(before.server),
            generator: self.generator.since(before.generator),
        }
    }
}
