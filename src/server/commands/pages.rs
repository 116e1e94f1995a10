//! Lists of threads, page by page.

use std::collections::HashSet;

use super::Failure;
use crate::runner::{StoreError, ThreadEntry, ThreadQuery, ThreadStore};

/// How many threads are asked for at once.
const PAGE: usize = 500;

/// The pages of a list.
pub(super) struct Pages<'s> {
    store: &'s dyn ThreadStore,
    /// What is still to be asked; `None` at the end.
    query: Option<ThreadQuery>,
    left: usize,
}

impl<'s> Pages<'s> {
    /// As many threads as the query's limit allows.
    pub(super) fn new(store: &'s dyn ThreadStore, query: ThreadQuery) -> Pages<'s> {
        Pages { store, left: query.limit, query: Some(query) }
    }

    /// The next page; `None` when the last one was given.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<ThreadEntry>>, StoreError> {
        let Some(query) = self.query.take().filter(|_| self.left > 0) else { return Ok(None) };
        let page = self.store.list(ThreadQuery { limit: self.left.min(PAGE), ..query.clone() }).await?;
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
pub(super) async fn all(store: &dyn ThreadStore, query: ThreadQuery) -> Result<Vec<ThreadEntry>, Failure> {
    let mut seen = HashSet::new();
    let mut threads: Vec<ThreadEntry> = Vec::new();
    loop {
        let known = threads.len();
        let newest = threads.iter().map(|thread| thread.updated_at).max();
        let mut pages = Pages::new(store, query.clone());
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
