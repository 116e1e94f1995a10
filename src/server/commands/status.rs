//! `status`: what a running server does, read from its address for operators.

mod view;

use std::io::{IsTerminal, Write, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Failure;
use crate::Status;
use crate::server::operators;

/// How long a server may take to answer.
const BOUND: Duration = Duration::from_secs(10);
/// Between the two looks that tell how fast things go, where there are no others.
const MOMENT: Duration = Duration::from_secs(1);
/// Moves to the beginning of the screen and clears it.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// How to look.
#[derive(Debug, Args)]
pub(in crate::server) struct Look {
    /// Where the server's metrics are [default: metrics.bind of the configuration, or 127.0.0.1:9464]
    #[arg(long, value_name = "HOST:PORT")]
    at: Option<String>,

    /// Look once, as happens anyway where the output is no terminal
    #[arg(long)]
    once: bool,

    /// Print JSON, a line for each look
    #[arg(long)]
    json: bool,

    /// How many seconds pass between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    interval: u16,
}

/// What a look shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    status: Status,
    runs_per_second: f64,
    events_per_second: f64,
    bytes_per_second: f64,
}

/// Looks until it is interrupted, or once.
///
/// # Errors
/// If no server answers.
pub(in crate::server) async fn run(look: Look, configured: Option<String>) -> Result<(), Failure> {
    let server = Server::at(look.at.as_deref().or(configured.as_deref()).unwrap_or(crate::server::config::USUAL))?;
    let watches = !look.once && (look.json || stdout().is_terminal());
    let interval = Duration::from_secs(look.interval.into());
    let mut before = (server.look().await?, Instant::now());
    let mut pause = MOMENT.min(interval);
    loop {
        sleep(pause).await;
        let status = server.look().await?;
        let now = Instant::now();
        let shown = Shown::between(&before.0, status.clone(), now - before.1);
        let text = match look.json {
            true => serde_json::to_string(&shown).map_err(|error| Failure::Failed(error.to_string()))? + "\n",
            false => view::text(&shown, &server.address),
        };
        let text = if watches && !look.json { format!("{CLEAR}{text}") } else { text };
        let mut out = stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())?;
        drop(out);
        if !watches {
            return Ok(());
        }
        (before, pause) = ((status, now), interval);
    }
}

impl Shown {
    fn between(before: &Status, status: Status, time: Duration) -> Shown {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / time.as_secs_f64();
        Shown {
            runs_per_second: rate(status.runs, before.runs),
            events_per_second: rate(status.events, before.events),
            bytes_per_second: rate(status.event_bytes, before.event_bytes),
            status,
        }
    }
}

/// A server that runs.
struct Server {
    address: String,
    client: reqwest::Client,
}

impl Server {
    fn at(address: &str) -> Result<Server, Failure> {
        // What a server listens on is not always what it is reached at.
        let address = match address.parse::<SocketAddr>() {
            Ok(socket) if socket.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
                format!("{}:{}", Ipv4Addr::LOCALHOST, socket.port())
            }
            Ok(socket) if socket.ip().is_unspecified() => format!("[::1]:{}", socket.port()),
            _ => address.to_owned(),
        };
        let client = reqwest::Client::builder().no_proxy().timeout(BOUND).build();
        let client = client.map_err(|error| Failure::Failed(format!("nothing can be asked: {error}")))?;
        Ok(Server { address, client })
    }

    async fn look(&self) -> Result<Status, Failure> {
        let address = &self.address;
        let failed = |why: String| Failure::Failed(format!("no server tells its status at {address}: {why}"));
        let sent = self.client.get(format!("http://{address}{}", operators::STATUS)).send().await;
        let response = sent.map_err(|error| {
            let why = if error.is_timeout() {
                "it does not answer"
            } else if error.is_connect() {
                "nothing listens there; start the server with --metrics-bind 127.0.0.1:9464, or say with --at where it is"
            } else {
                "what answers there does not speak HTTP"
            };
            failed(why.to_owned())
        })?;
        if !response.status().is_success() {
            let why = "it shows no live runs there; [metrics] status = true lets it".to_owned();
            return Err(match response.status().as_u16() {
                404 => failed(why),
                status => failed(format!("it answers {status}")),
            });
        }
        response.json().await.map_err(|_| failed("what answers there is another program".to_owned()))
    }
}
