//! Thread records and lists of them.

use serde_json::{Value, json};

use super::super::call::{Answer, Call};
use super::{Now, ORGANIZATION, Topic, World};

/// A thread and everything that was said on it.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) id: String,
    pub(super) agent: String,
    pub(super) owner: String,
    name: Option<String>,
    archived: bool,
    created: String,
    updated: String,
    pub(super) last_run: Option<String>,
    pub(super) journal: Vec<Row>,
}

/// One stored event.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) run_id: String,
    /// `metadata.cpki_event_id`.
    pub(super) id: String,
    pub(super) event: Value,
}

/// The largest page of a list.
const PAGE: usize = 50;

impl Thread {
    pub(super) fn record(&self) -> Value {
        let mut record = json!({
            "id": self.id, "organizationId": ORGANIZATION, "agentId": self.agent, "createdById": self.owner,
            "name": self.name, "archived": self.archived, "createdAt": self.created, "updatedAt": self.updated,
        });
        if let Some(at) = &self.last_run {
            record["lastRunAt"] = at.as_str().into();
        }
        record
    }

    fn sorted_by(&self) -> &str {
        self.last_run.as_deref().unwrap_or(&self.updated)
    }

    /// The id of the last event.
    pub(super) fn latest(&self) -> Option<&str> {
        self.journal.last().map(|row| row.id.as_str())
    }
}

pub(super) fn not_found() -> Answer {
    Answer::error(404, "Thread not found")
}

impl World {
    /// A thread, if it is this user's.
    pub(super) fn thread_of(&mut self, id: &str, user: Option<&str>) -> Option<&mut Thread> {
        self.threads.get_mut(id).filter(|thread| Some(thread.owner.as_str()) == user)
    }

    pub(super) fn list(&mut self, call: &Call) -> Answer {
        let (Some(user), Some(agent)) = (call.user(), call.query.get("agentId")) else {
            return Answer::error(400, "userId and agentId are required");
        };
        let all = call.query.get("includeArchived").is_some_and(|value| value == "true");
        let mut found: Vec<&Thread> = self.threads.values().collect();
        found.retain(|thread| thread.owner == user && thread.agent == *agent && (all || !thread.archived));
        found.sort_by(|a, b| b.sorted_by().cmp(a.sorted_by()).then_with(|| a.id.cmp(&b.id)));
        let number = |name| call.query.get(name).and_then(|value| value.parse::<usize>().ok());
        let (from, count) = (number("cursor").unwrap_or(0), number("limit").unwrap_or(PAGE));
        let page: Vec<Value> = found.iter().skip(from).take(count).map(|thread| thread.record()).collect();
        let next = (from + page.len() < found.len()).then(|| (from + page.len()).to_string());
        let code = self.code("jc", user);
        Answer::ok(json!({ "threads": page, "joinCode": code, "nextCursor": next }))
    }

    pub(super) fn create(&mut self, call: &Call, now: &Now) -> Answer {
        let (Some(id), Some(user), Some(agent)) = (call.field("threadId"), call.user(), call.field("agentId")) else {
            return Answer::error(400, "threadId, userId and agentId are required");
        };
        if self.threads.contains_key(id) {
            return Answer::error(409, "Thread already exists");
        }
        let thread = Thread {
            id: id.to_owned(),
            agent: agent.to_owned(),
            owner: user.to_owned(),
            name: call.field("name").map(str::to_owned),
            archived: false,
            created: now.wall.clone(),
            updated: now.wall.clone(),
            last_run: None,
            journal: Vec::new(),
        };
        self.threads.insert(id.to_owned(), thread);
        let record = self.tell_of(id, "created", now);
        Answer::new(201, json!({ "thread": record }))
    }

    pub(super) fn read(&mut self, id: &str, call: &Call) -> Answer {
        match self.thread_of(id, call.user()) {
            Some(thread) => Answer::ok(json!({ "thread": thread.record() })),
            None => not_found(),
        }
    }

    pub(super) fn update(&mut self, id: &str, call: &Call, now: &Now) -> Answer {
        let Some(thread) = self.thread_of(id, call.user()) else { return not_found() };
        let mut operation = "updated";
        if let Some(name) = call.body.as_ref().and_then(|body| body.get("name")) {
            thread.name = name.as_str().map(str::to_owned);
            operation = "renamed";
        }
        if let Some(archived) = call.body.as_ref().and_then(|body| body.get("archived")).and_then(Value::as_bool) {
            thread.archived = archived;
            operation = if archived { "archived" } else { "unarchived" };
        }
        thread.updated = now.wall.clone();
        let record = self.tell_of(id, operation, now);
        Answer::ok(json!({ "thread": record }))
    }

    pub(super) fn delete(&mut self, id: &str, call: &Call, now: &Now) -> Answer {
        let reason = call.field("reason").map(str::trim).unwrap_or_default();
        if reason.is_empty() || reason.chars().count() > 1000 {
            return Answer::error(400, "A reason of 1 to 1000 characters is required");
        }
        let Some(owner) = self.thread_of(id, call.user()).map(|thread| thread.owner.clone()) else {
            return not_found();
        };
        self.threads.shift_remove(id);
        self.locks.remove(id);
        let payload = json!({
            "operation": "deleted", "threadId": id, "userId": owner, "organizationId": ORGANIZATION,
            "occurredAt": now.wall, "deleted": { "id": id },
        });
        self.tell_user(&owner, "thread_metadata", payload);
        Answer::empty(204)
    }

    pub(super) fn subscribe(&mut self, call: &Call) -> Answer {
        let Some(user) = call.user() else { return Answer::error(400, "userId is required") };
        let topic = Topic::Named(format!("user_meta:{}", self.code("jc", user)));
        let token = self.issue("meta", user, topic);
        Answer::ok(json!({ "joinToken": token }))
    }

    pub(super) fn connect(&mut self, id: &str, call: &Call) -> Answer {
        let Some(user) = call.user() else { return Answer::error(400, "userId is required") };
        if self.thread_of(id, Some(user)).is_none() {
            return Answer::empty(204);
        }
        let token = self.issue("thread", user, Topic::Thread(id.to_owned()));
        Answer::ok(json!({ "threadId": id, "joinToken": token }))
    }

    /// Tells the owner's devices what became of a thread, and says what it is now.
    pub(super) fn tell_of(&mut self, id: &str, operation: &str, now: &Now) -> Value {
        let Some(thread) = self.threads.get(id) else { return Value::Null };
        let (owner, record) = (thread.owner.clone(), thread.record());
        let payload = json!({
            "operation": operation, "threadId": id, "userId": owner, "organizationId": ORGANIZATION,
            "occurredAt": now.wall, "thread": record,
        });
        self.tell_user(&owner, "thread_metadata", payload);
        record
    }

    pub(super) fn tell_user(&mut self, user: &str, event: &'static str, payload: Value) {
        let code = self.code("jc", user);
        self.tell(format!("user_meta:{code}"), event, payload);
    }
}
