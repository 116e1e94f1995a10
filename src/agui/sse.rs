//! Server-sent events as they arrive: bytes in, the payloads of `data` lines out.

use bytes::{Bytes, BytesMut};

/// Takes a server-sent event stream apart (rest-sse.md chapter 12.6).
///
/// Bytes may be split anywhere, also inside a character or a line end. Lines end with LF, CRLF or CR; a byte
/// order mark at the start is skipped; only `data` lines count, several of one event are joined by a line
/// feed. The work is linear in the bytes, and an event that lies in one chunk with a single `data` line is
/// handed out as a slice of that chunk.
///
/// ```
/// use copilotkit_runtime::agui::SseParser;
///
/// let mut parser = SseParser::new(1 << 20);
/// parser.push("data: one\r\n\r\n: a comment\n\ndata: tw".into());
/// assert_eq!(parser.next()?.unwrap(), "one");
/// assert_eq!(parser.next()?, None);
/// parser.push("o".into());
/// assert_eq!(parser.finish()?.unwrap(), "two"); // no blank line behind it
/// # Ok::<(), copilotkit_runtime::agui::EventTooLarge>(())
/// ```
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    /// What has been pushed and not been looked at.
    chunk: Bytes,
    /// The start of a line whose end has not arrived; it holds no line end.
    line: BytesMut,
    data: Data,
    /// The last line ended with the last byte so far, a CR: a LF to come belongs to it.
    after_cr: bool,
    at_start: bool,
}

/// An event is larger than the parser's limit. The parser is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than the limit of {limit} bytes")]
pub struct EventTooLarge {
    /// The limit, in bytes.
    pub limit: usize,
}

/// The payload of the event being read.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line, a slice of what arrived.
    One(Bytes),
    Several(BytesMut),
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl SseParser {
    /// A parser for one stream; `limit` is the most bytes one event, or one line, may have.
    #[must_use]
    pub fn new(limit: usize) -> SseParser {
        SseParser {
            limit,
            chunk: Bytes::new(),
            line: BytesMut::new(),
            data: Data::None,
            after_cr: false,
            at_start: true,
        }
    }

    /// Adds bytes. Call [`SseParser::next`] until it answers `None` before adding more: what has not been
    /// looked at by then must be copied.
    pub fn push(&mut self, bytes: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = bytes;
        } else {
            self.chunk = [std::mem::take(&mut self.chunk), bytes].concat().into();
        }
    }

    /// The payload of the next event that is complete.
    ///
    /// # Errors
    /// [`EventTooLarge`] when an event grows over the limit.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: `None` is not the end")]
    pub fn next(&mut self) -> Result<Option<Bytes>, EventTooLarge> {
        while let Some(line) = self.next_line()? {
            if let Some(payload) = self.take_line(line)? {
                return Ok(Some(payload));
            }
        }
        Ok(None)
    }

    /// The stream is over: the next event, at last the one without a blank line behind it, then `None`.
    ///
    /// # Errors
    /// [`EventTooLarge`] as for [`SseParser::next`].
    pub fn finish(&mut self) -> Result<Option<Bytes>, EventTooLarge> {
        if let Some(payload) = self.next()? {
            return Ok(Some(payload));
        }
        let line = self.line.split().freeze();
        if !line.is_empty() {
            self.take_line(line)?;
        }
        Ok(self.data.take())
    }

    /// Cuts a complete line off what has arrived, without its line end.
    fn next_line(&mut self) -> Result<Option<Bytes>, EventTooLarge> {
        if self.after_cr && !self.chunk.is_empty() {
            self.after_cr = false;
            if self.chunk[0] == b'\n' {
                let _ = self.chunk.split_to(1);
            }
        }
        // Only new bytes are searched: those in `line` hold no line end.
        let Some(end) = self.chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            let rest = std::mem::take(&mut self.chunk);
            // The name of the field and a byte order mark are not the event's.
            let aside = b"data: ".len() + BYTE_ORDER_MARK.len();
            self.check((self.line.len() + rest.len()).saturating_sub(aside))?;
            self.line.extend_from_slice(&rest);
            return Ok(None);
        };
        let mut found = self.chunk.split_to(end + 1);
        if found.ends_with(b"\r") {
            match self.chunk.first() {
                Some(b'\n') => drop(self.chunk.split_to(1)),
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
        found.truncate(end);
        if self.line.is_empty() {
            return Ok(Some(found));
        }
        self.line.extend_from_slice(&found);
        Ok(Some(self.line.split().freeze()))
    }

    /// Reads one line; a blank one ends an event.
    fn take_line(&mut self, mut line: Bytes) -> Result<Option<Bytes>, EventTooLarge> {
        if std::mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK) {
            line = line.slice(BYTE_ORDER_MARK.len()..);
        }
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let value = match line.strip_prefix(b"data") {
            Some(b"") => line.slice(line.len()..),
            Some([b':', b' ', ..]) => line.slice(6..),
            Some([b':', ..]) => line.slice(5..),
            _ => return Ok(None),
        };
        self.check(self.data.len_before_next() + value.len())?;
        self.data.add(value);
        Ok(None)
    }

    fn check(&self, bytes: usize) -> Result<(), EventTooLarge> {
        if bytes > self.limit { Err(EventTooLarge { limit: self.limit }) } else { Ok(()) }
    }
}

