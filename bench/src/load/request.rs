//! Requests, ready to be written: only the ids in them change.

use std::sync::atomic::{AtomicU64, Ordering};

/// Ids are unique in one invocation, so that no run meets an earlier run's thread.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The digits of an id in a request that stand for its number.
const PLACEHOLDER: &str = "##########";

/// Which agent is asked.
#[derive(Clone, Copy, Debug)]
pub enum Agent {
    /// The in-process one.
    Default,
    /// The one that proxies the upstream server.
    Remote,
}

impl Agent {
    fn id(self) -> &'static str {
        match self {
            Agent::Default => "default",
            Agent::Remote => "remote",
        }
    }
}

/// What a client asks for again and again.
#[derive(Clone, Debug)]
pub struct Workload {
    agent: Agent,
    props: String,
    history: usize,
    text: &'static str,
}

/// What the user says, unless told otherwise.
const TEXT: &str = "And what would you do next?";

impl Workload {
    /// Runs of the in-process agent with these `forwardedProps`, a JSON object.
    pub fn runs(props: impl Into<String>) -> Workload {
        Workload { agent: Agent::Default, props: props.into(), history: 0, text: TEXT }
    }

    /// The same of the proxied agent.
    pub fn remote(props: impl Into<String>) -> Workload {
        Workload { agent: Agent::Remote, ..Workload::runs(props) }
    }

    /// With so many earlier messages in the input.
    #[must_use]
    pub fn with_history(self, messages: usize) -> Workload {
        Workload { history: messages, ..self }
    }

    /// In which the user's message also holds the number of the run, a word like no other.
    #[must_use]
    pub fn numbered(self) -> Workload {
        Workload { text: concat!("And what would you do next with parcel ", "##########", "?"), ..self }
    }

    /// A run on a thread of its own each time.
    pub fn run(&self) -> Request {
        self.post("run", &format!("t-{PLACEHOLDER}"))
    }

    /// A run on this thread.
    pub fn run_on(&self, thread: &str) -> Request {
        self.post("run", thread)
    }

    /// A connect to this thread.
    pub fn connect_to(&self, thread: &str) -> Request {
        self.post("connect", thread)
    }

    /// The AG-UI server itself, without a runtime before it.
    pub fn upstream(&self) -> Request {
        Request::post("/agent", &self.body(&format!("t-{PLACEHOLDER}")))
    }

    fn post(&self, route: &str, thread: &str) -> Request {
        Request::post(&format!("/api/copilotkit/agent/{}/{route}", self.agent.id()), &self.body(thread))
    }

    /// Keys in the order in which servers echo them.
    fn body(&self, thread: &str) -> String {
        let mut messages = String::new();
        for number in 0..self.history {
            let (role, text) = EARLIER[number % EARLIER.len()];
            messages.push_str(&format!(r#"{{"id":"h-{number}-{PLACEHOLDER}","role":"{role}","content":"{text}"}},"#));
        }
        format!(
            concat!(
                r#"{{"threadId":"{thread}","runId":"r-{id}","state":{{}},"messages":[{messages}"#,
                r#"{{"id":"u-{id}","role":"user","content":"{text}"}}],"#,
                r#""tools":[],"context":[],"forwardedProps":{props}}}"#
            ),
            thread = thread,
            id = PLACEHOLDER,
            messages = messages,
            text = self.text,
            props = self.props,
        )
    }
}

/// Earlier messages, about 100 bytes each, as a chat has them.
const EARLIER: [(&str, &str); 4] = [
    (
        "user",
        "Could you compare the two delivery plans and tell me which one is cheaper for a small workshop like ours?",
    ),
    (
        "assistant",
        "The second plan costs less below forty parcels a month; above that the flat rate of the first plan wins.",
    ),
    (
        "user",
        "We send about thirty-five parcels, but in December it is closer to ninety. Does that change your answer?",
    ),
    (
        "assistant",
        "Slightly: take the second plan and switch in November. You can change plans without a fee once per year.",
    ),
];

/// The bytes of a request whose ids are numbered anew each time.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    ids: Vec<usize>,
}

impl Request {
    /// `GET /info` of the runtime.
    pub fn info() -> Request {
        Request::get("info")
    }

    /// A page of the threads. `query` is made of words that need no escapes.
    pub fn threads(query: &str) -> Request {
        Request::get(&format!("threads?{query}"))
    }

    fn get(path: &str) -> Request {
        let head = format!("GET /api/copilotkit/{path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        Request { bytes: head.into_bytes(), ids: Vec::new() }
    }

    fn post(path: &str, body: &str) -> Request {
        let length = body.len();
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes();
        let ids = memchr::memmem::find_iter(&bytes, PLACEHOLDER).collect();
        Request { bytes, ids }
    }

    /// The bytes with the next number for their ids.
    pub fn fresh(&mut self) -> &[u8] {
        self.numbered(NEXT_ID.fetch_add(1, Ordering::Relaxed))
    }

    /// The bytes with this number for their ids: the same for every server.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        let width = PLACEHOLDER.len();
        let digits = format!("{number:0width$}");
        for &at in &self.ids {
            self.bytes[at..at + width].copy_from_slice(&digits.as_bytes()[..width]);
        }
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::play::Input;

    fn body(request: &[u8]) -> &str {
        let text = std::str::from_utf8(request).expect("text");
        text.split_once("\r\n\r\n").expect("a head").1
    }

    #[test]
    fn requests_are_valid_and_numbered() {
        let mut request = Workload::runs(r#"{"deltas":7}"#).with_history(2).run();
        let first = body(request.numbered(12)).to_owned();
        assert!(first.contains(r#""threadId":"t-0000000012","runId":"r-0000000012""#));
        assert_eq!(Input::parse(first.as_bytes()).expect("an input").props().deltas, 7);
        let value: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        assert_eq!(value["messages"].as_array().map(Vec::len), Some(3));
        let second = body(request.fresh()).to_owned();
        assert_ne!(second, body(request.fresh()));
    }
}
