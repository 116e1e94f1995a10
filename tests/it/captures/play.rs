//! Plays a case: a fresh server, the exchanges in their order, the answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::case::{Case, StartAfter};
use super::client::{self, Answer};
use super::observed::Recorder;
use super::ours::Server;
use super::scripts::Scripts;
use super::upstream::Upstreams;

/// What a case came to.
pub(crate) struct Played {
    /// By exchange id; an error where there was no answer.
    pub(crate) answers: HashMap<String, Result<Answer, String>>,
    pub(crate) observed: Vec<Value>,
}

/// How many events an exchange has delivered so far.
type Progress = HashMap<String, watch::Receiver<usize>>;

pub(crate) async fn play(case: Arc<Case>, scripts: &Arc<Scripts>) -> Result<Played, String> {
    let recorder = Recorder::default();
    let upstreams = Upstreams::start(&case.server.runtime.remote, &recorder).await.map_err(|e| e.to_string())?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let database = directory.path().join("threads.db");
    let start = || Server::start(&case.server, scripts, &upstreams, &recorder, &database);
    let mut server = start().await?;
    let mut progress = Progress::new();
    let mut answers = HashMap::new();
    let mut background = JoinSet::new();
    for (index, exchange) in case.exchanges.iter().enumerate() {
        if exchange.restart_server {
            drop(server);
            server = start().await?;
        }
        if let Some(after) = &exchange.start_after {
            reached(&mut progress, after).await?;
        }
        sleep(Duration::from_millis(exchange.delay_ms)).await;
        let (events, seen) = watch::channel(0);
        progress.insert(exchange.id.clone(), seen);
        let (to, of) = (server.address(), case.clone());
        let answer = async move {
            let exchange = &of.exchanges[index];
            let answer = client::send(to, exchange, &events).await.map_err(|error| error.to_string());
            (exchange.id.clone(), answer)
        };
        if exchange.background {
            background.spawn(answer);
        } else {
            answers.extend([answer.await]);
        }
    }
    answers.extend(background.join_all().await);
    let observed = recorder.settle(case.observed.len()).await;
    Ok(Played { answers, observed })
}

/// Waits until another exchange has delivered so many events.
async fn reached(progress: &mut Progress, after: &StartAfter) -> Result<(), String> {
    let StartAfter { exchange, events } = after;
    let seen = progress.get_mut(exchange).ok_or_else(|| format!("`{exchange}` has not been sent"))?;
    let enough = seen.wait_for(|seen| seen >= events);
    match timeout(Duration::from_secs(10), enough).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(format!("`{exchange}` ended before it had delivered {events} events")),
        Err(_) => Err(format!("`{exchange}` did not deliver {events} events in time")),
    }
}
