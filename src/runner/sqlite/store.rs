//! A [`ThreadStore`] in a SQLite file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::error::OpenError;
use super::readers::Readers;
use super::runs::Seal;
use super::stored::Piece;
use super::writer::Writer;
use super::{SqliteOptions, history, lists, removal, runs, schema, search};
use crate::agui::Frames;
use crate::runner::words::Words;
use crate::runner::{
    ActiveRun, BeginError, Begun, History, NewRun, OpenRun, Owner, Said, SealedRun, StoreError, ThreadEntry, ThreadKey,
    ThreadList, ThreadPatch, ThreadQuery, ThreadStore,
};

/// A [`ThreadStore`] in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// Removed with the store.
    #[cfg(test)]
    pub(super) place: Option<super::tests::files::TempFile>,
}

impl SqliteStore {
    /// Opens a file, creating it if it is not there. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`OpenError`] when there is no such place, or the file is not ours.
    pub fn open(file: impl AsRef<Path>, options: &SqliteOptions) -> Result<SqliteStore, OpenError> {
        let file = PathBuf::from(file.as_ref());
        if file.as_os_str().is_empty() || file.as_os_str() == ":memory:" {
            return Err(OpenError::NoFile);
        }
        let connection = schema::open_writer(&file)?;
        let readers = Readers::start(&file, options.readers)?;
        let writer = Writer::start(connection, file)
            .map_err(|error| StoreError::Failed(format!("no thread to write with: {error}")))?;
        Ok(SqliteStore {
            writer,
            readers,
            #[cfg(test)]
            place: None,
        })
    }

    async fn search(&self, query: ThreadQuery) -> Result<ThreadList, StoreError> {
        let mut behind = self.readers.run(search::behind).await?;
        // Those that come meanwhile are not waited for.
        while behind > 0 {
            match self.writer.run(0, |write| search::catch_up(write)).await? {
                0 => break,
                done => behind -= done,
            }
        }
        self.readers.run(move |connection| lists::list(connection, &query)).await
    }
}

impl ThreadStore for SqliteStore {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>> {
        let bytes = run.input.messages.iter().map(|message| message.json().len()).sum();
        async move {
            let begun = self.writer.run(bytes, move |write| runs::begin(write, &run)).await?;
            begun.ok_or(BeginError::Busy)
        }
        .boxed()
    }

    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        let count = i64::try_from(frames.count()).unwrap_or(i64::MAX);
        let piece = Piece::of(frames.bytes());
        self.writer.run(piece.len(), move |write| runs::append(write, &run, count, &piece)).boxed()
    }

    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        let seal = Seal::of(sealed);
        self.writer.run(seal.bytes(), move |write| runs::seal(write, &run, &seal)).boxed()
    }

    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        self.writer.run(0, move |write| runs::discard(write, &run)).boxed()
    }

    fn said(&self, run: &OpenRun, after: u64) -> BoxFuture<'_, Result<Said, StoreError>> {
        let run = run.clone();
        self.readers.run(move |connection| history::said(connection, &run, after)).boxed()
    }

    fn active(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ActiveRun>, StoreError>> {
        let thread = thread.clone();
        self.readers.run(move |connection| history::active(connection, &thread)).boxed()
    }

    fn history(
        &self,
        thread: &ThreadKey,
        from: u64,
        before: Option<u64>,
    ) -> BoxFuture<'_, Result<History, StoreError>> {
        let thread = thread.clone();
        self.readers.run(move |connection| history::history(connection, &thread, from, before)).boxed()
    }

    fn state(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<Arc<Value>>, StoreError>> {
        let thread = thread.clone();
        self.readers.run(move |connection| history::state(connection, &thread)).boxed()
    }

    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        let thread = thread.clone();
        self.readers.run(move |connection| lists::thread(connection, &thread)).boxed()
    }

    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>> {
        if query.matching.as_deref().is_some_and(|text| !Words::of(text).is_empty()) {
            return self.search(query).boxed();
        }
        self.readers.run(move |connection| lists::list(connection, &query)).boxed()
    }

    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        let thread = thread.clone();
        self.writer.run(0, move |write| lists::update(write, &thread, &patch)).boxed()
    }

    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        let thread = thread.clone();
        self.writer.run(0, move |write| removal::delete(write, &thread)).boxed()
    }

    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        let owner = owner.clone();
        self.writer.run(0, move |write| removal::clear(write, &owner)).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.readers.close().await;
            // Last, so that it leaves the file alone in its place.
            self.writer.close().await;
        }
        .boxed()
    }
}
