//! A [`ThreadStore`] in RAM, bounded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use serde_json::Value;

use super::MemoryLimits;
use super::search::Searched;
use super::stops::Stops;
use super::thread::{Open, Run, Thread};
use crate::agui::{Frames, Message};
use crate::runner::listing::now;
use crate::runner::words::Words;
use crate::runner::{
    ActiveRun, AskedStop, BeginError, Begun, History, NewRun, OpenRun, Owner, RunPhase, Said, SealedRun, StoreError,
    StoredRun, ThreadCursor, ThreadEntry, ThreadKey, ThreadList, ThreadPatch, ThreadQuery, ThreadStore,
};

/// A [`ThreadStore`] in RAM, bounded.
#[derive(Debug)]
pub struct MemoryStore {
    limits: MemoryLimits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    threads: HashMap<ThreadKey, Thread>,
    /// Threads by the tick of their last use, oldest first.
    recency: BTreeMap<u64, ThreadKey>,
    /// Bytes of all threads.
    bytes: usize,
    /// Grows with every touch of a thread and every run.
    clock: u64,
    stops: Stops,
    warned: bool,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> MemoryStore {
        MemoryStore { limits, inner: Mutex::default() }
    }

    fn begin_now(&self, run: NewRun) -> Result<Begun, BeginError> {
        let mut inner = self.inner.lock();
        let key = run.thread.clone();
        let is_new = !inner.threads.contains_key(&key);
        let at = now();
        if is_new {
            inner.threads.insert(key.clone(), Thread::new(key.clone(), run.agent_id.clone(), at));
        }
        let tick = inner.touch(&key);
        let Some(thread) = inner.threads.get_mut(&key).filter(|thread| thread.open.is_none()) else {
            return Err(BeginError::Busy);
        };
        let known: Vec<bool> =
            run.input.messages.iter().map(|message| thread.message_ids.contains(message.id())).collect();
        let input = run.input.to_json_with_messages(|index, _| !known.get(index).copied().unwrap_or(false));
        let state = thread.state.clone();
        thread.is_active(&run.agent_id, at, tick);
        if thread.entry.name.is_none() {
            thread.entry.name = run.name.clone();
        }
        thread.open = Some(Open::new(tick, run));
        if is_new {
            let limit = self.limits.max_threads;
            inner.evict(&key, |inner| inner.threads.len() > limit);
        }
        Ok(Begun { run: OpenRun { thread: key, number: tick }, known, input, state })
    }

    fn append_now(&self, run: &OpenRun, frames: Frames) {
        let mut inner = self.inner.lock();
        let added = frames.bytes().len();
        if let Some(thread) = inner.open(run) {
            thread.bytes += added;
            if let Some(open) = &mut thread.open {
                open.append(frames);
            }
            inner.bytes += added;
            inner.keep_bytes(&run.thread, self.limits.max_bytes);
        }
    }

    fn seal_now(&self, run: &OpenRun, sealed: SealedRun) {
        let mut inner = self.inner.lock();
        let tick = inner.touch(&run.thread);
        let Some(open) = inner.close(run) else { return };
        let Some(thread) = inner.threads.get_mut(&run.thread) else { return };
        let before = thread.bytes;
        thread.bytes -= open.bytes;
        thread.has_history = true;
        thread.is_active(&open.new.agent_id, now(), tick);
        thread.state = sealed.state;
        let heard = thread.message_ids.bytes();
        let posted = &open.new.input.messages;
        let ids = || posted.iter().map(Message::id).chain(sealed.message_ids.iter().map(|id| &**id));
        thread.message_ids.reserve(posted.len(), ids().map(str::len).sum());
        ids().for_each(|id| thread.message_ids.insert(id));
        thread.bytes += thread.message_ids.bytes() - heard;
        let unsaid: usize = sealed.unsaid.iter().map(|message| message.json().len()).sum();
        let bytes = sealed.frames.bytes().len() + sealed.cuts.len() + unsaid;
        thread.bytes += bytes;
        let stored = StoredRun {
            number: run.number,
            frames: sealed.frames,
            said: sealed.said,
            cuts: sealed.cuts,
            unsaid: sealed.unsaid.into(),
        };
        thread.runs.push_back(Run { stored, bytes });
        let limit = self.limits.max_runs_per_thread;
        let mut trimmed = false;
        while limit > 0 && thread.runs.len() > limit {
            thread.trim_oldest();
            trimmed = true;
        }
        let after = thread.bytes;
        inner.bytes = inner.bytes - before + after;
        if trimmed {
            inner.warn_once();
        }
        inner.keep_bytes(&run.thread, self.limits.max_bytes);
    }

