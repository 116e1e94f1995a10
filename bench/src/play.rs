//! What the scripted agent plays: the settings of a run and the frames that follow from them.
//!
//! Frames are rendered once per message and then only cloned, so that [`crate::bare`] costs as
//! little as an HTTP server can.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::{SystemTime, UNIX_EPOCH};

/// `forwardedProps` of a request: what its run looks like.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Props {
    /// Text deltas per message.
    pub deltas: u32,
    /// Messages of the run.
    pub messages: u32,
    /// Length of a delta, without its stamp.
    pub delta_bytes: usize,
    /// The k-th delta of the run (counted from 0) is due `k * delay_ms` after its start.
    pub delay_ms: u64,
    /// Whether a delta begins with the Unix time of its emission.
    pub stamp: bool,
    /// Yield to the scheduler after so many deltas; 0 never does.
    pub yield_every: u32,
    /// Runs that a connect of the bare server replays. Other servers replay what they stored.
    pub replay: u32,
}

impl Default for Props {
    fn default() -> Props {
        Props { deltas: 20, messages: 1, delta_bytes: 16, delay_ms: 0, stamp: false, yield_every: 0, replay: 0 }
    }
}

impl Props {
    /// Events of a run with these settings.
    pub fn events(&self) -> u64 {
        2 + u64::from(self.messages) * (2 + u64::from(self.deltas))
    }

    /// Whether every frame of the run is known, and due, at its start.
    pub fn is_immediate(&self) -> bool {
        self.delay_ms == 0 && !self.stamp && self.yield_every == 0
    }
}

/// The fields of a request that a run depends on. The ids keep their quotes and escapes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input<'a> {
    #[serde(borrow)]
    thread_id: &'a RawValue,
    #[serde(borrow)]
    run_id: &'a RawValue,
    #[serde(default)]
    forwarded_props: Option<Props>,
}

impl<'a> Input<'a> {
    /// Reads a request body. None unless it is JSON with string ids.
    pub fn parse(body: &'a [u8]) -> Option<Input<'a>> {
        let input: Input<'a> = serde_json::from_slice(body).ok()?;
        let strings = input.thread_id.get().starts_with('"') && input.run_id.get().starts_with('"');
        strings.then_some(input)
    }

    /// The settings of the run.
    pub fn props(&self) -> Props {
        self.forwarded_props.clone().unwrap_or_default()
    }
}

/// What comes next in a run.
#[derive(Debug)]
pub enum Step {
    /// A frame that is due at once.
    Frame(Bytes),
    /// The delta with this number, to be taken with [`Script::delta`] when it is due.
    Delta(u64),
}

/// The frames of one run, in order.
#[derive(Debug)]
pub struct Script {
    props: Props,
    /// Run id as JSON text, without the closing quote: message ids begin with it.
    run_id: String,
    opening: Option<Bytes>,
    closing: Option<Bytes>,
    message: Option<Message>,
    message_number: u32,
    deltas_of_message: u32,
    deltas_of_run: u64,
}

impl Script {
    /// The script of a run. `echo` is the request body, repeated as `input` of RUN_STARTED.
    pub fn new(input: &Input<'_>, echo: Option<&[u8]>) -> Script {
        let (thread, run) = (input.thread_id.get(), input.run_id.get());
        Script {
            props: input.props(),
            run_id: run[..run.len() - 1].to_owned(),
            opening: Some(opening(thread, run, echo)),
            closing: Some(closing(thread, run)),
            message: None,
            message_number: 0,
            deltas_of_message: 0,
            deltas_of_run: 0,
        }
    }

    /// The settings of the run.
    pub fn props(&self) -> &Props {
        &self.props
    }

    /// What comes next; None after RUN_FINISHED.
    pub fn step(&mut self) -> Option<Step> {
        if let Some(opening) = self.opening.take() {
            return Some(Step::Frame(opening));
        }
        let Some(message) = &self.message else {
            return self.next_message().map(Step::Frame);
        };
        if self.deltas_of_message < self.props.deltas {
            let number = self.deltas_of_run;
            self.deltas_of_message += 1;
            self.deltas_of_run += 1;
            return Some(Step::Delta(number));
        }
        let end = message.end.clone();
        self.message = None;
        Some(Step::Frame(end))
    }

    /// The frame of the delta that is due now.
    pub fn delta(&self) -> Bytes {
        match &self.message {
            Some(message) if self.props.stamp => message.stamped(),
            Some(message) => message.delta.clone(),
            None => Bytes::new(),
        }
    }

