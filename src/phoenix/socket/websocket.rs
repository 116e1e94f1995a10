//! A [`Wire`] over WebSocket. The connection is an HTTP client's that was upgraded: certificates and proxies are its
//! business.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use futures_util::{Sink, Stream};
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Upgraded};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use url::Url;

use super::{Dial, Dialled, Incoming, Outgoing, Unreachable, Wire};

/// How long connecting may take, from the look-up of the name to the answer to the handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// What a message may be at most. Answers and pushes of the other end are small.
const MAX_MESSAGE: usize = 4 << 20;
/// One per socket, and little is read.
const READ_BUFFER: usize = 4 << 10;
/// A close frame without a code, as seen by who gets it (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;
const SUBPROTOCOL: &str = "phoenix";
const BEARER: &str = "base64url.bearer.phx.";

/// Dials the WebSocket of a Phoenix server. It has no `Debug`: it holds a token.
pub(crate) struct WebSocketDialer {
    address: String,
    token: String,
    /// Made when first needed: reading the system's certificates takes some milliseconds.
    client: OnceLock<Client>,
}

impl WebSocketDialer {
    /// For the socket at a `ws` or `wss` address, without its `/websocket`, with a token that says who we are.
    pub(crate) fn new(address: &str, token: &str) -> WebSocketDialer {
        WebSocketDialer { address: address.to_owned(), token: token.to_owned(), client: OnceLock::new() }
    }

    fn request(&self, key: &str) -> Result<RequestBuilder, Unreachable> {
        // What a subprotocol's name is made of can always be sent.
        let protocols = HeaderValue::from_str(&format!("{SUBPROTOCOL}, {}", bearer(&self.token)));
        let mut protocols = protocols.map_err(|error| Unreachable(error.to_string()))?;
        protocols.set_sensitive(true);
        let request = self.client()?.get(http_url(&self.address)?);
        Ok(request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, key)
            .header(SEC_WEBSOCKET_PROTOCOL, protocols))
    }

    fn client(&self) -> Result<Client, Unreachable> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        // No connection is used twice: one that was upgraded is a socket's, one that was not is none to keep.
        let client =
            Client::builder().http1_only().tcp_nodelay(true).redirect(Policy::none()).pool_max_idle_per_host(0);
        let client = client.build().map_err(|error| Unreachable(format!("no HTTP client: {error}")))?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

/// Where the handshake of a socket is sent.
fn http_url(address: &str) -> Result<Url, Unreachable> {
    let rest = address.strip_prefix("ws").ok_or_else(|| Unreachable("the address is no ws or wss URL".to_owned()))?;
    let url = format!("http{}/websocket?vsn=2.0.0", rest.trim_end_matches('/'));
    Url::parse(&url).map_err(|error| Unreachable(format!("the address is no ws or wss URL: {error}")))
}

/// The subprotocol that carries a token. Phoenix's own client writes it in the standard alphabet, of which a `/` may
/// not stand in the name of a subprotocol: then it is the URL's alphabet, which servers that decode both understand.
fn bearer(token: &str) -> String {
    let mut encoded = BASE64_STANDARD_NO_PAD.encode(token);
    if encoded.contains('/') {
        encoded = BASE64_URL_SAFE_NO_PAD.encode(token);
    }
    format!("{BEARER}{encoded}")
}

impl Dial for WebSocketDialer {
    fn dial(&self) -> Dialled {
        let key = generate_key();
        let request = self.request(&key);
        Box::pin(async move {
            let answered = timeout(CONNECT, handshake(request?, &key)).await;
            answered.unwrap_or_else(|_| Err(Unreachable(format!("no connection within {CONNECT:?}"))))
        })
    }
}

async fn handshake(request: RequestBuilder, key: &str) -> Result<Wire, Unreachable> {
    let response = request.send().await.map_err(unreachable)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Unreachable(format!("the handshake was answered with {}", response.status())));
    }
    check(response.headers(), key)?;
    let upgraded = response.upgrade().await.map_err(unreachable)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    Ok(Box::pin(WebSocket(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)))
}

/// Whether the other end speaks WebSocket, to us, and Phoenix.
fn check(headers: &HeaderMap, key: &str) -> Result<(), Unreachable> {
    let is = |name: &HeaderName, expected: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.eq_ignore_ascii_case(expected))
    };
    let accepted = headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|value| *value == derive_accept_key(key.as_bytes()));
    if !is(&UPGRADE, "websocket") || !accepted {
        return Err(Unreachable("the handshake was answered by something that speaks no WebSocket".to_owned()));
    }
    if !is(&SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(Unreachable(format!("the other end did not select the subprotocol `{SUBPROTOCOL}`")));
    }
    Ok(())
}

fn unreachable(error: reqwest::Error) -> Unreachable {
    let error = error.without_url();
    let mut root: &dyn std::error::Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    Unreachable(root.to_string())
}

/// Text frames over a WebSocket. Pings are answered below.
struct WebSocket(WebSocketStream<Upgraded>);

impl Stream for WebSocket {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => Some(Incoming::Text(text.as_str().to_owned())),
                Some(Ok(Message::Close(frame))) => {
                    // The answer to it, as far as it goes at once.
                    let _ = Pin::new(&mut self.0).poll_flush(cx);
                    Some(Incoming::Closed(Some(frame.map_or(NO_CODE, |frame| frame.code.into()))))
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => {
                    tracing::debug!(%error, "the socket broke");
                    None
                }
                None => None,
            });
        }
    }
}

impl Sink<Outgoing> for WebSocket {
    type Error = Unreachable;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Pin::new(&mut self.0).poll_ready(cx).map_err(broken)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Outgoing) -> Result<(), Unreachable> {
        let message = match item {
            Outgoing::Text(text) => Message::text(text),
            Outgoing::Close(code) => {
                Message::Close(code.map(|code| CloseFrame { code: code.into(), reason: Default::default() }))
            }
        };
        Pin::new(&mut self.0).start_send(message).map_err(broken)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(broken)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(broken)
    }
}

fn broken(error: Error) -> Unreachable {
    Unreachable(error.to_string())
}
