use super::*;

pub(in crate::intelligence::inspector) fn snapshot() -> Value {
    let proof = json!({"status": "available", "threadId": "t", "threadName": null, "messageIds": ["m"],
        "updatedAt": "2026-01-01T00:00:00.000Z"});
    let insight = json!({"id": "i", "statement": "s", "impact": "i", "totalThreadCount": 2, "evidenceTruncated": false,
        "evidence": [proof, {"status": "unavailable"}]});
    let skill =
        json!({"id": "k", "name": "n", "description": "d", "revision": 1, "skillMd": "", "sourceInsight": insight});
    json!({
        "schemaVersion": 1,
        "projectKey": "p",
        "snapshotVersion": "v",
        "webAppOrigin": "https://app.example",
        "configuration": {"state": "configured", "container": {"id": "c", "name": "n"}},
        "pendingThreadCount": 1,
        "run": {"hasActiveRun": false, "hasEverSucceeded": true, "latest": {"status": "succeeded", "completedAt": null}},
        "pendingCandidateCount": 0,
        "skillsPage": {"page": 1, "pageSize": 3, "total": 1, "totalPages": 1, "items": [skill]},
        "insightsPage": {"page": 2, "pageSize": 4, "total": 5, "totalPages": 2, "items": [insight]},
        "links": {"learning": "https://app.example/learning?x=1", "candidates": null, "runs": "https://app.example/runs"},
    })
}

/// The snapshot with another value at a JSON pointer; the place before it has to be there.
fn with(pointer: &str, value: Value) -> Option<Value> {
    let mut changed = snapshot();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match changed.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        fields => fields[name] = value,
    }
    sanitised(&changed)
}

#[test]
fn whole_snapshot_comes_through_without_what_is_unknown() {
    assert_eq!(sanitised(&snapshot()), Some(snapshot()));
    for pointer in ["/extra", "/run/extra", "/skillsPage/items/0/extra", "/links/extra", "/configuration/extra"] {
        assert_eq!(with(pointer, json!("x")), Some(snapshot()), "{pointer}");
    }
    assert!(with("/configuration", json!({"state": "invalid", "reason": "container"})).is_some());
    let empty = json!({"page": 1, "pageSize": 3, "total": 0, "totalPages": 0, "items": []});
    assert!(with("/skillsPage", empty).is_some());
}

#[test]
fn one_malformed_field_hides_the_snapshot() {
    for (pointer, value) in [
        ("/schemaVersion", json!(2)),
        ("/projectKey", json!(" ")),
        ("/snapshotVersion", json!("v".repeat(129))),
        ("/pendingThreadCount", json!(-1)),
        ("/configuration/state", json!("new")),
        ("/configuration", json!({"state": "invalid", "reason": "other"})),
        ("/run/hasActiveRun", json!(1)),
        ("/run/latest/status", json!("new")),
        ("/run/latest/completedAt", json!("yesterday")),
        ("/skillsPage/pageSize", json!(4)),
        ("/skillsPage/items", json!([])),
        ("/skillsPage/items/0/revision", json!(0)),
        ("/skillsPage/items/0/skillMd", json!("x".repeat(131_073))),
        ("/insightsPage/page", json!(3)),
        ("/insightsPage/page", json!(0)),
        ("/insightsPage/totalPages", json!(1)),
        ("/insightsPage/items/0/evidence/0/updatedAt", json!("x")),
        ("/insightsPage/items/0/evidence/1", json!({"status": "unavailable", "threadId": "t"})),
        ("/insightsPage/items/0/evidence/0/messageIds", json!([""])),
    ] {
        assert_eq!(with(pointer, value.clone()), None, "{pointer} {value}");
    }
}

#[test]
fn links_lead_to_the_platforms_pages_alone() {
    for (pointer, value) in [
        ("/webAppOrigin", json!("http://app.example")),
        ("/webAppOrigin", json!("https://app.example/path")),
        ("/webAppOrigin", json!("https://me@app.example")),
        ("/links/learning", json!("https://other.example/learning")),
        ("/links/learning", json!("http://app.example/learning")),
        ("/links/learning", json!("https://me@app.example/learning")),
        ("/links/learning", json!(null)),
        ("/links/candidates", json!("javascript:alert(1)")),
        ("/links/runs", json!(null)),
        ("/pendingCandidateCount", json!(1)),
    ] {
        assert_eq!(with(pointer, value.clone()), None, "{pointer} {value}");
    }
}
