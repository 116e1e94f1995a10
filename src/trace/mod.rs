//! The trace a request belongs to, as W3C Trace Context tells it: taken from clients, handed on to agents and MCP servers.
//!
//! Without the feature `otlp`, or where nobody set up tracing for OpenTelemetry, it goes on as it came. Otherwise agents
//! are called under the run's own span, whose parent is the client's.

#[cfg(feature = "otlp")]
mod spans;

use http::{HeaderMap, HeaderName, HeaderValue};
#[cfg(feature = "otlp")]
pub(crate) use spans::{continue_from, hand_on};

/// Where in a trace something happens.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems say to each other beside that.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The request's span is a child of the client's.
#[cfg(not(feature = "otlp"))]
pub(crate) fn continue_from(_: &tracing::Span, _: &HeaderMap) {}

/// The receiver of these headers is called under the current span.
#[cfg(not(feature = "otlp"))]
pub(crate) fn hand_on(_: &mut HeaderMap) {}

/// Where in a trace a request happens; `None` if it does not say so in the form it has to, or says it twice.
pub(crate) fn parent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut given = headers.get_all(TRACEPARENT).iter();
    let parent = given.next()?;
    (given.next().is_none() && is_parent(parent.as_bytes())).then_some(parent)
}

/// `version-trace id-span id-flags` in lower-case hexadecimal digits. Later versions may say more behind that.
fn is_parent(text: &[u8]) -> bool {
    let Some((head, more)) = text.split_at_checked(55) else { return false };
    let parts: Vec<&[u8]> = head.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags] = parts[..] else { return false };
    let is_hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let names = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2)
        && parts.iter().all(|part| is_hex(part))
        && names(trace)
        && names(span)
        && version != b"ff"
        && (more.is_empty() || (version != b"00" && more.starts_with(b"-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_has_the_form_of_the_standard() {
        let later = format!("{}-and more", GOOD.replacen("00", "cc", 1));
        for good in [GOOD, &later, &later[..55]] {
            assert!(is_parent(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "00-1-2-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e473600f067aa0ba902b7----01",
        ] {
            assert!(!is_parent(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(parent(&headers).map(HeaderValue::as_bytes), Some(GOOD.as_bytes()));
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(parent(&headers), None);
    }
}
