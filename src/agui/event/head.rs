//! The header of an event: the few fields the runtime steers by, found in one pass.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::EventKind;

/// Where the fields the runtime steers by stand in the JSON.
#[derive(Clone, Default)]
pub(super) struct Header {
    pub(super) message_id: Text,
    pub(super) tool_call_id: Text,
    pub(super) subagent_run_id: Text,
    /// Between the quotes.
    pub(super) delta: Option<(u32, u32)>,
    pub(super) has_metadata: bool,
}

/// A string field of an event: where it stands in the JSON, or its decoded text if it holds escapes.
#[derive(Clone, Default)]
pub(super) enum Text {
    #[default]
    Absent,
    Null,
    At(u32, u32),
    Decoded(Box<str>),
}

/// Reads kind and header of an event. The text must be shorter than 4 GiB.
pub(super) fn read(text: &str) -> Result<(Option<EventKind>, Header), serde_json::Error> {
    let head: Head<'_> = serde_json::from_str(text)?;
    let place = |found: &str| {
        let start = found.as_ptr() as usize - text.as_ptr() as usize;
        // Cannot truncate: the text is shorter than 4 GiB.
        (start as u32, (start + found.len()) as u32)
    };
    let field = |field: Option<Borrowed<'_>>| match field {
        None => Text::Absent,
        Some(Borrowed::Null) => Text::Null,
        Some(Borrowed::Plain(found)) => {
            let (start, end) = place(found);
            Text::At(start, end)
        }
        Some(Borrowed::Decoded(found)) => Text::Decoded(found),
    };
    let inside = |raw: &RawValue| {
        let (start, end) = place(raw.get());
        raw.get().starts_with('"').then_some((start + 1, end - 1))
    };
    let header = Header {
        message_id: field(head.message_id),
        tool_call_id: field(head.tool_call_id),
        subagent_run_id: field(head.subagent_run_id),
        delta: head.delta.and_then(inside),
        has_metadata: head.has_metadata,
    };
    Ok((head.kind, header))
}

/// The header fields, borrowed from the text.
#[derive(Default)]
struct Head<'a> {
    kind: Option<EventKind>,
    message_id: Option<Borrowed<'a>>,
    tool_call_id: Option<Borrowed<'a>>,
    subagent_run_id: Option<Borrowed<'a>>,
    delta: Option<&'a RawValue>,
    has_metadata: bool,
}

enum Borrowed<'a> {
    Null,
    Plain(&'a str),
    Decoded(Box<str>),
}

/// A field that counts only if it is a string: `{"messageId": 7}` is relayed, not refused.
struct IfString<'a>(Option<Borrowed<'a>>);

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Key {
    #[serde(rename = "type")]
    Type,
    #[serde(rename = "messageId")]
    MessageId,
    #[serde(rename = "toolCallId")]
    ToolCallId,
    #[serde(rename = "subagentRunId")]
    SubagentRunId,
    #[serde(rename = "delta")]
    Delta,
    #[serde(rename = "metadata")]
    Metadata,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Head<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeadVisitor;
        impl<'de> Visitor<'de> for HeadVisitor {
            type Value = Head<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an AG-UI event object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
                let mut head = Head::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Type => {
                            head.kind = match map.next_value::<IfString<'de>>()?.0 {
                                Some(Borrowed::Plain(name)) => Some(EventKind::from_name(name)),
                                Some(Borrowed::Decoded(name)) => Some(EventKind::from_name(&name)),
                                Some(Borrowed::Null) | None => None,
                            };
                        }
                        Key::MessageId => head.message_id = map.next_value::<IfString<'de>>()?.0,
                        Key::ToolCallId => head.tool_call_id = map.next_value::<IfString<'de>>()?.0,
                        Key::SubagentRunId => head.subagent_run_id = map.next_value::<IfString<'de>>()?.0,
                        Key::Delta => head.delta = Some(map.next_value::<&RawValue>()?),
                        Key::Metadata => {
                            map.next_value::<IgnoredAny>()?;
                            head.has_metadata = true;
                        }
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(head)
            }
        }
        deserializer.deserialize_map(HeadVisitor)
    }
}

impl<'de> Deserialize<'de> for IfString<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IfStringVisitor;
        impl<'de> Visitor<'de> for IfStringVisitor {
            type Value = IfString<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(IfString(Some(Borrowed::Plain(text))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(IfString(Some(Borrowed::Decoded(text.into()))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(IfString(Some(Borrowed::Null)))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(IfString(None))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(IfString(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(IfString(None))
            }
        }
        deserializer.deserialize_any(IfStringVisitor)
    }
}
