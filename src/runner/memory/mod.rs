//! Threads in RAM: the store, its bounds (rest-sse.md chapter 13.6), and the runner over it.

mod ids;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use serde_json::Value;

use self::ids::Ids;
use super::{
    AgentRunner, BeginError, Begun, ConnectRequest, FrameStream, History, LiveRunner, NewRun, OpenRun, RunOptions,
    RunRefused, RunRequest, RunnerError, SealedRun, StopRequest, Stopped, StoreError, StoredRun, ThreadEntry,
    ThreadStore,
};
use crate::agui::{Event, Frames, Message, MessageList};

/// Runs agents and keeps their threads in RAM.
///
/// ```
/// use copilotkit_runtime::runner::{MemoryLimits, MemoryRunner};
///
/// let limits = MemoryLimits { max_threads: 10, ..MemoryLimits::default() };
/// let runner = MemoryRunner::with_limits(limits);
/// ```
#[derive(Clone, Debug)]
pub struct MemoryRunner {
    engine: LiveRunner,
}

impl MemoryRunner {
    /// A runner with the default limits.
    #[must_use]
    pub fn new() -> MemoryRunner {
        MemoryRunner::with_limits(MemoryLimits::default())
    }

    /// A runner with limits of its own.
    #[must_use]
    pub fn with_limits(limits: MemoryLimits) -> MemoryRunner {
        MemoryRunner::with_options(limits, RunOptions::default())
    }

    /// A runner with limits and run options of its own.
    #[must_use]
    pub fn with_options(limits: MemoryLimits, options: RunOptions) -> MemoryRunner {
        MemoryRunner { engine: LiveRunner::new(std::sync::Arc::new(MemoryStore::new(limits)), options) }
    }
}

impl Default for MemoryRunner {
    fn default() -> MemoryRunner {
        MemoryRunner::new()
    }
}

impl AgentRunner for MemoryRunner {
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        self.engine.run(request)
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        self.engine.connect(request)
    }
    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        self.engine.stop(request)
    }
    fn threads(&self) -> Option<&dyn ThreadStore> {
        self.engine.threads()
    }
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        self.engine.shutdown(deadline)
    }
}

/// How much a [`MemoryStore`] keeps. The thread in use and threads with an open run are never evicted, so
/// the limits may be exceeded by those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Threads; the least recently used go first. Default: 1,000.
    pub max_threads: usize,
    /// Runs a thread keeps for replay; the oldest go first, their messages stay readable. 0 is no limit. Default: 100.
    pub max_runs_per_thread: usize,
    /// Bytes of events, live ones included, over all threads. Default: 512 MiB.
    pub max_bytes: usize,
}

impl Default for MemoryLimits {
    fn default() -> MemoryLimits {
        MemoryLimits { max_threads: 1000, max_runs_per_thread: 100, max_bytes: 512 * 1024 * 1024 }
    }
}

/// A [`ThreadStore`] in RAM, bounded.
#[derive(Debug)]
pub struct MemoryStore {
    limits: MemoryLimits,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    threads: HashMap<Arc<str>, Thread>,
    /// Threads by the tick of their last use, oldest first.
    recency: BTreeMap<u64, Arc<str>>,
    /// Bytes of all threads.
    bytes: usize,
    /// Grows with every touch of a thread and every run.
    clock: u64,
    warned: bool,
}

#[derive(Debug, Default)]
struct Thread {
    runs: VecDeque<Run>,
    open: Option<Open>,
    /// Ids of every message the thread has heard of.
    message_ids: Ids,
    state: Option<Arc<Value>>,
    earlier: Option<Arc<MessageList>>,
    /// Of the runs, of the open run, of the ids, and of `earlier`, the last as a bound from above.
    bytes: usize,
    last: Option<Ended>,
    created_at: i64,
    touched: u64,
}

#[derive(Debug)]
struct Run {
    stored: StoredRun,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    number: u64,
    input: NewRun,
    bytes: usize,
}

