//! The pump over real connections.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::*;

const KEY: &str = "cpk-fixture.key";

struct Server {
    listener: TcpListener,
    address: String,
}

/// A connection at the server's end.
struct Accepted {
    socket: WebSocketStream<TcpStream>,
    path: String,
    protocols: String,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("ws://{}/runner", listener.local_addr().unwrap());
        Server { listener, address }
    }

    fn socket(&self) -> Socket {
        self.socket_as(KEY)
    }

    fn socket_as(&self, key: &str) -> Socket {
        let options = Options {
            topic: "room:1".to_owned(),
            params: "{}".to_owned(),
            max_reconnect: Duration::from_secs(1),
            max_rejoin: Duration::from_secs(1),
        };
        Socket::new(Arc::new(WebSocketDialer::new(&self.address, key)), options)
    }

    #[expect(clippy::result_large_err, reason = "the library's callback")]
    async fn accept(&self) -> Accepted {
        let (stream, _) = self.listener.accept().await.unwrap();
        let (mut path, mut protocols) = (String::new(), String::new());
        let select = |request: &Request, mut response: Response| {
            path = request.uri().to_string();
            protocols = request.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
            response.headers_mut().insert("sec-websocket-protocol", "phoenix".parse().unwrap());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, select).await.unwrap();
        Accepted { socket, path, protocols }
    }

    /// Answers a handshake with this text, in which `ACCEPT` stands for what the key asks for.
    async fn answer(&self, text: &str) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        stream.write_all(text.replace("ACCEPT", &accept).as_bytes()).await.unwrap();
        // Until the client has had enough.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

impl Accepted {
    async fn frame(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    async fn send(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Answers the next frame with `ok`.
    async fn ok(&mut self) -> Value {
        let frame = self.frame().await;
        let reply = json!([frame[0], frame[1], frame[2], "phx_reply", {"status": "ok", "response": {}}]);
        self.send(&reply).await;
        frame
    }
}

#[tokio::test]
async fn a_channel_lives_over_a_real_socket() {
    let server = Server::start().await;
    let mut socket = server.socket();
    let served = async {
        let mut first = server.accept().await;
        assert_eq!(first.path, "/runner/websocket?vsn=2.0.0");
        assert_eq!(first.protocols, "phoenix, base64url.bearer.phx.Y3BrLWZpeHR1cmUua2V5");
        assert_eq!(first.ok().await, json!(["1", "1", "room:1", "phx_join", {}]));
        assert_eq!(first.ok().await, json!(["1", "2", "room:1", "say", {"n": 1}]));
        first.socket.send(Message::Ping(b"are you there".to_vec().into())).await.unwrap();
        first.send(&json!(["1", null, "room:1", "hear", {"n": 2}])).await;
        let answer = first.socket.next().await.unwrap().unwrap();
        assert_eq!(answer, Message::Pong(b"are you there".to_vec().into()));
        let restart = CloseFrame { code: 1012.into(), reason: "restart".into() };
        first.socket.close(Some(restart)).await.unwrap();
        let mut second = server.accept().await;
        assert_eq!(second.ok().await, json!(["3", "3", "room:1", "phx_join", {}]));
        assert_eq!(second.frame().await, json!(["3", "4", "room:1", "phx_leave", {}]));
        assert_eq!(second.socket.next().await.unwrap().unwrap(), Message::Close(None));
    };
    let used = async {
        assert!(matches!(socket.next().await, News::Joined(_)));
        let push = socket.push("say", r#"{"n":1}"#).unwrap();
        assert!(matches!(socket.next().await, News::Replied(answered, Ok(())) if answered == push));
        assert!(
            matches!(socket.next().await, News::Said { event, payload } if event == "hear" && payload.get() == r#"{"n":2}"#)
        );
        assert!(matches!(socket.next().await, News::SocketLost(Some(1012))));
        assert!(matches!(socket.next().await, News::Joined(_)));
        socket.leave().await;
    };
    tokio::join!(served, used);
}

#[tokio::test]
async fn a_key_that_no_subprotocol_can_name_goes_in_the_alphabet_of_urls() {
    for (key, protocol) in [("~~>", "fn4-"), ("~~?", "fn4_"), ("??~~", "Pz9-fg"), ("a", "YQ")] {
        let server = Server::start().await;
        let mut socket = server.socket_as(key);
        let accepted = tokio::select! {
            accepted = server.accept() => accepted,
            news = socket.next() => panic!("nobody answers, but {news:?}"),
        };
        let standard = protocol.replace('-', "+");
        let expected = if protocol.contains('_') { protocol } else { &standard };
        assert_eq!(accepted.protocols, format!("phoenix, base64url.bearer.phx.{expected}"));
    }
    let server = Server::start().await;
    let dialer = WebSocketDialer::new(&server.address, "~~?");
    let refusal = server.answer("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    let (error, ()) = tokio::join!(async { dialer.dial().await.err().expect("a refusal") }, refusal);
    assert!(error.to_string().contains("base64 holds a `/`"), "{error}");
}

#[tokio::test]
async fn only_a_handshake_that_was_understood_opens_a_socket() {
    let upgrade = "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    let phoenix = "sec-websocket-protocol: phoenix\r\n";
    let answers = [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(), "401 Unauthorized"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n".to_owned(), "302 Found"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), "200 OK"),
        (format!("{upgrade}{phoenix}sec-websocket-accept: wrong\r\n\r\n"), "speaks no WebSocket"),
        (format!("{upgrade}{phoenix}\r\n"), "speaks no WebSocket"),
        (format!("{upgrade}sec-websocket-accept: ACCEPT\r\n\r\n"), "subprotocol `phoenix`"),
        (
            format!("{upgrade}sec-websocket-accept: ACCEPT\r\nsec-websocket-protocol: other\r\n\r\n"),
            "subprotocol `phoenix`",
        ),
    ];
    for (answer, why) in answers {
        let server = Server::start().await;
        let dialer = WebSocketDialer::new(&server.address, KEY);
        let dialled = async {
            let error = dialer.dial().await.err().expect("a refusal");
            assert!(error.to_string().contains(why), "{error}");
            let encoded = "Y3BrLWZpeHR1cmUua2V5";
            assert!(!format!("{error} {error:?}").contains(encoded), "{error}");
        };
        let served = async {
            server.answer(&answer).await;
            std::future::pending().await
        };
        tokio::select! {
            () = served => {}
            () = dialled => {}
        }
    }
    for address in ["http://127.0.0.1/runner", "wss://exam ple", "runner"] {
        let error = WebSocketDialer::new(address, KEY).dial().await.err().expect("a refusal");
        assert!(error.to_string().contains("no ws or wss URL"), "{error}");
    }
}

#[tokio::test]
async fn a_message_beyond_the_bound_breaks_the_socket() {
    let server = Server::start().await;
    let mut socket = server.socket();
    let served = async {
        let mut first = server.accept().await;
        first.ok().await;
        let large = json!(["1", null, "room:1", "hear", "x".repeat(5 << 20)]);
        // The client may close before all of it is sent.
        let _ = first.socket.send(Message::text(large.to_string())).await;
        server.accept().await.ok().await;
    };
    let used = async {
        assert!(matches!(socket.next().await, News::Joined(_)));
        assert!(matches!(socket.next().await, News::SocketLost(None)));
        assert!(matches!(socket.next().await, News::Joined(_)));
    };
    tokio::join!(served, used);
}

#[tokio::test]
async fn debug_shows_no_token() {
    let server = Server::start().await;
    assert!(!format!("{:?}", server.socket()).contains("cpk"));
}
