//! One engine for every local store: who may start a run, what happens to its events, who watches, how it
//! ends. The promises are listed in `ARCHITECTURE.md`; each has a test of that name.

mod drive;
mod log;
mod resume;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::log::{Log, Watch};
use self::resume::Start;
use super::{
    AgentRunner, ConnectRequest, FrameStream, RunRefused, RunRequest, RunnerError, StopRequest, Stopped, StoredRun,
    ThreadKey, ThreadStore,
};

/// Runs agents over a [`ThreadStore`].
///
/// A run belongs to the engine, not to the response that started it: a client that leaves does not end it.
/// Nothing is shown that is not kept; a run has exactly one terminal event, whatever happens; a stopped run
/// keeps its thread busy until it has ended.
#[derive(Clone)]
pub struct LiveRunner {
    shared: Arc<Shared>,
}

/// What the engine allows a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// What happens to a run on a busy thread. Default: [`WhenBusy::Reject`].
    pub when_busy: WhenBusy,
    /// How many bytes of events one run may say before it is ended with `RUN_TOO_LARGE`. Default: 64 MiB.
    pub max_run_bytes: usize,
    /// How long a run may go on in silence after its terminal event before it is taken for ended. Default: 5 s.
    pub after_terminal: Duration,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            when_busy: WhenBusy::Reject,
            max_run_bytes: 64 * 1024 * 1024,
            after_terminal: Duration::from_secs(5),
        }
    }
}

/// What happens to a run on a thread where another is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBusy {
    /// The new run is refused.
    #[default]
    Reject,
    /// The active run is stopped as by a user and leaves no history; then the new one starts.
    /// What the Node runtime calls `supersede`.
    Supersede,
}

