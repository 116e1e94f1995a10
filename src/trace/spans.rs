//! The trace as the spans of `tracing` have it, where a layer for OpenTelemetry watches them.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The request's span is a child of the client's.
pub(crate) fn continue_from(span: &Span, headers: &HeaderMap) {
    if super::parent(headers).is_some() {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Given(headers));
        // Where nobody listens for OpenTelemetry there is nothing to continue.
        let _ = span.set_parent(parent);
    }
}

/// The receiver of these headers is called under the current span.
pub(crate) fn hand_on(headers: &mut HeaderMap) {
    let context = Span::current().context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut Sent(headers));
    }
}

struct Given<'h>(&'h HeaderMap);

impl Extractor for Given<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Sent<'h>(&'h mut HeaderMap);

impl Injector for Sent<'_> {
    fn set(&mut self, key: &str, value: String) {
        let Ok(name) = HeaderName::from_bytes(key.as_bytes()) else { return };
        match HeaderValue::from_str(&value) {
            Ok(value) if !value.is_empty() => drop(self.0.insert(name, value)),
            _ => drop(self.0.remove(name)),
        }
    }
}
