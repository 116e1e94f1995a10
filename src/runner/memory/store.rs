//! A [`ThreadStore`] in RAM, bounded.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::yield_now;

use super::MemoryLimits;
use super::search::Searched;
use super::thread::{Open, Run, Thread};
use super::threads::Threads;
use crate::agui::{Frames, Message};
use crate::runner::listing::now;
use crate::runner::words::Words;
use crate::runner::{
    ActiveRun, AskedStop, BeginError, Begun, History, NewRun, OpenRun, Owner, RunPhase, Said, SealedRun, StoreError,
    StoredRun, ThreadCursor, ThreadEntry, ThreadKey, ThreadList, ThreadPatch, ThreadQuery, ThreadStore,
};

/// How many threads a search takes out of the store at once, and looks at before others have a turn.
const SEARCHED: usize = 64;

/// A [`ThreadStore`] in RAM, bounded.
#[derive(Debug)]
pub struct MemoryStore {
    limits: MemoryLimits,
    threads: Mutex<Threads>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> MemoryStore {
        MemoryStore { limits, threads: Mutex::default() }
    }

    fn begin_now(&self, run: NewRun) -> Result<Begun, BeginError> {
        let mut threads = self.threads.lock();
        let key = run.thread.clone();
        let is_new = !threads.by_key.contains_key(&key);
        let at = now();
        if is_new {
            threads.by_key.insert(key.clone(), Thread::new(key.clone(), run.agent_id.clone(), at));
        }
        let tick = threads.touch(&key);
        let Some(thread) = threads.by_key.get_mut(&key).filter(|thread| thread.open.is_none()) else {
            return Err(BeginError::Busy);
        };
        let known: Vec<bool> =
            run.input.messages.iter().map(|message| thread.message_ids.contains(message.id())).collect();
        let input = run.input.to_json_with_messages(|index, _| !known.get(index).copied().unwrap_or(false));
        let state = thread.state.clone();
        if thread.entry.name.is_none() {
            thread.entry.name = run.name.clone();
        }
        let agent_id = run.agent_id.clone();
        thread.open = Some(Open::new(tick, run));
        threads.note_activity(&key, agent_id, at, tick);
        if is_new {
            let limit = self.limits.max_threads;
            threads.evict(&key, |threads| threads.by_key.len() > limit);
        }
        Ok(Begun { run: OpenRun { thread: key, number: tick }, known, input, state })
    }

    fn append_now(&self, run: &OpenRun, frames: Frames) {
        let mut threads = self.threads.lock();
        let added = frames.bytes().len();
        if let Some(thread) = threads.open(run) {
            thread.bytes += added;
            if let Some(open) = &mut thread.open {
                open.append(frames);
            }
            threads.bytes += added;
            threads.keep_bytes(&run.thread, self.limits.max_bytes);
        }
    }

    fn seal_now(&self, run: &OpenRun, sealed: SealedRun) {
        let mut threads = self.threads.lock();
        let tick = threads.touch(&run.thread);
        let Some(open) = threads.close(run) else { return };
        let Some(thread) = threads.by_key.get_mut(&run.thread) else { return };
        let before = thread.bytes;
        thread.bytes -= open.bytes;
        thread.has_history = true;
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
        threads.bytes = threads.bytes - before + after;
        threads.note_activity(&run.thread, open.new.agent_id, now(), tick);
        if trimmed {
            threads.warn_once();
        }
        threads.keep_bytes(&run.thread, self.limits.max_bytes);
    }

    fn discard_now(&self, run: &OpenRun) {
        let mut threads = self.threads.lock();
        let Some(open) = threads.close(run) else { return };
        let Some(thread) = threads.by_key.get_mut(&run.thread) else { return };
        thread.bytes -= open.bytes;
        let unused = !thread.has_history;
        threads.bytes -= open.bytes;
        if unused {
            threads.remove(&run.thread);
        }
    }

