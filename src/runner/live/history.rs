//! The sealed runs of a thread, page by page.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::runner::{History, StoreError, StoredRun, ThreadKey, ThreadStore};

/// Sealed runs, oldest first. A page is read when the one before was taken.
pub(super) struct Pages {
    store: Arc<dyn ThreadStore>,
    thread: ThreadKey,
    before: Option<u64>,
    page: vec::IntoIter<StoredRun>,
    next: Option<u64>,
    reading: Option<BoxFuture<'static, Result<History, StoreError>>>,
}

impl Pages {
    /// The runs numbered from `from` up to but not including `before`. The first page is read at once.
    pub(super) async fn open(
        store: Arc<dyn ThreadStore>,
        thread: ThreadKey,
        from: u64,
        before: Option<u64>,
    ) -> Result<Pages, StoreError> {
        let History { runs, next, .. } = store.history(&thread, from, before).await?;
        Ok(Pages { store, thread, before, page: runs.into_iter(), next, reading: None })
    }

    pub(super) fn thread(&self) -> &ThreadKey {
        &self.thread
    }

    /// The next run of the page at hand.
    pub(super) fn first(&self) -> Option<&StoredRun> {
        self.page.as_slice().first()
    }

    pub(super) fn skip_first(&mut self) {
        self.page.next();
    }

    pub(super) fn poll_run(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StoredRun, StoreError>>> {
        loop {
            if let Some(run) = self.page.next() {
                return Poll::Ready(Some(Ok(run)));
            }
            let Some(reading) = &mut self.reading else {
                let Some(from) = self.next.take() else { return Poll::Ready(None) };
                let (store, thread, before) = (self.store.clone(), self.thread.clone(), self.before);
                self.reading = Some(async move { store.history(&thread, from, before).await }.boxed());
                continue;
            };
            let read = ready!(reading.poll_unpin(cx));
            self.reading = None;
            match read {
                Ok(History { runs, next, .. }) => (self.page, self.next) = (runs.into_iter(), next),
                Err(failure) => return Poll::Ready(Some(Err(failure))),
            }
        }
    }
}
