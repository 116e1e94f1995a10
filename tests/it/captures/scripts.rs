//! `agents.json`: what the scripted agents say and do.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The scripted agents by id.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scripts {
    pub(crate) agents: IndexMap<String, Arc<Script>>,
    #[serde(default, rename = "className")]
    pub(crate) class_name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Script {
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) script: Vec<Step>,
    #[serde(default)]
    pub(crate) on_abort: OnAbort,
    #[serde(default)]
    pub(crate) headers: IndexMap<String, String>,
    pub(crate) capabilities: Option<Value>,
    pub(crate) capabilities_error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    Emit(Value),
    Sleep(u64),
    Throw(String),
    ThrowSync(String),
    /// Until the agent is stopped, then as `on_abort` says.
    WaitAbort(IgnoredAny),
    /// For ever, stopped or not.
    Hang(IgnoredAny),
}

/// What a scripted agent does when it is stopped during a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnAbort {
    #[default]
    Complete,
    Throw(String),
    Ignore,
}

impl<'de> Deserialize<'de> for OnAbort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OnAbort, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once(':') {
            _ if text == "complete" => Ok(OnAbort::Complete),
            _ if text == "ignore" => Ok(OnAbort::Ignore),
            Some(("throw", message)) => Ok(OnAbort::Throw(message.to_owned())),
            _ => Err(serde::de::Error::custom(format!("unknown onAbort `{text}`"))),
        }
    }
}
