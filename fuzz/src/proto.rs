//! Binary events are the same however their bytes are cut, and each is an event.

use copilotkit_runtime::agui::{Event, ProtoDecoder, normalise};

/// Reads the rest of the bytes whole and in pieces as long as the first byte says.
pub fn holds(bytes: &[u8]) {
    let (whole, pieces) = super::cut(bytes);
    let found = events([whole]);
    assert_eq!(events(pieces), found);
    for event in found.0 {
        assert_eq!(Event::parse(event.json().clone()), Ok(event.clone()));
        let _ = normalise(event);
    }
}

/// The events, and whether all of the stream was read.
fn events<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Event>, bool) {
    let mut decoder = ProtoDecoder::new(1 << 16);
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, decoder.finish().is_ok())
}
