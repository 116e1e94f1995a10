//! The program's listener, from a connection's first byte to its last.

use std::time::Duration;

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::server::{Connections, serve_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::exposition::Exposition;
use crate::serve::{soon, until};

async fn started() -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    started_with(Connections::default()).await
}

async fn started_with(
    connections: Connections,
) -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let runtime = CopilotRuntime::builder().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { serve_with(listener, runtime.into_service(), &connections, stop).await }
    });
    (address, stop, serving)
}

#[tokio::test]
async fn http1_arriving_byte_by_byte_is_answered() {
    let (address, stop, serving) = started().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"PRIX /info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn http2_is_told_by_its_preface() {
    let (address, stop, serving) = started().await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = client.get(format!("http://{address}/info")).send().await.unwrap();
    assert_eq!((answer.version(), answer.status()), (reqwest::Version::HTTP_2, reqwest::StatusCode::OK));
    drop((client, answer));
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_silent_connections() {
    let (address, stop, serving) = started().await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /info HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    idle.read_exact(&mut [0; 12]).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("it ends").unwrap();
}

const INFO: &[u8] = b"GET /info HTTP/1.1\r\nhost: x\r\n\r\n";

/// The head of the next answer, and as much of its body as comes with it.
async fn answered(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    soon("an answer", async {
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.expect("bytes"), 0, "{}", String::from_utf8_lossy(&answer));
        }
    })
    .await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn who_comes_when_all_connections_are_taken_waits_until_one_ends() {
    let mut connections = Connections::default();
    connections.max = 1;
    let (address, stop, serving) = started_with(connections).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(INFO).await.unwrap();
    answered(&mut first).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(INFO).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), second.peek(&mut [0; 1])).await;
    assert!(early.is_err(), "it is neither answered nor turned away");
    drop(first);
    assert!(answered(&mut second).await.starts_with("HTTP/1.1 200"));
    drop(second);
    stop.cancel();
    soon("the end", serving).await.unwrap();
}

#[tokio::test]
async fn connections_are_counted_as_they_come_and_go_and_when_there_are_as_many_as_may_be() {
    let runtime = CopilotRuntime::builder().build().unwrap();
    let told = |metric: &str| Exposition::read(&runtime.metrics()).value(metric, &[]);
    let mut connections = Connections::default();
    (connections.max, connections.meter) = (2, runtime.connection_meter());
    let (address, stop, serving) = started_with(connections).await;
    assert_eq!(told("copilotkit_open_connections"), 0.0);
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(INFO).await.unwrap();
    answered(&mut first).await;
    assert_eq!((told("copilotkit_open_connections"), told("copilotkit_connections_full_total")), (1.0, 0.0));
    let second = TcpStream::connect(address).await.unwrap();
    until("there are as many as may be", || told("copilotkit_connections_full_total") == 1.0).await;
    assert_eq!(told("copilotkit_open_connections"), 2.0);
    assert_eq!(runtime.status().await.open_connections, Some(2));
    drop((first, second));
    until("they have gone", || told("copilotkit_open_connections") == 0.0).await;
    assert_eq!(told("copilotkit_connections_total"), 2.0);
    stop.cancel();
    soon("the end", serving).await.unwrap();
}

#[tokio::test]
async fn a_stop_loses_no_request_that_was_on_its_way() {
    let mut connections = Connections::default();
    connections.max = 1;
    // Longer than the test takes: what is answered within is answered because it was let in.
    connections.linger = Duration::from_secs(60);
    let (address, stop, serving) = started_with(connections).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(INFO).await.unwrap();
    assert!(!answered(&mut kept).await.contains("connection: close"));
    let mut queued = TcpStream::connect(address).await.unwrap();
    stop.cancel();
    kept.write_all(INFO).await.unwrap();
    let last = answered(&mut kept).await;
    assert!(last.starts_with("HTTP/1.1 200") && last.contains("connection: close"), "{last}");
    assert_eq!(soon("the end", kept.read(&mut [0; 1])).await.unwrap(), 0, "it closes");
    queued.write_all(INFO).await.unwrap();
    assert!(answered(&mut queued).await.starts_with("HTTP/1.1 200"), "it waited to be accepted");
    soon("the end", serving).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody else is let in");
}
