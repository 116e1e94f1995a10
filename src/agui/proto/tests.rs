use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agui::normalise;

const EVENTS: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proto/events.bin"));
const DECODED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proto/events.json"));

fn decode(chunks: &[&[u8]]) -> Result<Vec<Event>, ProtoError> {
    let mut decoder = ProtoDecoder::new(1 << 20);
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(event) = decoder.next()? {
            events.push(event);
        }
    }
    decoder.finish()?;
    Ok(events)
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// A field of a length below 128 and its content.
fn delimited(number: u8, content: &[u8]) -> Vec<u8> {
    let tag = if number < 16 { vec![number << 3 | 2] } else { vec![(number << 3 | 2) | 0x80, number >> 4] };
    [&tag[..], &[u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn encoder_output_is_understood() {
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        event: Value,
    }
    let cases: Vec<Case> = serde_json::from_str(DECODED).unwrap();
    let events = decode(&[EVENTS]).unwrap();
    assert_eq!(events.len(), cases.len());
    for (event, case) in events.into_iter().zip(cases) {
        let event = normalise(event).unwrap();
        assert_eq!(event.view::<Value>().unwrap(), case.event, "{}", case.name);
        assert_eq!(event.message_id(), case.event["messageId"].as_str());
        assert_eq!(event.tool_call_id(), case.event["toolCallId"].as_str());
        assert_eq!(event.subagent_run_id(), case.event["subagentRunId"].as_str());
    }
}

#[test]
fn bytes_may_be_split_anywhere() {
    let bytes: Vec<&[u8]> = EVENTS.chunks(1).collect();
    assert_eq!(decode(&bytes), decode(&[EVENTS]));
}

#[test]
fn chunks_are_understood() {
    // The released encoder cannot write these two, but the schema has them.
    let text = delimited(17, &[delimited(1, &[]), delimited(2, b"m"), delimited(4, b"d")].concat());
    let tool = delimited(18, &[delimited(2, b"t"), delimited(3, b"f"), delimited(5, b"")].concat());
    let events = decode(&[&framed(&text), &framed(&tool)]).unwrap();
    assert_eq!(events[0].as_str(), r#"{"type":"TEXT_MESSAGE_CHUNK","messageId":"m","delta":"d"}"#);
    assert_eq!(events[1].as_str(), r#"{"type":"TOOL_CALL_CHUNK","toolCallId":"t","toolCallName":"f","delta":""}"#);
}

#[test]
fn unknown_fields_are_skipped() {
    let unknown = [&delimited(15, b"x")[..], &[0x78, 1], &[0x79, 0, 0, 0, 0, 0, 0, 0, 0], &[0x7d, 0, 0, 0, 0]].concat();
    let group = [0x7b, 0x73, 0x08, 0x01, 0x74, 0x7c];
    let end = delimited(3, &[&unknown, &delimited(2, b"m")[..], &group].concat());
    let events = decode(&[&framed(&end)]).unwrap();
    assert_eq!(events[0].view::<Value>().unwrap(), json!({"type":"TEXT_MESSAGE_END","messageId":"m"}));
}

#[test]
fn bad_messages_are_refused() {
    let malformed = |message: &[u8]| matches!(decode(&[&framed(message)]), Err(ProtoError::Malformed(_)));
    assert!(malformed(b""));
    assert!(malformed(&delimited(99, b"")));
    assert!(malformed(&[0x12, 0x7f]));
    assert!(malformed(&[0xff; 12]));
    assert!(malformed(&delimited(3, &delimited(2, b"\xff"))));
    assert!(malformed(&[0x0b]));
    assert_eq!(decode(&[b"\0\0\0\x05\x0a"]), Err(ProtoError::Truncated));
    assert_eq!(decode(&[b"\x10\0\0\0"]), Err(ProtoError::TooLarge(1 << 20)));
}

#[test]
fn deep_values_are_refused() {
    let mut value = vec![0x08, 0x00];
    for _ in 0..200 {
        let mut list = vec![0x0a];
        list.extend(varint(value.len()));
        list.extend(&value);
        value = vec![0x32];
        value.extend(varint(list.len()));
        value.extend(&list);
    }
    let mut snapshot = vec![0x12];
    snapshot.extend(varint(value.len()));
    snapshot.extend(&value);
    let mut event = vec![0x3a];
    event.extend(varint(snapshot.len()));
    event.extend(&snapshot);
    assert_eq!(decode(&[&framed(&event)]), Err(ProtoError::Malformed("a value is nested too deeply")));
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&[&framed(&bytes)]);
    }

    #[test]
    fn damaged_events_do_not_panic(at in 0..EVENTS.len(), byte in any::<u8>()) {
        let mut bytes = EVENTS.to_vec();
        bytes[at] = byte;
        for event in decode(&[&bytes]).into_iter().flatten() {
            prop_assert!(Event::parse(event.json().clone()).is_ok());
        }
    }
}
