//! The messages of the schema `ag_ui`, as tables: which field holds what, and how it is called in JSON.

use serde_json::{Map, Number, Value};

use super::super::{Event, EventKind, EventWriter};
use super::ProtoError;
use super::wire::{Field, Fields, Wire};

/// How a field is read.
#[derive(Clone, Copy)]
enum Kind {
    /// Text that is empty when absent.
    Text,
    /// Text that may be absent.
    OptionalText,
    /// A whole number that may be absent.
    Int,
    /// `google.protobuf.Value`.
    Json,
    /// `google.protobuf.Struct`.
    Struct,
    Message(&'static Table),
    /// A list, empty when absent.
    Texts,
    Messages(&'static Table),
    /// A list that is left out when empty.
    SomeMessages(&'static Table),
    /// The operation of a JSON Patch.
    PatchOp,
}

use Kind::{Int, Json, Message, Messages, OptionalText, PatchOp, SomeMessages, Struct, Text, Texts};

/// The fields of a message: number, name in JSON, kind. In the order JSON shall have.
type Table = [(u64, &'static str, Kind)];

type Object = Map<String, Value>;

/// `Event`: the number of the field that is set names the type. Field 1 of each is [`BASE`].
const EVENTS: &[(u64, EventKind, &Table)] = &[
    (
        1,
        EventKind::TextMessageStart,
        &[(2, "messageId", Text), (3, "role", OptionalText), (4, "name", OptionalText), (5, LANE, OptionalText)],
    ),
    (2, EventKind::TextMessageContent, &[(2, "messageId", Text), (3, "delta", Text), (4, LANE, OptionalText)]),
    (3, EventKind::TextMessageEnd, &[(2, "messageId", Text), (3, LANE, OptionalText)]),
    (
        4,
        EventKind::ToolCallStart,
        &[
            (2, "toolCallId", Text),
            (3, "toolCallName", Text),
            (4, "parentMessageId", OptionalText),
            (5, LANE, OptionalText),
        ],
    ),
    (5, EventKind::ToolCallArgs, &[(2, "toolCallId", Text), (3, "delta", Text), (4, LANE, OptionalText)]),
    (6, EventKind::ToolCallEnd, &[(2, "toolCallId", Text), (3, LANE, OptionalText)]),
    (7, EventKind::StateSnapshot, &[(2, "snapshot", Json), (3, LANE, OptionalText)]),
    (8, EventKind::StateDelta, &[(2, "delta", Messages(PATCH)), (3, LANE, OptionalText)]),
    (9, EventKind::MessagesSnapshot, &[(2, "messages", Messages(MESSAGE))]),
    (10, EventKind::Raw, &[(2, "event", Json), (3, "source", OptionalText), (4, LANE, OptionalText)]),
    (11, EventKind::Custom, &[(2, "name", Text), (3, "value", Json), (4, LANE, OptionalText)]),
    (12, EventKind::RunStarted, &[(2, "threadId", Text), (3, "runId", Text)]),
    (
        13,
        EventKind::RunFinished,
        &[
            (2, "threadId", Text),
            (3, "runId", Text),
            (4, "result", Json),
            (5, "outcome", Text),
            (6, "interrupts", Messages(INTERRUPT)),
            (7, "usage", SomeMessages(USAGE)),
        ],
    ),
    (14, EventKind::RunError, &[(3, "message", Text), (2, "code", OptionalText), (4, "usage", SomeMessages(USAGE))]),
    (15, EventKind::StepStarted, &[(2, "stepName", Text), (3, LANE, OptionalText)]),
    (16, EventKind::StepFinished, &[(2, "stepName", Text), (3, LANE, OptionalText)]),
    (
        17,
        EventKind::TextMessageChunk,
        &[
            (2, "messageId", OptionalText),
            (3, "role", OptionalText),
            (4, "delta", OptionalText),
            (5, "name", OptionalText),
            (6, LANE, OptionalText),
        ],
    ),
    (
        18,
        EventKind::ToolCallChunk,
        &[
            (2, "toolCallId", OptionalText),
            (3, "toolCallName", OptionalText),
            (4, "parentMessageId", OptionalText),
            (5, "delta", OptionalText),
            (6, LANE, OptionalText),
        ],
    ),
    (
        19,
        EventKind::SubagentStarted,
        &[
            (2, "subagentRunId", Text),
            (3, "name", Text),
            (4, "description", OptionalText),
            (5, "parentSubagentRunId", OptionalText),
            (6, "parentToolCallId", OptionalText),
            (7, "parentMessageId", OptionalText),
        ],
    ),
    (
        20,
        EventKind::SubagentFinished,
        &[(2, "subagentRunId", Text), (3, "result", Json), (4, "outcome", Text), (5, "interruptIds", Texts)],
    ),
    (21, EventKind::SubagentError, &[(2, "subagentRunId", Text), (3, "message", Text), (4, "code", OptionalText)]),
];

const LANE: &str = "subagentRunId";
/// Its first field, the type, says the same as the field of `Event`; the encoder has no number for chunks.
const BASE: &Table = &[(2, "timestamp", Int), (3, "rawEvent", Json), (4, "metadata", Struct)];
const PATCH: &Table = &[(1, "op", PatchOp), (2, "path", Text), (3, "from", OptionalText), (4, "value", Json)];
const USAGE: &Table = &[
    (1, "provider", OptionalText),
    (2, "model", OptionalText),
    (3, "inputTokens", Int),
    (4, "outputTokens", Int),
    (5, "totalTokens", Int),
    (6, "reasoningTokens", Int),
    (7, "cachedInputTokens", Int),
];
const INTERRUPT: &Table = &[
    (1, "id", Text),
    (2, "reason", Text),
    (3, "message", OptionalText),
    (4, "toolCallId", OptionalText),
    (5, "responseSchema", Json),
    (6, "expiresAt", OptionalText),
    (7, "metadata", Json),
    (8, "subagentRunId", OptionalText),
];
const MESSAGE: &Table = &[
    (1, "id", Text),
    (2, "role", Text),
    (3, "content", OptionalText),
    (4, "name", OptionalText),
    (5, "toolCalls", SomeMessages(TOOL_CALL)),
    (6, "toolCallId", OptionalText),
    (7, "error", OptionalText),
    (8, "contentParts", SomeMessages(PART)),
    (9, "metadata", Struct),
    (10, "subagentRunId", OptionalText),
];
const TOOL_CALL: &Table =
    &[(1, "id", Text), (2, "type", Text), (3, "function", Message(FUNCTION)), (4, "metadata", Struct)];
const FUNCTION: &Table = &[(1, "name", Text), (2, "arguments", Text)];
const PART: &Table = &[
    (1, "text", Message(&[(1, "text", Text)])),
    (2, "image", Message(MEDIA)),
    (3, "audio", Message(MEDIA)),
    (4, "video", Message(MEDIA)),
    (5, "document", Message(MEDIA)),
];
const MEDIA: &Table = &[(1, "source", Message(SOURCE)), (2, "metadata", Json)];
const SOURCE: &Table = &[
    (1, "data", Message(&[(1, "value", Text), (2, "mimeType", Text)])),
    (2, "url", Message(&[(1, "value", Text), (2, "mimeType", OptionalText)])),
];
const PATCH_OPS: &[&str] = &["add", "remove", "replace", "move", "copy", "test"];
/// How deep a [`Json`] value may nest.
const MAX_DEPTH: usize = 100;

/// Reads the message `Event`.
pub(super) fn event(bytes: &[u8]) -> Result<Event, ProtoError> {
    let mut found = None;
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        let known = EVENTS.iter().find(|(number, ..)| *number == field.number);
        if let (Some((_, kind, table)), Some(message)) = (known, field.message()) {
            found = Some((*kind, *table, message));
        }
    }
    let (kind, table, bytes) = found.ok_or(ProtoError::Malformed("its type is unknown"))?;
    let mut base = message(bytes, &[(1, "base", Message(BASE))])?;
    let base = base.get_mut("base").and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
    let mut object = message(bytes, table)?;
    match kind {
        EventKind::RunFinished => outcome(&mut object, "interrupts", "interrupt", true),
        EventKind::SubagentFinished => outcome(&mut object, "interruptIds", "suspended", false),
        EventKind::MessagesSnapshot => {
            for message in object.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
                parts(message);
            }
        }
        _ => {}
    }
    let writer = EventWriter::new(kind);
    Ok(base.iter().chain(&object).fold(writer, field).finish())
}

fn field(writer: EventWriter, (name, value): (&String, &Value)) -> EventWriter {
    match value {
        Value::String(text) => writer.text(name, text),
        value => writer.json(name, value),
    }
}

fn message(bytes: &[u8], table: &Table) -> Result<Object, ProtoError> {
    let mut values: Vec<Option<Value>> = table.iter().map(|(_, _, kind)| kind.absent()).collect();
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        // A known number with another wire type is an unknown field, as for every protobuf reader.
        if let Some(at) = table.iter().position(|(number, ..)| *number == field.number) {
            let (_, _, kind) = table[at];
            if let Some(value) = kind.read(field)? {
                match (&mut values[at], kind) {
                    (Some(Value::Array(items)), Texts | Messages(_)) => items.push(value),
                    (Some(Value::Array(items)), SomeMessages(_)) => items.push(value),
                    (slot, SomeMessages(_)) => *slot = Some(Value::Array(vec![value])),
                    (slot, _) => *slot = Some(value),
                }
            }
        }
    }
    let named = table.iter().zip(values);
    Ok(named.filter_map(|((_, name, _), value)| Some(((*name).to_owned(), value?))).collect())
}

impl Kind {
    fn absent(self) -> Option<Value> {
        match self {
            Text => Some(Value::String(String::new())),
            PatchOp => Some(Value::from(PATCH_OPS[0])),
            Texts | Messages(_) => Some(Value::Array(Vec::new())),
            OptionalText | Int | Json | Struct | Message(_) | SomeMessages(_) => None,
        }
    }

    /// The value of a field, an item for lists.
    fn read(self, field: Field<'_>) -> Result<Option<Value>, ProtoError> {
        Ok(match self {
            Text | OptionalText | Texts => field.text()?.map(Value::from),
            Int => field.int().map(Value::from),
            PatchOp => match field.int() {
                Some(op) => {
                    let name = usize::try_from(op).ok().and_then(|op| PATCH_OPS.get(op));
                    Some(Value::from(*name.ok_or(ProtoError::Malformed("a patch operation is unknown"))?))
                }
                None => None,
            },
            Json => match field.message() {
                Some(bytes) => json(bytes, 0)?,
                None => None,
            },
            Struct => match field.message() {
                Some(bytes) => Some(Value::Object(object(bytes, 0)?)),
                None => None,
            },
            Message(table) | Messages(table) | SomeMessages(table) => match field.message() {
                Some(bytes) => Some(Value::Object(message(bytes, table)?)),
                None => None,
            },
        })
    }
}

/// `google.protobuf.Value`; `None` when it holds nothing.
fn json(bytes: &[u8], depth: usize) -> Result<Option<Value>, ProtoError> {
    if depth > MAX_DEPTH {
        return Err(ProtoError::Malformed("a value is nested too deeply"));
    }
    let mut found = None;
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        found = match (field.number, field.value) {
            (1, Wire::Varint(_)) => Some(Value::Null),
            (2, Wire::Fixed64(bytes)) => Some(number(f64::from_le_bytes(bytes))),
            (3, Wire::Bytes(_)) => field.text()?.map(Value::from),
            (4, Wire::Varint(value)) => Some(Value::Bool(value != 0)),
            (5, Wire::Bytes(bytes)) => Some(Value::Object(object(bytes, depth + 1)?)),
            (6, Wire::Bytes(bytes)) => Some(Value::Array(list(bytes, depth + 1)?)),
            _ => continue,
        };
    }
    Ok(found)
}

/// `google.protobuf.Struct`: a map from text to values.
fn object(bytes: &[u8], depth: usize) -> Result<Object, ProtoError> {
    let mut object = Object::new();
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        let (1, Some(entry)) = (field.number, field.message()) else {
            continue;
        };
        let (mut key, mut value) = ("", None);
        let mut entry = Fields::of(entry);
        while let Some(part) = entry.next()? {
            match (part.number, part.message()) {
                (1, Some(_)) => key = part.text()?.unwrap_or_default(),
                (2, Some(bytes)) => value = json(bytes, depth + 1)?,
                _ => {}
            }
        }
        // JSON has no word for a key without value.
        if let Some(value) = value {
            object.insert(key.to_owned(), value);
        }
    }
    Ok(object)
}

