//! A service on a real socket, requests to it, and agents a test can lead.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, EventStream, FunctionAgent};
use copilotkit_runtime::agui::{Event, EventKind, SseParser};
use copilotkit_runtime::http::{Body, CopilotService};
use copilotkit_runtime::runner::AgentRunner;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Longer than anything takes; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: waited too long"))
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    soon(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// What was answered, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// The events of the stream.
    pub(crate) fn events(&self) -> Vec<Event> {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        events(&self.body)
    }
}

/// The events of an event stream.
pub(crate) fn events(stream: &Bytes) -> Vec<Event> {
    let mut parser = SseParser::new(usize::MAX);
    parser.push(stream.clone());
    let mut events = Vec::new();
    while let Ok(Some(json)) = parser.next() {
        events.push(Event::parse(json).expect("an event"));
    }
    events
}

/// The code of the one terminal event, which must come last; `""` for `RUN_FINISHED`.
pub(crate) fn one_terminal(events: &[Event]) -> String {
    #[derive(serde::Deserialize)]
    struct Coded {
        #[serde(default)]
        code: String,
    }
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds.iter().filter(|kind| kind.is_terminal()).count(), 1, "one terminal event: {kinds:?}");
    assert!(kinds.last().is_some_and(|kind| kind.is_terminal()), "the terminal event is the last: {kinds:?}");
    events.last().and_then(|event| event.view::<Coded>().ok()).expect("a terminal event").code
}

/// A request to a service in this process.
pub(crate) async fn call(service: &CopilotService, request: Request<Body>) -> Answer {
    let response =
        soon("the response", service.clone().oneshot(request)).await.unwrap_or_else(|e: Infallible| match e {});
    let (head, body) = response.into_parts();
    let body = soon("the body", body.collect()).await.expect("a whole body").to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    let request = Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
    request.body(Body::from(body)).expect("a request")
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).expect("a request")
}

/// The least a run needs.
pub(crate) fn input(thread: &str, run: &str) -> String {
    serde_json::json!({"threadId": thread, "runId": run, "messages": []}).to_string()
}

/// A short run.
pub(crate) fn greeting(thread: &str, run: &str) -> Vec<Event> {
    vec![
        Event::run_started(thread, run),
        Event::text_start("m"),
        Event::text_content("m", "Hello"),
        Event::text_end("m"),
        Event::run_finished(thread, run),
    ]
}

/// An agent that greets everybody.
pub(crate) fn greeter() -> impl Agent {
    FunctionAgent::new(|call: AgentCall| {
        stream::iter(greeting(&call.input.thread_id, &call.input.run_id).into_iter().map(Ok))
    })
}

/// A service with one agent, `default`.
pub(crate) fn service(agent: impl Agent) -> CopilotService {
    CopilotRuntime::builder().agent("default", agent).build().expect("a runtime").into_service()
}

/// A service with one agent and a runner of the test's choice.
pub(crate) fn service_over(runner: impl AgentRunner, agent: impl Agent) -> CopilotService {
    CopilotRuntime::builder().agent("default", agent).runner(runner).build().expect("a runtime").into_service()
}

/// An agent whose every run says what the test sends it, after an announcement of the run.
pub(crate) struct Puppets {
    runs: mpsc::UnboundedSender<Puppet>,
    pub(crate) alive: Arc<AtomicUsize>,
}

/// One run of [`Puppets`]. It ends with this.
pub(crate) struct Puppet {
    pub(crate) call: AgentCall,
    say: mpsc::UnboundedSender<Result<Event, AgentError>>,
}

impl Puppet {
    pub(crate) fn say(&self, event: Event) {
        // A run that is over hears nothing.
        let _ = self.say.send(Ok(event));
    }

    #[cfg(feature = "server")]
    pub(crate) fn fail(self, why: &str) {
        let _ = self.say.send(Err(AgentError::new(why)));
    }

    pub(crate) fn start(&self) {
        self.say(Event::run_started(&self.call.input.thread_id, &self.call.input.run_id));
    }

