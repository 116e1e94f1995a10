//! Which call means what.

use super::super::call::{Answer, Call};
use super::{Now, World};

impl World {
    /// Answers a REST call.
    pub(crate) fn answer(&mut self, call: &Call, now: &Now) -> Answer {
        let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
        match (call.method.as_str(), parts.as_slice()) {
            ("GET", ["api", "threads"]) => self.list(call),
            ("POST", ["api", "threads"]) => self.create(call, now),
            ("POST", ["api", "threads", "subscribe"]) => self.subscribe(call),
            ("GET", ["api", "threads", id]) => self.read(id, call),
            ("PATCH", ["api", "threads", id]) => self.update(id, call, now),
            ("DELETE", ["api", "threads", id]) => self.delete(id, call, now),
            ("GET", ["api", "threads", id, "messages"]) => self.history(id, call),
            ("POST", ["api", "threads", id, "lock"]) => self.acquire(id, call, now),
            ("PATCH", ["api", "threads", id, "lock"]) => self.renew(id, call, now),
            ("DELETE", ["api", "threads", id, "lock"]) => self.release(id, call, now),
            ("POST", ["api", "threads", id, "connect"]) => self.connect(id, call),
            ("GET", ["api", "_inspect", "threads", id, "events"]) => self.inspect_events(id),
            ("GET", ["api", "_inspect", "threads", id, "state"]) => self.inspect_state(id),
            ("GET", ["api", "entitlements", "runtime"]) => World::entitlements(),
            ("GET", ["api", "inspector", "metadata"]) => self.plan(),
            ("PUT", ["connector", "annotate", id]) => self.annotate(id, call),
            (_, ["api", "memories", ..]) => self.answer_on_memories(call, &parts, now),
            _ => Answer::error(404, "Not found"),
        }
    }

    fn answer_on_memories(&mut self, call: &Call, parts: &[&str], now: &Now) -> Answer {
        let Some(user) = call.header("x-cpki-user-id") else { return Answer::error(400, "x-cpki-user-id is required") };
        match (call.method.as_str(), parts) {
            ("GET", [_, _]) => self.list_memories(user, call),
            ("POST", [_, _]) => self.create_memory(user, call, now),
            ("POST", [_, _, "recall"]) => self.recall(user, call),
            ("POST", [_, _, "subscribe"]) => self.subscribe_memories(user),
            ("PATCH", [_, _, id]) => self.replace_memory(id, user, call, now),
            ("DELETE", [_, _, id]) => self.delete_memory(id, user, now),
            _ => Answer::error(404, "Not found"),
        }
    }
}
