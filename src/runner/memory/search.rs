//! Finding threads by the words of their names and messages.

use std::sync::Arc;

use super::thread::Thread;
use crate::agui::{Event, Message, MessageList};
use crate::runner::words::Words;
use crate::runner::{StoredRun, ThreadEntry};

/// What a search looks at, taken out of the store so that looking holds up nobody.
pub(super) struct Searched {
    pub(super) entry: ThreadEntry,
    pub(super) active: u64,
    earlier: Option<Arc<MessageList>>,
    runs: Vec<StoredRun>,
    asked: Vec<Message>,
}

impl Searched {
    pub(super) fn of(thread: &Thread) -> Searched {
        Searched {
            entry: thread.entry.clone(),
            active: thread.active,
            earlier: thread.earlier.clone(),
            runs: thread.runs.iter().map(|run| run.stored.clone()).collect(),
            asked: thread.open.iter().flat_map(|open| open.new.input.messages.iter().cloned()).collect(),
        }
    }

    pub(super) fn holds(&self, words: &Words) -> bool {
        let name = self.entry.name.as_deref();
        if words.begin_words_of(name) {
            return true;
        }
        let mut messages = self.earlier.as_deref().cloned().unwrap_or_default();
        for run in &self.runs {
            messages.add_input(run.unsaid.iter());
            run.frames.events().filter_map(|json| Event::parse(json).ok()).for_each(|event| messages.apply(&event));
        }
        messages.add_input(&self.asked);
        let texts = messages.texts();
        words.begin_words_of(name.into_iter().chain(texts.iter().map(String::as_str)))
    }
}
