//! Connections, each from its first byte to its last.
//!
//! `axum::serve` would do. This costs a third of its memory for a connection that only watches: HTTP/1 and
//! HTTP/2 are told apart before anything is allocated for either.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::ConnectionMeter;
use crate::http::PeerAddress;

/// How long a client may take to send the head of a request, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an HTTP/2 connection begins with, as far as it takes to know.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// How connections are treated.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connections {
    /// How many may be open at once. Whoever comes then waits in the system's queue until one ends, and is let in:
    /// nobody is turned away who was taken. Default: 20 000.
    pub max: usize,
    /// How long connections go on to take requests when the listener stops, so that no request is lost that was on its
    /// way. Each answer says that its connection ends. Default: 500 ms.
    pub linger: Duration,
    /// Who counts them. Default: nobody.
    pub meter: ConnectionMeter,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections { max: 20_000, linger: Duration::from_millis(500), meter: ConnectionMeter::default() }
    }
}

/// Serves a service that is always ready, such as a [`crate::http::CopilotService`] or an axum `Router`, over
/// HTTP/1.1 and HTTP/2 without TLS, until `stop` is cancelled; then lets open answers end. Each request gets the
/// [`PeerAddress`] it comes from.
///
/// TCP_NODELAY is set: a token does not wait for the acknowledgement of the one before.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn serve<S, B>(listener: TcpListener, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serve_with(listener, service, &Connections::default(), stop).await;
}

/// As [`serve`], with connections treated so.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn serve_with<S, B>(listener: TcpListener, service: S, connections: &Connections, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let tasks = TaskTracker::new();
    let mut places = Places::new(connections);
    let ending = Ending { stop, now: CancellationToken::new() };
    while let Some(place) = ending.stop.run_until_cancelled(places.next()).await {
        match ending.stop.run_until_cancelled(listener.accept()).await {
            Some(Ok((stream, peer))) => {
                let connection = connection(stream, peer, service.clone(), ending.clone());
                tasks.spawn(during(connection, (place, connections.meter.opened())));
            }
            Some(Err(error)) => pause(&error).await,
            None => break,
        }
    }
    for (stream, peer) in queued(listener) {
        let connection = connection(stream, peer, service.clone(), ending.clone());
        tasks.spawn(during(connection, connections.meter.opened()));
    }
    tasks.close();
    if timeout(connections.linger, tasks.wait()).await.is_err() {
        ending.now.cancel();
        tasks.wait().await;
    }
}

/// Holds something as long as a connection lasts.
async fn during<T>(connection: impl Future<Output = ()>, held: T) {
    connection.await;
    drop(held);
}

/// How connections come to know that they are to end.
#[derive(Clone)]
struct Ending {
    /// No further request is to be sent.
    stop: CancellationToken,
    /// No further request is taken.
    now: CancellationToken,
}

/// How many connections may be open.
struct Places {
    free: Arc<Semaphore>,
    /// A tenth of all. Only when so many are free again, it is worth a word that none is.
    some: usize,
    are_short: bool,
    meter: ConnectionMeter,
}

impl Places {
    fn new(connections: &Connections) -> Places {
        let max = connections.max.min(Semaphore::MAX_PERMITS);
        let meter = connections.meter.clone();
        Places { free: Arc::new(Semaphore::new(max)), some: max / 10, are_short: false, meter }
    }

    /// Waits until another connection may be open.
    async fn next(&mut self) -> Option<OwnedSemaphorePermit> {
        self.are_short &= self.free.available_permits() <= self.some;
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Some(place);
        }
        self.meter.full();
        if !std::mem::replace(&mut self.are_short, true) {
            tracing::warn!("as many connections are open as may be at once; others wait until one ends");
        }
        // Nobody closes it.
        self.free.clone().acquire_owned().await.ok()
    }
}

/// Those who wait in the system's queue, which goes with the listener: closing it would cut them off.
fn queued(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| listener.accept().ok());
    let streams = accepted.map(|(stream, peer)| {
        stream.set_nonblocking(true)?;
        Ok((TcpStream::from_std(stream)?, peer))
    });
    streams.filter_map(|stream: io::Result<_>| stream.ok()).collect()
}

async fn pause(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    );
    if !of_the_client {
        tracing::error!(%error, "no connection can be accepted; trying again");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn connection<S, B>(stream: TcpStream, peer: SocketAddr, service: S, ending: Ending)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let Some(Ok(is_http2)) = ending.now.run_until_cancelled(speaks_http2(&stream)).await else { return };
    let Ending { stop, now } = ending;
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let stop = (request.version() < Version::HTTP_2).then(|| stop.clone());
        request.extensions_mut().insert(PeerAddress(peer));
        service.clone().call(request).map_ok(move |mut response| {
            if stop.is_some_and(|stop| stop.is_cancelled()) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        })
    });
    let io = TokioIo::new(stream);
    let ended = if is_http2 {
        // Boxed: it would make every connection as large as the rare one.
        Box::pin(async move {
            let connection =
                http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).serve_connection(io, answer);
            tokio::pin!(connection);
            tokio::select! {
                ended = &mut connection => return ended,
                () = now.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        })
        .await
    } else {
        let mut http1 = http1::Builder::new();
        http1.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let connection = http1.serve_connection(io, answer);
        tokio::pin!(connection);
        tokio::select! {
            ended = &mut connection => ended,
            () = now.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    if let Err(error) = ended {
        // Mostly a client that left; what matters of it, the run says.
        tracing::debug!(%error, "a connection failed");
    }
}

/// Looks at the first bytes without taking them. A client that sends none is given up after a while.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; HTTP2_PREFACE.len()];
    let look = async {
        loop {
            let count = stream.peek(&mut seen).await?;
            let same = seen[..count].iter().zip(HTTP2_PREFACE).take_while(|(a, b)| a == b).count();
            if count == 0 || same < count {
                return Ok(false);
            }
            if count == HTTP2_PREFACE.len() {
                return Ok(true);
            }
            // The beginning of a preface; `peek` would answer the same at once.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(HEAD_TIMEOUT, look).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
