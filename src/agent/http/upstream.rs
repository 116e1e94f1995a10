//! A remote agent for tests: a raw server that plays a script.

#![expect(clippy::disallowed_methods, reason = "its tasks end with the test's runtime")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// One step of an answer.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Bytes of the body, sent at once.
    Send(Vec<u8>),
    /// Milliseconds to wait.
    Pause(u64),
    /// Closes the connection hard.
    Destroy,
}

/// What the server plays for every request.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The head without the line that ends it; bodies are chunked.
    pub(super) head: String,
    pub(super) steps: Vec<Step>,
}

/// What the server saw.
#[derive(Debug)]
pub(super) enum Seen {
    Request {
        head: String,
        body: Value,
    },
    /// The client closed the connection while the script was playing.
    Closed,
}

pub(super) struct Upstream {
    pub(super) url: String,
    /// How many connections were accepted.
    pub(super) accepted: Arc<AtomicUsize>,
    pub(super) seen: mpsc::UnboundedReceiver<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Script {
    pub(super) fn new(steps: Vec<Step>) -> Script {
        Script::with_head("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream", steps)
    }

    pub(super) fn with_head(head: &str, steps: Vec<Step>) -> Script {
        Script { head: head.to_owned(), steps }
    }
}

/// A step that sends text.
pub(super) fn send(text: impl Into<Vec<u8>>) -> Step {
    Step::Send(text.into())
}

impl Upstream {
    pub(super) async fn start(script: Script) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/agent?x=1", listener.local_addr().unwrap());
        let (report, seen) = mpsc::unbounded_channel();
        let (script, accepted) = (Arc::new(script), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(play(stream, Arc::clone(&script), report.clone()));
            }
        });
        Upstream { url, accepted, seen, task }
    }

    pub(super) async fn request(&mut self) -> (String, Value) {
        match self.seen.recv().await {
            Some(Seen::Request { head, body }) => (head, body),
            other => panic!("no request but {other:?}"),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut stream: TcpStream, script: Arc<Script>, report: mpsc::UnboundedSender<Seen>) {
    stream.set_nodelay(true).unwrap();
    while let Ok(Some((head, body))) = request(&mut stream).await {
        report.send(Seen::Request { head, body }).ok();
        let (mut reader, mut writer) = stream.split();
        let left = async move {
            // A client sends nothing more before the answer is over.
            let _ = reader.read(&mut [0; 1]).await;
        };
        tokio::select! {
            biased;
            done = answer(&mut writer, &script) => match done {
                Ok(true) => {}
                _ => return stream.set_zero_linger().unwrap_or_default(),
            },
            () = left => {
                report.send(Seen::Closed).ok();
                return;
            }
        }
    }
}

/// One request: its head in lower case, and its JSON body.
async fn request(stream: &mut TcpStream) -> io::Result<Option<(String, Value)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or_default();
                return Ok(Some((head, body)));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

/// Plays the script; whether the connection stays open.
async fn answer(stream: &mut WriteHalf<'_>, script: &Script) -> io::Result<bool> {
    stream.write_all(format!("{}\r\ntransfer-encoding: chunked\r\n\r\n", script.head).as_bytes()).await?;
    for step in &script.steps {
        match step {
            Step::Send(bytes) => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                stream.write_all(&chunk).await?;
            }
            Step::Pause(milliseconds) => sleep(Duration::from_millis(*milliseconds)).await,
            Step::Destroy => return Ok(false),
        }
    }
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(true)
}
