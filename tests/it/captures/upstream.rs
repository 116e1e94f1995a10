//! The remote side of HTTP agents: a server that answers every request with a scripted byte sequence.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::case::{Chunk, Remote};
use super::observed::Recorder;

/// The remote servers of a case; they end with it.
pub(crate) struct Upstreams {
    addresses: HashMap<String, SocketAddr>,
    _tasks: JoinSet<()>,
}

impl Upstreams {
    pub(crate) async fn start(remotes: &IndexMap<String, Remote>, recorder: &Recorder) -> io::Result<Upstreams> {
        let mut addresses = HashMap::new();
        let mut tasks = JoinSet::new();
        for (id, remote) in remotes {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.insert(id.clone(), listener.local_addr()?);
            if !remote.refuse {
                let server = Arc::new(Server { id: id.clone(), remote: remote.clone(), recorder: recorder.clone() });
                tasks.spawn(server.listen(listener));
            }
        }
        Ok(Upstreams { addresses, _tasks: tasks })
    }

    pub(crate) fn url(&self, id: &str) -> String {
        format!("http://{}/agent?x=1", self.addresses[id])
    }
}

struct Server {
    id: String,
    remote: Remote,
    recorder: Recorder,
}

impl Server {
    async fn listen(self: Arc<Server>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            let server = self.clone();
            connections.spawn(async move {
                // A broken connection is the other side's business.
                let _ = server.answer(socket).await;
            });
        }
    }

    async fn answer(&self, mut socket: TcpStream) -> io::Result<()> {
        let Some(input) = self.request(&mut socket).await? else { return Ok(()) };
        let (mut reader, mut writer) = socket.split();
        let complete = {
            let script = self.play(&mut writer, &input);
            let mut rest = [0; 64];
            tokio::select! {
                done = script => done.unwrap_or(false),
                // The runtime has nothing more to say: whatever is read here is the end of the connection.
                _ = reader.read(&mut rest) => false,
            }
        };
        if !complete {
            self.recorder.add(json!({"upstreamAborted": self.id}));
        }
        Ok(())
    }

    /// Writes the scripted answer; says whether it got to its end.
    async fn play(&self, writer: &mut (impl AsyncWriteExt + Unpin), input: &Value) -> io::Result<bool> {
        let status = self.remote.status.unwrap_or(200);
        let mut head = format!("HTTP/1.1 {status} Scripted\r\ntransfer-encoding: chunked\r\nconnection: close\r\n");
        match &self.remote.headers {
            None => head.push_str("content-type: text/event-stream\r\n"),
            Some(headers) => headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n"))),
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).await?;
        let id = |name: &str| input[name].as_str().unwrap_or_default();
        for chunk in &self.remote.chunks {
            match chunk {
                Chunk::Text(text) => {
                    let text = text.replace("{{threadId}}", id("threadId")).replace("{{runId}}", id("runId"));
                    writer.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await?;
                    writer.flush().await?;
                }
                Chunk::WaitMs(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Chunk::Cut { destroy: true } => return Ok(false),
                Chunk::Cut { destroy: false } => {}
            }
        }
        writer.write_all(b"0\r\n\r\n").await?;
        writer.flush().await?;
        writer.shutdown().await?;
        Ok(true)
    }

    /// Reads a request, writes it down, and gives back its JSON body.
    async fn request(&self, socket: &mut TcpStream) -> io::Result<Option<Value>> {
        let mut raw = Vec::new();
        let end = loop {
            if let Some(at) = raw.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if socket.read_buf(&mut raw).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers: Map<String, Value> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), Value::from(value.trim())))
            .collect();
        let length = headers.get("content-length").and_then(|length| length.as_str()?.parse().ok()).unwrap_or(0);
        while raw.len() < end + 4 + length {
            if socket.read_buf(&mut raw).await? == 0 {
                return Ok(None);
            }
        }
        let body: Value = serde_json::from_slice(&raw[end + 4..]).unwrap_or_default();
        self.recorder.add(json!({
            "upstreamRequest": {"method": method, "path": path, "headers": headers, "body": body},
        }));
        Ok(Some(body))
    }
}
