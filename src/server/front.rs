//! Which mount a request belongs to, and what is answered where there is none.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use tower::Service;
use url::Url;

use crate::http::CopilotService;

/// A service and the path it lies at, without a slash at its end.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) path: String,
    pub(super) service: CopilotService,
}

/// Everything the listener serves: the mounts, and a page at `/`.
pub(super) fn router(mounts: Vec<Mount>, page: String) -> Router {
    let mounts: Arc<[Mount]> = mounts.into();
    let page: Arc<str> = page.into();
    // No route per mount: a runtime's path may hold anything, and the service wants to see it whole.
    Router::new().fallback(move |request: Request| {
        let (mounts, page) = (mounts.clone(), page.clone());
        async move { answer(&mounts, &page, request).await }
    })
}

async fn answer(mounts: &[Mount], page: &str, request: Request) -> Response {
    let path = resolved(request.uri().path());
    if let Some(mount) = mounts.iter().find(|mount| mount.covers(&path)) {
        let mut service = mount.service.clone();
        let ready = std::future::poll_fn(|cx| Service::<Request>::poll_ready(&mut service, cx)).await;
        return match ready {
            Ok(()) => match service.call(request).await {
                Ok(response) => response.map(Body::new),
                Err(never) => match never {},
            },
            Err(never) => match never {},
        };
    }
    if path == "/" && request.method() == Method::GET {
        return plain(StatusCode::OK, "text/plain; charset=utf-8", page.to_owned());
    }
    plain(StatusCode::NOT_FOUND, "application/json", r#"{"error":"Not found"}"#.to_owned())
}

impl Mount {
    fn covers(&self, path: &str) -> bool {
        let base = self.path.trim_end_matches('/');
        path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The path with its dot segments resolved, as URL parsers do it.
fn resolved(path: &str) -> String {
    let mut url = Url::parse("http://localhost/").ok();
    if let Some(url) = &mut url
        && (path.contains("/.") || path.contains("/%2"))
    {
        url.set_path(path);
        return url.path().to_owned();
    }
    path.to_owned()
}

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::super::config::{Config, FileText};
    use super::super::wire;
    use super::*;

    async fn get(path: &str) -> (StatusCode, String) {
        let text = "[server]\nbase_path = \"/api/copilotkit\"\nsingle_route_path = \"/api/copilotkit-single\"\n";
        let file = FileText { path: std::path::Path::new("x.toml"), text };
        let config = Config::load(Some(file), Default::default(), &|_| None).expect("a good configuration");
        let runtime = wire::runtime(&config).expect("a runtime");
        let router = router(wire::mounts(&config, &runtime), "the page".to_owned());
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
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
    async fn elsewhere_is_the_page_or_nothing() {
        assert_eq!(get("/").await, (StatusCode::OK, "the page".to_owned()));
        let nothing = (StatusCode::NOT_FOUND, r#"{"error":"Not found"}"#.to_owned());
        for path in ["/info", "/api", "/api/copilotkitx/info", "/api/copilotkit/../info"] {
            assert_eq!(get(path).await, nothing, "{path}");
        }
    }
}
