//! The listener, from binding to the last connection.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::config::{Server, is_private};
use super::front::Front;
use super::serve::{Connections, serve_with};
use super::signals::Signals;
use crate::CopilotRuntime;

/// How long ended runs' last words may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// How many connections may wait to be accepted, as where tokio binds.
#[cfg(unix)]
const BACKLOG: u32 = 1024;

/// How the serving ended.
#[derive(Debug)]
pub(super) enum End {
    /// Asked to, in order.
    Stopped,
    /// Asked to twice.
    Forced,
}

/// A bound listener and its address.
///
/// # Errors
/// One line that says what to do.
pub(super) async fn bind(server: &Server, users_are_known: bool) -> Result<(TcpListener, SocketAddr), String> {
    let address = &server.bind;
    let bound = match server.reuse_port {
        false => bind_to(address, "--bind").await?,
        true => told(bind_beside_others(address).await, address, "--bind")?,
    };
    if !users_are_known && !server.allow_anonymous {
        // What the settings give may be a name; now it is known what it stands for.
        is_private(bound.1.ip()).map_err(|reason| format!("will not listen on {address}: {reason}"))?;
    }
    Ok(bound)
}

/// A listener at an address that a flag sets.
///
/// # Errors
/// One line that says what to do.
pub(super) async fn bind_to(address: &str, flag: &str) -> Result<(TcpListener, SocketAddr), String> {
    told(TcpListener::bind(address).await, address, flag)
}

/// A listener and its address, or what to do about it.
fn told(bound: io::Result<TcpListener>, address: &str, flag: &str) -> Result<(TcpListener, SocketAddr), String> {
    let bound = bound.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "the port is in use; stop the other program, share the port with another server of this program by \
                 `server.reuse_port = true` for both, or choose another port"
            }
            io::ErrorKind::PermissionDenied => "this port needs more rights; choose one above 1023",
            io::ErrorKind::AddrNotAvailable => "this machine has no such address; use 127.0.0.1 or 0.0.0.0",
            _ => return format!("cannot listen on {address}: {error}"),
        };
        format!("cannot listen on {address}: {advice} with {flag} HOST:PORT")
    })
}

/// Binds an address that other processes may share, as `SO_REUSEPORT` has it.
#[cfg(unix)]
async fn bind_beside_others(address: &str) -> io::Result<TcpListener> {
    use tokio::net::{TcpSocket, lookup_host};

    let mut last = None;
    for address in lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

#[cfg(not(unix))]
async fn bind_beside_others(_: &str) -> io::Result<TcpListener> {
    Err(io::Error::other("this system does not share ports; drop `server.reuse_port`"))
}

/// Serves until the program is told to stop, then lets the runtime end its runs within the deadline.
pub(super) async fn serve(
    listener: TcpListener,
    front: Front,
    runtime: &CopilotRuntime,
    mut signals: Signals,
    deadline: Duration,
    max_connections: usize,
) -> End {
    let stop = CancellationToken::new();
    let linger = Connections::default().linger.min(deadline / 4);
    let connections = Connections { max: max_connections, linger, meter: runtime.connection_meter() };
    let mut serving = std::pin::pin!(serve_with(listener, front, &connections, stop.clone()));

    tokio::select! {
        () = &mut serving => return End::Stopped,
        signal = signals.next() => {
            tracing::info!(signal, "Stopping on {signal}: no new connections, active runs have {deadline:?} to end");
        }
    }
    stop.cancel();
    let drained = CancellationToken::new();
    let drain = async {
        serving.await;
        drained.cancel();
        pending::<()>().await;
    };
    let close = async {
        // What was on its way when the signal came may still begin.
        let _ = timeout(linger, drained.cancelled()).await;
        runtime.shutdown(deadline - linger).await;
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
    use super::super::config::{Config, FileText};
    use super::super::read::Overrides;
    use super::*;

    fn at(bind: &str, allow_anonymous: bool) -> Server {
        let file = FileText { path: std::path::Path::new("x.toml"), text: "" };
        let config = Config::load(Some(file), Overrides::new(), &|_| None).expect("a good configuration");
        Server { bind: bind.to_owned(), allow_anonymous, ..config.server }
    }

    #[tokio::test]
    async fn a_port_in_use_says_what_to_do() {
        let (_held, address) = bind(&at("127.0.0.1:0", false), false).await.expect("a free port");
        let reason = bind(&at(&address.to_string(), false), false).await.expect_err("it is taken");
        assert!(reason.contains(&address.to_string()) && reason.contains("--bind"), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }

    #[tokio::test]
    async fn other_machines_are_let_in_only_if_that_is_wanted() {
        let reason = bind(&at("0.0.0.0:0", false), false).await.expect_err("everybody could do everything");
        assert!(reason.starts_with("will not listen on 0.0.0.0:0: other machines reach 0.0.0.0"), "{reason}");
        assert!(bind(&at("0.0.0.0:0", true), false).await.is_ok());
        assert!(bind(&at("0.0.0.0:0", false), true).await.is_ok());
        assert!(bind(&at("localhost:0", false), false).await.is_ok());
    }
}
