//! Which mount a request belongs to, and what is answered where there is none.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Buf;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use tower::Service;
use url::Url;

use super::page::{self, Page};
use crate::http::{Body, BoxError, CopilotService, Response};

/// A service and the path it lies at, without a slash at its end.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) path: String,
    pub(super) service: CopilotService,
}

/// Everything the listener serves: the mounts, and the pages beside them.
#[derive(Clone, Debug)]
pub(super) struct Front {
    mounts: Arc<[Mount]>,
    pages: Router,
}

impl Front {
    /// The mounts, and at `/` the page for browsers that want one, else a text about the program.
    pub(super) fn new(mounts: Vec<Mount>, about: String, page: Option<Page>) -> Front {
        let mut pages = Router::new();
        let varies = page.is_some().then_some([(VARY, "accept")]);
        if page.is_some() {
            let file = async |Path(name): Path<String>, asked: HeaderMap| {
                page::file(&name, &asked).map_or_else(|| nothing().into_response(), IntoResponse::into_response)
            };
            pages = pages.route(&format!("{}{{name}}", page::FILES), get(file));
        }
        let root = async move |asked: HeaderMap| match page.filter(|_| page::is_wanted(&asked)) {
            Some(page) => page.html(&asked).into_response(),
            None => (varies, about).into_response(),
        };
        let pages =
            pages.route("/", get(root)).fallback(async || nothing()).method_not_allowed_fallback(async || nothing());
        Front { mounts: mounts.into(), pages }
    }
}

impl Front {
    /// With more pages beside the mounts.
    pub(super) fn beside(self, pages: Router) -> Front {
        Front { pages: self.pages.merge(pages), ..self }
    }
}

impl<B> Service<http::Request<B>> for Front
where
    B: http_body::Body + Send + 'static,
    B::Data: Buf,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        // Not the router's business: a runtime's path may hold anything, and the service wants to see it whole.
        let path = resolved(request.uri().path());
        if let Some(mount) = self.mounts.iter().find(|mount| mount.covers(&path)) {
            return mount.service.clone().call(request);
        }
        let request = request.map(|body| axum::body::Body::new(Body::new(body)));
        self.pages.call(request).map(|page| page.map(|page| page.map(Body::new))).boxed()
    }
}

fn nothing() -> Response {
    let mut response = Response::new(Body::from(r#"{"error":"Not found"}"#));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Mount {
    fn covers(&self, path: &str) -> bool {
        covers(&self.path, path)
    }
}

/// Whether a path is that of a mount, or below it.
pub(super) fn covers(mount: &str, path: &str) -> bool {
    let base = mount.trim_end_matches('/');
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path with its dot segments resolved, as URL parsers do it.
fn resolved(path: &str) -> Cow<'_, str> {
    if !path.contains("/.") && !path.contains("/%2") {
        return path.into();
    }
    match Url::parse("http://localhost/") {
        Ok(mut url) => {
            url.set_path(path);
            url.path().to_owned().into()
        }
        Err(_) => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::super::config::{Config, FileText};
    use super::super::wire;
    use super::*;

    const SERVER: &str = "[server]\nbase_path = \"/api/copilotkit\"\nsingle_route_path = \"/api/copilotkit-single\"\n";

    async fn get(path: &str) -> (StatusCode, String) {
        answer("", path, "*/*").await
    }

    async fn answer(settings: &str, path: &str, accept: &str) -> (StatusCode, String) {
        let text = &format!("{SERVER}{settings}");
        let file = FileText { path: std::path::Path::new("x.toml"), text };
        let config = Config::load(Some(file), Default::default(), &|_| None).expect("a good configuration");
        let runtime = wire::runtime(&config).and_then(|parts| wire::build(parts, &config)).expect("a runtime");
        let front = Front::new(
            wire::mounts(&config, &runtime).expect("good services"),
            "about".to_owned(),
            wire::page(&config, &runtime),
        );
        let request = http::Request::builder().uri(path).header(ACCEPT, accept).body(Body::empty()).expect("a request");
        let response = front.oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn each_mount_answers_at_its_path() {
        let (status, body) = get("/api/copilotkit/info").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("DemoAgent") && !body.contains("singleRoute"), "{body}");
        // A single-route mount wants POST; that it says so shows whose answer it is.
        let (status, _) = get("/api/copilotkit-single").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(get("/x/../api/copilotkit/./info").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn elsewhere_is_what_it_is_or_nothing() {
        assert_eq!(get("/").await, (StatusCode::OK, "about".to_owned()));
        let nothing = (StatusCode::NOT_FOUND, r#"{"error":"Not found"}"#.to_owned());
        for path in ["/info", "/api", "/api/copilotkitx/info", "/api/copilotkit/../info", "/page/x.js"] {
            assert_eq!(get(path).await, nothing, "{path}");
        }
    }

    #[tokio::test]
    async fn browsers_get_the_page_unless_it_is_off() {
        const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
        let (status, html) = answer("", "/", BROWSER).await;
        assert!(status == StatusCode::OK && html.starts_with("<!doctype html>"), "{status} {html}");
        assert_eq!(answer("", "/page/licenses.txt", "*/*").await.0, StatusCode::OK);
        assert_eq!(answer("page = false\n", "/", BROWSER).await, (StatusCode::OK, "about".to_owned()));
        assert_eq!(answer("page = false\n", "/page/licenses.txt", "*/*").await.0, StatusCode::NOT_FOUND);
    }
}
