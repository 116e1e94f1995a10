//! The page at `/`: a chat with every agent, for a person with a browser.
//!
//! Its sources are in `page/`; what is made of them lies beside this file, gzipped, and is part of the program. It asks
//! nobody but the server it came from.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use url::Url;

/// Below which path its files lie.
pub(super) const FILES: &str = "/page/";

/// What stands in the built page for the runtime's path.
const RUNTIME: &str = r#"content="./api/copilotkit""#;

/// It runs its own scripts, talks to its own origin, and shows nothing from elsewhere: an answer that names a picture of
/// another server would tell that server who reads it. Styles are set by the components themselves. Where the platform
/// keeps the threads, `sockets` is where the page listens to it.
fn policy(sockets: Option<&str>) -> String {
    let origin = sockets.and_then(|url| Url::parse(url).ok()).map(|url| url.origin().ascii_serialization());
    let connect = ["'self'"].into_iter().chain(origin.as_deref()).collect::<Vec<_>>().join(" ");
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src {connect}; \
         img-src 'self' data: blob:; media-src data: blob:; font-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// A part of the page.
#[derive(Debug)]
struct File {
    /// Below [`FILES`].
    name: &'static str,
    kind: &'static str,
    gzip: &'static [u8],
}

// Its paths are those of files.rs, which calls it.
macro_rules! file {
    ($name:literal, $kind:literal) => {
        File { name: $name, kind: $kind, gzip: include_bytes!(concat!("files/", $name, ".gz")) }
    };
}

static MADE: &str = include_str!("page/index.html");
static PARTS: &[File] = include!("page/files.rs");

/// The page of a runtime at some path.
#[derive(Clone, Debug)]
pub(super) struct Page {
    html: Bytes,
    etag: HeaderValue,
    policy: HeaderValue,
}

impl Page {
    /// The page for a runtime at this path of the same origin, whose events come by these sockets or from itself.
    pub(super) fn new(base_path: &str, sockets: Option<&str>) -> Page {
        // Relative, and so it holds behind a proxy that puts all of it below a path of its own.
        let path = base_path.replace('&', "&amp;");
        let html = MADE.replace(RUNTIME, &format!(r#"content=".{path}""#));
        let mut hash = DefaultHasher::new();
        html.hash(&mut hash);
        let etag = HeaderValue::try_from(format!("\"{:016x}\"", hash.finish()));
        let policy = HeaderValue::try_from(policy(sockets));
        Page {
            html: html.into(),
            etag: etag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")),
            policy: policy.unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
        }
    }

    /// The page itself. Browsers ask every time whether it is still the same.
    pub(super) fn html(&self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        if asked.get(IF_NONE_MATCH).is_some_and(|known| names(known, &self.etag)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = Full::new(self.html.clone());
        }
        let headers = response.headers_mut();
        set(headers, CONTENT_TYPE, "text/html; charset=utf-8");
        set(headers, CACHE_CONTROL, "no-cache");
        set(headers, VARY, "accept");
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        set(headers, REFERRER_POLICY, "no-referrer");
        set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
        headers.insert(ETAG, self.etag.clone());
        response
    }
}

/// A file of the page. Its name changes with what is in it, so browsers keep it; all but the licences, which have one name.
pub(super) fn file(name: &str, asked: &HeaderMap) -> Option<Response<Full<Bytes>>> {
    let file = PARTS.iter().find(|file| file.name == name)?;
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    set(headers, VARY, "accept-encoding");
    set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
    if takes_gzip(asked) {
        let lasts = if file.name.ends_with(".txt") { "no-cache" } else { "public, max-age=31536000, immutable" };
        set(headers, CACHE_CONTROL, lasts);
        set(headers, CONTENT_TYPE, file.kind);
        set(headers, CONTENT_ENCODING, "gzip");
        *response.body_mut() = Full::new(Bytes::from_static(file.gzip));
    } else {
        // Every browser takes it; the program has nothing that could unpack it.
        set(headers, CONTENT_TYPE, "text/plain");
        *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
        *response.body_mut() = Full::new(Bytes::from_static(b"Ask for it with Accept-Encoding: gzip\n"));
    }
    Some(response)
}

/// Whether the client would rather have a page than a text.
pub(super) fn is_wanted(asked: &HeaderMap) -> bool {
    listed(asked, &ACCEPT).any(|(kind, quality)| kind == "text/html" && quality > 0.0)
}

/// Without the header a client takes everything.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let quality_of =
        |name| listed(asked, &ACCEPT_ENCODING).find(|(coding, _)| *coding == name).map(|(_, quality)| quality);
    let quality = quality_of("gzip").or_else(|| quality_of("*"));
    quality.map_or(!asked.contains_key(ACCEPT_ENCODING), |quality| quality > 0.0)
}

/// What a list such as `text/html, */*;q=0.8` names, and how much it is liked.
fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'h str, f32)> {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        (named, quality.unwrap_or(1.0))
    })
}

