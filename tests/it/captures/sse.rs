//! Event streams, read strictly: `data: …`, maybe behind an `id: …`, or a comment, then an empty line, and nothing else.

/// One frame of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Its lines, without the empty one.
    pub(crate) text: &'a [u8],
    /// Where in the body the next one begins.
    pub(crate) end: usize,
}

impl<'a> Frame<'a> {
    pub(crate) fn is_event(&self) -> bool {
        self.parts().1.starts_with(b"data:")
    }

    /// The JSON of a frame that is `data: ` and one line.
    pub(crate) fn data(&self) -> Option<&'a [u8]> {
        let data = self.parts().1.strip_prefix(b"data: ")?;
        (!data.contains(&b'\n')).then_some(data)
    }

    /// The event's id, if it has one.
    pub(crate) fn id(&self) -> Option<String> {
        self.parts().0.map(|id| String::from_utf8_lossy(id).into_owned())
    }

    /// The id, and what follows its line.
    fn parts(&self) -> (Option<&'a [u8]>, &'a [u8]) {
        let end = self.text.iter().position(|byte| *byte == b'\n');
        let id = end.and_then(|end| Some((self.text[..end].strip_prefix(b"id: ")?, &self.text[end + 1..])));
        id.map_or((None, self.text), |(id, rest)| (Some(id), rest))
    }

    pub(crate) fn is_comment(&self) -> bool {
        self.text.starts_with(b":") && !self.text.contains(&b'\n')
    }
}

/// The complete frames of a body.
pub(crate) fn frames(body: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at + 1 < body.len() {
        if &body[at..at + 2] == b"\n\n" {
            frames.push(Frame { text: &body[start..at], end: at + 2 });
            at += 2;
            start = at;
        } else {
            at += 1;
        }
    }
    frames
}

/// What is wrong with the framing of a body, if anything.
pub(crate) fn framing_fault(body: &[u8]) -> Option<String> {
    let frames = frames(body);
    let end = frames.last().map_or(0, |frame| frame.end);
    if end != body.len() {
        return Some(format!("a last frame without its empty line: {:?}", String::from_utf8_lossy(&body[end..])));
    }
    let odd = frames.iter().find(|frame| frame.data().is_none() && !frame.is_comment())?;
    Some(format!("neither `data: …` nor a comment: {:?}", String::from_utf8_lossy(odd.text)))
}
