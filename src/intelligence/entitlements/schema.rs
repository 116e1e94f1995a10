//! What the platform may say about entitlements. Strict: a key that is not known makes it no answer.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// What a project may use, or why that is not known; as `/info` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum RuntimeEntitlements {
    Ready { status: &'static str, entitlement: Entitlement },
    NotReady { status: &'static str, error: Failure },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Entitlement {
    pub(crate) active: bool,
    pub(crate) source: Source,
    features: BTreeMap<String, bool>,
    limits: BTreeMap<String, Number>,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    plan_code: Option<String>,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    entitlement_source: Option<String>,
}

/// Who grants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    ManagedOrgSubscription,
    SelfHostedDeploymentLicense,
    AwsMarketplaceDeploymentLicense,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Failure {
    code: String,
    message: String,
    pub(crate) retryable: bool,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl RuntimeEntitlements {
    pub(super) fn not_ready(status: &'static str, error: Failure) -> RuntimeEntitlements {
        RuntimeEntitlements::NotReady { status, error }
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self, RuntimeEntitlements::Ready { entitlement, .. } if entitlement.active)
    }
}

impl Failure {
    pub(super) fn new(code: &str, message: &str, retryable: bool) -> Failure {
        Failure { code: code.to_owned(), message: message.to_owned(), retryable, request_id: None, trace_id: None }
    }
}

/// Reads the platform's answer.
pub(super) fn read(answer: &[u8]) -> Option<RuntimeEntitlements> {
    let Value::Object(mut fields) = serde_json::from_slice(answer).ok()? else {
        return None;
    };
    let Some(status) = fields.shift_remove("status") else {
        // Before there was a status, the entitlement itself was the answer, with an organization.
        fields.shift_remove("organizationId").filter(Value::is_string)?;
        return Some(RuntimeEntitlements::Ready { status: "ready", entitlement: strictly(Value::Object(fields))? });
    };
    let status = ["ready", "degraded", "misconfigured", "unavailable"].into_iter().find(|known| status == *known)?;
    let part = fields.shift_remove(if status == "ready" { "entitlement" } else { "error" })?;
    if !fields.is_empty() {
        return None;
    }
    Some(match status {
        "ready" => RuntimeEntitlements::Ready { status, entitlement: strictly(part)? },
        _ => RuntimeEntitlements::NotReady { status, error: strictly(part)? },
    })
}

fn strictly<T: DeserializeOwned>(value: Value) -> Option<T> {
    // Structs could be read from arrays as well.
    value.is_object().then(|| serde_json::from_value(value).ok())?
}

fn not_null<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    String::deserialize(value).map(Some)
}
