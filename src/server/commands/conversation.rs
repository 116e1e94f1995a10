//! What is kept of a thread, read from its beginning to now.

use std::io;

use crate::agui::{Event, Frames, MessageList};
use crate::runner::{ActiveRun, RunPhase, StoredRun, ThreadKey, ThreadStore};

use super::Failure;

/// A thread's messages, and the run under way on it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) messages: MessageList,
    pub(super) running: Option<ActiveRun>,
}

impl Conversation {
    /// Reads a thread page by page; `each` sees the events of every run, those of the run under way last.
    pub(super) async fn read(
        store: &dyn ThreadStore,
        thread: &ThreadKey,
        mut each: impl FnMut(&Frames) -> io::Result<()>,
    ) -> Result<Conversation, Failure> {
        let mut conversation = Conversation { running: store.active(thread).await?, ..Conversation::default() };
        let open = conversation.running.as_ref().map(|active| active.run.number);
        conversation.history(store, thread, (0, open), &mut each).await?;
        let Some(active) = &conversation.running else { return Ok(conversation) };
        let mut said = Vec::new();
        let mut count = 0;
        loop {
            let page = store.said(&active.run, count).await?;
            if page.phase != RunPhase::Open {
                // It has ended since, and what it said is history.
                conversation.running = None;
                conversation.history(store, thread, (open.unwrap_or_default(), None), &mut each).await?;
                return Ok(conversation);
            }
            if page.frames.is_empty() {
                break;
            }
            count += page.frames.count() as u64;
            said.push(page.frames);
        }
        for frames in &said {
            conversation.hear(frames);
            each(frames)?;
        }
        Ok(conversation)
    }

    /// The sealed runs from one up to but not including another.
    async fn history(
        &mut self,
        store: &dyn ThreadStore,
        thread: &ThreadKey,
        (from, before): (u64, Option<u64>),
        each: &mut impl FnMut(&Frames) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut next = Some(from);
        while let Some(from) = next {
            let page = store.history(thread, from, before).await?;
            if let Some(earlier) = page.earlier.filter(|_| self.messages.is_empty()) {
                self.messages = (*earlier).clone();
            }
            for StoredRun { frames, unsaid, .. } in &page.runs {
                self.messages.add_input(unsaid.iter());
                self.hear(frames);
                each(frames)?;
            }
            next = page.next;
        }
        Ok(())
    }

    fn hear(&mut self, frames: &Frames) {
        frames.events().filter_map(|json| Event::parse(json).ok()).for_each(|event| self.messages.apply(&event));
    }
}
