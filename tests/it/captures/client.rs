//! An HTTP/1.1 client that sends request targets as they are, reads streams as they come, and can leave.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::case::{Exchange, Part, Request};
use super::sse;

/// Longer than any recorded answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case; repeated ones are joined.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The client left after the events it waited for.
    pub(crate) left: bool,
    /// The client gave up waiting.
    pub(crate) timed_out: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_event_stream(&self) -> bool {
        self.header("content-type").is_some_and(|value| value.starts_with("text/event-stream"))
    }
}

/// Sends the request of an exchange and reads the answer, telling `events` how many SSE events came so far.
pub(crate) async fn send(to: SocketAddr, exchange: &Exchange, events: &watch::Sender<usize>) -> io::Result<Answer> {
    let started = Instant::now();
    let mut socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&request_bytes(&exchange.request)).await?;
    let mut reading = Reading { is_head: exchange.request.method == "HEAD", ..Reading::default() };
    let deadline = started + exchange.client_timeout_ms.map_or(PATIENCE, Duration::from_millis);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read) = timeout_at(deadline, socket.read(&mut buffer)).await else {
            if exchange.client_timeout_ms.is_none() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the answer did not end"));
            }
            reading.answer.timed_out = true;
            break;
        };
        let read = read?;
        let ended = read == 0 || reading.take(&buffer[..read])?;
        let frames = if reading.answer.is_event_stream() { sse::frames(&reading.answer.body) } else { Vec::new() };
        let seen = frames.iter().filter(|frame| frame.is_event()).count();
        events.send_replace(seen);
        if let Some(end) = leaving_point(&frames, exchange) {
            reading.answer.body.truncate(end);
            reading.answer.left = true;
            break;
        }
        if ended {
            if read == 0 && !reading.may_end() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut"));
            }
            break;
        }
    }
    if reading.answer.status == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no response head"));
    }
    Ok(reading.answer)
}

/// Where in the body the client stops listening, once it has heard enough.
fn leaving_point(frames: &[sse::Frame<'_>], exchange: &Exchange) -> Option<usize> {
    let nth = |wanted: Option<usize>, counts: fn(&sse::Frame<'_>) -> bool| {
        let index = wanted?.checked_sub(1)?;
        frames.iter().filter(|frame| counts(frame)).nth(index).map(|frame| frame.end)
    };
    nth(exchange.disconnect_after_events, |frame| frame.is_event())
        .or_else(|| nth(exchange.disconnect_after_frames, |_| true))
}

fn request_bytes(request: &Request) -> Vec<u8> {
    let mut headers: Vec<(&str, String)> = request.headers.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, v)| v.clone());
    let (body, usual_type) = if let Some(json) = &request.body {
        (Some(json.to_string().into_bytes()), "application/json")
    } else if let Some(text) = &request.body_text {
        (Some(text.clone().into_bytes()), "")
    } else if let Some(parts) = &request.multipart {
        let boundary = given.as_deref().and_then(boundary_of).unwrap_or("----recorded");
        (Some(multipart(parts, boundary)), "multipart/form-data; boundary=----recorded")
    } else {
        (None, "")
    };
    if given.is_none() && !usual_type.is_empty() {
        headers.push(("content-type", usual_type.to_owned()));
    }
    let mut bytes = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", request.method, request.path).into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if body.is_some() || !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        bytes.extend(format!("content-length: {}\r\n", body.as_ref().map_or(0, Vec::len)).bytes());
    }
    bytes.extend(b"connection: close\r\n\r\n");
    bytes.extend(body.unwrap_or_default());
    bytes
}

fn boundary_of(content_type: &str) -> Option<&str> {
    content_type.split_once("boundary=").map(|(_, boundary)| boundary.split(';').next().unwrap_or(boundary))
}

fn multipart(parts: &[Part], boundary: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"", part.name).bytes());
        if let Some(filename) = &part.filename {
            bytes.extend(format!("; filename=\"{filename}\"").bytes());
        }
        if let Some(content_type) = &part.content_type {
            bytes.extend(format!("\r\ncontent-type: {content_type}").bytes());
        }
        bytes.extend(b"\r\n\r\n");
        match (&part.base64, &part.text) {
            (Some(base64), _) => bytes.extend(STANDARD.decode(base64).expect("a part's base64")),
            (None, text) => bytes.extend(text.as_deref().unwrap_or_default().bytes()),
        }
        bytes.extend(b"\r\n");
    }
    bytes.extend(format!("--{boundary}--\r\n").bytes());
    bytes
}

/// An answer that is being read.
#[derive(Default)]
struct Reading {
    answer: Answer,
    is_head: bool,
    /// Bytes that are not understood yet.
    raw: Vec<u8>,
    length: Option<Length>,
}

/// How the end of the body is found.
enum Length {
    Bytes(usize),
    /// Bytes left of the current chunk, its final line break included.
    Chunked(usize),
    UntilClosed,
}

impl Reading {
    /// Takes bytes; says whether the answer is complete.
    fn take(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.raw.extend_from_slice(bytes);
        if self.length.is_none() {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else { return Ok(false) };
            self.head(end)?;
        }
        match &mut self.length {
            None => Ok(false),
            Some(Length::UntilClosed) => {
                self.answer.body.append(&mut self.raw);
                Ok(false)
            }
            Some(Length::Bytes(total)) => {
                self.answer.body.append(&mut self.raw);
                Ok(self.answer.body.len() >= *total)
            }
            Some(Length::Chunked(_)) => self.chunks(),
        }
    }

    /// Whether a closed connection may be the end.
    fn may_end(&self) -> bool {
        matches!(self.length, Some(Length::UntilClosed))
    }

    fn head(&mut self, end: usize) -> io::Result<()> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP response");
        let head: Vec<u8> = self.raw.drain(..end + 4).collect();
        let head = String::from_utf8(head).map_err(|_| bad())?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        self.answer.status = status.ok_or_else(bad)?;
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            let (name, value) = (name.to_ascii_lowercase(), value.trim());
            match self.answer.headers.iter_mut().find(|(found, _)| *found == name) {
                Some((_, all)) => *all = format!("{all}, {value}"),
                None => self.answer.headers.push((name, value.to_owned())),
            }
        }
        self.length = Some(if self.is_head || matches!(self.answer.status, 204 | 304) {
            Length::Bytes(0)
        } else if self.answer.header("transfer-encoding").is_some_and(|value| value == "chunked") {
            Length::Chunked(0)
        } else {
            match self.answer.header("content-length").and_then(|length| length.parse().ok()) {
                Some(length) => Length::Bytes(length),
                None => Length::UntilClosed,
            }
        });
        Ok(())
    }

    fn chunks(&mut self) -> io::Result<bool> {
        let Some(Length::Chunked(left)) = &mut self.length else { return Ok(false) };
        loop {
            if *left > 0 {
                let now = (*left).min(self.raw.len());
                let data = now.min(left.saturating_sub(2));
                self.answer.body.extend_from_slice(&self.raw[..data]);
                self.raw.drain(..now);
                *left -= now;
                if *left > 0 {
                    return Ok(false);
                }
            }
            let Some(end) = find(&self.raw, b"\r\n") else { return Ok(false) };
            let size = std::str::from_utf8(&self.raw[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let size = size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a chunk"))?;
            self.raw.drain(..end + 2);
            if size == 0 {
                return Ok(true);
            }
            *left = size + 2;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
