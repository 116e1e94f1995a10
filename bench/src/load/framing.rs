//! Where an HTTP/1.1 body begins and ends in the bytes of its connection. Pure: bytes in, ranges out.

use crate::failure::{Failure, Result};

/// The head of a response, as far as a load generator cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) body: Framing,
    pub(super) closes: bool,
}

/// What is left of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked(Chunk),
    UntilClose,
    Over,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size(u64),
    Extension(u64),
    Data(u64),
    AfterData,
    Trailer { line: u32 },
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// So many bytes of the body, beginning here.
    Data(usize),
    /// So many bytes that are not body.
    Skip(usize),
    /// Nothing can be said before more bytes arrive.
    More,
    /// The body is over.
    End,
}

/// Reads a head that is complete, its empty line left out.
pub(super) fn parse_head(head: &[u8]) -> Result<Head> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let mut parsed = Head {
        status: status.ok_or_else(|| Failure::said("not an HTTP response"))?,
        body: Framing::UntilClose,
        closes: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| Failure::said("bad content-length"))?;
            parsed.body = Framing::Length(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            parsed.body = Framing::Chunked(Chunk::Size(0));
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            parsed.closes = true;
        }
    }
    Ok(parsed)
}

impl Framing {
    /// Looks at the bytes that have arrived, and moves on by the piece it tells.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<Piece> {
        match self {
            Framing::Over | Framing::Length(0) => Ok(Piece::End),
            Framing::Length(_) | Framing::UntilClose | Framing::Chunked(_) if input.is_empty() => Ok(Piece::More),
            Framing::Length(left) => Ok(Piece::Data(take(left, input.len()))),
            Framing::UntilClose => Ok(Piece::Data(input.len())),
            Framing::Chunked(chunk) => {
                let piece = chunk.advance(input)?;
                if piece == Piece::End {
                    *self = Framing::Over;
                    return Ok(Piece::Skip(1));
                }
                Ok(piece)
            }
        }
    }
}

impl Chunk {
    /// `input` is not empty. End stands for the last line feed of the body.
    fn advance(&mut self, input: &[u8]) -> Result<Piece> {
        if let Chunk::Data(left) = self {
            let data = take(left, input.len());
            if *left == 0 {
                *self = Chunk::AfterData;
            }
            return Ok(Piece::Data(data));
        }
        for (at, &byte) in input.iter().enumerate() {
            *self = match (&*self, byte) {
                (Chunk::Size(size) | Chunk::Extension(size), b'\n') => match size {
                    0 => Chunk::Trailer { line: 0 },
                    _ => {
                        *self = Chunk::Data(*size);
                        return Ok(Piece::Skip(at + 1));
                    }
                },
                (Chunk::Size(size), b';' | b'\r' | b' ') | (Chunk::Extension(size), _) => Chunk::Extension(*size),
                (Chunk::Size(size), digit) => Chunk::Size(push_hex(*size, digit)?),
                (Chunk::AfterData, b'\n') => Chunk::Size(0),
                (Chunk::AfterData, _) => Chunk::AfterData,
                (Chunk::Trailer { line: 0 }, b'\n') if at == 0 => return Ok(Piece::End),
                // Told apart from the bytes before it, so that End is exactly one byte.
                (Chunk::Trailer { line: 0 }, b'\n') => return Ok(Piece::Skip(at)),
                (Chunk::Trailer { .. }, b'\n') => Chunk::Trailer { line: 0 },
                (Chunk::Trailer { line }, b'\r') => Chunk::Trailer { line: *line },
                (Chunk::Trailer { line }, _) => Chunk::Trailer { line: line + 1 },
                (Chunk::Data(_), _) => return Err(Failure::said("data is taken before the loop")),
            };
        }
        Ok(Piece::Skip(input.len()))
    }
}

fn push_hex(size: u64, digit: u8) -> Result<u64> {
    let digit = char::from(digit).to_digit(16).ok_or_else(|| Failure::said("bad chunk size"))?;
    let size = size.checked_mul(16).ok_or_else(|| Failure::said("chunk too large"))?;
    Ok(size + u64::from(digit))
}

fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut framing: Framing, wire: &[u8], step: usize) -> (String, usize) {
        let (mut body, mut at, mut seen) = (String::new(), 0, step.min(wire.len()));
        loop {
            match framing.advance(&wire[at..seen]).expect("well formed") {
                Piece::Data(n) => {
                    body.push_str(&String::from_utf8_lossy(&wire[at..at + n]));
                    at += n;
                }
                Piece::Skip(n) => at += n,
                Piece::More => seen = (seen + step).min(wire.len()),
                Piece::End => return (body, at),
            }
        }
    }

    #[test]
    fn chunks_are_found_however_they_are_cut() {
        let wire = b"5\r\nhello\r\nC;x=1\r\n, wide world\r\n0\r\n\r\nHTTP";
        for step in 1..wire.len() {
            let (body, end) = read(Framing::Chunked(Chunk::Size(0)), wire, step);
            assert_eq!((body.as_str(), end), ("hello, wide world", wire.len() - 4));
        }
    }

    #[test]
    fn trailers_are_skipped() {
        let wire = b"1\r\nx\r\n0\r\na: b\r\n\r\n";
        assert_eq!(read(Framing::Chunked(Chunk::Size(0)), wire, 3), ("x".to_owned(), wire.len()));
    }

    #[test]
    fn length_ends_a_body() {
        assert_eq!(read(Framing::Length(2), b"okHTTP", 1), ("ok".to_owned(), 2));
    }

    #[test]
    fn head_tells_framing() {
        let head = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nconnection: close").expect("a head");
        assert_eq!(head, Head { status: 200, body: Framing::Chunked(Chunk::Size(0)), closes: true });
        assert!(parse_head(b"nonsense").is_err());
    }
}
