//! Lists of threads, page by page.

use std::collections::HashSet;

use futures_util::future::BoxFuture;

use super::Failure;
use crate::runner::{StoreError, ThreadEntry, ThreadList, ThreadQuery, ThreadStore};

/// How many threads are asked for at once.
const PAGE: usize = 500;

/// The pages of a list.
pub(super) struct Pages<L> {
    list: L,
    /// What is still to be asked; `None` at the end.
    query: Option<ThreadQuery>,
    left: usize,
}

/// The list of a store.
pub(super) fn of<'s>(
    store: &'s dyn ThreadStore,
) -> impl Fn(ThreadQuery) -> BoxFuture<'s, Result<ThreadList, StoreError>> + Copy {
    move |query| store.list(query)
}

impl<'s, L: Fn(ThreadQuery) -> BoxFuture<'s, Result<ThreadList, StoreError>>> Pages<L> {
    /// As many threads as the query's limit allows.
    pub(super) fn new(list: L, query: ThreadQuery) -> Pages<L> {
        Pages { list, left: query.limit, query: Some(query) }
    }

    /// The next page; `None` when the last one was given.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<ThreadEntry>>, StoreError> {
        let Some(query) = self.query.take_if(|_| self.left > 0) else { return Ok(None) };
        let page = (self.list)(ThreadQuery { limit: self.left.min(PAGE), ..query.clone() }).await?;
        self.left -= page.threads.len().min(self.left);
        self.query = page.next.map(|next| ThreadQuery { after: Some(next), ..query });
        Ok(Some(page.threads))
    }

    /// Whether the list goes on behind the pages given.
    pub(super) fn has_more(&self) -> bool {
        self.query.is_some()
    }
}

/// Every thread a query finds. One that a server moves to the front of the list while its pages are read is not
/// missed, and none is found twice.
pub(super) async fn all<'s>(
    list: impl Fn(ThreadQuery) -> BoxFuture<'s, Result<ThreadList, StoreError>> + Copy,
    query: ThreadQuery,
) -> Result<Vec<ThreadEntry>, Failure> {
    let mut seen = HashSet::new();
    let mut threads: Vec<ThreadEntry> = Vec::new();
    loop {
        let known = threads.len();
        let newest = threads.iter().map(|thread| thread.updated_at).max();
        let mut pages = Pages::new(list, query.clone());
        'pass: while let Some(page) = pages.next().await? {
            for thread in page {
                if newest.is_some_and(|newest| thread.updated_at < newest) {
                    break 'pass;
                }
                if seen.insert(thread.key.clone()) {
                    threads.push(thread);
                }
            }
        }
        if threads.len() == known {
            return Ok(threads);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use futures_util::future::ready;

    use super::*;
    use crate::runner::{ThreadCursor, ThreadKey};

    fn thread(id: usize, updated_at: i64) -> ThreadEntry {
        let key = ThreadKey::anonymous(id.to_string());
        ThreadEntry { key, agent_id: "a".into(), name: None, archived: false, created_at: 0, updated_at }
    }

    /// A page of threads that are sorted by their activity.
    fn page(threads: &[ThreadEntry], query: &ThreadQuery) -> ThreadList {
        let is_behind = |thread: &&ThreadEntry| query.after.is_none_or(|after| thread.updated_at < after.updated_at);
        let mut behind = threads.iter().filter(is_behind);
        let threads: Vec<ThreadEntry> = behind.by_ref().take(query.limit).cloned().collect();
        let last = threads.last().map(|thread| ThreadCursor { updated_at: thread.updated_at, tie: 0 });
        ThreadList { next: last.filter(|_| behind.next().is_some()), threads }
    }

    #[tokio::test]
    async fn a_limit_ends_in_the_middle_of_a_page() {
        let threads: Vec<ThreadEntry> = (0..2 * PAGE).map(|id| thread(id, -(id as i64))).collect();
        let list = |query: ThreadQuery| ready(Ok(page(&threads, &query))).boxed();
        let mut pages = Pages::new(list, ThreadQuery { limit: PAGE + 1, ..ThreadQuery::everybody() });
        assert_eq!(pages.next().await.map(|page| page.map(|page| page.len())), Ok(Some(PAGE)));
        assert_eq!(pages.next().await.map(|page| page.map(|page| page.len())), Ok(Some(1)));
        assert!(pages.has_more());
        assert_eq!(pages.next().await, Ok(None));
    }

    #[tokio::test]
    async fn a_thread_that_moves_to_the_front_meanwhile_is_not_missed() {
        let count = 3 * PAGE;
        let threads = Mutex::new((0..count).map(|id| thread(id, -(id as i64))).collect::<Vec<_>>());
        let list = |query: ThreadQuery| {
            let mut threads = threads.lock().expect("no panic");
            let page = page(&threads, &query);
            // The last one of all, whenever a first page was read.
            if query.after.is_none()
                && let Some(mut last) = threads.pop()
            {
                last.updated_at = threads[0].updated_at + 1;
                threads.insert(0, last);
            }
            ready(Ok(page)).boxed()
        };
        let found = all(&list, ThreadQuery::everybody()).await.expect("a list");
        let ids: HashSet<_> = found.iter().map(|thread| thread.key.id.clone()).collect();
        assert_eq!((found.len(), ids.len()), (count, count));
    }
}