    fn discard_now(&self, run: &OpenRun) {
        let mut inner = self.inner.lock();
        let Some(open) = inner.close(run) else { return };
        let Some(thread) = inner.threads.get_mut(&run.thread) else { return };
        thread.bytes -= open.bytes;
        let unused = !thread.has_history;
        inner.bytes -= open.bytes;
        if unused {
            inner.remove(&run.thread);
        }
    }

    fn said_now(&self, run: &OpenRun, after: u64) -> Said {
        let mut inner = self.inner.lock();
        if let Some(open) = inner.open(run).and_then(|thread| thread.open.as_ref()) {
            return open.said_after(after);
        }
        let sealed = |thread: &Thread| thread.runs.iter().any(|sealed| sealed.stored.number == run.number);
        let phase = if inner.threads.get(&run.thread).is_some_and(sealed) { RunPhase::Sealed } else { RunPhase::Gone };
        Said { frames: Frames::default(), phase }
    }

    fn history_now(&self, key: &ThreadKey, from: u64, before: Option<u64>) -> History {
        let mut inner = self.inner.lock();
        inner.touch(key);
        let Some(thread) = inner.threads.get(key) else { return History::default() };
        let wanted = from..before.unwrap_or(u64::MAX);
        let runs = thread.runs.iter().map(|run| &run.stored).filter(|run| wanted.contains(&run.number)).cloned();
        History { earlier: thread.earlier.clone(), runs: runs.collect(), next: None }
    }

    fn list_now(&self, query: &ThreadQuery) -> ThreadList {
        let words = query.matching.as_deref().map(Words::of).filter(|words| !words.is_empty());
        let mut found = match words {
            None => self.listed(query, |thread| (thread.entry.clone(), thread.active)),
            Some(words) => {
                let searched = self.listed(query, Searched::of);
                searched.into_iter().filter(|one| one.holds(&words)).map(|one| (one.entry, one.active)).collect()
            }
        };
        found.sort_by_key(|(_, active)| Reverse(*active));
        if let Some(after) = query.after {
            found.retain(|(_, active)| *active < after.tie);
        }
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more);
        let next = next.map(|(entry, active)| ThreadCursor { updated_at: entry.updated_at, tie: *active });
        ThreadList { threads: found.into_iter().map(|(entry, _)| entry).collect(), next }
    }

    /// What is taken of each thread that a query asks for, whatever its words.
    fn listed<T>(&self, query: &ThreadQuery, take: impl Fn(&Thread) -> T) -> Vec<T> {
        let inner = self.inner.lock();
        let is_asked_for = |thread: &&Thread| {
            let entry = &thread.entry;
            query.owner.as_ref().is_none_or(|owner| *owner == entry.key.owner)
                && query.agent_id.as_ref().is_none_or(|agent_id| *agent_id == entry.agent_id)
                && (query.include_archived || !entry.archived)
        };
        inner.threads.values().filter(is_asked_for).map(take).collect()
    }

    fn update_now(&self, key: &ThreadKey, patch: ThreadPatch) -> Option<ThreadEntry> {
        let mut inner = self.inner.lock();
        let entry = &mut inner.threads.get_mut(key)?.entry;
        if patch.if_named.is_none_or(|name| name == entry.name) {
            if let Some(name) = patch.name {
                entry.name = name;
            }
            if let Some(archived) = patch.archived {
                entry.archived = archived;
            }
        }
        Some(entry.clone())
    }
}

impl Inner {
    /// Marks a thread as just used; the tick is newer than every other.
    fn touch(&mut self, key: &ThreadKey) -> u64 {
        self.clock += 1;
        if let Some(thread) = self.threads.get_mut(key) {
            self.recency.remove(&thread.touched);
            thread.touched = self.clock;
            self.recency.insert(self.clock, key.clone());
        }
        self.clock
    }

    fn remove(&mut self, key: &ThreadKey) -> bool {
        let removed = self.threads.remove(key);
        if let Some(thread) = &removed {
            self.recency.remove(&thread.touched);
            self.bytes -= thread.bytes;
            if let Some(open) = &thread.open {
                self.stops.forget(&open.run());
            }
        }
        removed.is_some()
    }

    /// The thread of an open run, unless it was deleted meanwhile.
    fn open(&mut self, run: &OpenRun) -> Option<&mut Thread> {
        let thread = self.threads.get_mut(&run.thread)?;
        thread.open.as_ref().is_some_and(|open| open.number == run.number).then_some(thread)
    }

    /// Takes an open run off its thread, unless that was deleted meanwhile.
    fn close(&mut self, run: &OpenRun) -> Option<Open> {
        let open = self.open(run)?.open.take();
        self.stops.forget(run);
        open
    }

