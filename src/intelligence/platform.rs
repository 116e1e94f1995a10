//! A platform for tests: it answers what it was told to, and keeps what it was asked.

#![expect(clippy::disallowed_methods, reason = "its tasks end with the test's runtime")]

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Intelligence, IntelligenceBuilder};

pub(super) const KEY: &str = "cpk-secret";

/// What the platform was asked.
#[derive(Debug)]
pub(super) struct Asked {
    /// Method and path with its query.
    pub(super) call: String,
    /// All headers in lower case, but `host`, `accept` and `content-length`.
    pub(super) headers: Vec<String>,
    pub(super) body: Value,
}

/// A status, and a body to send with it.
type Answer = (u16, String);

pub(super) struct Platform {
    url: String,
    connections: Arc<AtomicUsize>,
    asked: mpsc::UnboundedReceiver<Asked>,
    task: JoinHandle<()>,
}

impl Platform {
    /// A platform that gives these answers in turn, and no answer after them.
    pub(super) async fn answering<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> Platform {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = answers.into_iter().map(|(status, body)| (status, body.to_owned())).collect();
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::new(Mutex::new(answers));
        let (report, asked) = mpsc::unbounded_channel();
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&answers), report.clone()));
            }
        });
        Platform { url, connections, asked, task }
    }

    /// Its client.
    pub(super) fn intelligence(&self) -> Intelligence {
        self.configured(|builder| builder)
    }

    pub(super) fn configured(&self, set: impl FnOnce(IntelligenceBuilder) -> IntelligenceBuilder) -> Intelligence {
        let builder = Intelligence::builder().api_key(KEY).api_url(&self.url).ws_url("ws://127.0.0.1:9");
        set(builder).build().unwrap()
    }

    /// The next thing it was asked.
    pub(super) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// Whether it was asked something that no test has looked at.
    pub(super) fn was_asked_more(&mut self) -> bool {
        self.asked.try_recv().is_ok()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, answers: Arc<Mutex<VecDeque<Answer>>>, report: mpsc::UnboundedSender<Asked>) {
    while let Ok(Some(asked)) = request(&mut stream).await {
        report.send(asked).ok();
        let next = answers.lock().pop_front();
        let Some((status, body)) = next else {
            return std::future::pending().await;
        };
        let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let answer = format!("HTTP/1.1 {status} X\r\n{length}\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if bytes.len() >= end + 4 + length {
                let body = serde_json::from_slice(&bytes[end + 4..end + 4 + length]).unwrap_or_default();
                let mut lines = head.lines();
                let call = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                let ours =
                    |line: &&str| !["host:", "accept:", "content-length:"].iter().any(|name| line.starts_with(name));
                let mut headers: Vec<_> = lines.filter(ours).map(str::to_owned).collect();
                headers.sort();
                return Ok(Some(Asked { call, headers, body }));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}
