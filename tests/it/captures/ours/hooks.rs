//! Hooks that do what the case says and write down that they were called.

use std::sync::Arc;

use copilotkit_runtime::http::{
    Body, BoxError, CopilotService, Finished, HookContext, Interrupt, Request, Response, Route,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::captures::case::{self, Hook, HookResponse};
use crate::captures::observed::Recorder;

/// A hook of a case.
#[derive(Clone)]
struct Hooked {
    name: &'static str,
    deeds: Arc<Hook>,
    recorder: Recorder,
}

pub(super) fn install(service: CopilotService, server: &case::Server, recorder: &Recorder) -> CopilotService {
    let hook = |name, deeds: &Option<Hook>| {
        let deeds = Arc::new(deeds.clone()?);
        Some(Hooked { name, deeds, recorder: recorder.clone() })
    };
    let mut service = service;
    if let Some(hooked) = hook("onRequest", &server.hooks.on_request) {
        service = service.on_request(move |cx, request| {
            let answer = hooked.request(json!({"hook": hooked.name, "path": *cx.path}), request);
            async { answer }
        });
    }
    if let Some(hooked) = hook("beforeRequestMiddleware", &server.runtime.before_request_middleware) {
        service = service.before_request(move |cx, request| {
            let answer = hooked.request(json!({"hook": hooked.name, "path": *cx.path}), request);
            async { answer }
        });
    }
    if let Some(hooked) = hook("onBeforeHandler", &server.hooks.on_before_handler) {
        service = service.on_before_handler(move |cx, request| {
            let seen = json!({"hook": hooked.name, "path": *cx.path, "route": route(&cx)});
            let answer = hooked.request(seen, request);
            async { answer }
        });
    }
    if let Some(hooked) = hook("onResponse", &server.hooks.on_response) {
        service = service.on_response(move |cx, response| {
            let answer = hooked.response(&cx, response);
            async { answer }
        });
    }
    if let Some(hooked) = hook("onError", &server.hooks.on_error) {
        service = service.on_error(move |cx, error| {
            let answer = hooked.error(&cx, &error);
            async { answer }
        });
    }
    if let Some(hooked) = hook("afterRequestMiddleware", &server.runtime.after_request_middleware) {
        service = service.after_request(move |finished| {
            let answer = hooked.finished(&finished);
            async { answer }
        });
    }
    service
}

impl Hooked {
    fn request(&self, seen: Value, mut request: Request) -> Result<Request, Interrupt> {
        self.recorder.add(seen);
        self.interrupted()?;
        set(request.headers_mut(), &self.deeds.set_request_header);
        Ok(request)
    }

    fn response(&self, cx: &HookContext, mut response: Response) -> Result<Response, Interrupt> {
        let status = response.status().as_u16();
        self.recorder.add(json!({"hook": self.name, "path": *cx.path, "route": route(cx), "status": status}));
        self.interrupted()?;
        if let Some(other) = &self.deeds.replace_response {
            return Ok(made(other));
        }
        set(response.headers_mut(), &self.deeds.set_response_header);
        Ok(response)
    }

    fn error(&self, cx: &HookContext, error: &BoxError) -> Result<Option<Response>, BoxError> {
        self.recorder.add(json!({"hook": self.name, "path": *cx.path, "route": route(cx), "error": error.to_string()}));
        match &self.deeds.throw_error {
            Some(message) => Err(message.clone().into()),
            None => Ok(self.deeds.replace_response.as_ref().map(made)),
        }
    }

    fn finished(&self, finished: &Finished) -> Result<(), BoxError> {
        self.recorder.add(json!({
            "hook": self.name,
            "path": *finished.path,
            "status": finished.response.status.as_u16(),
            "messages": finished.observed.messages,
            "threadId": finished.observed.thread_id,
            "runId": finished.observed.run_id,
        }));
        match &self.deeds.throw_error {
            Some(message) => Err(message.clone().into()),
            None => Ok(()),
        }
    }

    fn interrupted(&self) -> Result<(), Interrupt> {
        match (&self.deeds.throw_response, &self.deeds.throw_error) {
            (Some(response), _) => Err(made(response).into()),
            (None, Some(message)) => Err(Interrupt::Error(message.clone().into())),
            (None, None) => Ok(()),
        }
    }
}

/// The route as the recordings write it.
fn route(cx: &HookContext) -> Value {
    let Some(route) = &cx.route else { return Value::Null };
    let ids = [
        ("method", Some(route.name())),
        ("agentId", route.agent_id()),
        ("threadId", route.thread_id()),
        ("memoryId", Route::memory_id(route)),
    ];
    let present = ids.into_iter().filter_map(|(name, id)| Some((name.to_owned(), Value::from(id?))));
    Value::Object(present.collect::<Map<_, _>>())
}

/// A response as the Fetch API makes it of text: typed unless it has a type.
fn made(response: &HookResponse) -> Response {
    let mut made = Response::new(Body::from(response.body.clone()));
    *made.status_mut() = response.status.try_into().expect("a status");
    let text = HeaderValue::from_static("text/plain;charset=UTF-8");
    made.headers_mut().insert(http::header::CONTENT_TYPE, text);
    set(made.headers_mut(), &response.headers);
    made
}

fn set(headers: &mut HeaderMap, values: &IndexMap<String, String>) {
    for (name, value) in values {
        let name: HeaderName = name.parse().expect("a header name");
        headers.insert(name, value.parse().expect("a header value"));
    }
}
