//! Verification (rest-sse.md chapter 12.2): which event may follow which.

mod owners;
mod subagents;
#[cfg(test)]
mod tests;

use hashbrown::HashMap;

use serde::Deserialize;

use super::{Event, EventKind};
use owners::{Bucket, Owners};
use subagents::Subagents;

/// Checks the events of a stream one after the other. Events of unknown types pass.
///
/// A stream may hold several runs, one after the other; each `RUN_STARTED` begins afresh.
///
/// ```
/// use copilotkit_runtime::agui::{Event, Verifier};
///
/// let mut verifier = Verifier::default();
/// let violation = verifier.check(&Event::text_start("m1")).unwrap_err();
/// assert_eq!(violation.to_string(), "First event must be 'RUN_STARTED'");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    phase: Phase,
    /// How many openings there were: their order.
    opened: u64,
    texts: Open,
    calls: Open,
    steps: Vec<Steps>,
    thinking: bool,
    thinking_message: bool,
    subagents: Subagents,
    owners: Owners,
}

/// An event that may not come where it came, and the end of its run. The text becomes the message of the
/// run's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    message: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    #[default]
    Empty,
    Active,
    Finished,
    Errored,
}

/// The ids that are open, each with its place in the order of openings.
type Open = HashMap<Box<str>, u64>;

/// The open steps of one owner; `None` is the parent agent.
#[derive(Clone, Debug)]
struct Steps {
    owner: Option<Box<str>>,
    names: Vec<Box<str>>,
}

/// A family of events that open, fill and close something with an id.
struct Family {
    noun: &'static str,
    start: &'static str,
    content: &'static str,
    end: &'static str,
}

const TEXT: Family = Family {
    noun: "text message",
    start: "TEXT_MESSAGE_START",
    content: "TEXT_MESSAGE_CONTENT",
    end: "TEXT_MESSAGE_END",
};

const TOOL_CALL: Family =
    Family { noun: "tool call", start: "TOOL_CALL_START", content: "TOOL_CALL_ARGS", end: "TOOL_CALL_END" };