#[derive(Debug)]
struct Ended {
    agent_id: Arc<str>,
    at: i64,
    /// Orders ends within one millisecond.
    tick: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> MemoryStore {
        MemoryStore { limits, inner: Mutex::default() }
    }

    fn begin_now(&self, run: NewRun) -> Result<Begun, BeginError> {
        let mut inner = self.inner.lock();
        let is_new = !inner.threads.contains_key(&run.thread_id);
        let thread_id = run.thread_id.clone();
        if is_new {
            inner.threads.insert(thread_id.clone(), Thread::default());
        }
        let tick = inner.touch(&thread_id);
        let Some(thread) = inner.threads.get_mut(&thread_id).filter(|thread| thread.open.is_none()) else {
            return Err(BeginError::Busy);
        };
        let known = run.input.messages.iter().map(|message| thread.message_ids.contains(message.id())).collect();
        let state = thread.state.clone();
        thread.open = Some(Open { number: tick, input: run, bytes: 0 });
        if is_new {
            let limit = self.limits.max_threads;
            inner.evict(&thread_id, |inner| inner.threads.len() > limit);
        }
        Ok(Begun { run: OpenRun { thread_id, number: tick }, known, state })
    }

    fn append_now(&self, run: &OpenRun, frames: &Frames) {
        let mut inner = self.inner.lock();
        let added = frames.bytes().len();
        // The events themselves are in the engine's log; the store counts them.
        if let Some(thread) = inner.open(run) {
            thread.bytes += added;
            if let Some(open) = &mut thread.open {
                open.bytes += added;
            }
            inner.bytes += added;
            inner.keep_bytes(&run.thread_id, self.limits.max_bytes);
        }
    }

    fn seal_now(&self, run: &OpenRun, sealed: SealedRun) {
        let mut inner = self.inner.lock();
        let tick = inner.touch(&run.thread_id);
        let Some(thread) = inner.open(run) else { return };
        let Some(open) = thread.open.take() else { return };
        let before = thread.bytes;
        thread.bytes -= open.bytes;
        let at = now();
        if thread.last.is_none() {
            thread.created_at = at;
        }
        thread.last = Some(Ended { agent_id: open.input.agent_id.clone(), at, tick });
        thread.state = sealed.state.map(Arc::new);
        let heard = thread.message_ids.bytes();
        let posted = &open.input.input.messages;
        let ids = || posted.iter().map(Message::id).chain(sealed.message_ids.iter().map(|id| &**id));
        thread.message_ids.reserve(posted.len(), ids().map(str::len).sum());
        ids().for_each(|id| thread.message_ids.insert(id));
        thread.bytes += thread.message_ids.bytes() - heard;
        let unsaid: usize = sealed.unsaid.iter().map(|message| message.json().len()).sum();
        let bytes = sealed.frames.bytes().len() + unsaid;
        thread.bytes += bytes;
        let stored =
            StoredRun { number: run.number, frames: sealed.frames, said: sealed.said, unsaid: sealed.unsaid.into() };
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
        inner.keep_bytes(&run.thread_id, self.limits.max_bytes);
    }

    fn discard_now(&self, run: &OpenRun) {
        let mut inner = self.inner.lock();
        let Some(thread) = inner.open(run) else { return };
        let Some(open) = thread.open.take() else { return };
        thread.bytes -= open.bytes;
        let unused = thread.last.is_none() && thread.runs.is_empty();
        inner.bytes -= open.bytes;
        if unused {
            inner.remove(&run.thread_id.clone());
        }
    }

    fn history_now(&self, thread_id: &str, before: Option<u64>) -> History {
        let mut inner = self.inner.lock();
        inner.touch(thread_id);
        let Some(thread) = inner.threads.get(thread_id) else { return History::default() };
        let limit = before.unwrap_or(u64::MAX);
        let runs = thread.runs.iter().map(|run| &run.stored).filter(|run| run.number < limit).cloned().collect();
        History { earlier: thread.earlier.clone(), runs, state: thread.state.clone() }
    }