struct Shared {
    store: Arc<dyn ThreadStore>,
    options: RunOptions,
    /// The active run of each thread, from admission until it is sealed.
    live: Mutex<HashMap<ThreadKey, Arc<LiveRun>>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// A run that holds its thread.
struct LiveRun {
    thread: ThreadKey,
    run_id: Arc<str>,
    agent_id: Arc<str>,
    log: Arc<Log>,
    /// The run's number in the store, once it has begun.
    number: Mutex<Option<u64>>,
    stop: Mutex<Option<StopReason>>,
    /// Signalled with the stop.
    stopped: CancellationToken,
    /// Signalled when the thread is free again.
    ended: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopReason {
    User,
    Superseded,
    Shutdown,
}

impl LiveRunner {
    /// An engine over a store.
    #[must_use]
    pub fn new(store: Arc<dyn ThreadStore>, options: RunOptions) -> LiveRunner {
        LiveRunner {
            shared: Arc::new(Shared {
                store,
                options,
                live: Mutex::default(),
                tasks: TaskTracker::new(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// How many runs are active, stopping ones included.
    #[must_use]
    pub fn live_runs(&self) -> usize {
        self.shared.live.lock().len()
    }

    /// One atomic decision per thread: the run holds the thread, or the one that does.
    fn admit(&self, request: &RunRequest) -> Result<Arc<LiveRun>, Arc<LiveRun>> {
        let thread = request.thread();
        let mut live = self.shared.live.lock();
        if let Some(active) = live.get(&thread) {
            return Err(active.clone());
        }
        let run = Arc::new(LiveRun {
            thread: thread.clone(),
            run_id: request.input.run_id.as_str().into(),
            agent_id: request.agent_id.clone(),
            log: Arc::new(Log::default()),
            number: Mutex::new(None),
            stop: Mutex::new(None),
            // Not a child of a common token: signalling one run must cost nothing to the others.
            stopped: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        live.insert(thread, run.clone());
        Ok(run)
    }

    async fn start(&self, request: RunRequest) -> Result<FrameStream, RunRefused> {
        let run = loop {
            if self.shared.closing.is_cancelled() {
                return Err(RunRefused::ShuttingDown);
            }
            match self.admit(&request) {
                Ok(run) => break run,
                Err(active) => match self.shared.options.when_busy {
                    WhenBusy::Reject => return Err(RunRefused::Busy),
                    WhenBusy::Supersede => {
                        active.ask_to_stop(StopReason::Superseded);
                        active.ended.cancelled().await;
                    }
                },
            }
        };
        let watch = Watch::new(run.log.clone());
        let mut task = Box::pin(drive::drive(self.shared.clone(), run, request));
        // The first step is taken here: what an agent says at once leaves with the response's head, in one
        // write. From then on the task belongs to the engine, and outlives this request.
        if futures_util::poll!(&mut task).is_pending() {
            self.shared.tasks.spawn(task);
        }
        Ok(watch.boxed())
    }

    async fn replay(&self, request: ConnectRequest) -> Result<FrameStream, RunnerError> {
        let active = self.shared.live.lock().get(&request.thread).cloned();
        let mut history = self.history(&request.thread).await?;
        // Joined by position: what the active run says comes from its log alone, also if it was sealed
        // while the history was read.
        let number = active.as_ref().and_then(|run| *run.number.lock());
        history.retain(|run| number.is_none_or(|live| run.number < live) && !run.frames.is_empty());
        let Some(last_seen) = request.last_seen else {
            let replay = stream::iter(history.into_iter().map(|run| run.frames));
            return Ok(match active {
                Some(run) => replay.chain(Watch::new(run.log.clone())).boxed(),
                None => replay.boxed(),
            });
        };
        let start = Start::after(&last_seen, &history, number.zip(active.as_ref().map(|run| &*run.log)));
        let live = active.map(|run| start.live(run));
        let replay = stream::iter(history).filter_map(move |run| std::future::ready(start.stored(&run)));
        Ok(match live {
            Some(live) => replay.chain(live).boxed(),
            None => replay.boxed(),
        })
    }

    async fn history(&self, thread: &ThreadKey) -> Result<Vec<StoredRun>, RunnerError> {
        let mut runs = Vec::new();
        let mut from = Some(0);
        while let Some(start) = from {
            let page = self.shared.store.history(thread, start, None).await?;
            runs.extend(page.runs);
            from = page.next;
        }
        Ok(runs)
    }

    async fn close(&self, deadline: Duration) {
        self.shared.closing.cancel();
        let active: Vec<_> = self.shared.live.lock().values().cloned().collect();
        for run in active {
            run.ask_to_stop(StopReason::Shutdown);
        }
        self.shared.tasks.close();
        if tokio::time::timeout(deadline, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!(runs = self.live_runs(), "runs were still ending when the shutdown deadline passed");
        }
    }
}

impl LiveRun {
    /// Whether this call is the one that stops the run.
    fn ask_to_stop(&self, reason: StopReason) -> bool {
        let mut stop = self.stop.lock();
        // A run that is stopping is superseded all the same: it must leave no history.
        let first = stop.is_none();
        if first || reason == StopReason::Superseded {
            *stop = Some(reason);
        }
        drop(stop);
        self.stopped.cancel();
        first
    }
}

impl AgentRunner for LiveRunner {
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        Box::pin(self.start(request))
    }

    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        Box::pin(self.replay(request))
    }

    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        let active = self.shared.live.lock().get(&request.thread).cloned();
        let answer = match active {
            None => Stopped::NoActiveRun,
            Some(run) if request.run_id.as_deref().is_some_and(|id| id != &*run.run_id) => Stopped::OtherRun,
            Some(run) if run.ask_to_stop(StopReason::User) => Stopped::Stopping,
            Some(_) => Stopped::NoActiveRun,
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    fn threads(&self) -> Option<&dyn ThreadStore> {
        Some(&*self.shared.store)
    }

    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.close(deadline))
    }
}

impl std::fmt::Debug for LiveRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveRunner").field("options", &self.shared.options).field("live", &self.live_runs()).finish()
    }
}
