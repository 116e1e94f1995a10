//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use http::request::Parts;

/// The other end of the connection a request came by. Whoever accepts connections puts it into the requests'
/// extensions, as `server::serve` does; with axum:
///
/// ```
/// use std::net::SocketAddr;
/// use axum::extract::{ConnectInfo, Request};
/// use axum::middleware::{Next, map_request};
/// use copilotkit_runtime::http::PeerAddress;
///
/// async fn with_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
///     request.extensions_mut().insert(PeerAddress(peer));
///     request
/// }
///
/// let app: axum::Router = axum::Router::new().layer(map_request(with_peer));
/// let service = app.into_make_service_with_connect_info::<SocketAddr>();
/// ```
///
/// Without it, all clients that are no known users count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// The proxies whose word is taken for the address of a client. None, unless named: everybody can send the header.
///
/// ```
/// use copilotkit_runtime::http::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])?;
/// # Ok::<(), copilotkit_runtime::http::InvalidNetwork>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    header: ProxyHeader,
}

/// The header in which proxies say for whom they ask. Only one is read: a proxy that writes one of them passes on the
/// other as a client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The text is no address and no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address such as 10.0.0.1, and no network such as 10.0.0.0/8 or fd00::/8")]
pub struct InvalidNetwork(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    /// As IPv6, into which IPv4 is mapped.
    bits: u128,
    /// How many of the bits count.
    prefix: u32,
}

impl TrustedProxies {
    /// Proxies at these addresses, or in these networks.
    ///
    /// # Errors
    /// [`InvalidNetwork`].
    pub fn new<N: AsRef<str>>(networks: impl IntoIterator<Item = N>) -> Result<TrustedProxies, InvalidNetwork> {
        let networks = networks.into_iter().map(|text| Network::parse(text.as_ref()));
        Ok(TrustedProxies { networks: networks.collect::<Result<_, _>>()?, header: ProxyHeader::default() })
    }

    /// The header they write. Default: `X-Forwarded-For`.
    #[must_use]
    pub fn header(self, header: ProxyHeader) -> TrustedProxies {
        TrustedProxies { header, ..self }
    }

    /// The address of the client: the nearest that is no trusted proxy.
    pub(super) fn client_address(&self, head: &Parts) -> Option<IpAddr> {
        let PeerAddress(peer) = head.extensions.get()?;
        let mut nearest = peer.ip();
        let mut hops = self.hops(head);
        while self.trust(nearest) {
            let Some(hop) = hops.next() else { break };
            let said = match self.header {
                ProxyHeader::XForwardedFor => Some(hop),
                ProxyHeader::Forwarded => forwarded_for(hop),
            };
            // `unknown`, or nonsense that came before the proxies.
            let Some(next) = said.and_then(address) else { break };
            nearest = next;
        }
        Some(nearest)
    }

    fn trust(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.holds(address))
    }

    /// What proxies said, the nearest one first.
    fn hops<'h>(&self, head: &'h Parts) -> impl Iterator<Item = &'h str> + use<'h> {
        let name = match self.header {
            ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ProxyHeader::Forwarded => HeaderName::from_static("forwarded"),
        };
        let lines = head.headers.get_all(name).iter().rev();
        lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(',').map(str::trim))
    }
}

/// The `for` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut given = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    given.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

impl Network {
    fn parse(text: &str) -> Result<Network, InvalidNetwork> {
        let wrong = || InvalidNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most {
            return Err(wrong());
        }
        Ok(Network { bits: bits(address), prefix: prefix + (128 - most) })
    }

    fn holds(&self, address: IpAddr) -> bool {
        let differing = self.bits ^ bits(address);
        differing.leading_zeros() >= self.prefix
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &TrustedProxies, peer: &str, headers: &[(&'static str, &str)]) -> Option<String> {
        let mut request = http::Request::new(());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a header"));
        }
        if !peer.is_empty() {
            let peer = SocketAddr::new(peer.parse().expect("an address"), 1234);
            request.extensions_mut().insert(PeerAddress(peer));
        }
        proxies.client_address(&request.into_parts().0).map(|address| address.to_string())
    }

    const X: &str = "x-forwarded-for";

    #[test]
    fn only_trusted_proxies_say_for_whom_they_ask() {
        let nobody = TrustedProxies::default();
        assert_eq!(client(&nobody, "10.0.0.1", &[(X, "1.1.1.1")]).as_deref(), Some("10.0.0.1"));
        assert_eq!(client(&nobody, "", &[(X, "1.1.1.1")]), None);
        let proxies = TrustedProxies::new(["10.0.0.0/8", "fd00::1"]).expect("networks");
        for (peer, headers, expected) in [
            ("10.0.0.1", vec![(X, "1.1.1.1")], "1.1.1.1"),
            ("::ffff:10.0.0.1", vec![(X, "1.1.1.1")], "1.1.1.1"),
            ("fd00::1", vec![(X, "2001:db8::5")], "2001:db8::5"),
            ("9.9.9.9", vec![(X, "1.1.1.1")], "9.9.9.9"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            // What a client says of itself comes before what the proxies say.
            ("10.0.0.1", vec![(X, "6.6.6.6, 1.1.1.1, 10.2.0.1")], "1.1.1.1"),
            ("10.0.0.1", vec![(X, "6.6.6.6"), (X, "1.1.1.1:4711")], "1.1.1.1"),
            ("10.0.0.1", vec![(X, "[2001:db8::5]:99, 10.9.9.9")], "2001:db8::5"),
            ("10.0.0.1", vec![(X, "10.1.1.1, 10.2.2.2")], "10.1.1.1"),
            ("10.0.0.1", vec![(X, "1.1.1.1, unknown, 10.3.3.3")], "10.3.3.3"),
            ("10.0.0.1", vec![(X, "")], "10.0.0.1"),
            ("10.0.0.1", vec![("forwarded", "for=1.1.1.1")], "10.0.0.1"),
        ] {
            assert_eq!(client(&proxies, peer, &headers).as_deref(), Some(expected), "{peer} {headers:?}");
        }
        let forwarded = proxies.header(ProxyHeader::Forwarded);
        for (said, expected) in [
            ("for=1.1.1.1;proto=https", "1.1.1.1"),
            ("for=6.6.6.6, proto=http;For=\"[2001:db8::5]:99\", for=10.4.4.4", "2001:db8::5"),
            ("for=_hidden", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            let headers = [("forwarded", said), (X, "6.6.6.6")];
            assert_eq!(client(&forwarded, "10.0.0.1", &headers).as_deref(), Some(expected), "{said}");
        }
    }

    #[test]
    fn networks_are_read_or_refused() {
        for wrong in ["", "10.0.0", "10.0.0.1/33", "::1/129", "10.0.0.1/-1", "proxy.example.com"] {
            let error = TrustedProxies::new([wrong]).expect_err(wrong);
            assert!(error.to_string().contains("no network such as"), "{error}");
        }
        let all = TrustedProxies::new(["0.0.0.0/0"]).expect("a network");
        assert_eq!(client(&all, "9.9.9.9", &[(X, "1.1.1.1")]).as_deref(), Some("1.1.1.1"));
        assert_eq!(client(&all, "::1", &[(X, "1.1.1.1")]).as_deref(), Some("::1"), "IPv6 is another internet");
    }
}