    fn next_message(&mut self) -> Option<Bytes> {
        if self.message_number == self.props.messages {
            return self.closing.take();
        }
        self.message_number += 1;
        self.deltas_of_message = 0;
        let id = format!("{}-m{}\"", self.run_id, self.message_number);
        let message = Message::render(&id, self.props.delta_bytes);
        let start = message.start.clone();
        self.message = Some(message);
        Some(start)
    }
}

/// The frames of one message, in one allocation.
#[derive(Debug)]
struct Message {
    start: Bytes,
    delta: Bytes,
    /// Where a stamp goes in `delta`.
    text_at: usize,
    end: Bytes,
}

impl Message {
    fn render(id: &str, delta_bytes: usize) -> Message {
        let start = format!("data: {{\"type\":\"TEXT_MESSAGE_START\",\"messageId\":{id},\"role\":\"assistant\"}}\n\n");
        let head = format!("data: {{\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":{id},\"delta\":\"");
        let end = format!("data: {{\"type\":\"TEXT_MESSAGE_END\",\"messageId\":{id}}}\n\n");
        let text = text(delta_bytes);
        let all = Bytes::from([start.as_str(), &head, &text, "\"}\n\n", &end].concat());
        Message {
            start: all.slice(..start.len()),
            delta: all.slice(start.len()..all.len() - end.len()),
            text_at: head.len(),
            end: all.slice(all.len() - end.len()..),
        }
    }

    fn stamped(&self) -> Bytes {
        let (head, rest) = self.delta.split_at(self.text_at);
        Bytes::from([head, format!("{:016} ", unix_micros()).as_bytes(), rest].concat())
    }
}

/// A stored run as a connect shows it: the deltas of a message are one.
pub fn compacted_run(input: &Input<'_>, number: u32, echo: &[u8]) -> Bytes {
    let props = input.props();
    let run = format!("\"run-{number}\"");
    let text = text(props.delta_bytes).repeat(props.deltas as usize);
    let message = Message::render(&format!("\"run-{number}-m1\""), 0);
    let (head, tail) = message.delta.split_at(message.text_at);
    let thread = input.thread_id.get();
    let opening = opening(thread, &run, Some(echo));
    let closing = closing(thread, &run);
    Bytes::from([&opening[..], &message.start, head, text.as_bytes(), tail, &message.end, &closing].concat())
}

/// Now, as deltas carry it.
pub fn unix_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn opening(thread: &str, run: &str, echo: Option<&[u8]>) -> Bytes {
    let mut frame = format!("data: {{\"type\":\"RUN_STARTED\",\"threadId\":{thread},\"runId\":{run}").into_bytes();
    if let Some(echo) = echo {
        frame.extend_from_slice(b",\"input\":");
        frame.extend_from_slice(echo);
    }
    frame.extend_from_slice(b"}\n\n");
    Bytes::from(frame)
}

fn closing(thread: &str, run: &str) -> Bytes {
    Bytes::from(format!("data: {{\"type\":\"RUN_FINISHED\",\"threadId\":{thread},\"runId\":{run}}}\n\n"))
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(body: &str) -> String {
        let input = Input::parse(body.as_bytes()).expect("a valid body");
        let mut script = Script::new(&input, None);
        let mut out = Vec::new();
        while let Some(step) = script.step() {
            out.extend_from_slice(&match step {
                Step::Frame(frame) => frame,
                Step::Delta(_) => script.delta(),
            });
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn script_has_the_promised_events() {
        let all = play(r#"{"threadId":"t","runId":"r","forwardedProps":{"messages":2,"deltas":1,"deltaBytes":3}}"#);
        let expected = concat!(
            "data: {\"type\":\"RUN_STARTED\",\"threadId\":\"t\",\"runId\":\"r\"}\n\n",
            "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":\"r-m1\",\"role\":\"assistant\"}\n\n",
            "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"r-m1\",\"delta\":\"xxx\"}\n\n",
            "data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"r-m1\"}\n\n",
            "data: {\"type\":\"TEXT_MESSAGE_START\",\"messageId\":\"r-m2\",\"role\":\"assistant\"}\n\n",
            "data: {\"type\":\"TEXT_MESSAGE_CONTENT\",\"messageId\":\"r-m2\",\"delta\":\"xxx\"}\n\n",
            "data: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"r-m2\"}\n\n",
            "data: {\"type\":\"RUN_FINISHED\",\"threadId\":\"t\",\"runId\":\"r\"}\n\n",
        );
        assert_eq!(all, expected);
        assert_eq!(all.matches("\n\n").count() as u64, Props { messages: 2, deltas: 1, ..Props::default() }.events());
    }

    #[test]
    fn stamp_has_sixteen_digits() {
        let all = play(r#"{"threadId":"t","runId":"r","forwardedProps":{"deltas":1,"stamp":true}}"#);
        let (_, delta) = all.split_once("\"delta\":\"").expect("a delta");
        assert!(delta[..16].bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(&delta[16..33], " xxxxxxxxxxxxxxxx");
    }

    #[test]
    fn ids_must_be_strings() {
        assert!(Input::parse(br#"{"threadId":1,"runId":"r"}"#).is_none());
    }
}
