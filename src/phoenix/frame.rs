//! One message of the protocol: `[join_ref, ref, topic, event, payload]`, a JSON array in a text frame.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message that came. Its payload is the text it came as.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<'a>(Option<String>, Option<String>, String, String, #[serde(borrow)] &'a RawValue);

/// The text is no message of the protocol.
#[derive(Debug, thiserror::Error)]
#[error("not a Phoenix message: {0}")]
pub(super) struct NotAFrame(#[from] serde_json::Error);

/// What a `phx_reply` says.
#[derive(Debug, Deserialize)]
pub(super) struct Reply<'a> {
    status: String,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Frame<'a>, NotAFrame> {
        Ok(serde_json::from_str(text)?)
    }

    /// The join the message belongs to; `None` for any.
    pub(super) fn join_ref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// What it answers.
    pub(super) fn reference(&self) -> Option<&str> {
        self.1.as_deref()
    }

    pub(super) fn topic(&self) -> &str {
        &self.2
    }

    pub(super) fn event(&self) -> &str {
        &self.3
    }

    pub(super) fn payload(&self) -> &'a RawValue {
        self.4
    }

    /// The payload read as a reply, if it is one.
    pub(super) fn reply(&self) -> Option<Reply<'a>> {
        serde_json::from_str(self.payload().get()).ok()
    }
}

impl Reply<'_> {
    /// The response to what was asked, or what was said to refuse it.
    pub(super) fn into_result(self) -> Result<Box<RawValue>, Box<RawValue>> {
        let response = self.response.unwrap_or(RawValue::NULL).to_owned();
        if self.status == "ok" { Ok(response) } else { Err(response) }
    }
}

/// The text of a message to send. The payload is JSON text and goes out as it is.
pub(super) fn encode(join_ref: Option<u64>, reference: u64, topic: &str, event: &str, payload: &str) -> String {
    let join_ref = join_ref.map_or_else(|| "null".to_owned(), |join_ref| format!("\"{join_ref}\""));
    format!("[{join_ref},\"{reference}\",{},{},{payload}]", quoted(topic), quoted(event))
}

fn quoted(text: &str) -> String {
    // Writing a string into memory cannot fail.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_an_array_of_five_with_refs_as_strings() {
        let text = encode(Some(6), 7, "ingestion:r", "events", r#"{"events":[]}"#);
        assert_eq!(text, r#"["6","7","ingestion:r","events",{"events":[]}]"#);
        assert_eq!(encode(None, 8, "phoenix", "heartbeat", "{}"), r#"[null,"8","phoenix","heartbeat",{}]"#);
    }

    #[test]
    fn a_reply_without_a_response_and_one_with_an_unknown_status_are_read() {
        let frame = Frame::parse(r#"["1","1","t","phx_reply",{"status":"ok"}]"#).unwrap();
        assert_eq!(frame.reply().unwrap().into_result().unwrap().get(), "null");
        let frame = Frame::parse(r#"["1","1","t","phx_reply",{"status":"odd","response":{"a":1}}]"#).unwrap();
        assert_eq!(frame.reply().unwrap().into_result().unwrap_err().get(), r#"{"a":1}"#);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in ["", "{}", "[]", r#"[1,"1","t","e",{}]"#, r#"["1","1","t","e"]"#, r#"[null,null,null,null,{}]"#] {
            assert!(Frame::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(join in any::<Option<u64>>(), reference: u64, topic: String, event: String) {
            let payload = r#"{"n":1.0,"s":"\u00e9 \ud83d"}"#;
            let text = encode(join, reference, &topic, &event, payload);
            let frame = Frame::parse(&text).unwrap();
            prop_assert_eq!(frame.join_ref().map(ToOwned::to_owned), join.map(|join| join.to_string()));
            prop_assert_eq!(frame.reference(), Some(&*reference.to_string()));
            prop_assert_eq!(frame.topic(), topic);
            prop_assert_eq!(frame.event(), event);
            prop_assert_eq!(frame.payload().get(), payload);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = Frame::parse(&text).map(|frame| frame.reply().is_some());
        }
    }
}
