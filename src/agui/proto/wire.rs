//! The protobuf wire format, as far as events need it.

use super::ProtoError;

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Wire<'a>,
}

/// A field's value. Groups are skipped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// Groups may nest; nobody writes them.
const MAX_GROUPS: usize = 100;

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// The next field that is no group.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, ProtoError> {
        let mut open: Vec<u64> = Vec::new();
        loop {
            if self.rest.is_empty() {
                return if open.is_empty() { Ok(None) } else { Err(MALFORMED) };
            }
            let tag = self.varint()?;
            let number = tag >> 3;
            if number == 0 {
                return Err(MALFORMED);
            }
            let value = match tag & 7 {
                0 => Wire::Varint(self.varint()?),
                1 => Wire::Fixed64(self.take(8)?.try_into().map_err(|_| MALFORMED)?),
                2 => {
                    let length = usize::try_from(self.varint()?).map_err(|_| MALFORMED)?;
                    Wire::Bytes(self.take(length)?)
                }
                3 if open.len() < MAX_GROUPS => {
                    open.push(number);
                    continue;
                }
                4 if open.last() == Some(&number) => {
                    open.pop();
                    continue;
                }
                5 => {
                    self.take(4)?;
                    Wire::Fixed32
                }
                _ => return Err(MALFORMED),
            };
            if open.is_empty() {
                return Ok(Some(Field { number, value }));
            }
        }
    }

    fn varint(&mut self) -> Result<u64, ProtoError> {
        let mut value = 0_u64;
        for at in 0..10 {
            let byte = *self.rest.get(at).ok_or(MALFORMED)?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(MALFORMED)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtoError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(MALFORMED)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Field<'a> {
    /// The value as text, if it is of that kind.
    pub(super) fn text(self) -> Result<Option<&'a str>, ProtoError> {
        match self.value {
            Wire::Bytes(bytes) => {
                std::str::from_utf8(bytes).map(Some).map_err(|_| ProtoError::Malformed("a string is not UTF-8"))
            }
            _ => Ok(None),
        }
    }

    /// The value as a message, if it can be one.
    pub(super) fn message(self) -> Option<&'a [u8]> {
        match self.value {
            Wire::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value as a number, if it is one of variable length.
    pub(super) fn int(self) -> Option<i64> {
        match self.value {
            Wire::Varint(value) => Some(value.cast_signed()),
            _ => None,
        }
    }
}

pub(super) const MALFORMED: ProtoError = ProtoError::Malformed("the message is damaged");
