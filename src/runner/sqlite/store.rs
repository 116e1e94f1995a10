//! A [`ThreadStore`] in a SQLite file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde_json::Value;
use tokio_util::sync::DropGuard;

use super::desk::Desk;
use super::error::OpenError;
use super::lease::Presence;
use super::readers::Readers;
use super::runs::Seal;
use super::search::Portion;
use super::stored::Piece;
use super::writer::Writer;
use super::{SqliteOptions, history, lists, removal, runs, schema, search, stops};
use crate::agui::Frames;
use crate::runner::words::Words;
use crate::runner::{
    ActiveRun, AskedStop, BeginError, Begun, History, NewRun, OpenRun, Owner, Said, SealedRun, StoreError, ThreadEntry,
    ThreadKey, ThreadList, ThreadPatch, ThreadQuery, ThreadStore,
};

/// A [`ThreadStore`] in a SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) file: PathBuf,
    pub(super) writer: Writer,
    pub(super) readers: Arc<Readers>,
    pub(super) presence: Arc<Presence>,
    _closing: DropGuard,
    #[cfg(test)]
    killed: Arc<std::sync::atomic::AtomicBool>,
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
        let presence = Arc::new(Presence::default());
        #[cfg(test)]
        let killed = Arc::default();
        let writer = Writer::start(|queue| {
            Desk::open(
                &file,
                options,
                presence.clone(),
                queue,
                #[cfg(test)]
                Arc::clone(&killed),
            )
        })?;
        let readers = Arc::new(Readers::start(&file, options.readers)?);
        Ok(SqliteStore {
            file,
            writer,
            readers,
            _closing: presence.closed.clone().drop_guard(),
            presence,
            #[cfg(test)]
            killed,
            #[cfg(test)]
            place: None,
        })
    }

    /// Ends as if the process were killed.
    #[cfg(test)]
    pub(super) async fn kill(self) {
        self.killed.store(true, std::sync::atomic::Ordering::Relaxed);
        self.close().await;
    }

    /// Changes a setting of the connection that writes.
    #[cfg(test)]
    pub(super) async fn set(&self, pragma: &'static str, value: i64) {
        let set =
            move |connection: &rusqlite::Connection| connection.execute_batch(&format!("PRAGMA {pragma} = {value}"));
        self.writer.chore(set).await.unwrap().unwrap();
    }

    /// Forgets the threads of an owner, and says how many there were.
    pub(super) async fn clear_all(&self, owner: Owner) -> Result<usize, StoreError> {
        let mut count = 0;
        loop {
            let owner = owner.clone();
            match self.writer.run(0, move |write| removal::clear_some(write, &owner)).await? {
                0 => break,
                some => count += some,
            }
        }
        self.sweep().await?;
        Ok(count)
    }

    /// Returns when nothing is left of deleted threads.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        while self.writer.run(0, |write| removal::sweep(write)).await? {}
        Ok(())
    }

    async fn search(&self, query: ThreadQuery) -> Result<ThreadList, StoreError> {
        let (mut behind, open) = self.readers.run(search::behind).await?;
        if open {
            self.writer.run(0, |write| search::note_open(write)).await?;
            behind = true;
        }
        let mut done = 0;
        while behind && done < search::AWAITED {
            let some = self.writer.run(0, |write| search::catch_up(write, Portion::LARGE)).await?;
            done += some;
            behind = some > 0;
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
        let piece = Piece::of(frames.bytes().clone());
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

    fn open_runs(&self, owner: &Owner) -> BoxFuture<'_, Result<Vec<OpenRun>, StoreError>> {
        let owner = owner.clone();
        self.readers.run(move |connection| stops::open_runs(connection, &owner)).boxed()
    }

    fn ask_to_stop(&self, stop: AskedStop) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.writer.run(0, move |write| runs::ask_to_stop(write, &stop)).boxed()
    }

    fn stop_requests(&self) -> BoxStream<'static, AskedStop> {
        stops::requests(&self.readers, &self.presence)
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
        async move {
            let found = self.writer.run(0, move |write| removal::delete(write, &thread)).await?;
            self.sweep().await?;
            Ok(found)
        }
        .boxed()
    }

    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        let owner = owner.clone();
        async move { self.clear_all(owner).await.map(drop) }.boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.writer.run(0, |write| schema::touch(write.connection())).boxed()
    }

    fn waiting_writes(&self) -> usize {
        self.writer.waiting()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.presence.closed.cancel();
            self.readers.close().await;
            // Last, so that it leaves the file alone in its place.
            self.writer.close().await;
        }
        .boxed()
    }
}
