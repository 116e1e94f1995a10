//! The server that `bench/` measures: an agent `default` that plays what `forwardedProps` says, and an agent
//! `remote` that proxies `UPSTREAM_URL`.
//!
//! Run with `PORT=4100 UPSTREAM_URL=http://127.0.0.1:4200/agent cargo run --release --example bench_server`; with
//! `-- --db FILE` threads are kept in a SQLite file, else in memory, where `MAX_THREADS` (1000) is their number.
//!
//! `forwardedProps`: `deltas` (20) per message, `messages` (1), `deltaBytes` (16), `delayMs` (0; the k-th delta
//! is due at start + k·delayMs), `stamp` (false; a delta begins with the 16-digit Unix time in µs when it is
//! emitted and a space), `yieldEvery` (0; gives other tasks a turn after that many deltas).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use copilotkit_runtime::agent::{AgentCall, AgentError, FunctionAgent, HttpAgent};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::runner::{MemoryLimits, MemoryRunner, SqliteRunner};
use copilotkit_runtime::{Builder, CopilotRuntime};
use futures_util::Stream;
use serde::Deserialize;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Play {
    deltas: u64,
    messages: u64,
    delta_bytes: usize,
    delay_ms: u64,
    stamp: bool,
    yield_every: u64,
}

impl Default for Play {
    fn default() -> Play {
        Play { deltas: 20, messages: 1, delta_bytes: 16, delay_ms: 0, stamp: false, yield_every: 0 }
    }
}

/// The next event to play.
#[derive(Clone, Copy)]
enum Step {
    RunStarted,
    Start,
    /// The delta of this number within its message.
    Delta(u64),
    End,
    RunFinished,
    Over,
}

struct Player {
    call: AgentCall,
    play: Play,
    text: String,
    message: u64,
    message_id: String,
    step: Step,
    started: Instant,
    played: u64,
    timer: Option<Pin<Box<Sleep>>>,
    yielded: bool,
}

impl Player {
    fn new(call: AgentCall) -> Player {
        let props = call.input.forwarded_props.as_ref().map_or("{}", |props| props.get());
        let play: Play = serde_json::from_str(props).unwrap_or_default();
        let text = "x".repeat(play.delta_bytes);
        Player {
            call,
            play,
            text,
            message: 0,
            message_id: String::new(),
            step: Step::RunStarted,
            started: Instant::now(),
            played: 0,
            timer: None,
            yielded: false,
        }
    }

    /// Whether the next delta has to wait, for its time or for a turn of others.
    fn must_wait(&mut self, cx: &mut Context<'_>) -> bool {
        if self.play.delay_ms > 0 {
            let due = self.started + Duration::from_millis(self.played * self.play.delay_ms);
            if Instant::now() < due {
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if timer.deadline() != due {
                    timer.as_mut().reset(due);
                }
                return timer.as_mut().poll(cx).is_pending();
            }
        }
        let turn = self.play.yield_every > 0 && self.played > 0 && self.played.is_multiple_of(self.play.yield_every);
        if turn && !std::mem::replace(&mut self.yielded, true) {
            cx.waker().wake_by_ref();
            return true;
        }
        false
    }

    fn delta(&self) -> Event {
        if !self.play.stamp {
            return Event::text_content(&self.message_id, &self.text);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Event::text_content(&self.message_id, &format!("{now:016} {}", self.text))
    }

    fn after_message(&self) -> Step {
        if self.message < self.play.messages { Step::Start } else { Step::RunFinished }
    }

    fn after_delta(&self, number: u64) -> Step {
        if number < self.play.deltas { Step::Delta(number) } else { Step::End }
    }
}

impl Stream for Player {
    type Item = Result<Event, AgentError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let player = self.get_mut();
        let (event, next) = match player.step {
            Step::RunStarted => {
                let input = &player.call.input;
                (Event::run_started(&input.thread_id, &input.run_id), player.after_message())
            }
            Step::Start => {
                player.message += 1;
                player.message_id = format!("{}-m{}", player.call.input.run_id, player.message);
                (Event::text_start(&player.message_id), player.after_delta(0))
            }
            Step::Delta(number) => {
                if player.must_wait(cx) {
                    return Poll::Pending;
                }
                player.played += 1;
                player.yielded = false;
                (player.delta(), player.after_delta(number + 1))
            }
            Step::End => (Event::text_end(&player.message_id), player.after_message()),
            Step::RunFinished => {
                let input = &player.call.input;
                (Event::run_finished(&input.thread_id, &input.run_id), Step::Over)
            }
            Step::Over => return Poll::Ready(None),
        };
        player.step = next;
        Poll::Ready(Some(Ok(event)))
    }
}

/// The builder with a runner that keeps threads in memory, or in the file that `--db FILE` names.
async fn with_runner(builder: Builder) -> Result<Builder, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(flag), Some(file)) if flag == "--db" => Ok(builder.runner(SqliteRunner::open(file).await?)),
        (Some(other), _) => Err(format!("{}: give `--db FILE`, or nothing", other.display()).into()),
        (None, _) => {
            let default = MemoryLimits::default();
            // The defaults, but for threads of many runs, and for lists of many threads.
            let max_threads = std::env::var("MAX_THREADS").map_or(Ok(default.max_threads), |most| most.parse())?;
            let limits = MemoryLimits { max_threads, max_runs_per_thread: 0, ..default };
            Ok(builder.runner(MemoryRunner::with_limits(limits)))
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").map_or(Ok(4100), |port| port.parse())?;
    let mut builder = with_runner(CopilotRuntime::builder()).await?;
    builder = builder.agent("default", FunctionAgent::new(Player::new).described("Plays what forwardedProps says"));
    if let Ok(upstream) = std::env::var("UPSTREAM_URL") {
        builder = builder.agent("remote", HttpAgent::new(&upstream)?);
    }
    let service = builder.build()?.into_service().base_path("/api/copilotkit");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    // The binary's own listener.
    copilotkit_runtime::server::serve(listener, service, CancellationToken::new()).await;
    Ok(())
}
