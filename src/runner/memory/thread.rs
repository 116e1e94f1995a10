//! What is kept of one thread.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use super::ids::Ids;
use crate::agui::{Event, Frames, MessageList};
use crate::runner::{ActiveRun, NewRun, OpenRun, Said, StoredRun, ThreadEntry, ThreadKey};

#[derive(Debug)]
pub(super) struct Thread {
    pub(super) runs: VecDeque<Run>,
    pub(super) open: Option<Open>,
    /// Ids of every message the thread has heard of.
    pub(super) message_ids: Ids,
    pub(super) state: Option<Arc<Value>>,
    pub(super) earlier: Option<Arc<MessageList>>,
    /// Of the runs, of the open run, of the ids, and of `earlier`, the last as a bound from above.
    pub(super) bytes: usize,
    pub(super) entry: ThreadEntry,
    /// The tick of the last activity, the beginning or end of a run.
    pub(super) active: u64,
    /// The tick of the last use, reading included.
    pub(super) touched: u64,
    /// Whether a run was sealed on it, trimmed ones included.
    pub(super) has_history: bool,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) stored: StoredRun,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    pub(super) new: NewRun,
    /// What it has said, each batch with the number of events before it; the bytes are shared with the engine's log.
    said: Vec<(u64, Frames)>,
    pub(super) bytes: usize,
}

impl Thread {
    pub(super) fn new(key: ThreadKey, agent_id: Arc<str>, at: i64) -> Thread {
        Thread {
            runs: VecDeque::new(),
            open: None,
            message_ids: Ids::default(),
            state: None,
            earlier: None,
            bytes: 0,
            entry: ThreadEntry { key, agent_id, name: None, archived: false, created_at: at, updated_at: at },
            active: 0,
            touched: 0,
            has_history: false,
        }
    }

    /// Forgets the ids of its messages: what clients still send is said again, and they know it by its id.
    pub(super) fn forget_ids(&mut self) -> usize {
        std::mem::take(&mut self.message_ids).bytes()
    }

    /// Drops the oldest run; what it said stays readable as messages.
    pub(super) fn trim_oldest(&mut self) {
        let Some(run) = self.runs.pop_front() else { return };
        let earlier = Arc::make_mut(self.earlier.get_or_insert_default());
        earlier.add_input(run.stored.unsaid.iter());
        for json in run.stored.frames.events() {
            if let Ok(event) = Event::parse(json) {
                earlier.apply(&event);
            }
        }
        // Its bytes stay counted: the messages are at most as long as the events were.
    }
}

impl Open {
    pub(super) fn new(number: u64, new: NewRun) -> Open {
        Open { number, new, said: Vec::new(), bytes: 0 }
    }

    pub(super) fn append(&mut self, frames: Frames) {
        self.bytes += frames.bytes().len();
        let before = self.said.last().map_or(0, |(before, last)| before + last.count() as u64);
        self.said.push((before, frames));
    }

    pub(super) fn run(&self) -> OpenRun {
        OpenRun { thread: self.new.thread.clone(), number: self.number }
    }

    pub(super) fn as_active(&self) -> ActiveRun {
        ActiveRun { run: self.run(), run_id: self.new.run_id.clone(), agent_id: self.new.agent_id.clone() }
    }

    /// What it has said behind its first `after` events, up to the end of one batch.
    pub(super) fn said_after(&self, after: u64) -> Said {
        let reached = self.said.partition_point(|(before, _)| *before <= after);
        let told = reached.checked_sub(1).and_then(|last| {
            // The batch that holds the place; all of it may be known.
            let (before, frames) = &self.said[last];
            let skip = usize::try_from(after - before).unwrap_or(usize::MAX);
            if skip < frames.count() { Some(frames.behind(skip)) } else { None }
        });
        Said { frames: told.unwrap_or_default(), ..Said::default() }
    }
}