    fn said_now(&self, run: &OpenRun, after: u64) -> Said {
        let mut threads = self.threads.lock();
        if let Some(open) = threads.open(run).and_then(|thread| thread.open.as_ref()) {
            return open.said_after(after);
        }
        let sealed = |thread: &Thread| thread.runs.iter().any(|sealed| sealed.stored.number == run.number);
        let phase = if threads.by_key.get(&run.thread).is_some_and(sealed) { RunPhase::Sealed } else { RunPhase::Gone };
        Said { frames: Frames::default(), phase }
    }

    fn history_now(&self, key: &ThreadKey, from: u64, before: Option<u64>) -> History {
        let mut threads = self.threads.lock();
        threads.touch(key);
        let Some(thread) = threads.by_key.get(key) else { return History::default() };
        let wanted = from..before.unwrap_or(u64::MAX);
        let runs = thread.runs.iter().map(|run| &run.stored).filter(|run| wanted.contains(&run.number)).cloned();
        History { earlier: thread.earlier.clone(), runs: runs.collect(), next: None }
    }

    async fn list_some(&self, query: &ThreadQuery) -> ThreadList {
        let words = query.matching.as_deref().map(Words::of).filter(|words| !words.is_empty());
        // One more, to know whether there is more.
        let wanted = query.limit.saturating_add(1);
        let mut found = match words {
            None => self.some_of(query, behind(query), wanted, |thread| (thread.entry.clone(), thread.active)),
            Some(words) => self.search(query, &words, wanted).await,
        };
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more);
        let next = next.map(|(entry, active)| ThreadCursor { updated_at: entry.updated_at, tie: *active });
        ThreadList { threads: found.into_iter().map(|(entry, _)| entry).collect(), next }
    }

    /// As many threads that hold the words as are wanted, each with the tick of its activity.
    async fn search(&self, query: &ThreadQuery, words: &Words, wanted: usize) -> Vec<(ThreadEntry, u64)> {
        let (mut place, mut found) = (behind(query), Vec::new());
        while found.len() < wanted {
            let some = self.some_of(query, place, SEARCHED, Searched::of);
            let Some(last) = some.last() else { break };
            place = last.active;
            let hits = some.into_iter().filter(|thread| thread.holds(words));
            found.extend(hits.map(|thread| (thread.entry, thread.active)));
            // A word that is hardly anywhere is looked for everywhere.
            yield_now().await;
        }
        found.truncate(wanted);
        found
    }

    /// What is taken of the next threads that a query asks for, whatever its words.
    fn some_of<T>(&self, query: &ThreadQuery, tick: u64, most: usize, take: impl Fn(&Thread) -> T) -> Vec<T> {
        let threads = self.threads.lock();
        let is_asked_for = |thread: &&Thread| {
            let entry = &thread.entry;
            query.agent_id.as_ref().is_none_or(|agent_id| *agent_id == entry.agent_id)
                && (query.include_archived || !entry.archived)
        };
        threads.behind(tick, query.owner.as_ref()).filter(is_asked_for).take(most).map(take).collect()
    }

    fn update_now(&self, key: &ThreadKey, patch: ThreadPatch) -> Option<ThreadEntry> {
        let mut threads = self.threads.lock();
        let entry = &mut threads.by_key.get_mut(key)?.entry;
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

/// The place in the order of activities behind which a query begins.
fn behind(query: &ThreadQuery) -> u64 {
    query.after.map_or(u64::MAX, |after| after.tie)
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
        let threads = self.threads.lock();
        at_once(threads.by_key.get(thread).and_then(|thread| thread.open.as_ref()).map(Open::as_active))
    }
    fn open_runs(&self, owner: &Owner) -> BoxFuture<'_, Result<Vec<OpenRun>, StoreError>> {
        let threads = self.threads.lock();
        let owned = threads.by_key.iter().filter(|(key, _)| key.owner == *owner);
        at_once(owned.filter_map(|(_, thread)| thread.open.as_ref()).map(Open::run).collect())
    }
    fn ask_to_stop(&self, stop: AskedStop) -> BoxFuture<'_, Result<bool, StoreError>> {
        let mut threads = self.threads.lock();
        at_once(threads.open(&stop.run).is_some() && threads.stops.ask(stop))
    }
    fn stop_requests(&self) -> BoxStream<'static, AskedStop> {
        self.threads.lock().stops.listen().boxed()
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
        at_once(self.threads.lock().by_key.get(thread).and_then(|thread| thread.state.clone()))
    }
    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        at_once(self.threads.lock().by_key.get(thread).map(|thread| thread.entry.clone()))
    }
    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>> {
        Box::pin(async move { Ok(self.list_some(&query).await) })
    }
    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        at_once(self.update_now(thread, patch))
    }
    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        at_once(self.threads.lock().remove(thread))
    }
    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut threads = self.threads.lock();
        let owned: Vec<ThreadKey> = threads.by_key.keys().filter(|key| key.owner == *owner).cloned().collect();
        for key in owned {
            threads.remove(&key);
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
        let threads = store.threads.lock();
        (threads.bytes, threads.by_key[&"t".into()].message_ids.bytes())
    }

    fn begin(store: &MemoryStore, owner: &str, thread: usize, agent: &str) -> OpenRun {
        let id = format!("t{thread}");
        let input = Arc::new(crate::agui::RunAgentInput::new(&*id, "r"));
        let thread = ThreadKey::new(Owner::of(owner), id);
        let new = NewRun { thread, run_id: "r".into(), agent_id: agent.into(), input, name: None };
        store.begin_now(new).unwrap().run
    }

    /// The threads a query asks for, page by page.
    async fn paged(store: &MemoryStore, mut query: ThreadQuery) -> Vec<ThreadKey> {
        let mut listed = Vec::new();
        loop {
            let page = store.list_some(&query).await;
            assert!(page.threads.len() <= query.limit);
            listed.extend(page.threads.into_iter().map(|entry| entry.key));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return listed,
            }
        }
    }

    #[tokio::test]
    async fn pages_lead_through_all_threads_newest_activity_first() {
        let store = MemoryStore::new(MemoryLimits::default());
        // Every thread with the agent of its last run, newest first.
        let mut newest: Vec<(ThreadKey, &str)> = Vec::new();
        // Threads run again between others; some runs leave nothing, and some threads are deleted.
        for step in 0..1500 {
            let (owner, agent) = (["ann", "ben"][step % 2], ["x", "y", "z"][step % 7 % 3]);
            let run = begin(&store, owner, step * 7 % 300, agent);
            let name = Some(Some("Some name".into()));
            store.update_now(&run.thread, ThreadPatch { name, ..ThreadPatch::default() });
            if step % 4 == 1 {
                store.discard_now(&run);
            } else {
                store.seal_now(&run, SealedRun::default());
            }
            if step % 31 == 0 {
                store.threads.lock().remove(&run.thread);
            }
            newest.retain(|(key, _)| *key != run.thread);
            if store.threads.lock().by_key.contains_key(&run.thread) {
                newest.insert(0, (run.thread, agent));
            }
        }
        assert!(newest.len() > 2 * SEARCHED);
        for owner in [None, Some("ann"), Some("ben"), Some("eve")].map(|owner| owner.map(Owner::of)) {
            for agent in [None, Some("y")] {
                let expected = newest.iter().filter(|(key, last)| {
                    owner.as_ref().is_none_or(|owner| *owner == key.owner) && agent.is_none_or(|agent| agent == *last)
                });
                let expected: Vec<_> = expected.map(|(key, _)| key.clone()).collect();
                for (limit, matching) in [(1, None), (7, None), (7, Some("name")), (usize::MAX, Some("name"))] {
                    let (agent_id, matching) = (agent.map(Arc::from), matching.map(str::to_owned));
                    let everybody = ThreadQuery::everybody();
                    let query = ThreadQuery { owner: owner.clone(), agent_id, limit, matching, ..everybody };
                    assert_eq!(paged(&store, query.clone()).await, expected, "{query:?}");
                }
            }
        }
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
