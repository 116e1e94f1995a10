//! A new server takes the place of an old one, at the same address and over the same file, while people chat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use copilotkit_runtime::agui::{Event, EventKind};
use tokio::task::{JoinSet, block_in_place};

use super::place::{Place, message};
use crate::serve::{client, events, one_terminal, soon};

/// Words come slowly enough that runs are always under way, and that the slow one outlasts its server's stop.
const SETTINGS: &str = "[server]\nreuse_port = true\nshutdown_deadline = \"60s\"\n\
    [agents.default]\nkind = \"demo\"\npace = \"2ms\"\n[agents.slow]\nkind = \"demo\"\npace = \"20ms\"\n";

const ROUNDS: usize = 2;
const TALKERS: usize = 8;

/// People who chat, each on one thread after the other, until they are told to stop.
struct Chat {
    base: String,
    over: AtomicBool,
}

/// A run whose answer has begun.
struct Begun {
    agent: String,
    thread: String,
    response: reqwest::Response,
    said: Vec<u8>,
}

/// What was seen of a run.
struct Seen {
    thread: String,
    said: Vec<Event>,
}

/// Posts until the request arrives. A server that ends may close a connection before it has read anything from it, as
/// HTTP lets it; whether nothing was begun then, the history tells.
async fn posted(client: &reqwest::Client, url: &str, body: &str) -> reqwest::Response {
    loop {
        let request = client.post(url).header("content-type", "application/json").body(body.to_owned());
        match request.send().await {
            Ok(response) => return response,
            Err(error) => assert!(!error.is_timeout(), "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Chat {
    async fn talks(self: Arc<Self>, talker: usize) -> Vec<Seen> {
        // Half of them keep their connections.
        let kept = client();
        let mut seen = Vec::new();
        while !self.over.load(Ordering::SeqCst) {
            let client = if talker.is_multiple_of(2) { kept.clone() } else { client() };
            seen.push(self.run(&client, &format!("thread-{talker}-{}", seen.len())).await);
        }
        seen
    }

    async fn run(&self, client: &reqwest::Client, thread: &str) -> Seen {
        let begun = self.begin(client, "default", thread).await;
        self.follow(client, begun).await
    }

    async fn begin(&self, client: &reqwest::Client, agent: &str, thread: &str) -> Begun {
        let mut response = posted(client, &self.url(agent, "run"), &message(thread, "hello")).await;
        assert_eq!(response.status(), 200, "{thread}");
        let said = soon("the first words", response.chunk()).await.expect("bytes").expect("events").to_vec();
        Begun { agent: agent.to_owned(), thread: thread.to_owned(), response, said }
    }

    /// A run to its end, and a second client that watches it.
    async fn follow(&self, client: &reqwest::Client, begun: Begun) -> Seen {
        let Begun { agent, thread, mut response, mut said } = begun;
        let run = async {
            while let Some(more) = soon("more", response.chunk()).await.expect("the stream ends in order") {
                said.extend_from_slice(&more);
            }
            events(&said.into())
        };
        let watch = async {
            let response = posted(client, &self.url(&agent, "connect"), &message(&thread, "connect")).await;
            events(&soon("the end", response.bytes()).await.expect("the stream ends in order"))
        };
        let (said, watched) = tokio::join!(run, watch);
        assert_eq!(one_terminal(&said), "", "{thread}");
        assert_eq!(one_terminal(&watched), "", "{thread}, watched");
        assert_eq!(text(&watched), text(&said), "{thread}");
        Seen { thread, said }
    }

    fn url(&self, agent: &str, route: &str) -> String {
        format!("{}/agent/{agent}/{route}", self.base)
    }
}

/// All that was said.
fn text(events: &[Event]) -> String {
    #[derive(serde::Deserialize)]
    struct Delta {
        delta: String,
    }
    let deltas = events.iter().filter(|event| event.kind() == EventKind::TextMessageContent);
    deltas.map(|event| event.view::<Delta>().expect("a delta").delta).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_run() {
    let place = Place::new();
    place.write("copilotkit.toml", SETTINGS);
    let mut old = place.serve(&[]);
    let chat = Arc::new(Chat { base: old.url(""), over: AtomicBool::new(false) });
    let mut talkers = JoinSet::new();
    for talker in 0..TALKERS {
        talkers.spawn(chat.clone().talks(talker));
    }
    let mut seen = Vec::new();
    for round in 0..ROUNDS {
        // On the old server, as there is no other yet.
        let slow = chat.begin(&client(), "slow", &format!("slow-{round}")).await;
        let new = block_in_place(|| place.serve_at(&old.address, &[], &[]));
        old.tell("-TERM");
        let (client, meanwhile) = (client(), format!("meanwhile-{round}"));
        let (slow, meanwhile) = tokio::join!(chat.follow(&client, slow), chat.run(&client, &meanwhile));
        seen.extend([slow, meanwhile]);
        assert_eq!(block_in_place(|| old.ended()), Some(0), "round {round}");
        old = new;
    }
    chat.over.store(true, Ordering::SeqCst);
    while let Some(of_one) = talkers.join_next().await {
        seen.extend(of_one.expect("nobody is disappointed"));
    }
    for Seen { thread, said } in &seen {
        let kept = events(&old.replayed("", thread).await.into());
        assert_eq!(one_terminal(&kept), "", "{thread}: one run, and it finished");
        assert_eq!(text(&kept), text(said), "{thread}: nothing is lost and nothing is said twice");
    }
    old.tell("-TERM");
    assert_eq!(block_in_place(|| old.ended()), Some(0));
}
