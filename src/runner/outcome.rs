//! How a run ended, as metrics tell it.

use serde::Deserialize;

use super::{Outcome, codes};
use crate::agui::{Ending, Event, EventKind};

/// By a terminal event of its agent.
pub(super) fn told(terminal: &Event) -> Outcome {
    #[derive(Deserialize)]
    struct Finished {
        outcome: Kind,
    }
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    if terminal.kind() == EventKind::RunError {
        return Outcome::Failed(Outcome::AGENT_ERROR);
    }
    match terminal.view::<Finished>() {
        Ok(finished) if finished.outcome.r#type == "interrupt" => Outcome::Interrupted,
        _ => Outcome::Finished,
    }
}

/// Without one.
pub(super) fn closed(ending: &Ending) -> Outcome {
    match ending {
        Ending::Stopped => Outcome::Stopped,
        Ending::Incomplete => Outcome::Failed(codes::INCOMPLETE_STREAM),
        Ending::Failed { code, .. } => Outcome::Failed(code.unwrap_or(codes::INCOMPLETE_STREAM)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_an_agent_makes_up_is_no_outcome() {
        for (json, outcome) in [
            (r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r"}"#, Outcome::Finished),
            (r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":"odd"}"#, Outcome::Finished),
            (r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"success"}}"#, Outcome::Finished),
            (
                r#"{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[]}}"#,
                Outcome::Interrupted,
            ),
            (r#"{"type":"RUN_ERROR","message":"m","code":"MADE_UP"}"#, Outcome::Failed("AGENT_ERROR")),
        ] {
            let event = Event::parse(Bytes::from_static(json.as_bytes())).expect("an event");
            assert_eq!(told(&event), outcome, "{json}");
        }
    }
}