fn list(bytes: &[u8], depth: usize) -> Result<Vec<Value>, ProtoError> {
    let mut items = Vec::new();
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        if let (1, Some(bytes)) = (field.number, field.message()) {
            items.push(json(bytes, depth + 1)?.unwrap_or(Value::Null));
        }
    }
    Ok(items)
}

/// A number as JavaScript writes it: whole ones without a fraction, infinities as null.
fn number(number: f64) -> Value {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= WHOLE {
        // Whole and within 2^53, so nothing is cut off.
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Puts the flat outcome of the wire together again: `{type, <list>}`; none when it is unknown or empty.
fn outcome(object: &mut Object, list: &str, with_list: &str, even_empty: bool) {
    let items = object.shift_remove(list).unwrap_or_default();
    let name = object.shift_remove("outcome");
    let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
    if name == with_list || name == "success" {
        let mut outcome = Object::new();
        outcome.insert("type".to_owned(), Value::from(name));
        if name == with_list && (even_empty || items.as_array().is_some_and(|items| !items.is_empty())) {
            outcome.insert(list.to_owned(), items);
        }
        object.insert("outcome".to_owned(), Value::Object(outcome));
    }
}

/// Puts the parts of a user's message in the place of its content.
fn parts(message: &mut Value) {
    let Some(message) = message.as_object_mut() else {
        return;
    };
    let Some(Value::Array(parts)) = message.shift_remove("contentParts") else {
        return;
    };
    if message.get("role").and_then(Value::as_str) == Some("user") {
        let parts: Vec<Value> = parts.iter().filter_map(|part| tagged(part, true)).collect();
        if !parts.is_empty() {
            message.insert("content".to_owned(), Value::Array(parts));
        }
    }
}

/// `{"image":{…}}` as `{"type":"image",…}`, and its source likewise.
fn tagged(value: &Value, source: bool) -> Option<Value> {
    let (name, fields) = value.as_object()?.iter().next()?;
    let mut object = Object::new();
    object.insert("type".to_owned(), Value::from(name.as_str()));
    for (name, field) in fields.as_object()? {
        match (source && name == "source").then(|| tagged(field, false)) {
            Some(Some(source)) => drop(object.insert(name.clone(), source)),
            Some(None) => {}
            None => drop(object.insert(name.clone(), field.clone())),
        }
    }
    Some(Value::Object(object))
}
