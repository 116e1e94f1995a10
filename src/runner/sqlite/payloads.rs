//! Long strings, as attachments are. The same one comes again and again: with the input, with the event that echoes it,
//! with every message that repeats it. A thread keeps it once.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::error::Failure;
use super::stored::{Piece, damaged};
use super::writer::Write;

/// What is longer than this is a payload.
const LONG: usize = 4096;

const HASH: usize = 32;

/// A long string, as it stands between its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) hash: [u8; HASH],
    bytes: Bytes,
}

/// A part of a gapped text.
pub(super) enum Part<'a> {
    Plain(&'a [u8]),
    /// Where the payload of this hash stood.
    Gap(&'a [u8]),
}

/// Takes the payloads out of a text; `None` if it has none. What is left is, for each payload, the length of the text
/// before it in four bytes, this text and the hash; and at last, the same without a hash.
pub(super) fn take_out(text: &Bytes) -> Option<(Vec<u8>, Vec<Payload>)> {
    let long = long_strings(text);
    if long.is_empty() {
        return None;
    }
    let mut gapped = Vec::new();
    let mut payloads = Vec::with_capacity(long.len());
    let mut at = 0;
    for place in long {
        plain(&mut gapped, &text[at..place.start])?;
        let bytes = text.slice(place.clone());
        let hash: [u8; HASH] = Sha256::digest(&bytes).into();
        gapped.extend_from_slice(&hash);
        payloads.push(Payload { hash, bytes });
        at = place.end;
    }
    plain(&mut gapped, &text[at..])?;
    Some((gapped, payloads))
}

/// `None` where four bytes do not hold the length; then the text stays whole.
fn plain(gapped: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    gapped.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
    gapped.extend_from_slice(text);
    Some(())
}

/// Walks through what [`take_out`] left.
pub(super) fn put_back<'a>(
    mut gapped: &'a [u8],
    mut put: impl FnMut(Part<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let broken = || damaged("events");
    loop {
        let (length, rest) = gapped.split_first_chunk().ok_or_else(broken)?;
        let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(broken)?;
        put(Part::Plain(text))?;
        if rest.is_empty() {
            return Ok(());
        }
        let (hash, rest) = rest.split_at_checked(HASH).ok_or_else(broken)?;
        put(Part::Gap(hash))?;
        gapped = rest;
    }
}

/// Where the long strings of some JSON are: from a quote that is not escaped to the next. What happens to be long
/// between two strings counts as one too. Of short strings hardly a byte is looked at.
fn long_strings(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(window) = text.get(start..=start + LONG) {
        // The last quote tells that everything before it is short.
        if let Some(quote) = (0..window.len()).rev().find(|at| is_quote(window, *at)) {
            start += quote + 1;
            continue;
        }
        let rest = &text[start..];
        let end = (window.len()..rest.len()).find(|at| is_quote(rest, *at)).unwrap_or(rest.len());
        found.push(start..start + end);
        start += end + 1;
    }
    found
}

/// Whether there is a quote that is not escaped.
fn is_quote(text: &[u8], at: usize) -> bool {
    text[at] == b'"' && text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
}

/// Keeps the payloads of a piece that the thread does not have yet.
pub(super) fn keep(write: &Write<'_>, thread: i64, run: i64, piece: &Piece) -> Result<(), Failure> {
    const KEEP: &str = "
        INSERT INTO payloads (thread, run, hash, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    for payload in piece.payloads() {
        write.sql(KEEP)?.execute(params![thread, run, payload.hash, &*payload.bytes])?;
    }
    Ok(())
}

/// Forgets what a run brought, as far as it is in none of these pieces. Runs before it do not have it, or they would
/// have brought it.
pub(super) fn forget(write: &Write<'_>, run: i64, but: &[&Piece]) -> Result<(), Failure> {
    const BROUGHT: &str = "SELECT id, hash FROM payloads WHERE run = ?1";
    const FORGET: &str = "DELETE FROM payloads WHERE id = ?1";
    let mut statement = write.sql(BROUGHT)?;
    let brought = statement.query_map([run], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; HASH]>(1)?)))?;
    for row in brought.collect::<Result<Vec<_>, _>>()? {
        let (id, hash) = row;
        if !but.iter().any(|piece| piece.payloads().iter().any(|payload| payload.hash == hash)) {
            write.sql(FORGET)?.execute([id])?;
        }
    }
    Ok(())
}

/// Reads a payload.
pub(super) fn read(connection: &Connection, thread: i64, hash: &[u8], into: &mut BytesMut) -> Result<(), Failure> {
    const READ: &str = "SELECT bytes FROM payloads WHERE thread = ?1 AND hash = ?2";
    let mut statement = connection.prepare_cached(READ)?;
    let found = statement.query_row(params![thread, hash], |row| {
        into.extend_from_slice(row.get_ref(0)?.as_blob()?);
        Ok(())
    });
    found.optional()?.ok_or_else(|| damaged("references to attachments that are not there, and events"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(gapped: &[u8], payloads: &[Payload]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut payloads = payloads.iter();
        put_back(gapped, |part| {
            match part {
                Part::Plain(plain) => text.extend_from_slice(plain),
                Part::Gap(hash) => {
                    let payload = payloads.next().unwrap();
                    assert_eq!(hash, payload.hash);
                    text.extend_from_slice(&payload.bytes);
                }
            }
            Ok(())
        })
        .unwrap();
        text
    }

    fn payloads(json: &str) -> Vec<Payload> {
        take_out(&Bytes::copy_from_slice(json.as_bytes())).map(|(_, payloads)| payloads).unwrap_or_default()
    }

    #[test]
    fn a_long_string_is_the_same_payload_wherever_it_stands() {
        let body = r#"a\"b\\"#.repeat(1000);
        for json in [format!(r#"["{body}"]"#), format!(r#"{{"x":1,"y":"{body}","z":"\\"}}"#), format!("\"{body}\"")] {
            let found = payloads(&json);
            assert_eq!(found.iter().map(|payload| &*payload.bytes).collect::<Vec<_>>(), [body.as_bytes()]);
        }
    }

    #[test]
    fn what_is_not_long_stays_in_its_place() {
        for length in [0, 1, LONG - 1, LONG] {
            assert!(payloads(&format!("[\"{}\"]", "x".repeat(length))).is_empty(), "{length}");
        }
        assert_eq!(payloads(&format!("[\"{}\"]", "x".repeat(LONG + 1))).len(), 1);
        assert!(payloads(&r#"{"a":"b"},"#.repeat(10_000)).is_empty());
    }

    #[test]
    fn damaged_text_is_told() {
        for gapped in [&[][..], &[1], &[1, 0, 0, 0], &[0, 0, 0, 0, 7]] {
            assert!(put_back(gapped, |_| Ok(())).is_err(), "{gapped:?}");
        }
    }

    proptest! {
        /// Texts of quotes, backslashes and long stretches, whether they are JSON or not.
        #[test]
        fn every_text_comes_back_byte_for_byte(parts in prop::collection::vec(
            prop_oneof![Just("\"".to_owned()), Just("\\".to_owned()), (0usize..10_000).prop_map(|n| "é".repeat(n)), ".{0,9}"], 0..12,
        )) {
            let text = Bytes::from(parts.concat());
            if let Some((gapped, payloads)) = take_out(&text) {
                prop_assert!(payloads.iter().all(|payload| payload.bytes.len() > LONG));
                prop_assert_eq!(whole(&gapped, &payloads), &text[..]);
            }
        }
    }
}
