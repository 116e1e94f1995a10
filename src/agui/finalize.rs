//! What is appended to a run that did not end itself (rest-sse.md chapter 12.4).

#[cfg(test)]
mod tests;

use hashbrown::HashMap;
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Event, EventKind, EventWriter};

const INCOMPLETE: &str = "Run ended without emitting a terminal event";
const STOPPED: &str = "Run stopped by user";

/// Watches the events of a run as they are delivered, and knows what closes it.
///
/// ```
/// use copilotkit_runtime::agui::{Ending, Event, Finalizer};
///
/// let mut finalizer = Finalizer::new("t", "r");
/// finalizer.observe(&Event::run_started("t", "r"));
/// finalizer.observe(&Event::text_start("m1"));
/// assert_eq!(finalizer.close(Ending::Stopped), [Event::text_end("m1"), Event::run_finished("t", "r")]);
/// ```
#[derive(Debug)]
pub struct Finalizer {
    thread_id: Box<str>,
    run_id: Box<str>,
    /// How many openings there were: their order.
    opened: u64,
    begun: bool,
    terminal: bool,
    texts: HashMap<Box<str>, u64>,
    calls: HashMap<Box<str>, Call>,
    /// Reasoning messages and spans, by the kind that opened them.
    reasoning: HashMap<(EventKind, Box<str>), u64>,
    /// Steps with their owner.
    steps: HashMap<(Option<Box<str>>, Box<str>), u64>,
    subagents: HashMap<Box<str>, u64>,
}

/// Why a run ends without a terminal event of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The agent's stream just ended.
    Incomplete,
    /// The agent failed, or sent what may not be sent.
    Failed {
        /// For people. If it is empty or the text of a stop, that of [`Ending::Incomplete`] is used.
        message: String,
        /// A stable code, if the failure has its own.
        code: Option<&'static str>,
    },
    /// Somebody asked for it, or a newer run took the thread.
    Stopped,
}

/// A tool call that lacks its end or its result.
#[derive(Debug)]
struct Call {
    opened: u64,
    ended: bool,
    answered: bool,
}

/// What the results of unfinished tool calls say, as they say it.
#[derive(Serialize)]
struct Words<'a> {
    status: &'static str,
    reason: &'static str,
    message: &'a str,
}

impl Finalizer {
    /// For a run that nothing has been delivered of.
    #[must_use]
    pub fn new(thread_id: &str, run_id: &str) -> Finalizer {
        Finalizer {
            thread_id: thread_id.into(),
            run_id: run_id.into(),
            opened: 0,
            begun: false,
            terminal: false,
            texts: HashMap::new(),
            calls: HashMap::new(),
            reasoning: HashMap::new(),
            steps: HashMap::new(),
            subagents: HashMap::new(),
        }
    }

    /// Takes note of a delivered event. After a terminal one nothing counts, but a `RUN_STARTED`: the run it
    /// opens in the same stream owes a terminal event like any other. Upstream lets it break off without one.
    pub fn observe(&mut self, event: &Event) {
        use EventKind as K;
        if self.terminal && event.kind() == K::RunStarted {
            *self = Finalizer::new(&self.thread_id, &self.run_id);
        }
        if self.terminal {
            return;
        }
        self.begun = true;
        match event.kind() {
            K::TextMessageStart => {
                if let Some(id) = event.message_id() {
                    let opened = self.next();
                    self.texts.insert(id.into(), opened);
                }
            }
            K::TextMessageEnd => {
                event.message_id().and_then(|id| self.texts.remove(id));
            }
            K::ToolCallStart => {
                if let Some(id) = event.tool_call_id() {
                    let opened = self.next();
                    let call = self.calls.entry(id.into()).or_insert(Call { opened, ended: false, answered: false });
                    call.ended = false;
                }
            }
            K::ToolCallEnd => self.settle(event.tool_call_id(), |call| call.ended = true),
            K::ToolCallResult => self.settle(event.tool_call_id(), |call| call.answered = true),
            K::ReasoningMessageStart | K::ReasoningStart => {
                if let Some(id) = event.message_id() {
                    let opened = self.next();
                    self.reasoning.insert((event.kind(), id.into()), opened);
                }
            }
            K::ReasoningMessageEnd => self.reasoned(K::ReasoningMessageStart, event),
            K::ReasoningEnd => self.reasoned(K::ReasoningStart, event),
            K::StepStarted => {
                if let Some(step) = step(event) {
                    let opened = self.next();
                    self.steps.insert(step, opened);
                }
            }
            K::StepFinished => {
                step(event).and_then(|step| self.steps.remove(&step));
            }
            K::SubagentStarted => {
                if let Some(id) = event.subagent_run_id() {
                    let opened = self.next();
                    self.subagents.insert(id.into(), opened);
                }
            }
            K::SubagentFinished | K::SubagentError => {
                event.subagent_run_id().and_then(|id| self.subagents.remove(id));
            }
            K::RunFinished | K::RunError => self.terminal = true,
            _ => {}
        }
    }

    /// The `RUN_STARTED` that lacks as long as nothing has been delivered.
    pub(crate) fn opening(&self) -> Option<Event> {
        (!self.begun).then(|| Event::run_started(&self.thread_id, &self.run_id))
    }

