//! The log of a run as it is said, and the cursors of those who watch it.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::{Mutex, MutexGuard};
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::agui::Frames;
use crate::runner::{OpenRun, ThreadKey};

/// The newest of what a run has said. Watchers hold a cursor into it and no queue of their own, so a slow one costs
/// its cursor only. What is too old for the log is in the store.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) thread: ThreadKey,
    /// The run's number in the store, once it has begun.
    number: OnceLock<u64>,
    /// How many bytes it holds, but for the newest batch.
    limit: usize,
    inner: Mutex<Inner>,
    /// Signalled when the last watcher leaves.
    left: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<Batch>,
    /// How many older batches were dropped.
    dropped: u64,
    /// Of the batches.
    bytes: usize,
    /// How many events the run has said.
    said: u64,
    end: Option<End>,
    watchers: usize,
    /// When the last watcher left.
    left_at: Option<Instant>,
    waiting: Slab<Option<Waker>>,
}

#[derive(Debug)]
struct Batch {
    /// How many events the run had said before.
    before: u64,
    frames: Frames,
}

/// How a log ends.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// Everything was said here.
    Told,
    /// Nothing more can be told, for the reason in these frames. They are no event of the run.
    Failed(Frames),
    /// The run was ended by another process, and the store tells the rest.
    Elsewhere,
}

/// What a cursor comes to next.
#[derive(Debug)]
pub(super) enum Step {
    /// Events, and how many the run had said before.
    Said {
        before: u64,
        frames: Frames,
    },
    /// What comes next is too old for the log.
    Behind,
    End(End),
}

impl Log {
    /// The log of a run that has said so many events already, which only the store holds.
    pub(super) fn new(thread: ThreadKey, said: u64, limit: usize) -> Log {
        Log {
            thread,
            number: OnceLock::new(),
            limit,
            inner: Mutex::new(Inner { said, ..Inner::default() }),
            left: Notify::new(),
        }
    }

    /// Says which run it is.
    pub(super) fn begun(&self, number: u64) {
        // A run begins once.
        let _ = self.number.set(number);
    }

    /// The run, once it has begun.
    pub(super) fn run(&self) -> Option<OpenRun> {
        self.number.get().map(|number| OpenRun { thread: self.thread.clone(), number: *number })
    }

    /// Makes visible what the run said next, and the store keeps.
    pub(super) fn publish(&self, frames: Frames) {
        if !frames.is_empty() {
            self.change(|inner| inner.push(frames, self.limit));
        }
    }

    /// Says that nothing will follow. The first end counts.
    pub(super) fn end(&self, end: End) {
        self.change(|inner| {
            inner.end.get_or_insert(end);
        });
    }

    /// How many events the run has said here.
    pub(super) fn said(&self) -> u64 {
        self.inner.lock().said
    }

    /// How many bytes of events it holds.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// How many watch it.
    pub(super) fn watchers(&self) -> usize {
        self.inner.lock().watchers
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watchers() > 0
    }

    /// Waits until nobody watches, and tells since when.
    pub(super) async fn unwatched(&self) -> Instant {
        loop {
            let left = self.left.notified();
            if let Some(at) = self.inner.lock().left_at {
                return at;
            }
            left.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock();
        change(&mut inner);
        wake(inner);
    }
}

/// Woken after the lock is gone: a woken watcher takes it at once. Most runs have one watcher.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let mut first = None;
    let mut others = Vec::new();
    for (_, slot) in &mut inner.waiting {
        if let Some(waker) = slot.take() {
            match first {
                None => first = Some(waker),
                Some(_) => others.push(waker),
            }
        }
    }
    drop(inner);
    first.into_iter().chain(others).for_each(Waker::wake);
}

impl Inner {
    fn push(&mut self, frames: Frames, limit: usize) {
        let before = self.said;
        self.said += frames.count() as u64;
        self.bytes += frames.bytes().len();
        self.batches.push_back(Batch { before, frames });
        // The newest stays, however large: a run's last words stand nowhere else until it is sealed.
        while self.bytes > limit && self.batches.len() > 1 {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.frames.bytes().len();
            self.dropped += 1;
        }
    }

    /// The number of the batch that holds what follows so many events, and it.
    fn batch_behind(&self, seen: u64) -> (u64, Option<&Batch>) {
        let index = self.batches.partition_point(|batch| batch.before + batch.frames.count() as u64 <= seen);
        (self.dropped + index as u64, self.batches.get(index))
    }

    fn nth(&self, number: u64) -> Option<&Batch> {
        self.batches.get(usize::try_from(number.checked_sub(self.dropped)?).ok()?)
    }
}

/// A place in a log. While there is one, the run is watched.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) log: Arc<Log>,
    /// How many of the run's events were seen.
    seen: u64,
    /// The batch to read next, the dropped ones counted, if all were read in order.
    batch: u64,
    /// The place in the log's waiting list, once this watcher had to wait.
    place: Option<usize>,
}

