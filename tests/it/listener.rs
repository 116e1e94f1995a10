//! The program's listener, from a connection's first byte to its last.

use std::time::Duration;

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::server::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

async fn started() -> (std::net::SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let runtime = CopilotRuntime::builder().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let serving = tokio::spawn(serve(listener, runtime.into_service(), stop.clone()));
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
