//! The turns of an agent within one run, as a pure machine: which events are shown, which calls are executed, and what
//! the next turn is given.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::toolbox::{Origin, Toolbox};
use crate::agui::{
    ChunkError, ChunkExpander, Event, EventKind, Fields, Message, MessageList, Role, RunAgentInput, StateFold,
    ToolCall, write_json_str,
};

/// The most bytes of events an agent may say in a run: they are remembered for its next turn.
const MAX_BYTES: usize = 64 << 20;

/// The run of an agent that may have several turns.
pub(super) struct Turns {
    /// What the agent was called with, the tools of the servers included.
    input: RunAgentInput,
    toolbox: Toolbox,
    rounds_left: usize,
    /// Calls nobody executes: those of the conversation the client sent, which it may have made up, and those that were
    /// answered here, whatever the agent remembers of it.
    settled: HashSet<String>,
    chunks: ChunkExpander,
    expanded: Vec<Event>,
    said: MessageList,
    said_bytes: usize,
    /// The shared state, once an event changed it.
    state: Option<StateFold>,
    /// Calls that have begun and not ended: their arguments are not complete.
    unfinished: HashSet<String>,
    has_started: bool,
    has_failed: bool,
    /// Something may have been called: looking closer costs as much as the conversation is long.
    may_have_called: bool,
    /// The end of this turn, which is the run's only if no other follows.
    finished: Option<Event>,
    is_continued: bool,
}

/// A call to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) origin: Origin,
    /// JSON text, as the model wrote it.
    pub(super) arguments: String,
}

/// What a call answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) call_id: String,
    pub(super) content: String,
    /// The id of the message that carries it.
    pub(super) message_id: String,
}

/// What follows a turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The run is over.
    Over,
    /// These calls want to be executed.
    Execute(Vec<Call>),
    /// These calls want to be answered, and are not executed any more.
    Refuse(Vec<Call>),
}

/// Why the agent's run cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    #[error("The agent said more than {MAX_BYTES} bytes in a run with MCP tools")]
    TooLarge,
}

impl Turns {
    pub(super) fn new(mut input: RunAgentInput, toolbox: Toolbox, max_rounds: usize) -> Turns {
        input.tools.extend_from_slice(toolbox.definitions());
        let mut said = MessageList::default();
        said.add_input(&input.messages);
        let settled = input.messages.iter().flat_map(Message::tool_calls).map(|call| call.id).collect();
        Turns {
            input,
            toolbox,
            rounds_left: max_rounds,
            settled,
            chunks: ChunkExpander::default(),
            expanded: Vec::new(),
            said,
            said_bytes: 0,
            state: None,
            unfinished: HashSet::new(),
            has_started: false,
            has_failed: false,
            may_have_called: false,
            finished: None,
            is_continued: false,
        }
    }

    /// What the first turn is given.
    pub(super) fn input(&self) -> RunAgentInput {
        self.input.clone()
    }

    /// Whether the agent said that its turn is over.
    pub(super) fn has_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Takes an event of the agent, and appends what is shown of it.
    pub(super) fn hear(&mut self, event: Event, shown: &mut impl Extend<Event>) -> Result<(), Broken> {
        self.said_bytes = self.said_bytes.saturating_add(event.json().len());
        if self.said_bytes > MAX_BYTES {
            return Err(Broken::TooLarge);
        }
        let mut expanded = std::mem::take(&mut self.expanded);
        let expansion = self.chunks.push(event, &mut expanded);
        shown.extend(expanded.drain(..).filter_map(|event| self.take(event)));
        self.expanded = expanded;
        Ok(expansion?)
    }

    fn take(&mut self, event: Event) -> Option<Event> {
        match event.kind() {
            EventKind::RunFinished => {
                self.finished = Some(event);
                return None;
            }
            EventKind::RunError => self.has_failed = true,
            // To whoever watches, all turns are one run.
            EventKind::RunStarted if self.has_started => return None,
            EventKind::RunStarted => self.has_started = true,
            EventKind::ToolCallStart => {
                self.may_have_called = true;
                self.unfinished.extend(event.tool_call_id().map(str::to_owned));
            }
            EventKind::ToolCallEnd => {
                event.tool_call_id().map(|id| self.unfinished.remove(id));
            }
            EventKind::MessagesSnapshot => self.may_have_called = true,
            EventKind::StateSnapshot | EventKind::StateDelta => self.change_state(&event),
            _ => {}
        }
        self.said.apply(&event);
        Some(event)
    }

