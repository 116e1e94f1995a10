//! Writes a plan: events in the order and shape both client generations accept (rest-sse.md chapter 12.2).

use serde_json::{Value, json};

use crate::agui::{Event, EventKind, EventWriter};

/// One event, and how long to wait before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) event: Event,
    /// The pause before the event, in the time one word takes.
    pub(super) words: u32,
}

/// A run's plan under construction.
#[derive(Debug)]
pub(super) struct Script {
    thread_id: String,
    run_id: String,
    /// The last number of an id. The run's id is the prefix of every id, so ids differ between runs.
    number: usize,
    steps: Vec<Step>,
}

/// The pause in which a person sees that something new begins.
const BREATH: u32 = 12;

impl Script {
    /// Begins a run that has already said so many messages, which is none unless it is resumed.
    pub(super) fn start(thread_id: &str, run_id: &str, said: usize) -> Script {
        let started = Step { event: Event::run_started(thread_id, run_id), words: 0 };
        Script { thread_id: thread_id.to_owned(), run_id: run_id.to_owned(), number: said, steps: vec![started] }
    }

    /// Says a text word by word. Returns the message's id.
    pub(super) fn say(&mut self, text: &str) -> String {
        let id = self.next_id("text");
        self.push(BREATH, Event::text_start(&id));
        for word in words(text) {
            self.push(1, Event::text_content(&id, word));
        }
        self.push(0, Event::text_end(&id));
        id
    }

    /// Shows reasoning word by word.
    pub(super) fn think(&mut self, text: &str) {
        let id = self.next_id("reasoning");
        let event = |kind| EventWriter::new(kind).text("messageId", &id);
        self.push(0, event(EventKind::ReasoningStart).finish());
        self.push(0, event(EventKind::ReasoningMessageStart).text("role", "reasoning").finish());
        for word in words(text) {
            self.push(1, event(EventKind::ReasoningMessageContent).text("delta", word).finish());
        }
        self.push(0, event(EventKind::ReasoningMessageEnd).finish());
        self.push(0, event(EventKind::ReasoningEnd).finish());
    }

    /// Calls a tool; the arguments arrive in pieces, as from a model.
    pub(super) fn call(&mut self, tool: &str, arguments: &Value, parent: Option<&str>) {
        let id = self.next_id("call");
        self.push(BREATH, Event::tool_start(&id, tool, parent));
        for piece in pieces(&arguments.to_string()) {
            self.push(2, Event::tool_args(&id, &piece));
        }
        self.push(0, Event::tool_end(&id));
    }

    pub(super) fn snapshot(&mut self, state: &Value) {
        self.push(0, Event::state_snapshot(state));
    }

    pub(super) fn delta(&mut self, patch: &Value) {
        self.push(BREATH, Event::state_delta(patch));
    }

    /// Ends the run and asks the user something.
    pub(super) fn interrupt(mut self, reason: &str, message: &str, response_schema: &Value) -> Vec<Step> {
        let outcome = json!({
            "type": "interrupt",
            "interrupts": [{
                "id": format!("{}-interrupt", self.run_id),
                "reason": reason,
                "message": message,
                "responseSchema": response_schema,
            }],
        });
        let finished = EventWriter::new(EventKind::RunFinished)
            .text("threadId", &self.thread_id)
            .text("runId", &self.run_id)
            .json("outcome", &outcome);
        self.push(1, finished.finish());
        self.steps
    }

    /// Ends the run.
    pub(super) fn finish(mut self) -> Vec<Step> {
        let finished = Event::run_finished(&self.thread_id, &self.run_id);
        self.push(1, finished);
        self.steps
    }

    fn push(&mut self, words: u32, event: Event) {
        self.steps.push(Step { event, words });
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.number += 1;
        format!("{}-{kind}-{}", self.run_id, self.number)
    }
}

/// A text in words, each with the white space after it: joined they are the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let gap = rest[word..].find(char::is_whitespace).map_or(rest.len(), |at| word + at);
        let end = rest[gap..].find(|c: char| !c.is_whitespace()).map_or(rest.len(), |at| gap + at);
        let (first, others) = rest.split_at(end);
        rest = others;
        (!first.is_empty()).then_some(first)
    })
}

/// JSON text in pieces of some characters.
fn pieces(json: &str) -> impl Iterator<Item = String> {
    let mut chars = json.chars().peekable();
    std::iter::from_fn(move || {
        chars.peek()?;
        Some(chars.by_ref().take(12).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_join_to_the_text() {
        for text in ["", " ", "one", "Über  den\n\n```\nx = 1\n```\n", " led by white space"] {
            assert_eq!(words(text).collect::<String>(), text);
        }
        assert_eq!(words("a b  c\n").collect::<Vec<_>>(), ["a ", "b  ", "c\n"]);
    }

    #[test]
    fn pieces_join_to_the_json() {
        let json = r#"{"city":"Zürich","n":[1,2,3]}"#;
        assert_eq!(pieces(json).collect::<String>(), json);
        assert!(pieces(json).count() > 1);
    }
}
