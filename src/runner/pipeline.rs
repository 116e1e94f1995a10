//! What every event of an agent passes before anybody sees it (rest-sse.md chapter 12):
//! chunk expansion, verification, the input put into `RUN_STARTED`, framing.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::agent::AgentError;
use crate::agui::{ChunkExpander, Ending, Event, EventKind, Finalizer, FramesBuilder, Verifier};

/// The step machine of one run. An event in; verified events out, to be kept and shown.
#[derive(Debug)]
pub(super) struct Pipeline {
    expander: ChunkExpander,
    verifier: Verifier,
    finalizer: Finalizer,
    /// The JSON that goes into a `RUN_STARTED` without input of its own.
    started_input: Option<String>,
    started: Started,
    expanded: Vec<Event>,
}

/// What the run's `RUN_STARTED` events said about its input.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// One carried the request's new messages.
    pub(super) with_request: bool,
    /// Inputs the agent wrote itself, as JSON text.
    pub(super) with_own: Vec<Box<RawValue>>,
}

/// Takes the events a [`Pipeline`] lets through.
pub(super) trait Sink {
    /// One verified event.
    fn deliver(&mut self, event: &Event);

    /// What lacks before the next event where runs are told one after the other: clients take no `RUN_ERROR` behind
    /// another without a `RUN_STARTED` between. A run watched alone is shown without it.
    fn precede(&mut self, opening: &Event) {
        let _ = opening;
    }
}

impl Sink for FramesBuilder {
    fn deliver(&mut self, event: &Event) {
        self.push(event);
    }
}

impl Pipeline {
    /// `started_input` is the JSON put into a `RUN_STARTED` that has no input; `None` leaves it alone.
    pub(super) fn new(thread_id: &str, run_id: &str, started_input: Option<String>) -> Pipeline {
        Pipeline {
            expander: ChunkExpander::default(),
            verifier: Verifier::default(),
            finalizer: Finalizer::new(thread_id, run_id),
            started_input,
            started: Started::default(),
            expanded: Vec::new(),
        }
    }

    /// Takes an event of the agent. An error ends the run; what was delivered before it stays delivered.
    pub(super) fn push(&mut self, event: Event, sink: &mut dyn Sink) -> Result<(), AgentError> {
        let mut expanded = std::mem::take(&mut self.expanded);
        let expansion = self.expander.push(event, &mut expanded);
        let delivery = expanded.drain(..).try_for_each(|event| self.deliver(event, sink));
        // Kept for its capacity: this runs once per event.
        self.expanded = expanded;
        delivery?;
        expansion.map_err(|error| AgentError::new(error.to_string()))
    }

    fn deliver(&mut self, event: Event, sink: &mut dyn Sink) -> Result<(), AgentError> {
        self.verifier.check(&event).map_err(|violation| AgentError::new(violation.to_string()))?;
        if event.kind() == EventKind::RunError {
            self.open_before_error(sink);
        }
        self.finalizer.observe(&event);
        if event.kind() == EventKind::RunStarted {
            sink.deliver(&self.with_input(event));
        } else {
            sink.deliver(&event);
        }
        Ok(())
    }

    fn open_before_error(&mut self, sink: &mut dyn Sink) {
        if let Some(opening) = self.finalizer.opening() {
            sink.precede(&self.with_input(opening));
        }
    }

    /// Puts the run's input into a `RUN_STARTED` that has none (rest-sse.md chapter 13.1).
    fn with_input(&mut self, started: Event) -> Event {
        let Some(input) = &self.started_input else { return started };
        if let Some(own) = input_of(&started) {
            self.started.with_own.push(own);
            return started;
        }
        self.started.with_request = true;
        // An event with `"input":null` now has two; the later one counts, for us and for clients.
        started.with_field("input", input)
    }

    /// Ends the run with an error of the agent's own making: what is open stays open.
    pub(super) fn fail(&mut self, error: &Event, sink: &mut dyn Sink) {
        self.open_before_error(sink);
        self.finalizer.observe(error);
        sink.deliver(error);
    }

    /// Whether the run has its terminal event.
    pub(super) fn has_ended(&self) -> bool {
        self.finalizer.terminal_seen()
    }

    /// What the run's `RUN_STARTED` events said about its input.
    pub(super) fn started(&self) -> &Started {
        &self.started
    }

    /// Delivers the events the run still owes.
    pub(super) fn close(&mut self, ending: Ending, sink: &mut dyn Sink) {
        if ending != Ending::Stopped {
            self.open_before_error(sink);
        }
        for event in self.finalizer.close(ending) {
            let event = if event.kind() == EventKind::RunStarted { self.with_input(event) } else { event };
            sink.deliver(&event);
        }
    }
}

/// The input of a `RUN_STARTED`, as JSON text, if it has one.
fn input_of(started: &Event) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Started {
        input: Option<Box<RawValue>>,
    }
    started.view::<Started>().ok().and_then(|started| started.input)
}
