//! A store in RAM whose processes die, hang and lose their leases, as those over one file do.

use std::collections::{HashMap, HashSet};

use super::*;

/// What outlives every process.
pub(super) struct Disk {
    pub(super) store: MemoryStore,
    /// The process that holds each run.
    holders: Mutex<HashMap<OpenRun, usize>>,
    /// Runs that were closed for their process.
    closed: Mutex<HashSet<OpenRun>>,
    /// How many milliseconds the next calls take, over and over. If it is odd, their answers take as long again.
    delays: Vec<u8>,
    calls: AtomicUsize,
}

/// A process's way to the disk.
pub(super) struct Handle {
    disk: Arc<Disk>,
    process: usize,
    dead: Arc<AtomicBool>,
}

impl Disk {
    pub(super) fn new(delays: Vec<u8>) -> Arc<Disk> {
        Arc::new(Disk {
            store: MemoryStore::new(MemoryLimits::default()),
            holders: Mutex::default(),
            closed: Mutex::default(),
            delays,
            calls: AtomicUsize::new(0),
        })
    }

    /// A handle, and what kills its process: from then on its calls have no effect and no answer.
    pub(super) fn handle(self: &Arc<Disk>, process: usize) -> (Handle, Arc<AtomicBool>) {
        let dead = Arc::new(AtomicBool::new(false));
        (Handle { disk: self.clone(), process, dead: dead.clone() }, dead)
    }

    /// The lease of a process is over: who finds that closes its runs.
    pub(super) async fn expire(&self, process: usize) {
        let mut held: Vec<_> = self.holders.lock().extract_if(|_, holder| *holder == process).collect();
        held.sort_by_key(|(run, _)| run.number);
        for (run, _) in held {
            let Some(active) = self.store.active(&run.thread).await.unwrap().filter(|active| active.run == run) else {
                continue;
            };
            self.closed.lock().insert(run.clone());
            let mut events = Vec::new();
            loop {
                let page = self.store.said(&run, events.len() as u64).await.unwrap().frames;
                if page.is_empty() {
                    break;
                }
                events.extend(parse(&page));
            }
            let mut finalizer = Finalizer::new(&run.thread.id, &active.run_id);
            if events.is_empty() {
                events.push(Event::run_started(&run.thread.id, &active.run_id));
            }
            events.iter().for_each(|event| finalizer.observe(event));
            let message = "The process ended before the run did".to_owned();
            events.extend(finalizer.close(Ending::Failed { message, code: Some(codes::RUN_INTERRUPTED) }));
            let mut compactor = Compactor::new(None);
            events.iter().for_each(|event| compactor.push(event));
            let compacted = compactor.finish();
            let sealed = SealedRun {
                frames: Frames::of(&compacted.events),
                said: events.len() as u64,
                cuts: compacted.cuts.bytes().clone(),
                ..SealedRun::default()
            };
            self.store.seal(&run, sealed).await.unwrap();
        }
    }

    fn check(&self, run: &OpenRun) -> Result<(), StoreError> {
        if self.closed.lock().contains(run) { Err(StoreError::LeaseLost) } else { Ok(()) }
    }
}

impl Handle {
    /// What a call does, unless the process dies before it, or before the answer.
    async fn call<T>(&self, does: impl AsyncFnOnce(&Disk) -> T) -> T {
        let call = self.disk.calls.fetch_add(1, Ordering::SeqCst);
        let millis = self.disk.delays[call % self.disk.delays.len()];
        let delay = Duration::from_millis(u64::from(millis));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        self.is_alive().await;
        let answer = does(&self.disk).await;
        if millis % 2 == 1 {
            tokio::time::sleep(delay).await;
        }
        self.is_alive().await;
        answer
    }

    async fn is_alive(&self) {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

impl ThreadStore for Handle {
    fn begin(&self, run: NewRun) -> BoxFuture<'_, Result<Begun, BeginError>> {
        let begin = async move |disk: &Disk| {
            let begun = disk.store.begin(run).await?;
            disk.holders.lock().insert(begun.run.clone(), self.process);
            Ok(begun)
        };
        self.call(begin).boxed()
    }
    fn append(&self, run: &OpenRun, frames: Frames) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        self.call(async move |disk: &Disk| {
            disk.check(&run)?;
            disk.store.append(&run, frames).await
        })
        .boxed()
    }
    fn seal(&self, run: &OpenRun, sealed: SealedRun) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        self.call(async move |disk: &Disk| {
            disk.check(&run)?;
            disk.store.seal(&run, sealed).await
        })
        .boxed()
    }
    fn discard(&self, run: &OpenRun) -> BoxFuture<'_, Result<(), StoreError>> {
        let run = run.clone();
        self.call(async move |disk: &Disk| {
            disk.check(&run)?;
            disk.store.discard(&run).await
        })
        .boxed()
    }
    fn said(&self, run: &OpenRun, after: u64) -> BoxFuture<'_, Result<Said, StoreError>> {
        let run = run.clone();
        self.call(async move |disk: &Disk| disk.store.said(&run, after).await).boxed()
    }
    fn active(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ActiveRun>, StoreError>> {
        let thread = thread.clone();
        self.call(async move |disk: &Disk| disk.store.active(&thread).await).boxed()
    }
    fn open_runs(&self, owner: &Owner) -> BoxFuture<'_, Result<Vec<OpenRun>, StoreError>> {
        self.disk.store.open_runs(owner)
    }
    fn ask_to_stop(&self, stop: AskedStop) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.call(async move |disk: &Disk| disk.store.ask_to_stop(stop).await).boxed()
    }
    fn stop_requests(&self) -> BoxStream<'static, AskedStop> {
        let (disk, process, dead) = (self.disk.clone(), self.process, self.dead.clone());
        let is_mine = move |stop: &AskedStop| {
            let holder = disk.holders.lock().get(&stop.run).copied();
            std::future::ready(holder == Some(process) && !dead.load(Ordering::SeqCst))
        };
        self.disk.store.stop_requests().filter(is_mine).boxed()
    }
    fn history(
        &self,
        thread: &ThreadKey,
        from: u64,
        before: Option<u64>,
    ) -> BoxFuture<'_, Result<History, StoreError>> {
        let thread = thread.clone();
        self.call(async move |disk: &Disk| {
            let mut page = disk.store.history(&thread, from, before).await?;
            page.next = page.runs.get(1).map(|run| run.number);
            page.runs.truncate(1);
            Ok(page)
        })
        .boxed()
    }
    fn state(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<Arc<Value>>, StoreError>> {
        self.disk.store.state(thread)
    }
    fn thread(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        self.disk.store.thread(thread)
    }
    fn list(&self, query: ThreadQuery) -> BoxFuture<'_, Result<ThreadList, StoreError>> {
        self.disk.store.list(query)
    }
    fn update(&self, thread: &ThreadKey, patch: ThreadPatch) -> BoxFuture<'_, Result<Option<ThreadEntry>, StoreError>> {
        self.disk.store.update(thread, patch)
    }
    fn delete(&self, thread: &ThreadKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.disk.store.delete(thread)
    }
    fn clear(&self, owner: &Owner) -> BoxFuture<'_, Result<(), StoreError>> {
        self.disk.store.clear(owner)
    }
}