    fn list_now(&self, agent_id: Option<&str>) -> Vec<ThreadEntry> {
        let inner = self.inner.lock();
        let mut ended: Vec<_> = inner
            .threads
            .iter()
            .filter_map(|(id, thread)| Some((id, thread.created_at, thread.last.as_ref()?)))
            .filter(|(_, _, last)| agent_id.is_none_or(|wanted| wanted == &*last.agent_id))
            .collect();
        ended.sort_by_key(|(_, _, last)| std::cmp::Reverse(last.tick));
        ended
            .into_iter()
            .map(|(id, created_at, last)| ThreadEntry {
                id: id.clone(),
                agent_id: last.agent_id.clone(),
                created_at,
                updated_at: last.at,
            })
            .collect()
    }
}

impl Thread {
    /// Forgets the ids of its messages: what clients still send is said again, and they know it by its id.
    fn forget_ids(&mut self) -> usize {
        std::mem::take(&mut self.message_ids).bytes()
    }

    /// Drops the oldest run; what it said stays readable as messages.
    fn trim_oldest(&mut self) {
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

impl Inner {
    /// Marks a thread as just used; the tick is newer than every other.
    fn touch(&mut self, thread_id: &str) -> u64 {
        self.clock += 1;
        if let Some((id, thread)) = self.threads.get_key_value(thread_id) {
            self.recency.remove(&thread.touched);
            self.recency.insert(self.clock, id.clone());
        }
        if let Some(thread) = self.threads.get_mut(thread_id) {
            thread.touched = self.clock;
        }
        self.clock
    }

    fn remove(&mut self, thread_id: &str) {
        if let Some(thread) = self.threads.remove(thread_id) {
            self.recency.remove(&thread.touched);
            self.bytes -= thread.bytes;
        }
    }

    /// The thread of an open run, unless it was cleared meanwhile.
    fn open(&mut self, run: &OpenRun) -> Option<&mut Thread> {
        let thread = self.threads.get_mut(&run.thread_id)?;
        thread.open.as_ref().is_some_and(|open| open.number == run.number).then_some(thread)
    }

    /// Brings the bytes under the limit: idle threads go first, then the oldest of what `keep` has.
    fn keep_bytes(&mut self, keep: &str, limit: usize) {
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
    fn evict(&mut self, keep: &str, too_much: impl Fn(&Inner) -> bool) {
        while too_much(self) {
            let is_idle = |id: &Arc<str>| &**id != keep && self.threads.get(id).is_some_and(|t| t.open.is_none());
            let Some(id) = self.recency.values().find(|id| is_idle(id)).cloned() else { return };
            self.remove(&id);
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

impl ThreadStore for MemoryStore {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>> {
        Box::pin(ready(self.begin_now(run)))
    }
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>> {
        self.append_now(run, &frames);
        Box::pin(ready(Ok(())))
    }
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>> {
        self.seal_now(run, sealed);
        Box::pin(ready(Ok(())))
    }
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>> {
        self.discard_now(run);
        Box::pin(ready(Ok(())))
    }
    fn history(&self, thread_id: &str, before: Option<u64>) -> BoxFuture<'_, Result<History, StoreError>> {
        Box::pin(ready(Ok(self.history_now(thread_id, before))))
    }
    fn list(&self, agent_id: Option<&str>) -> BoxFuture<'_, Result<Vec<ThreadEntry>, StoreError>> {
        Box::pin(ready(Ok(self.list_now(agent_id))))
    }
    fn clear(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut inner = self.inner.lock();
        inner.threads.clear();
        inner.recency.clear();
        inner.bytes = 0;
        Box::pin(ready(Ok(())))
    }
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
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
                thread_id: "t".into(),
                run_id: run.to_string().into(),
                agent_id: "a".into(),
                input: Arc::new(input),
            };
            let begun = store.begin_now(new).unwrap();
            let frames = Frames::of(&[Event::run_started("t", "r")]);
            let sealed = SealedRun { said: 0, frames, message_ids: Vec::new(), unsaid: Vec::new(), state: None };
            store.seal_now(&begun.run, sealed);
        }
        let inner = store.inner.lock();
        (inner.bytes, inner.threads["t"].message_ids.bytes())
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
