//! A runtime with two users, and one thread of the first in some standing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use copilotkit_runtime::agent::{Agent, AgentCall, FunctionAgent};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::http::{Body, CopilotService, Response};
use copilotkit_runtime::transcription::{Audio, TranscriptionError, TranscriptionService};
use copilotkit_runtime::{CopilotRuntime, IdentifyError, User};
use futures_util::future::{BoxFuture, ready};
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::rows::{ROWS, Row};

/// The owner of the thread, and somebody else.
pub(super) const ANN: &str = "ann";
pub(super) const BEN: &str = "ben";

/// What is said on the owner's thread, and on no other.
pub(super) const SECRET: &str = "the secret of ann";

/// How the owner's thread `t` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Missing,
    /// With a run that has ended.
    Sealed,
    /// With a run that goes on.
    Running,
}

impl Standing {
    pub(super) const ALL: [Standing; 3] = [Standing::Missing, Standing::Sealed, Standing::Running];
}

/// How the runtime is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Paths,
    Envelopes,
}

pub(super) struct World {
    paths: CopilotService,
    envelopes: CopilotService,
    identified: Arc<AtomicUsize>,
}

impl World {
    pub(super) async fn with(standing: Standing) -> World {
        let identified: Arc<AtomicUsize> = Arc::default();
        let count = identified.clone();
        let runtime = CopilotRuntime::builder()
            .agent("default", speaker(false))
            .agent("endless", speaker(true))
            .transcription(Listener)
            .expose_memory_routes(true)
            .debug_feed(true)
            .public_info(true)
            .identify_user(move |head| {
                count.fetch_add(1, Ordering::SeqCst);
                ready(user_of(head))
            })
            .build()
            .expect("a runtime");
        let service = runtime.into_service();
        let world = World { paths: service.clone(), envelopes: service.single_route(), identified };
        let agent = match standing {
            Standing::Missing => return world,
            Standing::Sealed => "default",
            Standing::Running => "endless",
        };
        let body =
            json!({"threadId": "t", "runId": "first", "messages": [{"id": "u1", "role": "user", "content": "Hi"}]});
        let run = Request::post(format!("/agent/{agent}/run")).header("x-user", ANN);
        let run = world.paths.clone().oneshot(run.body(Body::from(body.to_string())).expect("a request")).await;
        let said = Reply::of(run.unwrap_or_else(|never| match never {})).await;
        assert!(said.text().contains(SECRET), "{said:?}");
        world
    }

    /// How often the application was asked who sends a request.
    pub(super) fn identified(&self) -> usize {
        self.identified.load(Ordering::SeqCst)
    }

    pub(super) async fn send(&self, row: &Row, transport: Transport, user: &str) -> Response {
        let (service, request, body) = match transport {
            Transport::Paths => {
                (&self.paths, Request::builder().method(row.method.clone()).uri(row.path()), row.body())
            }
            Transport::Envelopes => {
                (&self.envelopes, Request::builder().method(Method::POST).uri("/"), Some(row.envelope()))
            }
        };
        let mut request = request.header("content-type", "application/json");
        if !user.is_empty() {
            request = request.header("x-user", user);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = service.clone().oneshot(request.body(body).expect("a request")).await;
        answer.unwrap_or_else(|never| match never {})
    }

    pub(super) async fn ask(&self, row: &Row, transport: Transport, user: &str) -> Reply {
        Reply::of(self.send(row, transport, user).await).await
    }

    /// Everything the owner can see of the thread, but the times.
    pub(super) async fn seen_by_owner(&self) -> Vec<Reply> {
        let mut seen = Vec::new();
        for row in ROWS.iter().filter(|row| row.route.starts_with("threads/") && row.method == Method::GET) {
            let mut reply = self.ask(row, Transport::Paths, ANN).await;
            if let Some((before, _)) = reply.text().split_once(r#","createdAt":"#) {
                reply.body = Bytes::copy_from_slice(before.as_bytes());
            }
            seen.push(reply);
        }
        // Who connects follows a run that goes on, and so sees whether it still does.
        let connect = ROWS.iter().find(|row| row.route == "agent/connect").expect("a row");
        seen.push(self.ask(connect, Transport::Paths, ANN).await);
        seen
    }
}

/// An answer, as far as it comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Whether there may be more to come.
    open: bool,
}

impl Reply {
    /// Reads until the end, or until nothing comes any more: under a paused clock the wait is over once nobody has
    /// anything left to do.
    pub(super) async fn of(response: Response) -> Reply {
        let (head, mut body) = response.into_parts();
        let mut read = Vec::new();
        let open = loop {
            match tokio::time::timeout(Duration::from_secs(1), body.frame()).await {
                Ok(Some(frame)) => read.extend_from_slice(&frame.expect("a frame").into_data().expect("bytes")),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        Reply { status: head.status, headers: head.headers, body: read.into(), open }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A proxy in front tells who it is.
fn user_of(head: &Parts) -> Result<User, IdentifyError> {
    let user = head.headers.get("x-user").ok_or(IdentifyError::Unauthenticated)?;
    match user.to_str().map_err(IdentifyError::failed)? {
        "!throw" => Err(IdentifyError::failed("no directory")),
        "!panic" => panic!("on purpose"),
        "!bad id" => Ok(User::new("bad id")),
        "!noname" => Ok(User::new("ann").named(" ")),
        user => Ok(User::new(user)),
    }
}

/// Tells the secret in the first run of a thread, as text and as state.
fn speaker(endless: bool) -> impl Agent {
    FunctionAgent::new(move |call: AgentCall| {
        let input = &call.input;
        let said = if input.run_id == "first" { SECRET } else { "nothing much" };
        let mut events = vec![
            Event::run_started(&input.thread_id, &input.run_id),
            Event::state_snapshot(&json!({ "said": said })),
            Event::text_start("m"),
            Event::text_content("m", said),
        ];
        if endless {
            return stream::iter(events).map(Ok).chain(stream::pending()).boxed();
        }
        events.extend([Event::text_end("m"), Event::run_finished(&input.thread_id, &input.run_id)]);
        stream::iter(events).map(Ok).boxed()
    })
}

struct Listener;

impl TranscriptionService for Listener {
    fn transcribe(&self, _: Audio) -> BoxFuture<'_, Result<String, TranscriptionError>> {
        Box::pin(ready(Ok("hello there".to_owned())))
    }
}
