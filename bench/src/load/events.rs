//! Complete SSE events out of pieces cut anywhere.

/// Joins pieces and tells whole events, without their closing empty line.
#[derive(Debug, Default)]
pub struct EventSplitter {
    begun: Vec<u8>,
}

impl EventSplitter {
    /// Takes a piece and tells every event that it completes.
    pub fn feed(&mut self, piece: &[u8], mut tell: impl FnMut(&[u8])) {
        let mut rest = piece;
        if !self.begun.is_empty() {
            // An end may lie across the border, so the joined bytes are searched.
            let border = self.begun.len();
            self.begun.extend_from_slice(piece);
            let Some(end) = memchr::memmem::find(&self.begun[border - 1..], b"\n\n") else {
                return;
            };
            tell(&self.begun[..border - 1 + end]);
            rest = &piece[end + 1..];
            self.begun.clear();
        }
        while let Some(end) = memchr::memmem::find(rest, b"\n\n") {
            tell(&rest[..end]);
            rest = &rest[end + 2..];
        }
        self.begun.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let stream = b"data: one\n\ndata: two\n\n: three\n\n";
        for size in 1..=stream.len() {
            let (mut splitter, mut told) = (EventSplitter::default(), Vec::new());
            for piece in stream.chunks(size) {
                splitter.feed(piece, |event| told.push(String::from_utf8_lossy(event).into_owned()));
            }
            assert_eq!(told, ["data: one", "data: two", ": three"]);
        }
    }
}
