//! Streams that are opened, and then stay open in silence.

use super::{Connection, MOST_CONNECTIONS, PATIENCE, Request, Target};
use crate::failure::{Failure, Result};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Bytes read at a time: small, there are many.
const BUFFER: usize = 4096;

/// Requests under way at a time: fewer than any server's queue of connections to accept.
const AT_ONCE: usize = 64;

/// Opens streams and waits until each has shown its first event. They stay open until dropped.
///
/// # Errors
/// When a stream does not begin.
pub async fn open(target: Target, request: &Request, streams: usize) -> Result<Vec<Connection>> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for _ in 0..streams.min(MOST_CONNECTIONS) {
        let (gate, mut request) = (gate.clone(), request.clone());
        opening.spawn(async move {
            let _turn = gate.acquire().await.map_err(|error| Failure::said(error.to_string()))?;
            let begun = begin(target, request.fresh());
            timeout(PATIENCE, begun).await.map_err(|_| Failure::said("a stream did not begin"))?
        });
    }
    let mut open = Vec::with_capacity(streams);
    while let Some(connection) = opening.join_next().await {
        open.push(connection.map_err(|error| Failure::said(error.to_string()))??);
    }
    Ok(open)
}

async fn begin(target: Target, request: &[u8]) -> Result<Connection> {
    let mut connection = Connection::open(target, BUFFER).await?;
    let begun = connection.send(request).await?.next().await?.is_some();
    if begun { Ok(connection) } else { Err(Failure::said("a stream ended at once")) }
}