    /// Whether `RUN_FINISHED` or `RUN_ERROR` has been delivered.
    #[must_use]
    pub fn terminal_seen(&self) -> bool {
        self.terminal
    }

    /// The events that end the run, the last of them terminal; none if it has ended. What they close counts as
    /// closed: a second call gives none.
    ///
    /// A stop ends with `RUN_FINISHED`, before which clients want reasoning, steps and subagents closed and a `RUN_STARTED`,
    /// so there they are (rest-sse.md chapter 14 row 1).
    pub fn close(&mut self, why: Ending) -> Vec<Event> {
        if self.terminal {
            return Vec::new();
        }
        let mut out = Vec::new();
        if why == Ending::Stopped {
            out.extend(self.opening());
            let words = Words { status: "stopped", reason: "stop_requested", message: STOPPED };
            self.close_streams(&words, &mut out);
            self.close_brackets(&mut out);
            out.push(Event::run_finished(&self.thread_id, &self.run_id));
        } else {
            let (message, code) = why.into_error();
            let words = Words { status: "error", reason: "missing_terminal_event", message: &message };
            // Upstream passes over empty ids, as clients may before a `RUN_ERROR`. Before a `RUN_FINISHED` they may not.
            self.texts.remove("");
            self.calls.remove("");
            self.close_streams(&words, &mut out);
            out.push(Event::run_error(&message, code));
        }
        self.terminal = true;
        out
    }

    fn close_streams(&mut self, words: &Words<'_>, out: &mut Vec<Event>) {
        let texts = in_order(self.texts.drain(), |opened| *opened);
        out.extend(texts.iter().map(|(id, _)| Event::text_end(id)));
        for (id, call) in in_order(self.calls.drain(), |call| call.opened) {
            if !call.ended {
                out.push(Event::tool_end(&id));
            }
            if !call.answered {
                out.push(words.result(&id));
            }
        }
    }

    fn close_brackets(&mut self, out: &mut Vec<Event>) {
        // What opened last closes first, as brackets do.
        let reasoning = in_order(self.reasoning.drain(), |opened| *opened);
        out.extend(reasoning.iter().rev().map(|((start, id), _)| {
            let end = match start {
                EventKind::ReasoningStart => EventKind::ReasoningEnd,
                _ => EventKind::ReasoningMessageEnd,
            };
            EventWriter::new(end).text("messageId", id).finish()
        }));
        let steps = in_order(self.steps.drain(), |opened| *opened);
        out.extend(steps.iter().rev().map(|((owner, name), _)| {
            EventWriter::new(EventKind::StepFinished)
                .text("stepName", name)
                .optional_text("subagentRunId", owner.as_deref())
                .finish()
        }));
        let subagents = in_order(self.subagents.drain(), |opened| *opened);
        out.extend(subagents.iter().rev().map(|(id, _)| {
            EventWriter::new(EventKind::SubagentError)
                .text("subagentRunId", id)
                .text("message", STOPPED)
                .text("code", "STOPPED")
                .finish()
        }));
    }

    fn reasoned(&mut self, start: EventKind, end: &Event) {
        if let Some(id) = end.message_id() {
            self.reasoning.remove(&(start, id.into()));
        }
    }

    fn settle(&mut self, id: Option<&str>, note: impl FnOnce(&mut Call)) {
        let Some(id) = id else { return };
        let Some(call) = self.calls.get_mut(id) else { return };
        note(call);
        if call.ended && call.answered {
            self.calls.remove(id);
        }
    }

    fn next(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }
}

impl Ending {
    /// Message and code of the `RUN_ERROR`.
    fn into_error(self) -> (Cow<'static, str>, &'static str) {
        const CODE: &str = "INCOMPLETE_STREAM";
        match self {
            Ending::Failed { message, code } if message.is_empty() || message == STOPPED => {
                (INCOMPLETE.into(), code.unwrap_or(CODE))
            }
            Ending::Failed { message, code } => (message.into(), code.unwrap_or(CODE)),
            Ending::Incomplete | Ending::Stopped => (INCOMPLETE.into(), CODE),
        }
    }
}

impl Words<'_> {
    fn result(&self, call: &str) -> Event {
        // Writing strings into memory cannot fail.
        let content = serde_json::to_string(self).unwrap_or_default();
        EventWriter::new(EventKind::ToolCallResult)
            .text("toolCallId", call)
            .text("messageId", &format!("{call}-result"))
            .text("role", "tool")
            .text("content", &content)
            .finish()
    }
}

/// The key of a step: who started it, and its name.
fn step(event: &Event) -> Option<(Option<Box<str>>, Box<str>)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Step {
        step_name: Box<str>,
    }
    let name = event.view::<Step>().ok()?.step_name;
    Some((event.subagent_run_id().map(Into::into), name))
}

fn in_order<K, V>(open: impl Iterator<Item = (K, V)>, opened: impl Fn(&V) -> u64) -> Vec<(K, V)> {
    let mut open: Vec<(K, V)> = open.collect();
    open.sort_by_key(|(_, value)| opened(value));
    open
}
