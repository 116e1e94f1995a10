//! Which run holds a thread, and how long.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::super::call::{Answer, Call};
use super::{Now, Topic, World, threads};

#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) run_id: String,
    pub(super) user: String,
    until: Instant,
}

const NOT_HELD: &str = "Lock not held by this run";

impl World {
    /// The run that holds a thread now.
    pub(super) fn holder(&self, thread_id: &str, now: &Now) -> Option<&Lock> {
        self.locks.get(thread_id).filter(|lock| lock.until > now.at)
    }

    pub(super) fn holds(&self, run_id: &str, thread_id: &str, now: &Now) -> bool {
        self.holder(thread_id, now).is_some_and(|lock| lock.run_id == run_id)
    }

    pub(super) fn acquire(&mut self, id: &str, call: &Call, now: &Now) -> Answer {
        let Some((run_id, ttl)) = lease(call) else {
            return Answer::error(400, "runId and ttlSeconds are required");
        };
        let Some(owner) = self.thread_of(id, call.user()).map(|thread| thread.owner.clone()) else {
            return threads::not_found();
        };
        if let Some(held) = self.holder(id, now) {
            return Answer::new(409, json!({ "error": "Thread is locked", "runId": held.run_id }));
        }
        let until = now.at + Duration::from_secs(ttl);
        self.locks.insert(id.to_owned(), Lock { run_id: run_id.to_owned(), user: owner.clone(), until });
        let token = self.issue("thread", &owner, Topic::Thread(id.to_owned()));
        let key = format!("{}:{id}", call.field("lockKeyPrefix").unwrap_or("thread"));
        Answer::ok(json!({
            "threadId": id, "runId": run_id, "joinToken": token, "lock": { "key": key, "ttlSeconds": ttl },
        }))
    }

    pub(super) fn renew(&mut self, id: &str, call: &Call, now: &Now) -> Answer {
        let Some((run_id, ttl)) = lease(call) else {
            return Answer::error(400, "runId and ttlSeconds are required");
        };
        if !self.holds(run_id, id, now) {
            return Answer::error(409, NOT_HELD);
        }
        if let Some(lock) = self.locks.get_mut(id) {
            lock.until = now.at + Duration::from_secs(ttl);
        }
        Answer::ok(json!({ "ttlSeconds": ttl }))
    }

    pub(super) fn release(&mut self, id: &str, call: &Call, now: &Now) -> Answer {
        let run_id = call.field("runId").unwrap_or_default();
        if self.has_finished(run_id) {
            self.blame(format!("{run_id} released its lock although it had ended well"));
        }
        if !self.holds(run_id, id, now) {
            return Answer::error(409, NOT_HELD);
        }
        self.locks.remove(id);
        Answer::empty(204)
    }

    /// Takes a thread's lock away, as if its time had run out.
    pub(crate) fn expire_lock(&mut self, thread_id: &str) {
        self.locks.remove(thread_id);
    }
}

fn lease(call: &Call) -> Option<(&str, u64)> {
    Some((call.field("runId")?, call.body.as_ref()?.get("ttlSeconds")?.as_u64()?))
}
