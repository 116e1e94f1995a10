//! How JSON stands in the file.

use bytes::Bytes;
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde_json::Value;

use super::error::Failure;

/// JSON, or frames of it, as a column of the file has it: text as it is.
#[derive(Clone, Debug)]
pub(super) struct Piece(Bytes);

impl Piece {
    pub(super) fn of(bytes: &[u8]) -> Piece {
        Piece(Bytes::copy_from_slice(bytes))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl ToSql for Piece {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// Reads a column.
pub(super) fn read(column: ValueRef<'_>) -> Result<Bytes, Failure> {
    match column {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
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
