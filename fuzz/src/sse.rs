//! Server-sent events are the same however their bytes are cut.

use bytes::Bytes;
use copilotkit_runtime::agui::SseParser;

/// Reads the rest of the bytes whole and in pieces as long as the first byte says.
pub fn holds(bytes: &[u8]) {
    const LIMIT: usize = 64;
    let (whole, pieces) = super::cut(bytes);
    let roomy = whole.len();
    assert_eq!(events(pieces, roomy), events([whole], roomy));
    let (_, pieces) = super::cut(bytes);
    let (small, _) = events(pieces, LIMIT);
    assert!(small.iter().all(|event| event.len() <= LIMIT), "an event over the limit");
}

/// The events, and whether all of the stream was read.
fn events<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, limit: usize) -> (Vec<Bytes>, bool) {
    let mut parser = SseParser::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next() {
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    loop {
        match parser.finish() {
            Ok(Some(event)) => found.push(event),
            Ok(None) => return (found, true),
            Err(_) => return (found, false),
        }
    }
}