    fn change_state(&mut self, event: &Event) {
        let given = || self.input.state.as_ref().and_then(|state| serde_json::from_str::<Value>(state.get()).ok());
        let state = self.state.get_or_insert_with(|| StateFold::new(given()));
        // One that does not apply changes nothing, here as everywhere.
        let _ = state.apply(event);
    }

    /// The agent's stream is over, or silent after it said that its turn is.
    pub(super) fn end_turn(&mut self) -> Next {
        let goes_on = self.finished.as_ref().is_some_and(|finished| !waits_for_people(finished));
        // A turn that broke off may have calls whose arguments are not complete.
        if !goes_on || self.has_failed || !self.may_have_called || !self.unfinished.is_empty() {
            return Next::Over;
        }
        let calls: Vec<Call> = self.open_calls(&self.messages()).collect();
        if calls.is_empty() {
            return Next::Over;
        }
        match self.rounds_left.checked_sub(1) {
            Some(left) => {
                self.rounds_left = left;
                Next::Execute(calls)
            }
            None => Next::Refuse(calls),
        }
    }

    /// Takes the answers of calls, and appends the events that show them.
    pub(super) fn answer(&mut self, answers: &[Answer], shown: &mut impl Extend<Event>) {
        for Answer { call_id, content, message_id } in answers {
            let result = Event::tool_result(message_id, call_id, content);
            self.said.apply(&result);
            self.settled.insert(call_id.clone());
            self.said_bytes = self.said_bytes.saturating_add(result.json().len());
            shown.extend([result]);
        }
    }

    /// What the next turn gets, but for its run id; `None` if a call is left that is somebody else's to answer.
    pub(super) fn next_turn(&mut self) -> Option<RunAgentInput> {
        let messages = self.messages();
        if self.unanswered(&messages).next().is_some() {
            return None;
        }
        self.finished = None;
        self.may_have_called = false;
        self.is_continued = true;
        let state = self.state.as_ref().and_then(|state| RawValue::from_string(state.json()?.into_owned()).ok());
        Some(RunAgentInput {
            messages,
            state: state.or_else(|| self.input.state.clone()),
            // The first turn has taken them.
            resume: None,
            ..self.input.clone()
        })
    }

    /// The end of the run, as the agent told it; `None` if it did not.
    pub(super) fn finish(&mut self) -> Option<Event> {
        let finished = self.finished.take().filter(|_| !self.has_failed)?;
        Some(if self.is_continued { of_run(&finished, &self.input.run_id) } else { finished })
    }

    /// The conversation, as a next turn is given it.
    fn messages(&self) -> Vec<Message> {
        let messages = self.said.to_messages();
        let messages = messages.iter().filter_map(|json| Message::parse(json.get()).ok());
        messages.filter(|message| message.role() != Role::Activity).collect()
    }

    fn unanswered<'m>(&'m self, messages: &'m [Message]) -> impl Iterator<Item = ToolCall> + 'm {
        let answered: HashSet<String> = messages.iter().filter_map(Message::tool_call_id).collect();
        let calls = messages.iter().flat_map(Message::tool_calls);
        calls.filter(move |call| !answered.contains(&call.id) && !self.settled.contains(&call.id))
    }

    fn open_calls<'m>(&'m self, messages: &'m [Message]) -> impl Iterator<Item = Call> + 'm {
        self.unanswered(messages).filter_map(|call| {
            let origin = self.toolbox.origin(&call.name)?.clone();
            Some(Call { id: call.id, origin, arguments: call.arguments })
        })
    }
}

/// Whether a run ended to ask people something: what it called may be what they are asked about.
fn waits_for_people(finished: &Event) -> bool {
    #[derive(Deserialize)]
    struct Finished {
        outcome: Option<Value>,
    }
    let outcome = finished.view::<Finished>().ok().and_then(|finished| finished.outcome);
    outcome.is_some_and(|outcome| outcome["type"] == "interrupt" || outcome == "interrupt")
}

/// The event of a later turn as one of the whole run.
fn of_run(finished: &Event, run_id: &str) -> Event {
    let mut out = Vec::with_capacity(finished.json().len() + run_id.len());
    for (name, value) in Fields::of(finished.as_str()) {
        out.push(if out.is_empty() { b'{' } else { b',' });
        write_json_str(&mut out, &name);
        out.push(b':');
        match name.as_ref() {
            "runId" => write_json_str(&mut out, run_id),
            _ => out.extend_from_slice(value.as_bytes()),
        }
    }
    out.push(b'}');
    // It was an event, and still is.
    Event::parse(out).unwrap_or_else(|_| finished.clone())
}
