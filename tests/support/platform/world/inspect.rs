//! What inspectors are told: a thread's events as they are stored, and the state they came to; the plan.

use serde_json::{Value, json};

use super::super::call::Answer;
use super::{World, threads};

impl World {
    pub(super) fn inspect_events(&self, id: &str) -> Answer {
        let Some(thread) = self.threads.get(id) else { return threads::not_found() };
        let events: Vec<&Value> = thread.journal.iter().map(|row| &row.event).collect();
        Answer::ok(json!({ "events": events, "decodeErrorRowIds": [], "truncated": false }))
    }

    pub(super) fn inspect_state(&self, id: &str) -> Answer {
        let Some(thread) = self.threads.get(id) else { return threads::not_found() };
        let mut state = None;
        let mut skipped = 0;
        for event in thread.journal.iter().map(|row| &row.event) {
            match (event["type"].as_str(), &mut state) {
                (Some("STATE_SNAPSHOT"), state) => *state = Some(event["snapshot"].clone()),
                (Some("STATE_DELTA"), Some(state)) => {
                    let patch = serde_json::from_value(event["delta"].clone());
                    let applied = patch.map(|patch: json_patch::Patch| json_patch::patch(state, &patch));
                    skipped += usize::from(!matches!(applied, Ok(Ok(()))));
                }
                _ => {}
            }
        }
        Answer::ok(match state {
            Some(state) => json!({ "kind": "snapshot", "state": state, "skippedDeltas": skipped }),
            None => json!({ "kind": "no-snapshot" }),
        })
    }

    pub(super) fn entitlements() -> Answer {
        Answer::ok(json!({
            "status": "ready",
            "entitlement": {
                "active": true, "source": "selfHostedDeploymentLicense", "features": { "threads": true }, "limits": {},
            },
        }))
    }

    pub(super) fn plan(&self) -> Answer {
        Answer::ok(json!({
            "schemaVersion": 1,
            "identity": { "organizationName": "Demo Org", "projectName": "Demo Project" },
            "plan": { "code": "self", "label": "Self-hosted" },
            "license": { "state": "valid" },
            "usage": { "used": self.threads.len(), "limit": { "kind": "unlimited" } },
        }))
    }
}