impl Verifier {
    /// Checks the next event.
    ///
    /// # Errors
    /// [`Violation`] if the event may not come here. Then the run is over; the verifier is not to be used again.
    pub fn check(&mut self, event: &Event) -> Result<(), Violation> {
        use EventKind as K;
        let kind = event.kind();
        self.enter(event)?;
        if event.has_null_subagent_run_id() {
            return Err(null_field(&event.type_name(), "subagentRunId"));
        }
        match kind {
            K::TextMessageStart => {
                let id = id(event.message_id());
                TEXT.may_start(&self.texts, id)?;
                self.owners.open(Bucket::Message, id, event)?;
                open(&mut self.texts, &mut self.opened, id);
            }
            K::TextMessageContent => {
                let id = id(event.message_id());
                TEXT.may_fill(&self.texts, id)?;
                self.owners.agree(Bucket::Message, id, event)?;
            }
            K::TextMessageEnd => {
                let id = id(event.message_id());
                TEXT.may_end(&self.texts, id)?;
                self.owners.agree(Bucket::Message, id, event)?;
                self.texts.remove(id);
            }
            K::ToolCallStart => {
                let id = id(event.tool_call_id());
                TOOL_CALL.may_start(&self.calls, id)?;
                self.owners.open_call(id, event)?;
                open(&mut self.calls, &mut self.opened, id);
            }
            K::ToolCallArgs => {
                let id = id(event.tool_call_id());
                TOOL_CALL.may_fill(&self.calls, id)?;
                self.owners.agree(Bucket::ToolCall, id, event)?;
            }
            K::ToolCallEnd => {
                let id = id(event.tool_call_id());
                TOOL_CALL.may_end(&self.calls, id)?;
                self.owners.agree(Bucket::ToolCall, id, event)?;
                self.calls.remove(id);
            }
            K::ToolCallResult => self.owners.mint_result(event)?,
            K::StepStarted => self.start_step(event)?,
            K::StepFinished => self.finish_step(event)?,
            K::ActivitySnapshot => self.owners.snapshot_activity(id(event.message_id()), event)?,
            K::ActivityDelta => self.owners.agree(Bucket::Activity, id(event.message_id()), event)?,
            K::ReasoningStart | K::ReasoningMessageStart => {
                self.owners.open(Bucket::Reasoning, id(event.message_id()), event)?;
            }
            K::ReasoningMessageContent | K::ReasoningMessageEnd | K::ReasoningEnd => {
                self.owners.agree(Bucket::Reasoning, id(event.message_id()), event)?;
            }
            K::ReasoningEncryptedValue => self.owners.agree_encrypted(event)?,
            K::SubagentStarted | K::SubagentFinished | K::SubagentError => self.subagents.check(event)?,
            K::MessagesSnapshot => self.owners.history(event)?,
            K::RunStarted => {
                self.phase = Phase::Active;
                self.owners.history(event)?;
            }
            K::RunFinished => {
                self.may_finish(event)?;
                self.phase = Phase::Finished;
            }
            K::RunError => self.phase = Phase::Errored,
            K::ThinkingStart
            | K::ThinkingEnd
            | K::ThinkingTextMessageStart
            | K::ThinkingTextMessageContent
            | K::ThinkingTextMessageEnd => self.think(kind)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the last run of the stream has ended with `RUN_FINISHED` or `RUN_ERROR`.
    #[must_use]
    pub fn terminal_seen(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Errored)
    }

    /// Whether any event may come in this phase; a `RUN_STARTED` after an end clears what was.
    fn enter(&mut self, event: &Event) -> Result<(), Violation> {
        use EventKind as K;
        let kind = event.kind();
        match (self.phase, kind) {
            (Phase::Active, K::RunStarted) => Err(Violation::new(
                "Cannot send 'RUN_STARTED' while a run is still active. The previous run must be finished with \
                 'RUN_FINISHED' before starting a new run.",
            )),
            (Phase::Active, _) | (Phase::Empty, K::RunStarted | K::RunError) | (Phase::Finished, K::RunError) => Ok(()),
            (Phase::Empty, _) => Err(Violation::new("First event must be 'RUN_STARTED'")),
            (Phase::Finished | Phase::Errored, K::RunStarted) => {
                *self = Verifier::default();
                Ok(())
            }
            (Phase::Errored, _) => Err(Violation::new(format!(
                "Cannot send event type '{}': The run has already errored with 'RUN_ERROR'. No further events can be \
                 sent.",
                event.type_name()
            ))),
            (Phase::Finished, _) => Err(Violation::new(format!(
                "Cannot send event type '{}': The run has already finished with 'RUN_FINISHED'. Start a new run with \
                 'RUN_STARTED'.",
                event.type_name()
            ))),
        }
    }

    fn start_step(&mut self, event: &Event) -> Result<(), Violation> {
        let (name, owner) = (step_name(event), event.subagent_run_id());
        let steps = match self.steps.iter().position(|steps| steps.owner.as_deref() == owner) {
            Some(at) => &mut self.steps[at],
            None => {
                self.steps.push(Steps { owner: owner.map(Into::into), names: Vec::new() });
                let last = self.steps.len() - 1;
                &mut self.steps[last]
            }
        };
        if steps.names.contains(&name) {
            let whose = owner.map(|owner| format!(" in subagent '{owner}'")).unwrap_or_default();
            return Err(Violation::new(format!("Step \"{name}\" is already active for 'STEP_STARTED'{whose}")));
        }
        steps.names.push(name);
        Ok(())
    }

    fn finish_step(&mut self, event: &Event) -> Result<(), Violation> {
        let (name, owner) = (step_name(event), event.subagent_run_id());
        let own = self.steps.iter_mut().find(|steps| steps.owner.as_deref() == owner);
        if let Some(steps) = own
            && let Some(at) = steps.names.iter().position(|open| *open == name)
        {
            steps.names.remove(at);
            return Ok(());
        }
        let whose = |owner: Option<&str>| {
            owner.map_or_else(|| "the parent agent".to_owned(), |owner| format!("subagent '{owner}'"))
        };
        Err(Violation::new(match self.steps.iter().find(|steps| steps.names.contains(&name)) {
            Some(other) => format!(
                "Cannot send 'STEP_FINISHED' for step \"{name}\" attributed to {}: that step is open under {}. A step \
                 must be finished by whoever started it.",
                whose(owner),
                whose(other.owner.as_deref())
            ),
            None => format!("Cannot send 'STEP_FINISHED' for step \"{name}\" that was not started"),
        }))
    }

    fn may_finish(&self, event: &Event) -> Result<(), Violation> {
        subagents::check_interrupts(event)?;
        let steps = self.steps.iter().flat_map(|steps| {
            steps.names.iter().map(|name| match &steps.owner {
                Some(owner) => format!("{name} (subagent '{owner}')"),
                None => name.to_string(),
            })
        });
        none_active("steps", steps.collect())?;
        none_active("text messages", in_order(&self.texts))?;
        none_active("tool calls", in_order(&self.calls))?;
        none_active("subagents", self.subagents.active())
    }

    fn think(&mut self, kind: EventKind) -> Result<(), Violation> {
        use EventKind as K;
        let problem = match (kind, self.thinking, self.thinking_message) {
            (K::ThinkingStart, true, _) => "A thinking step is already in progress. End it with 'THINKING_END' first.",
            (K::ThinkingEnd, false, _) => "No active thinking step found. A 'THINKING_START' event must be sent first.",
            (K::ThinkingTextMessageStart, false, _) => {
                "A thinking step is not in progress. Create one with 'THINKING_START' first."
            }
            (K::ThinkingTextMessageStart, true, true) => {
                "A thinking message is already in progress. Complete it with 'THINKING_TEXT_MESSAGE_END' first."
            }
            (K::ThinkingTextMessageContent, _, false) => {
                "No active thinking message found. Start a message with 'THINKING_TEXT_MESSAGE_START' first."
            }
            (K::ThinkingTextMessageEnd, _, false) => {
                "No active thinking message found. A 'THINKING_TEXT_MESSAGE_START' event must be sent first."
            }
            _ => {
                match kind {
                    K::ThinkingStart => self.thinking = true,
                    K::ThinkingEnd => self.thinking = false,
                    K::ThinkingTextMessageStart => self.thinking_message = true,
                    K::ThinkingTextMessageEnd => self.thinking_message = false,
                    _ => {}
                }
                return Ok(());
            }
        };
        Err(Violation::new(format!("Cannot send '{}' event: {problem}", kind.name())))
    }
}

impl Family {
    fn may_start(&self, active: &Open, id: &str) -> Result<(), Violation> {
        if !active.contains_key(id) {
            return Ok(());
        }
        let Family { noun, start, end, .. } = self;
        Err(Violation::new(format!(
            "Cannot send '{start}' event: A {noun} with ID '{id}' is already in progress. Complete it with '{end}' first."
        )))
    }

