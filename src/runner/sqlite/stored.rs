//! How JSON stands in the file: as it is, but for long strings, which a thread keeps once.

use bytes::{Bytes, BytesMut};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};
use serde_json::Value;

use super::error::Failure;
use super::payloads::{self, Payload};

/// JSON, or frames of it, as a column has it: text as it is, or a blob with gaps where payloads were.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    form: Form,
    payloads: Vec<Payload>,
    /// How much it is, payloads included.
    len: usize,
}

#[derive(Clone, Debug)]
enum Form {
    Text(Bytes),
    Gapped(Vec<u8>),
}

impl Piece {
    pub(super) fn of(bytes: Bytes) -> Piece {
        let len = bytes.len();
        match payloads::take_out(&bytes) {
            None => Piece::plain(bytes),
            Some((gapped, payloads)) => Piece { form: Form::Gapped(gapped), payloads, len },
        }
    }

    /// One in which no long string can be.
    pub(super) fn plain(bytes: Bytes) -> Piece {
        Piece { len: bytes.len(), form: Form::Text(bytes), payloads: Vec::new() }
    }

    /// The text, unless there are gaps in it.
    pub(super) fn text(&self) -> Option<&Bytes> {
        match &self.form {
            Form::Text(bytes) => Some(bytes),
            Form::Gapped(_) => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn payloads(&self) -> &[Payload] {
        &self.payloads
    }
}

impl ToSql for Piece {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match &self.form {
            Form::Text(bytes) => ValueRef::Text(bytes),
            Form::Gapped(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Reads a column of a thread.
pub(super) fn read(connection: &Connection, thread: i64, column: ValueRef<'_>) -> Result<Bytes, Failure> {
    match column {
        ValueRef::Text(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        ValueRef::Blob(gapped) => {
            let mut bytes = BytesMut::new();
            payloads::put_back(gapped, |part| match part {
                payloads::Part::Plain(plain) => {
                    bytes.extend_from_slice(plain);
                    Ok(())
                }
                payloads::Part::Gap(hash) => payloads::read(connection, thread, hash, &mut bytes),
            })?;
            Ok(bytes.freeze())
        }
        _ => Err(damaged("events")),
    }
}

/// Reads JSON that the store wrote.
pub(super) fn value(json: &str) -> Result<Value, Failure> {
    serde_json::from_str(json).map_err(|_| damaged("state"))
}

/// The file holds what the store never wrote.
pub(super) fn damaged(what: &str) -> Failure {
    Failure::because(format!(
        "the file holds {what} that cannot be read: look with `copilotkit-runtime db check`, or restore a backup"
    ))
}
