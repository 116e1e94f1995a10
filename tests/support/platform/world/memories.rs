//! What users want remembered.

use serde_json::{Value, json};

use super::super::call::{Answer, Call};
use super::{Now, ORGANIZATION, PROJECT, Topic, World, new_id};

#[derive(Clone, Debug)]
pub(super) struct Memory {
    user: String,
    record: Value,
}

impl Memory {
    fn is_for(&self, user: &str) -> bool {
        self.user == user || self.record["scope"] == "project"
    }
}

/// The code of the topic everybody of the project shares.
const PROJECT_CODE: &str = "pj-1";

fn not_found() -> Answer {
    Answer::error(404, "Memory not found")
}

impl World {
    pub(super) fn list_memories(&self, user: &str, call: &Call) -> Answer {
        let all = call.query.get("includeInvalidated").is_some_and(|value| value == "true");
        let shown = |memory: &&Memory| memory.is_for(user) && (all || memory.record["invalidatedAt"].is_null());
        let found: Vec<&Value> = self.memories.values().rev().filter(shown).map(|memory| &memory.record).collect();
        Answer::ok(json!({ "memories": found }))
    }

    pub(super) fn create_memory(&mut self, user: &str, call: &Call, now: &Now) -> Answer {
        let mut record = self.remember(user, call, now);
        record["absorbed"] = false.into();
        Answer::new(201, record)
    }

    /// A memory is replaced by another, and retired.
    pub(super) fn replace_memory(&mut self, id: &str, user: &str, call: &Call, now: &Now) -> Answer {
        if !self.retire(id, user, now) {
            return not_found();
        }
        let mut record = self.remember(user, call, now);
        record["retiredId"] = id.into();
        Answer::ok(record)
    }

    pub(super) fn delete_memory(&mut self, id: &str, user: &str, now: &Now) -> Answer {
        if self.retire(id, user, now) { Answer::empty(204) } else { not_found() }
    }

    pub(super) fn recall(&self, user: &str, call: &Call) -> Answer {
        let query = call.field("query").unwrap_or_default().to_lowercase();
        let limit = call.body.as_ref().and_then(|body| body["limit"].as_u64()).unwrap_or(10);
        let fits = |record: &Value| record["content"].as_str().is_some_and(|text| text.to_lowercase().contains(&query));
        let mut found = Vec::new();
        for memory in self.memories.values().filter(|memory| memory.is_for(user)) {
            if memory.record["invalidatedAt"].is_null() && fits(&memory.record) && (found.len() as u64) < limit {
                let mut record = memory.record.clone();
                record["score"] = 0.5.into();
                found.push(record);
            }
        }
        Answer::ok(json!({ "memories": found }))
    }

    pub(super) fn subscribe_memories(&mut self, user: &str) -> Answer {
        let code = self.code("mem-jc", user);
        let own = self.issue("memory", user, Topic::Named(format!("user_meta:memories:{code}")));
        let shared = self.issue("memory", user, Topic::Named(format!("project_meta:memories:{PROJECT_CODE}")));
        Answer::ok(json!({
            "joinToken": own, "joinCode": code, "projectJoinToken": shared, "projectJoinCode": PROJECT_CODE,
        }))
    }

    fn remember(&mut self, user: &str, call: &Call, now: &Now) -> Value {
        let (id, body) = (new_id(), call.body.clone().unwrap_or_default());
        let or = |value: &Value, other: Value| if value.is_null() { other } else { value.clone() };
        let record = json!({
            "id": id, "kind": body["kind"], "scope": or(&body["scope"], "user".into()), "content": body["content"],
            "sourceThreadIds": or(&body["sourceThreadIds"], json!([])), "invalidatedAt": null,
        });
        let mut told = record.clone();
        told["organizationId"] = ORGANIZATION.into();
        told["projectId"] = PROJECT.into();
        let memory = Memory { user: user.to_owned(), record: record.clone() };
        self.tell_of_memory(&memory, "created", "memory", &told, now);
        self.memories.insert(id, memory);
        record
    }

    fn retire(&mut self, id: &str, user: &str, now: &Now) -> bool {
        let Some(memory) = self.memories.get_mut(id).filter(|memory| memory.is_for(user)) else { return false };
        memory.record["invalidatedAt"] = now.wall.as_str().into();
        let memory = memory.clone();
        self.tell_of_memory(&memory, "invalidated", "invalidated", &json!({ "id": id }), now);
        true
    }

    fn tell_of_memory(&mut self, memory: &Memory, operation: &str, field: &str, what: &Value, now: &Now) {
        let topic = match memory.record["scope"].as_str() {
            Some("project") => format!("project_meta:memories:{PROJECT_CODE}"),
            _ => format!("user_meta:memories:{}", self.code("mem-jc", &memory.user)),
        };
        let mut payload = json!({
            "operation": operation, "memoryId": memory.record["id"], "organizationId": ORGANIZATION,
            "projectId": PROJECT, "occurredAt": now.wall,
        });
        payload[field] = what.clone();
        self.tell(topic, "memory_metadata", payload);
    }
}