/// Whether an `If-None-Match` names this tag.
fn names(known: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn asking(given: &[(HeaderName, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    async fn body(response: Response<Full<Bytes>>) -> Bytes {
        response.into_body().collect().await.expect("a body").to_bytes()
    }

    #[tokio::test]
    async fn the_page_knows_where_its_runtime_is() {
        let html = body(Page::new("/a:b&lt", None).html(&HeaderMap::new())).await;
        assert!(text(&html).contains(r#"<meta name="copilotkit-runtime" content="./a:b&amp;lt" />"#), "{html:?}");
        assert_eq!(MADE.matches(RUNTIME).count(), 1);
    }

    #[test]
    fn the_page_may_ask_its_own_server_and_listen_to_the_platform() {
        for (sockets, wanted) in [
            (None, "connect-src 'self';"),
            (Some("wss://realtime.example.com/client"), "connect-src 'self' wss://realtime.example.com;"),
            (Some("ws://127.0.0.1:4000/base/client"), "connect-src 'self' ws://127.0.0.1:4000;"),
        ] {
            let answer = Page::new("/api/copilotkit", sockets).html(&HeaderMap::new());
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().expect("text");
            assert!(policy.starts_with("default-src 'none';") && policy.contains(wanted), "{policy}");
        }
    }

    #[test]
    fn every_file_the_page_names_is_there() {
        let named = MADE.split('"').filter_map(|part| part.strip_prefix("./page/")).collect::<Vec<_>>();
        assert!(named.len() > 1, "{named:?}");
        for name in named {
            assert!(file(name, &HeaderMap::new()).is_some(), "{name}");
        }
        assert!(file("licenses.txt", &HeaderMap::new()).is_some());
        assert!(file("nothing.js", &HeaderMap::new()).is_none());
    }

    #[tokio::test]
    async fn a_browser_that_has_the_page_is_told_so() {
        let page = Page::new("/api/copilotkit", None);
        let etag = page.html(&HeaderMap::new()).headers()[ETAG].clone();
        assert_ne!(etag, Page::new("/other", None).html(&HeaderMap::new()).headers()[ETAG]);
        let mut known = HeaderMap::new();
        known.insert(IF_NONE_MATCH, etag.clone());
        let answer = page.html(&known);
        assert_eq!((answer.status(), &answer.headers()[ETAG]), (StatusCode::NOT_MODIFIED, &etag));
        assert!(body(answer).await.is_empty());
        let other = asking(&[(IF_NONE_MATCH, "\"other\"")]);
        assert_eq!(page.html(&other).status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn files_are_gzipped_and_kept_by_browsers() {
        let name = PARTS.iter().map(|file| file.name).find(|name| name.ends_with(".js")).expect("a script");
        for given in [&[][..], &[(ACCEPT_ENCODING, "gzip, deflate")], &[(ACCEPT_ENCODING, "*")]] {
            let answer = file(name, &asking(given)).expect("a file");
            assert_eq!(answer.status(), StatusCode::OK, "{given:?}");
            assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
            assert!(answer.headers()[CACHE_CONTROL].to_str().is_ok_and(|value| value.contains("immutable")));
            assert!(body(answer).await.starts_with(&[0x1f, 0x8b]), "no gzip");
        }
        for given in [&[(ACCEPT_ENCODING, "br")][..], &[(ACCEPT_ENCODING, "gzip;q=0, *")]] {
            let answer = file(name, &asking(given)).expect("a file");
            assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE, "{given:?}");
        }
    }

    #[test]
    fn a_page_is_wanted_by_browsers_alone() {
        let accepts = |accept| is_wanted(&asking(&[(ACCEPT, accept)]));
        assert!(accepts("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!accepts("*/*") && !accepts("application/json") && !accepts("text/html;q=0"));
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