    /// Brings the bytes under the limit: idle threads go first, then the oldest of what `keep` has.
    fn keep_bytes(&mut self, keep: &ThreadKey, limit: usize) {
        if self.bytes <= limit {
            return;
        }
        self.evict(keep, |inner| inner.bytes > limit);
        while self.bytes > limit {
            let Some(thread) = self.threads.get_mut(keep) else { return };
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
    fn evict(&mut self, keep: &ThreadKey, too_much: impl Fn(&Inner) -> bool) {
        while too_much(self) {
            let is_idle = |key: &ThreadKey| key != keep && self.threads.get(key).is_some_and(|t| t.open.is_none());
            let Some(key) = self.recency.values().find(|key| is_idle(key)).cloned() else { return };
            self.remove(&key);
            self.warn_once();
        }
    }

    fn warn_once(&mut self) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                "the in-memory store reached its limits and began to forget the oldest threads or runs; \
                 raise the limits or use a durable runner"
            );
        }
    }
}

/// An answer that is ready.
fn at_once<T: Send + 'static>(answer: T) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(ready(Ok(answer)))
}

impl ThreadStore for MemoryStore {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>> {
        Box::pin(ready(self.begin_now(run)))
    }
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>> {
        self.append_now(run, frames);
        at_once(())
    }
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>> {
        self.seal_now(run, sealed);
        at_once(())
    }
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>> {
        self.discard_now(run);
        at_once(())
    }
    fn said(&self, run: &OpenRun, after: u64) -> BoxFuture<'_, Result<Said, StoreError>> {
        at_once(self.said_now(run, after))
    }
    fn active(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ActiveRun>, StoreError>> {
        let inner = self.inner.lock();
        at_once(inner.threads.get(thread).and_then(|thread| thread.open.as_ref()).map(Open::as_active))
    }
    fn open_runs(&self, owner: &Owner) -> BoxFuture<'_, Result<Vec<OpenRun>, StoreError>> {
        let inner = self.inner.lock();
        let owned = inner.threads.iter().filter(|(key, _)| key.owner == *owner);
        at_once(owned.filter_map(|(_, thread)| thread.open.as_ref()).map(Open::run).collect())
    }
    fn ask_to_stop(&self, stop: AskedStop) -> BoxFuture<'_, Result<bool, StoreError>> {
        let mut inner = self.inner.lock();
        at_once(inner.open(&stop.run).is_some() && inner.stops.ask(stop))
    }
    fn stop_requests(&self) -> BoxStream<'static, AskedStop> {
        self.inner.lock().stops.listen().boxed()
    }
    fn history(
        &self,
        thread: &ThreadKey,
        from: u64,
        before: Option<u64>,
    ) -> BoxFuture<'_, Result<History, StoreError>> {
        at_once(self.history_now(thread, from, before))
    }
    fn state(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<Arc<Value>>, StoreError>> {
        at_once(self.inner.lock().threads.get(thread).and_then(|thread| thread.state.clone()))
    }
    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        at_once(self.inner.lock().threads.get(thread).map(|thread| thread.entry.clone()))
    }
    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>> {
        at_once(self.list_now(&query))
    }
    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        at_once(self.update_now(thread, patch))
    }
    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        at_once(self.inner.lock().remove(thread))
    }
    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut inner = self.inner.lock();
        let owned: Vec<ThreadKey> = inner.threads.keys().filter(|key| key.owner == *owner).cloned().collect();
        for key in owned {
            inner.remove(&key);
        }
        at_once(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much a store counts, and how much of it are ids, after as many runs on one thread, each with messages of its own.
    fn counted(limits: MemoryLimits, runs: usize) -> (usize, usize) {
        let store = MemoryStore::new(limits);
        for run in 0..runs {
            let mut input = crate::agui::RunAgentInput::new("t", run.to_string());
            input.messages = (0..10).map(|n| crate::agui::Message::user(&format!("{run}-{n}"), "")).collect();
            let new = NewRun {
                thread: "t".into(),
                run_id: run.to_string().into(),
                agent_id: "a".into(),
                input: Arc::new(input),
                name: None,
            };
            let begun = store.begin_now(new).unwrap();
            let frames = Frames::of(&[crate::agui::Event::run_started("t", "r")]);
            store.seal_now(&begun.run, SealedRun { frames, ..SealedRun::default() });
        }
        let inner = store.inner.lock();
        (inner.bytes, inner.threads[&"t".into()].message_ids.bytes())
    }

    #[test]
    fn a_thread_that_lives_for_ever_forgets_the_ids_of_its_messages() {
        let limits = MemoryLimits { max_runs_per_thread: 1, max_bytes: 10_000, ..MemoryLimits::default() };
        let (bytes, ids) = counted(limits, 1000);
        assert!(bytes <= 10_000 && ids <= bytes, "{bytes} {ids}");
        let (bytes, ids) = counted(MemoryLimits::default(), 100);
        assert!(bytes > ids && ids > 1000, "{bytes} {ids}");
    }

    crate::store_suite!(suite, async || std::sync::Arc::new(MemoryStore::new(MemoryLimits::default())));
}
