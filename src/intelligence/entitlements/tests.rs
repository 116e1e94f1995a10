use serde_json::{Value, json};

use super::super::platform::Platform;
use super::*;

const ACTIVE: &str = r#"{"status":"ready","entitlement":{"active":true,"source":"selfHostedDeploymentLicense","features":{"threads":true},"limits":{"seats":5}}}"#;

fn shown(entitlements: &RuntimeEntitlements) -> Value {
    serde_json::to_value(entitlements).unwrap()
}

fn granted(active: bool, source: &str) -> RuntimeEntitlements {
    let answer =
        json!({"status": "ready", "entitlement": {"active": active, "source": source, "features": {}, "limits": {}}});
    schema::read(answer.to_string().as_bytes()).unwrap()
}

async fn answered(status: u16, body: &str) -> Value {
    shown(&Platform::answering([(status, body)]).await.intelligence().runtime_entitlements().await)
}

#[tokio::test]
async fn entitlements_are_shown_as_the_platform_says_them() {
    let mut platform = Platform::answering([(200, ACTIVE)]).await;
    let intelligence = platform.intelligence();
    let entitlements = intelligence.runtime_entitlements().await;
    assert_eq!(shown(&entitlements), serde_json::from_str::<Value>(ACTIVE).unwrap());
    let asked = platform.asked().await;
    assert_eq!(asked.call, "GET /api/entitlements/runtime");
    assert_eq!(asked.headers, ["authorization: Bearer cpk-secret", "content-type: application/json"]);
    assert_eq!(intelligence.runtime_entitlements().await, entitlements);
    assert!(!platform.was_asked_more(), "it is kept");
}

#[tokio::test]
async fn failures_become_an_answer() {
    let (misconfigured, unavailable) = (shown(&misconfigured()), shown(&unavailable()));
    for status in [401, 403, 404, 302] {
        assert_eq!(answered(status, "{}").await, misconfigured, "{status}");
    }
    for status in [408, 425, 429, 500, 503] {
        assert_eq!(answered(status, "{}").await, unavailable, "{status}");
    }
    assert_eq!(answered(200, "{}").await, misconfigured);
    assert_eq!(answered(200, "").await, misconfigured);
    let silent = Platform::answering([]).await;
    assert_eq!(shown(&silent.intelligence().runtime_entitlements().await), unavailable);
    assert_eq!(misconfigured["error"]["retryable"], false);
    let text = json!({"code": "runtime_entitlements_unavailable", "message": "Runtime entitlement lookup failed", "retryable": true});
    assert_eq!(unavailable, json!({"status": "unavailable", "error": text}));
}

#[tokio::test]
async fn only_active_grants_are_kept_long() {
    let inactive = ACTIVE.replace("true,\"source", "false,\"source");
    for (body, kept) in [(ACTIVE, ACTIVE_FOR), (&*inactive, ANYTHING_ELSE_FOR), ("", ANYTHING_ELSE_FOR)] {
        let platform = Platform::answering([(200, body)]).await;
        assert_eq!(platform.intelligence().fetch_entitlements().await.1, kept, "{body}");
    }
}

#[test]
fn unknown_keys_make_an_answer_malformed() {
    let read = |answer: &Value| schema::read(answer.to_string().as_bytes());
    let active: Value = serde_json::from_str(ACTIVE).unwrap();
    let failed =
        json!({"status": "degraded", "error": {"code": "c", "message": "m", "retryable": true, "traceId": "t"}});
    for answer in [&active, &failed] {
        assert_eq!(shown(&read(answer).unwrap()), *answer);
        let mut more = answer.clone();
        more["extra"] = json!(1);
        assert_eq!(read(&more), None, "{more}");
    }
    let entitlement = |name: &str, value: Value| {
        let mut answer = active.clone();
        answer["entitlement"][name] = value;
        answer
    };
    for answer in [
        entitlement("extra", json!(1)),
        entitlement("planCode", json!(null)),
        entitlement("source", json!("somebody")),
        entitlement("features", json!({"threads": "yes"})),
        entitlement("limits", json!({"seats": "5"})),
        entitlement("active", json!(1)),
        json!({"status": "ready", "error": failed["error"]}),
        json!({"status": "new", "error": failed["error"]}),
        json!({"status": "degraded", "error": {"code": "c", "message": "m", "retryable": true, "x": 1}}),
        json!([]),
    ] {
        assert_eq!(read(&answer), None, "{answer}");
    }
    assert_eq!(shown(&read(&entitlement("planCode", json!("pro"))).unwrap())["entitlement"]["planCode"], "pro");
}

#[test]
fn flat_entitlement_of_older_platforms_is_understood() {
    let active: Value = serde_json::from_str(ACTIVE).unwrap();
    let mut flat = active["entitlement"].clone();
    assert_eq!(schema::read(flat.to_string().as_bytes()), None, "it names an organization");
    flat["organizationId"] = json!("org-1");
    assert_eq!(shown(&schema::read(flat.to_string().as_bytes()).unwrap()), active);
    flat["extra"] = json!(1);
    assert_eq!(schema::read(flat.to_string().as_bytes()), None);
}

#[test]
fn license_status_follows_the_entitlement() {
    for source in ["managedOrgSubscription", "selfHostedDeploymentLicense", "awsMarketplaceDeploymentLicense"] {
        assert_eq!(license_status(&granted(true, source)), "valid");
        assert_eq!(license_status(&granted(false, source)), "none");
    }
    assert_eq!(license_status(&unavailable()), "unknown");
    assert_eq!(license_status(&misconfigured()), "none");
}
