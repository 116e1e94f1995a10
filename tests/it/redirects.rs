//! Credentials stay with the origin they are for: whoever is called may say "go there", and nobody goes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use copilotkit_runtime::agent::HttpAgent;
use copilotkit_runtime::intelligence::Intelligence;
use copilotkit_runtime::transcription::OpenAiTranscription;
use copilotkit_runtime::{CopilotRuntime, User};
use futures_util::future::ready;
use http::StatusCode;
use http::header::LOCATION;
use parking_lot::Mutex;
use serde_json::json;

use crate::serve::{Server, call, get, input, post};

const SECRET: &str = "s3cret";

/// A server that notes what comes and answers with a status, and with a place to go to.
struct Noted {
    server: Server,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Noted {
    async fn start(status: StatusCode, location: Option<String>) -> Noted {
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = heads.clone();
        let app = Router::new().fallback(move |request: Request| {
            noted.lock().push(format!("{} {} {:?}", request.method(), request.uri(), request.headers()));
            let location = location.clone();
            async move { (status, [(LOCATION, location.unwrap_or_default())]) }
        });
        Noted { server: Server::start(app).await, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

/// What two origins see of a request that the first sends on to the second.
async fn seen<R>(status: u16, ask: impl AsyncFn(String) -> R) -> (Vec<String>, Vec<String>) {
    let elsewhere = Noted::start(StatusCode::OK, None).await;
    let here = Noted::start(StatusCode::from_u16(status).unwrap(), Some(elsewhere.server.url("/taken"))).await;
    ask(here.server.url("")).await;
    (here.heads(), elsewhere.heads())
}

#[tokio::test]
async fn no_redirect_takes_credentials_to_another_origin() {
    for status in [301, 302, 303, 307, 308] {
        let agent = async |url: String| {
            let agent = HttpAgent::new(&format!("{url}/agui")).unwrap().header("x-own", SECRET).unwrap();
            let service = CopilotRuntime::builder().agent("default", agent).build().unwrap().into_service();
            let mut request = post("/agent/default/run", input("t", "r"));
            request.headers_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
            assert!(String::from_utf8_lossy(&call(&service, request).await.body).contains("RUN_ERROR"));
        };
        let transcription = async |url: String| {
            let transcription = OpenAiTranscription::new(&url, "whisper-1", SECRET).unwrap();
            let runtime = CopilotRuntime::builder().agent("default", crate::serve::greeter());
            let service = runtime.transcription(transcription).build().unwrap().into_service();
            let body = json!({"audio": "AAECAwQ=", "mimeType": "audio/webm"}).to_string();
            assert!(!call(&service, post("/transcribe", body)).await.status.is_success());
        };
        let platform = async |url: String| {
            let socket = url.replace("http", "ws");
            let platform = Intelligence::builder().api_key(SECRET).api_url(url).ws_url(socket).build().unwrap();
            let runtime = CopilotRuntime::on_intelligence(platform, |_| ready(Ok(User::new("ada"))));
            let service = runtime.agent("default", crate::serve::greeter()).build().unwrap().into_service();
            assert!(!call(&service, get("/threads?agentId=default")).await.status.is_success());
        };
        for (what, (here, elsewhere)) in [
            ("an agent", seen(status, agent).await),
            ("the transcription", seen(status, transcription).await),
            ("the platform", seen(status, platform).await),
        ] {
            assert!(here.first().is_some_and(|head| head.contains(SECRET)), "{what} {status}: {here:?}");
            assert!(elsewhere.is_empty(), "{what} {status}: {elsewhere:?}");
        }
    }
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn no_redirect_says_which_keys_are_good() {
    use std::time::{SystemTime, UNIX_EPOCH};

    use copilotkit_runtime::IdentifyError;
    use copilotkit_runtime::access::Jwt;

    let signer = crate::signer::Signer::new("ES256").named("k");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = signer.token(&json!({"sub": "ada", "exp": now + 3600}));
    for status in [301, 302, 303, 307, 308] {
        let (here, elsewhere) = seen(status, async |url: String| {
            let jwt = Jwt::builder().jwks_url(format!("{url}/keys")).build().unwrap();
            let asked = jwt.user(&token).await;
            assert!(matches!(asked, Err(IdentifyError::Unavailable(_))), "{asked:?}");
        })
        .await;
        assert!(here.len() == 1 && here[0].starts_with("GET "), "{here:?}");
        assert!(elsewhere.is_empty(), "{status}: {elsewhere:?}");
    }
}