impl Data {
    /// The bytes before those of the next line, its line feed included.
    fn len_before_next(&self) -> usize {
        match self {
            Data::None => 0,
            Data::One(line) => line.len() + 1,
            Data::Several(lines) => lines.len() + 1,
        }
    }

    fn add(&mut self, value: Bytes) {
        *self = match std::mem::take(self) {
            Data::None => Data::One(value),
            Data::One(first) => Data::Several(join(BytesMut::from(first), &value)),
            Data::Several(lines) => Data::Several(join(lines, &value)),
        };
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Data::None => None,
            Data::One(line) => Some(line),
            Data::Several(lines) => Some(lines.freeze()),
        }
    }
}

fn join(mut lines: BytesMut, line: &[u8]) -> BytesMut {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut parser = SseParser::new(1 << 20);
        let mut found = Vec::new();
        for chunk in chunks {
            parser.push(Bytes::copy_from_slice(chunk));
            while let Some(payload) = parser.next().unwrap() {
                found.push(payload.to_vec());
            }
        }
        found.extend(parser.finish().unwrap().map(|payload| payload.to_vec()));
        found
    }

    /// The rules once more, over the whole text at once.
    fn reference(text: &[u8]) -> Vec<Vec<u8>> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'\n' if at > 0 && text[at - 1] == b'\r' => {}
                b'\n' | b'\r' => lines.push(Vec::new()),
                other => lines.last_mut().unwrap().push(*other),
            }
        }
        let (mut found, mut data) = (Vec::new(), None::<Vec<u8>>);
        // The end of the stream ends the last event.
        lines.push(Vec::new());
        for line in lines {
            if line.is_empty() {
                found.extend(data.take());
                continue;
            }
            let value = match line.strip_prefix(b"data:") {
                Some(value) => value.strip_prefix(b" ").unwrap_or(value),
                None if line == b"data" => b"",
                None => continue,
            };
            data = Some(match data {
                None => value.to_vec(),
                Some(data) => [&data[..], b"\n", value].concat(),
            });
        }
        found
    }

    #[test]
    fn all_line_ends_are_understood() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("data: a{end}{end}: note{end}event: x{end}data:b{end}data:  c{end}{end}data: d");
            assert_eq!(parse(&[text.as_bytes()]), [&b"a"[..], b"b\n c", b"d"], "{end:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(parse(&bytes), [&b"a"[..], b"b\n c", b"d"], "{end:?}");
        }
    }

    #[test]
    fn byte_order_mark_counts_at_start_only() {
        assert_eq!(parse(&[b"\xef", b"\xbb\xbfdata: a\n\n"]), [b"a"]);
        assert_eq!(parse(&[b"\n\xef\xbb\xbfdata: a\n\n"]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn whole_event_is_not_copied() {
        let chunk = Bytes::from_static(b"data: {\"a\":1}\n\n");
        let mut parser = SseParser::new(100);
        parser.push(chunk.clone());
        assert_eq!(parser.next().unwrap().unwrap().as_ptr(), chunk[6..].as_ptr());
    }

    #[test]
    fn too_large_event_is_refused() {
        let fits = |text: &[u8], size: usize| {
            let mut parser = SseParser::new(10);
            for chunk in text.chunks(size) {
                parser.push(Bytes::copy_from_slice(chunk));
                while parser.next()?.is_some() {}
            }
            parser.finish().map(|_| ())
        };
        for size in [1, 3, 100] {
            assert_eq!(fits(b"data: 0123456789\n\n", size), Ok(()));
            assert_eq!(fits(b"data: 01234567890\n\n", size), Err(EventTooLarge { limit: 10 }));
            assert!(fits(b"data: 01234\ndata: 567890\ndata: 123456789\n\n", size).is_err());
            // The line feed between two lines is the event's as well.
            assert_eq!(fits(b"data: 01234\ndata: 6789\n\n", size), Ok(()));
            assert!(fits(b"data: 01234\ndata: 67890\n\n", size).is_err());
            assert!(fits(b": 01234567890123456789012345678901234567890", size).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(
            parts in prop::collection::vec(prop::sample::select(vec![
                &b"data: "[..], b"data:", b"data", b"event: x", b": c", b"a", b" ", b"\n", b"\r", b"\r\n", b"\n\n",
                b"\xef\xbb\xbf", b"\xc3", b"\xbc", b"{\"k\":1}", b"\r\r",
            ]), 0..40),
            cuts in prop::collection::vec(0usize..64, 0..8),
        ) {
            let text = parts.concat();
            let expected = reference(&text);
            prop_assert_eq!(&parse(&[&text]), &expected);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let (mut chunks, mut start) = (Vec::new(), 0);
            for cut in cuts {
                chunks.push(&text[start..cut]);
                start = cut;
            }
            chunks.push(&text[start..]);
            prop_assert_eq!(&parse(&chunks), &expected);
        }
    }
}
