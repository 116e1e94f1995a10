//! The trace a client's request belongs to goes on to the agent.

use std::sync::Arc;

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::{AgentCall, FunctionAgent};
use copilotkit_runtime::http::ForwardPolicy;
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;

use crate::serve::{call, greeting, input, post};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What an agent is told of a request with these headers.
async fn told(policy: &ForwardPolicy, given: &[(&'static str, &'static str)]) -> HeaderMap {
    let heard = Arc::new(Mutex::new(HeaderMap::new()));
    let hears = heard.clone();
    let agent = FunctionAgent::new(move |call: AgentCall| {
        *hears.lock() = call.headers;
        stream::iter(greeting("t", "r").into_iter().map(Ok))
    });
    let runtime = CopilotRuntime::builder().agent("default", agent).build().expect("a runtime");
    let mut request = post("/agent/default/run", input("t", "r"));
    for (name, value) in given {
        request.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    call(&runtime.into_service().forward_headers(policy), request).await;
    std::mem::take(&mut *heard.lock())
}

#[tokio::test]
async fn a_trace_goes_on_to_the_agent_whatever_is_allowed() {
    let given = [("traceparent", PARENT), ("tracestate", "vendor=1"), ("cookie", "a=b")];
    for policy in [ForwardPolicy::new(), ForwardPolicy::new().allow(["x-only"])] {
        let told = told(&policy, &given).await;
        assert_eq!(
            (told["traceparent"].as_bytes(), told["tracestate"].as_bytes()),
            (PARENT.as_bytes(), &b"vendor=1"[..])
        );
        assert_eq!(told.len(), 2);
    }
    assert!(told(&ForwardPolicy::new().deny(["traceparent"]), &given).await.is_empty());
}

#[tokio::test]
async fn a_trace_that_is_none_goes_nowhere() {
    for given in [
        &[("traceparent", "00-1-2-01"), ("tracestate", "vendor=1")][..],
        &[("traceparent", PARENT), ("traceparent", PARENT)],
        &[("tracestate", "vendor=1")],
    ] {
        assert!(told(&ForwardPolicy::new(), given).await.is_empty(), "{given:?}");
    }
}
