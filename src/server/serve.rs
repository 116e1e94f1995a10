//! Connections, each from its first byte to its last.
//!
//! `axum::serve` would do. This costs a third of its memory for a connection that only watches: HTTP/1 and
//! HTTP/2 are told apart before anything is allocated for either.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// How long a client may take to send the head of a request, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an HTTP/2 connection begins with, as far as it takes to know.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// Serves a service that is always ready, such as a [`crate::http::CopilotService`] or an axum `Router`, over
/// HTTP/1.1 and HTTP/2 without TLS, until `stop` is cancelled; then lets open answers end.
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
    let tasks = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, service.clone(), stop.clone());
                tasks.spawn(connection);
            }
            Err(error) => pause(&error).await,
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
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

async fn connection<S, B>(stream: TcpStream, service: S, stop: CancellationToken)
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
    let Some(Ok(is_http2)) = stop.run_until_cancelled(speaks_http2(&stream)).await else { return };
    let answer = service_fn(move |request| service.clone().call(request));
    let io = TokioIo::new(stream);
    let ended = if is_http2 {
        // Boxed: it would make every connection as large as the rare one.
        Box::pin(async move {
            let connection =
                http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).serve_connection(io, answer);
            tokio::pin!(connection);
            tokio::select! {
                ended = &mut connection => return ended,
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
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
            () = stop.cancelled() => {
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
    tokio::time::timeout(HEAD_TIMEOUT, look).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
