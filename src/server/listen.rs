//! The listener, from binding to the last connection.

use std::future::{IntoFuture, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use crate::CopilotRuntime;

/// How long ended runs' last words may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// How the serving ended.
#[derive(Debug)]
pub(super) enum End {
    /// Asked to, in order.
    Stopped,
    /// Asked to twice.
    Forced,
    /// The listener failed.
    Failed(io::Error),
}

/// A bound listener and its address.
///
/// # Errors
/// One line that says what to do.
pub(super) async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), String> {
    let bound = match TcpListener::bind(address).await {
        Ok(listener) => listener.local_addr().map(|address| (listener, address)),
        Err(error) => Err(error),
    };
    bound.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "the port is in use; stop the other program, or choose another port with --bind HOST:PORT"
            }
            io::ErrorKind::PermissionDenied => {
                "this port needs more rights; choose one above 1023 with --bind HOST:PORT"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; use 127.0.0.1 or 0.0.0.0 with --bind HOST:PORT"
            }
            _ => return format!("cannot listen on {address}: {error}"),
        };
        format!("cannot listen on {address}: {advice}")
    })
}

/// Serves until the program is told to stop, then lets the runtime end its runs within the deadline.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    runtime: &CopilotRuntime,
    mut signals: Signals,
    deadline: Duration,
) -> End {
    // Without it small events wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let stop = CancellationToken::new();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut serving = std::pin::pin!(serving.into_future());

    tokio::select! {
        ended = &mut serving => {
            let unexpected = || io::Error::other("the listener ended by itself");
            return End::Failed(ended.err().unwrap_or_else(unexpected));
        }
        signal = signals.next() => {
            tracing::info!(signal, "Stopping on {signal}: no new connections, active runs are ended");
        }
    }
    stop.cancel();
    let drained = CancellationToken::new();
    let drain = async {
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the listener failed while stopping");
        }
        drained.cancel();
        pending::<()>().await;
    };
    let close = async {
        runtime.shutdown(deadline).await;
        if timeout(FLUSH, drained.cancelled()).await.is_err() {
            tracing::debug!("some connections were still open and are cut");
        }
    };
    tokio::select! {
        () = close => End::Stopped,
        () = drain => End::Stopped,
        signal = signals.next() => {
            tracing::warn!(signal, "Told to stop again: exiting at once");
            End::Forced
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_says_what_to_do() {
        let (_held, address) = bind("127.0.0.1:0").await.expect("a free port");
        let reason = bind(&address.to_string()).await.expect_err("it is taken");
        assert!(reason.contains(&address.to_string()) && reason.contains("--bind"), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
}
