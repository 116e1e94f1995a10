//! Every posted body is read or refused; what is read of it is what it says.

use std::collections::HashMap;

use copilotkit_runtime::agui::RunAgentInput;
use copilotkit_runtime::fuzzing::{fields_of, read_bodies};
use serde_json::value::RawValue;

/// Reads the bytes as each body there is.
pub fn holds(bytes: &[u8]) {
    read_bodies(bytes);
    if let Ok(input) = RunAgentInput::parse(bytes) {
        let json = input.to_json();
        assert!(!json.contains(['\n', '\r']), "{json}");
        let again = RunAgentInput::parse(json.as_bytes()).expect("what was read can be read");
        assert_eq!(again.to_json(), json);
        let sent = input.for_agent(|| "fresh".to_owned());
        let received = RunAgentInput::parse(sent.to_json().as_bytes()).expect("what agents get can be read");
        assert_eq!(received.to_json(), sent.to_json());
        assert_eq!(input.tool_names().count(), input.tools.len(), "a tool without a name passed");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(said) = serde_json::from_str::<HashMap<String, &RawValue>>(text) {
        const NAMES: [&str; 4] = ["agentId", "content", "query", "runId"];
        let found = fields_of(text, NAMES).expect("it is JSON");
        for (name, found) in NAMES.into_iter().zip(found) {
            assert_eq!(found, said.get(name).map(|json| json.get()), "{name}");
        }
    }
}
