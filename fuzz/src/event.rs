//! An event keeps its bytes, and its header says what its JSON says.

use std::collections::HashMap;

use copilotkit_runtime::agui::{Event, EventKind, normalise};
use serde_json::value::RawValue;

/// Reads the bytes as one event.
pub fn holds(bytes: &[u8]) {
    let Ok(event) = Event::parse(bytes.to_vec()) else { return };
    let one_line: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    assert_eq!(event.json(), &one_line);

    let fields: HashMap<String, &RawValue> = serde_json::from_str(event.as_str()).expect("an event is an object");
    let said = |name: &str| fields.get(name).and_then(|json| serde_json::from_str::<String>(json.get()).ok());
    let name = said("type").expect("an event has a type");
    assert_eq!(event.kind(), EventKind::from_name(&name));
    assert_eq!(event.type_name(), name);
    assert_eq!(event.message_id(), said("messageId").as_deref());
    assert_eq!(event.tool_call_id(), said("toolCallId").as_deref());
    assert_eq!(event.subagent_run_id(), said("subagentRunId").as_deref());

    if let Ok(normal) = normalise(event.clone()) {
        assert_eq!(normal.kind(), event.kind());
        let again = normalise(normal.clone()).expect("what was put right is right");
        assert_eq!(again, normal);
    }
}
