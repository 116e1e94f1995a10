//! The threads in RAM: their orders, what each of them costs, and which go when there is too much.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::stops::Stops;
use super::thread::{Open, Thread};
use crate::runner::{OpenRun, Owner, ThreadKey};

#[derive(Debug)]
pub(super) struct Threads {
    pub(super) by_key: HashMap<ThreadKey, Thread>,
    /// By the tick of their last use, oldest first.
    recency: BTreeMap<u64, ThreadKey>,
    /// By the tick of their last activity, oldest first.
    activity: BTreeMap<u64, ThreadKey>,
    /// The ticks of these activities, owner by owner: a page of a list costs as much as the page.
    activity_of: BTreeSet<(Owner, u64)>,
    /// Bytes of all threads.
    pub(super) bytes: usize,
    /// Grows with every touch of a thread and every run, and numbers the runs.
    clock: u64,
    pub(super) stops: Stops,
    warned: bool,
}

impl Default for Threads {
    fn default() -> Threads {
        Threads {
            by_key: HashMap::new(),
            recency: BTreeMap::new(),
            activity: BTreeMap::new(),
            activity_of: BTreeSet::new(),
            bytes: 0,
            clock: first_tick(),
            stops: Stops::default(),
            warned: false,
        }
    }
}

/// Later than all ticks of an earlier process, of which clients may still have cursors: microseconds since 1970, as
/// there are fewer ticks than microseconds.
fn first_tick() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}

impl Threads {
    /// Marks a thread as just used; the tick is newer than every other.
    pub(super) fn touch(&mut self, key: &ThreadKey) -> u64 {
        self.clock += 1;
        if let Some(thread) = self.by_key.get_mut(key) {
            self.recency.remove(&thread.touched);
            thread.touched = self.clock;
            self.recency.insert(self.clock, key.clone());
        }
        self.clock
    }

    /// An agent's run began or ended on a thread: it is the newest of all.
    pub(super) fn note_activity(&mut self, key: &ThreadKey, agent_id: Arc<str>, at: i64, tick: u64) {
        let Some(thread) = self.by_key.get_mut(key) else { return };
        (thread.entry.agent_id, thread.entry.updated_at) = (agent_id, at);
        let before = std::mem::replace(&mut thread.active, tick);
        self.activity.remove(&before);
        self.activity.insert(tick, key.clone());
        self.activity_of.remove(&(key.owner.clone(), before));
        self.activity_of.insert((key.owner.clone(), tick));
    }

    /// An owner's threads, or everybody's, newest activity first, from behind a tick on.
    pub(super) fn behind(&self, tick: u64, owner: Option<&Owner>) -> impl Iterator<Item = &Thread> {
        let (of_owner, of_all) = match owner {
            Some(owner) => (Some(self.activity_of.range((owner.clone(), 0)..(owner.clone(), tick)).rev()), None),
            None => (None, Some(self.activity.range(..tick).rev())),
        };
        let of_owner = of_owner.into_iter().flatten().filter_map(|(_, tick)| self.activity.get(tick));
        let of_all = of_all.into_iter().flatten().map(|(_, key)| key);
        of_owner.chain(of_all).filter_map(|key| self.by_key.get(key))
    }

    pub(super) fn remove(&mut self, key: &ThreadKey) -> bool {
        let removed = self.by_key.remove(key);
        if let Some(thread) = &removed {
            self.recency.remove(&thread.touched);
            self.activity.remove(&thread.active);
            self.activity_of.remove(&(key.owner.clone(), thread.active));
            self.bytes -= thread.bytes;
            if let Some(open) = &thread.open {
                self.stops.forget(&open.run());
            }
        }
        removed.is_some()
    }

    /// The thread of an open run, unless it was deleted meanwhile.
    pub(super) fn open(&mut self, run: &OpenRun) -> Option<&mut Thread> {
        let thread = self.by_key.get_mut(&run.thread)?;
        thread.open.as_ref().is_some_and(|open| open.number == run.number).then_some(thread)
    }

    /// Takes an open run off its thread, unless that was deleted meanwhile.
    pub(super) fn close(&mut self, run: &OpenRun) -> Option<Open> {
        let open = self.open(run)?.open.take();
        self.stops.forget(run);
        open
    }

    /// Brings the bytes under the limit: idle threads go first, then the oldest of what `keep` has.
    pub(super) fn keep_bytes(&mut self, keep: &ThreadKey, limit: usize) {
        if self.bytes <= limit {
            return;
        }
        self.evict(keep, |threads| threads.bytes > limit);
        while self.bytes > limit {
            let Some(thread) = self.by_key.get_mut(keep) else { return };
            let freed = match thread.runs.len() {
                // The last finished run stays: a thread without any would look as if it had never been.
                0 | 1 => match thread.earlier.take() {
                    None if thread.message_ids.bytes() == 0 => return,
                    None => thread.forget_ids(),
                    Some(_) => {
                        let kept: usize = thread.runs.iter().map(|run| run.bytes).sum::<usize>()
                            + thread.open.as_ref().map_or(0, |open| open.bytes)
                            + thread.message_ids.bytes();
                        thread.bytes - kept
                    }
                },
                _ => thread.runs.pop_front().map_or(0, |run| run.bytes),
            };
            thread.bytes -= freed;
            self.bytes -= freed;
            self.warn_once();
        }
    }

    /// Evicts least recently used idle threads while there is too much.
    pub(super) fn evict(&mut self, keep: &ThreadKey, too_much: impl Fn(&Threads) -> bool) {
        while too_much(self) {
            let is_idle = |key: &ThreadKey| key != keep && self.by_key.get(key).is_some_and(|t| t.open.is_none());
            let Some(key) = self.recency.values().find(|key| is_idle(key)).cloned() else { return };
            self.remove(&key);
            self.warn_once();
        }
    }

    pub(super) fn warn_once(&mut self) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "the in-memory store reached its limits and began to forget the oldest threads or runs; \
                 raise the limits or use a durable runner"
            );
        }
    }
}