impl Cursor {
    /// Behind the run's first so many events.
    pub(super) fn behind(log: Arc<Log>, seen: u64) -> Cursor {
        let mut inner = log.inner.lock();
        inner.watchers += 1;
        inner.left_at = None;
        drop(inner);
        Cursor { log, seen, batch: 0, place: None }
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Notes that these were seen elsewhere than in the log.
    pub(super) fn saw(&mut self, frames: &Frames) {
        self.seen += frames.count() as u64;
    }

    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut inner = self.log.inner.lock();
        let found = inner.nth(self.batch).filter(|batch| batch.before == self.seen);
        let found = found.map(|batch| (self.batch, batch)).or_else(|| {
            let (number, batch) = inner.batch_behind(self.seen);
            Some((number, batch?))
        });
        if let Some((number, batch)) = found {
            let Some(known) = self.seen.checked_sub(batch.before) else {
                return Poll::Ready(Step::Behind);
            };
            let frames = batch.frames.behind(usize::try_from(known).unwrap_or(usize::MAX));
            let before = self.seen;
            self.batch = number + 1;
            self.seen += frames.count() as u64;
            return Poll::Ready(Step::Said { before, frames });
        }
        if self.seen < inner.said {
            return Poll::Ready(Step::Behind);
        }
        if let Some(end) = &inner.end {
            return Poll::Ready(Step::End(end.clone()));
        }
        let place = *self.place.get_or_insert_with(|| inner.waiting.insert(None));
        match &mut inner.waiting[place] {
            Some(waker) => waker.clone_from(cx.waker()),
            slot => *slot = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        let mut inner = self.log.inner.lock();
        if let Some(place) = self.place {
            inner.waiting.remove(place);
        }
        inner.watchers -= 1;
        if inner.watchers == 0 {
            inner.left_at = Some(Instant::now());
            drop(inner);
            self.log.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::agui::Event;

    fn batch(texts: &[&str]) -> Frames {
        Frames::of(&texts.iter().map(|text| Event::text_content("m", text)).collect::<Vec<_>>())
    }

    fn log(limit: usize) -> Arc<Log> {
        Arc::new(Log::new("t".into(), 0, limit))
    }

    async fn step(cursor: &mut Cursor) -> Step {
        std::future::poll_fn(|cx| cursor.poll_step(cx)).await
    }

    /// What a cursor reads in the log, to its end.
    async fn all(mut cursor: Cursor) -> Vec<Frames> {
        let mut seen = Vec::new();
        loop {
            match step(&mut cursor).await {
                Step::Said { frames, .. } => seen.push(frames),
                Step::Behind => panic!("nothing was dropped"),
                Step::End(_) => return seen,
            }
        }
    }

    #[tokio::test]
    async fn every_watcher_sees_everything_in_order_whenever_it_comes() {
        let log = log(usize::MAX);
        let mut early = Cursor::behind(log.clone(), 0);
        assert!(step(&mut early).now_or_never().is_none(), "nothing to see yet");
        log.publish(batch(&["a", "b"]));
        let late = Cursor::behind(log.clone(), 0);
        let later = Cursor::behind(log.clone(), 1);
        log.publish(batch(&["c"]));
        log.end(End::Told);
        let expected = vec![batch(&["a", "b"]), batch(&["c"])];
        assert_eq!(all(early).await, expected);
        assert_eq!(all(late).await, expected);
        assert_eq!(all(later).await, [batch(&["b"]), batch(&["c"])]);
        assert!(all(Cursor::behind(log, 3)).await.is_empty());
    }

    #[tokio::test]
    async fn a_waiting_watcher_is_woken() {
        let log = log(usize::MAX);
        #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
        let watching = tokio::spawn(all(Cursor::behind(log.clone(), 0)));
        tokio::task::yield_now().await;
        log.publish(batch(&["a"]));
        tokio::task::yield_now().await;
        log.end(End::Told);
        assert_eq!(watching.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_too_old_is_dropped_and_found_elsewhere() {
        let log = log(2 * batch(&["a"]).bytes().len());
        let mut slow = Cursor::behind(log.clone(), 0);
        let mut quick = Cursor::behind(log.clone(), 0);
        for text in ["a", "b", "c"] {
            log.publish(batch(&[text]));
            assert!(matches!(step(&mut quick).await, Step::Said { .. }));
        }
        assert_eq!(log.bytes(), log.limit);
        assert!(matches!(step(&mut slow).await, Step::Behind));
        slow.saw(&batch(&["a"]));
        assert_eq!(slow.seen(), 1);
        assert!(matches!(step(&mut slow).await, Step::Said { before: 1, frames } if frames == batch(&["b"])));
        log.publish(batch(&["too large, and held all the same, as the newest is"]));
        assert!(matches!(step(&mut slow).await, Step::Behind));
        assert!(matches!(step(&mut quick).await, Step::Said { before: 3, .. }));
    }

    #[test]
    fn a_watcher_that_left_costs_nothing() {
        let log = log(usize::MAX);
        for _ in 0..100 {
            let mut cursor = Cursor::behind(log.clone(), 0);
            assert!(step(&mut cursor).now_or_never().is_none());
            assert!(log.is_watched());
        }
        assert!(log.inner.lock().waiting.is_empty());
        assert!(!log.is_watched());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_known_since_when_nobody_watches() {
        let log = log(usize::MAX);
        let (one, two) = (Cursor::behind(log.clone(), 0), Cursor::behind(log.clone(), 0));
        drop(one);
        assert!(log.unwatched().now_or_never().is_none());
        let at = Instant::now();
        drop(two);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(log.unwatched().await, at);
        let again = Cursor::behind(log.clone(), 0);
        assert!(log.unwatched().now_or_never().is_none());
        drop(again);
        assert!(log.unwatched().await > at);
    }
}
