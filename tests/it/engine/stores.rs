//! A store in RAM, and what stands between it and an engine.

use super::*;

/// What an engine asks of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Begin,
    /// So many events.
    Append(usize),
    Seal,
    Discard,
    Said,
    Active,
    AskToStop,
    History,
    Delete,
    Close,
}

type Gate = dyn Fn(Call, &ThreadKey) -> BoxFuture<'static, Result<(), StoreError>> + Send + Sync;

/// Runs a page of history holds.
pub(super) const PAGE: usize = 2;

/// A store that asks before it does anything: the answer may take its time, or be a failure.
pub(super) struct Between {
    pub(super) inner: Arc<MemoryStore>,
    gate: Box<Gate>,
    /// Calls that came through, in order.
    pub(super) done: Mutex<Vec<Call>>,
}

impl Between {
    pub(super) fn new<F>(gate: impl Fn(Call, &ThreadKey) -> F + Send + Sync + 'static) -> Arc<Between>
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Between::over(Arc::new(MemoryStore::new(MemoryLimits::default())), gate)
    }

    pub(super) fn over<F>(
        inner: Arc<MemoryStore>,
        gate: impl Fn(Call, &ThreadKey) -> F + Send + Sync + 'static,
    ) -> Arc<Between>
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        Arc::new(Between {
            inner,
            gate: Box::new(move |call, thread| gate(call, thread).boxed()),
            done: Mutex::default(),
        })
    }

    /// How many events it has kept.
    pub(super) fn kept(&self) -> usize {
        let events = |call: &Call| if let Call::Append(events) = call { *events } else { 0 };
        self.done.lock().iter().map(events).sum()
    }

    pub(super) fn count(&self, call: Call) -> usize {
        self.done.lock().iter().filter(|done| **done == call).count()
    }

    async fn ask(&self, call: Call, thread: &ThreadKey) -> Result<(), StoreError> {
        (self.gate)(call, thread).await?;
        self.done.lock().push(call);
        Ok(())
    }
}

impl ThreadStore for Between {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>> {
        async move {
            self.ask(Call::Begin, &run.thread).await?;
            self.inner.begin(run).await
        }
        .boxed()
    }
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        async move {
            (self.gate)(Call::Append(frames.count()), &run.thread).await?;
            let call = Call::Append(frames.count());
            self.inner.append(&run, frames).await?;
            self.done.lock().push(call);
            Ok(())
        }
        .boxed()
    }
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        async move {
            self.ask(Call::Seal, &run.thread).await?;
            self.inner.seal(&run, sealed).await
        }
        .boxed()
    }
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        async move {
            self.ask(Call::Discard, &run.thread).await?;
            self.inner.discard(&run).await
        }
        .boxed()
    }
    fn said(&self, run: &OpenRun, after: u64) -> BoxFuture<'_, Result<Said, StoreError>> {
        let run = run.clone();
        async move {
            self.ask(Call::Said, &run.thread).await?;
            self.inner.said(&run, after).await
        }
        .boxed()
    }
    fn active(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ActiveRun>, StoreError>> {
        let thread = thread.clone();
        async move {
            self.ask(Call::Active, &thread).await?;
            self.inner.active(&thread).await
        }
        .boxed()
    }
    fn open_runs(&self, owner: &Owner) -> BoxFuture<'_, Result<Vec<OpenRun>, StoreError>> {
        self.inner.open_runs(owner)
    }
    fn ask_to_stop(&self, stop: AskedStop) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move {
            self.ask(Call::AskToStop, &stop.run.thread).await?;
            self.inner.ask_to_stop(stop).await
        }
        .boxed()
    }
    fn stop_requests(&self) -> BoxStream<'static, AskedStop> {
        self.inner.stop_requests()
    }
    fn history(
        &self,
        thread: &ThreadKey,
        from: u64,
        before: Option<u64>,
    ) -> BoxFuture<'_, Result<History, StoreError>> {
        let thread = thread.clone();
        async move {
            self.ask(Call::History, &thread).await?;
            let mut page = self.inner.history(&thread, from, before).await?;
            page.next = page.runs.get(PAGE).map(|run| run.number);
            page.runs.truncate(PAGE);
            Ok(page)
        }
        .boxed()
    }
    fn state(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<Arc<Value>>, StoreError>> {
        self.inner.state(thread)
    }
    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        self.inner.thread(thread)
    }
    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>> {
        self.inner.list(query)
    }
    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        self.inner.update(thread, patch)
    }
    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        let thread = thread.clone();
        async move {
            self.ask(Call::Delete, &thread).await?;
            self.inner.delete(&thread).await
        }
        .boxed()
    }
    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.clear(owner)
    }
    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            let _ = self.ask(Call::Close, &"".into()).await;
        }
        .boxed()
    }
}

/// A store that is slow, so that showing early would be noticed, and keeps so many events before its disk is full.
pub(super) fn slow_store(room: usize) -> (Arc<Between>, LiveRunner) {
    let left = Arc::new(Mutex::new(room));
    let store = Between::new(move |call, _| {
        let left = left.clone();
        async move {
            match call {
                Call::Append(events) => {
                    let rest = left.lock().checked_sub(events);
                    *left.lock() = rest.ok_or_else(full)?;
                }
                Call::Begin => {}
                _ => return Ok(()),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        }
    });
    let runner = LiveRunner::new(store.clone(), RunOptions::default());
    (store, runner)
}

pub(super) fn full() -> StoreError {
    StoreError::Failed("the disk is full".into())
}
