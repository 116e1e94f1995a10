//! Phoenix frames, version 2: `[join_ref, ref, topic, event, payload]`.

use serde_json::{Value, json};

/// A frame of a client.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) join_ref: Value,
    pub(crate) reference: Value,
    pub(crate) topic: String,
    pub(crate) event: String,
    pub(crate) payload: Value,
}

impl Frame {
    pub(crate) fn read(text: &str) -> Result<(Value, Frame), String> {
        let raw: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}: {text}"))?;
        let Some([join_ref, reference, Value::String(topic), Value::String(event), payload]) =
            raw.as_array().map(Vec::as_slice)
        else {
            return Err(format!("no frame: {text}"));
        };
        let frame = Frame {
            join_ref: join_ref.clone(),
            reference: reference.clone(),
            topic: topic.clone(),
            event: event.clone(),
            payload: payload.clone(),
        };
        Ok((raw, frame))
    }

    /// The reply to the frame.
    pub(crate) fn reply(&self, outcome: Result<Value, Value>) -> Value {
        let (status, response) = match outcome {
            Ok(response) => ("ok", response),
            Err(response) => ("error", response),
        };
        let payload = json!({ "status": status, "response": response });
        json!([self.join_ref, self.reference, self.topic, "phx_reply", payload])
    }
}

/// Something the server says of itself.
pub(crate) fn push(join_ref: &Value, topic: &str, event: &str, payload: &Value) -> Value {
    json!([join_ref, null, topic, event, payload])
}