    fn may_fill(&self, active: &Open, id: &str) -> Result<(), Violation> {
        if active.contains_key(id) {
            return Ok(());
        }
        let Family { noun, start, content, .. } = self;
        Err(Violation::new(format!(
            "Cannot send '{content}' event: No active {noun} found with ID '{id}'. Start a {noun} with '{start}' first."
        )))
    }

    fn may_end(&self, active: &Open, id: &str) -> Result<(), Violation> {
        if active.contains_key(id) {
            return Ok(());
        }
        let Family { noun, start, end, .. } = self;
        Err(Violation::new(format!(
            "Cannot send '{end}' event: No active {noun} found with ID '{id}'. A '{start}' event must be sent first."
        )))
    }
}

impl Violation {
    fn new(message: impl Into<String>) -> Violation {
        Violation { message: message.into() }
    }
}

/// The id to go by. A missing one is an id like any other, named as JavaScript would.
fn id(id: Option<&str>) -> &str {
    id.unwrap_or("undefined")
}

fn open(active: &mut Open, opened: &mut u64, id: &str) {
    *opened += 1;
    active.insert(id.into(), *opened);
}

fn in_order(active: &Open) -> Vec<String> {
    let mut ids: Vec<_> = active.iter().map(|(id, opened)| (opened, id.to_string())).collect();
    ids.sort();
    ids.into_iter().map(|(_, id)| id).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the list is made for this call")]
fn none_active(what: &str, active: Vec<String>) -> Result<(), Violation> {
    if active.is_empty() {
        return Ok(());
    }
    Err(Violation::new(format!("Cannot send 'RUN_FINISHED' while {what} are still active: {}", active.join(", "))))
}

fn null_field(kind: &str, field: &str) -> Violation {
    Violation::new(format!("Cannot send '{kind}' with '{field}: null'. The field is optional — omit it entirely."))
}

fn step_name(event: &Event) -> Box<str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Step {
        step_name: Box<str>,
    }
    event.view::<Step>().map_or_else(|_| id(None).into(), |step| step.step_name)
}
