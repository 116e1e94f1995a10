//! What events and messages must look like, and what is put right when an event arrives from a remote agent.
//!
//! [`rules`] says it as tables, [`check`] reads an event by them without building anything, [`rewrite`]
//! makes the changes that a few events need.

mod check;
mod rewrite;
mod rules;

use std::fmt;

use super::{Event, EventKind};

/// The event is of a known type and breaks its rules (rest-sse.md chapters 12.6 and 15).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event}: {}{reason}", Quoted(path))]
pub struct InvalidEvent {
    event: &'static str,
    path: String,
    reason: String,
}

impl InvalidEvent {
    /// The type of the event, as on the wire.
    #[must_use]
    pub fn event(&self) -> &'static str {
        self.event
    }

    /// The field, such as `messages[0].content`; empty when the event as a whole is meant.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.path
    }
}

/// Checks an event that came from a remote agent, and puts right what both generations of the protocol let
/// pass (rest-sse.md chapter 12.6).
///
/// Everything either generation accepts is accepted; types this release does not know pass untouched, and so
/// do unknown fields. `role` of `TEXT_MESSAGE_START` and `replace` of `ACTIVITY_SNAPSHOT` get their defaults,
/// a null `parentMessageId`, `outcome` or `input.state` vanishes, unknown keys of `usage` entries are dropped.
/// An event that needs none of this keeps its bytes.
///
/// ```
/// use copilotkit_runtime::agui::{Event, normalise};
///
/// let event = Event::parse(r#"{"type":"TEXT_MESSAGE_START","messageId":"m1","x":1.0}"#)?;
/// let event = normalise(event)?;
/// assert_eq!(event.as_str(), r#"{"type":"TEXT_MESSAGE_START","messageId":"m1","x":1.0,"role":"assistant"}"#);
///
/// let event = Event::parse(r#"{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1"}"#)?;
/// assert_eq!(normalise(event).unwrap_err().to_string(), "TEXT_MESSAGE_CONTENT: `delta` is required");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`InvalidEvent`] when a required field is missing or a known field is of another type.
pub fn normalise(event: Event) -> Result<Event, InvalidEvent> {
    let kind = event.kind();
    if kind == EventKind::Unknown {
        return Ok(event);
    }
    let rules = rules::event(kind);
    let invalid =
        |problem: check::Problem| InvalidEvent { event: kind.name(), path: problem.path, reason: problem.reason };
    if !check::check(event.as_str(), rules).map_err(invalid)? {
        return Ok(event);
    }
    let changed = rewrite::rewrite(event.as_str(), rules)
        .and_then(|json| Event::parse(json).map_err(|e| e.to_string()))
        .map_err(|reason| invalid(check::Problem { path: String::new(), reason }))?;
    Ok(changed)
}

/// A field name in the text of an error, if there is one.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "`{}` ", self.0) }
    }
}

#[cfg(test)]
mod tests;
