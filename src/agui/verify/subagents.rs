//! The life of subagents, and what may not be null about them.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Event, EventKind};
use super::{Violation, null_field};

/// The subagents of the current run. An id stands for one invocation and cannot be used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Subagents {
    /// In the order in which they started.
    active: Vec<Box<str>>,
    closed: HashSet<Box<str>>,
}

impl Subagents {
    /// Checks `SUBAGENT_STARTED`, `SUBAGENT_FINISHED` or `SUBAGENT_ERROR`.
    pub(super) fn check(&mut self, event: &Event) -> Result<(), Violation> {
        let fields: Map<String, Value> = event.view().unwrap_or_default();
        let kind = event.kind();
        check_optional(kind, &fields)?;
        let Some(id) = event.subagent_run_id() else { return Err(without(kind, "subagentRunId")) };
        let required = match kind {
            EventKind::SubagentStarted => Some("name"),
            EventKind::SubagentError => Some("message"),
            _ => None,
        };
        if let Some(field) = required.filter(|field| !fields.get(*field).is_some_and(Value::is_string)) {
            return Err(without(kind, field));
        }
        if kind == EventKind::SubagentStarted { self.start(id, &fields) } else { self.finish(id, kind) }
    }

    /// The ids of those that have not ended.
    pub(super) fn active(&self) -> Vec<String> {
        self.active.iter().map(|id| id.to_string()).collect()
    }

    fn start(&mut self, id: &str, fields: &Map<String, Value>) -> Result<(), Violation> {
        let problem = if self.is_active(id) {
            format!("subagent '{id}' is already active. Finish it with 'SUBAGENT_FINISHED' first.")
        } else if self.closed.contains(id) {
            format!(
                "subagent '{id}' has already finished in this run. Subagent IDs are per-invocation and cannot be reused."
            )
        } else if let Some(parent) = fields.get("parentSubagentRunId").and_then(Value::as_str)
            && !self.is_active(parent)
            && !self.closed.contains(parent)
        {
            format!("parentSubagentRunId '{parent}' has not been started in this run.")
        } else {
            self.active.push(id.into());
            return Ok(());
        };
        Err(Violation::new(format!("Cannot send 'SUBAGENT_STARTED': {problem}")))
    }

    fn finish(&mut self, id: &str, kind: EventKind) -> Result<(), Violation> {
        let Some(at) = self.active.iter().position(|active| **active == *id) else {
            return Err(Violation::new(format!(
                "Cannot send '{}': no active subagent found with ID '{id}'. A 'SUBAGENT_STARTED' event must be sent \
                 first.",
                kind.name()
            )));
        };
        let id = self.active.remove(at);
        self.closed.insert(id);
        Ok(())
    }

    fn is_active(&self, id: &str) -> bool {
        self.active.iter().any(|active| **active == *id)
    }
}

/// The interrupts of a `RUN_FINISHED` name their subagent or nobody, never null.
pub(super) fn check_interrupts(event: &Event) -> Result<(), Violation> {
    #[derive(Deserialize)]
    struct Finished {
        outcome: Option<Value>,
    }
    if !event.as_str().contains("subagentRunId") {
        return Ok(());
    }
    let outcome = event.view::<Finished>().ok().and_then(|finished| finished.outcome).unwrap_or_default();
    let interrupts = outcome["interrupts"].as_array().filter(|_| outcome["type"] == "interrupt");
    let null = |interrupt: &&Value| interrupt.get("subagentRunId").is_some_and(Value::is_null);
    match interrupts.into_iter().flatten().find(null) {
        Some(interrupt) => Err(Violation::new(format!(
            "Cannot send 'RUN_FINISHED' with an interrupt (id '{}') carrying 'subagentRunId: null'. The field is \
             optional — omit it entirely.",
            shown(interrupt.get("id"))
        ))),
        None => Ok(()),
    }
}

/// Optional fields may be absent, but neither null nor of a kind nobody knows.
fn check_optional(kind: EventKind, fields: &Map<String, Value>) -> Result<(), Violation> {
    let optional: &[&str] = match kind {
        EventKind::SubagentStarted => &["description", "parentSubagentRunId", "parentToolCallId", "parentMessageId"],
        EventKind::SubagentFinished => &["outcome"],
        _ => &["code"],
    };
    let is_null = |field: &str| fields.get(field).is_some_and(Value::is_null);
    if let Some(field) = optional.iter().find(|field| is_null(field)) {
        return Err(null_field(kind.name(), field));
    }
    let Some(outcome) = fields.get("outcome").filter(|outcome| !outcome.is_null()) else { return Ok(()) };
    let name = kind.name();
    let tag = outcome.get("type");
    if !tag.is_some_and(|tag| tag == "success" || tag == "suspended") {
        return Err(Violation::new(format!(
            "Cannot send '{name}' with outcome type '{}'. The outcome is either {{ type: \"success\" }} or \
             {{ type: \"suspended\" }}.",
            shown(tag)
        )));
    }
    match outcome.get("interruptIds") {
        Some(Value::Null) => Err(null_field(name, "outcome.interruptIds")),
        Some(Value::Array(ids)) if !ids.iter().all(Value::is_string) => Err(Violation::new(format!(
            "Cannot send '{name}' with a non-string entry in 'outcome.interruptIds'. Interrupt ids are strings."
        ))),
        _ => Ok(()),
    }
}

fn without(kind: EventKind, field: &str) -> Violation {
    Violation::new(format!("Cannot send '{}' without a '{field}'.", kind.name()))
}

/// A value as JavaScript shows it in a text.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "undefined".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