    /// Whether nobody listens to the run any more.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.say.is_closed()
    }

    pub(crate) fn finish(self) {
        self.say(Event::run_finished(&self.call.input.thread_id, &self.call.input.run_id));
    }
}

/// Puppets, and each run as it begins.
pub(crate) fn puppets() -> (Puppets, mpsc::UnboundedReceiver<Puppet>) {
    let (runs, begun) = mpsc::unbounded_channel();
    (Puppets { runs, alive: Arc::default() }, begun)
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Agent for Puppets {
    fn run(&self, call: AgentCall) -> EventStream {
        let (say, mut heard) = mpsc::unbounded_channel();
        self.alive.fetch_add(1, Ordering::SeqCst);
        let alive = Counted(self.alive.clone());
        let _ = self.runs.send(Puppet { call, say });
        stream::poll_fn(move |cx| {
            let _ = &alive;
            heard.poll_recv(cx)
        })
        .boxed()
    }
}

/// A server on a loopback socket. Its connections end with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(app: Router) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.expect("a server") });
        Server { address, _task: task }
    }

    pub(crate) async fn of(service: CopilotService) -> Server {
        Server::start(Router::new().fallback_service(service)).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A raw connection.
    pub(crate) async fn connect(&self) -> Raw {
        Raw { stream: TcpStream::connect(self.address).await.expect("a connection"), read: Vec::new() }
    }

    /// A connection on which a JSON body was posted.
    pub(crate) async fn posted(&self, path: &str, body: &str) -> Raw {
        let mut raw = self.connect().await;
        raw.send(raw_post(path, body).as_bytes()).await;
        raw
    }
}

/// A POST as it stands on the wire.
pub(crate) fn raw_post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection whose bytes a test sees and sends.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        // A server may have answered and closed before it had read everything.
        let _ = soon("the request leaves", self.stream.write_all(bytes)).await;
    }

    /// Reads until the bytes so far hold this; what was read is kept.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        soon(text, async {
            loop {
                let seen = String::from_utf8_lossy(&self.read).into_owned();
                if seen.contains(text) {
                    return seen;
                }
                let count = self.stream.read_buf(&mut self.read).await.expect("bytes");
                assert!(count > 0, "the connection closed without {text:?}: {seen}");
            }
        })
        .await
    }

    /// Reads to the end of the connection, which may be a hard one.
    pub(crate) async fn drain(mut self) -> String {
        soon("the connection ends", async {
            while self.stream.read_buf(&mut self.read).await.is_ok_and(|count| count > 0) {}
        })
        .await;
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// A client without proxies.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// Posts JSON over the wire and reads the answer whole.
pub(crate) async fn fetch(client: &reqwest::Client, url: &str, body: String) -> Answer {
    let request = client.post(url).header("content-type", "application/json").body(body);
    let response = soon("the response", request.send()).await.expect("a response");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = soon("the body", response.bytes()).await.expect("a body");
    Answer { status, headers, body }
}

/// What the events are.
pub(crate) fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(Event::kind).collect()
}

/// A remote agent that answers every request with these bytes and then closes, or stays.
pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) requests: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Upstream {
    /// `answer` is sent, then repeated `repeats` more times; `stays` keeps the connection open afterwards.
    pub(crate) async fn start(head: &[u8], repeated: &[u8], repeats: usize, stays: bool) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("http://{}/agent", listener.local_addr().expect("an address"));
        let requests = Arc::new(AtomicUsize::new(0));
        let (head, repeated, count) = (head.to_vec(), repeated.to_vec(), requests.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (head, repeated) = (head.clone(), repeated.clone());
                answers.spawn(async move {
                    read_request(&mut stream).await;
                    let mut sent = stream.write_all(&head).await;
                    for _ in 0..repeats {
                        if sent.is_err() {
                            return;
                        }
                        sent = stream.write_all(&repeated).await;
                    }
                    if stays {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Upstream { url, requests, _task: task }
    }

    /// A head that promises an event stream without saying how long it is.
    pub(crate) fn head(extra: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{extra}connection: close\r\n\r\n").into_bytes()
    }
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| length.parse().is_ok_and(|length: usize| body.len() >= length)) {
                return;
            }
        }
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
}
