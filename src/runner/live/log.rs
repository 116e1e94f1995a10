//! The log of a live run, and the cursors of those who watch it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::Mutex;
use slab::Slab;

use crate::agui::Frames;

/// What a live run has shown so far. Watchers hold a cursor into it and no queue of their own, so a slow
/// one costs its cursor only. Its size is bounded by the engine, which ends a run that says too much.
#[derive(Debug, Default)]
pub(super) struct Log {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<Frames>,
    /// How many of the events in the batches the run said.
    said: u64,
    ended: bool,
    waiting: Slab<Option<Waker>>,
}

impl Log {
    /// Makes visible what the run said next, and the store keeps.
    pub(super) fn publish(&self, frames: Frames) {
        if frames.is_empty() {
            return;
        }
        self.change(|inner| {
            inner.said += frames.count() as u64;
            inner.batches.push_back(frames);
        });
    }

    /// Makes visible why nothing more of the run can be shown.
    pub(super) fn publish_failure(&self, frames: Frames) {
        self.change(|inner| inner.batches.push_back(frames));
    }

    /// How many events the run has said here.
    pub(super) fn said(&self) -> u64 {
        self.inner.lock().said
    }

    /// Says that nothing will follow.
    pub(super) fn end(&self) {
        self.change(|inner| inner.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock();
        change(&mut inner);
        // Woken after the lock is gone: a woken watcher takes it at once. Most runs have one watcher.
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
}

/// Follows a log from its beginning to its end.
#[derive(Debug)]
pub(super) struct Watch {
    log: Arc<Log>,
    /// The next batch to read.
    cursor: usize,
    /// The place in the log's waiting list, once this watcher had to wait.
    place: Option<usize>,
}

impl Watch {
    pub(super) fn new(log: Arc<Log>) -> Watch {
        Watch { log, cursor: 0, place: None }
    }
}

impl Stream for Watch {
    type Item = Frames;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        let watch = self.get_mut();
        let mut inner = watch.log.inner.lock();
        if let Some(frames) = inner.batches.get(watch.cursor) {
            watch.cursor += 1;
            return Poll::Ready(Some(frames.clone()));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        let place = *watch.place.get_or_insert_with(|| inner.waiting.insert(None));
        match &mut inner.waiting[place] {
            Some(waker) => waker.clone_from(cx.waker()),
            slot => *slot = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.log.inner.lock().waiting.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::agui::Event;

    fn batch(text: &str) -> Frames {
        Frames::of(&[Event::text_content("m", text)])
    }

    #[tokio::test]
    async fn every_watcher_sees_everything_in_order_whenever_it_comes() {
        let log = Arc::new(Log::default());
        let mut early = Watch::new(log.clone());
        assert!(early.next().now_or_never().is_none(), "nothing to see yet");
        log.publish(batch("a"));
        let late = Watch::new(log.clone());
        log.publish(batch("b"));
        log.end();
        let expected = vec![batch("a"), batch("b")];
        assert_eq!(early.collect::<Vec<_>>().await, expected);
        assert_eq!(late.collect::<Vec<_>>().await, expected);
    }

    #[tokio::test]
    async fn a_waiting_watcher_is_woken() {
        let log = Arc::new(Log::default());
        #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
        let watching = tokio::spawn(Watch::new(log.clone()).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        log.publish(batch("a"));
        tokio::task::yield_now().await;
        log.end();
        assert_eq!(watching.await.unwrap().len(), 1);
    }

    #[test]
    fn a_watcher_that_left_costs_nothing() {
        let log = Arc::new(Log::default());
        for _ in 0..100 {
            let mut watch = Watch::new(log.clone());
            assert!(watch.next().now_or_never().is_none());
        }
        assert!(log.inner.lock().waiting.is_empty());
    }
}
