//! One engine for every local store: who may start a run, what happens to its events, who watches, how it
//! ends. The promises are listed in `ARCHITECTURE.md`; each has a test of that name.

mod admission;
mod close;
mod drive;
mod elsewhere;
mod history;
mod log;
mod options;
pub(super) mod removal;
mod replay;
mod resume;
mod run;
mod unwatched;
mod watch;

use std::future::ready;
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::admission::{Meant, Places, free_from_lost};
use self::elsewhere::Followed;
use self::replay::Replay;
use self::run::{LiveRun, Phase, StopReason};
use self::watch::{Shown, Watch};
use super::{
    Activity, AgentRunner, ConnectRequest, FrameStream, Owner, RunRefused, RunRequest, RunnerError, StopRequest,
    Stopped, ThreadKey, ThreadStore,
};
use crate::agui::{Event, Frames};

pub use self::options::{RunOptions, WhenBusy, WhenUnwatched};

/// The most of a shutdown's time that is kept for stopping the runs that did not end by themselves; of a short one a
/// quarter.
const STOPPING: Duration = Duration::from_secs(2);

/// How long a response's head waits for what the agent says at once, where keeping that takes a moment.
const HEAD_WAITS: Duration = Duration::from_millis(5);

/// Runs agents over a [`ThreadStore`].
///
/// A run belongs to the engine, not to the response that started it: a client that leaves does not end it.
/// Nothing is shown that is not kept; a run has exactly one terminal event, whatever happens; a stopped run
/// keeps its thread busy until it has ended.
#[derive(Clone)]
pub struct LiveRunner {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn ThreadStore>,
    options: RunOptions,
    /// The runs of this process.
    places: Places,
    /// Those of other processes that are watched here.
    followed: Followed,
    /// What is to be done before the store may close: runs, and watching those of other processes.
    tasks: TaskTracker,
    /// What lasts as long as the engine.
    attendants: TaskTracker,
    /// No run is taken any more.
    closing: CancellationToken,
    /// What has not ended by itself is to end now.
    stopping: CancellationToken,
    heeds_stops: Once,
    closed: OnceCell<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // For the task that heeds stops.
        self.stopping.cancel();
    }
}

impl LiveRunner {
    /// An engine over a store.
    #[must_use]
    pub fn new(store: Arc<dyn ThreadStore>, options: RunOptions) -> LiveRunner {
        LiveRunner {
            shared: Arc::new(Shared {
                store,
                options,
                places: Places::default(),
                followed: Followed::default(),
                tasks: TaskTracker::new(),
                attendants: TaskTracker::new(),
                closing: CancellationToken::new(),
                stopping: CancellationToken::new(),
                heeds_stops: Once::new(),
                closed: OnceCell::new(),
            }),
        }
    }

    /// How many threads have a run of this process, stopping ones included.
    #[must_use]
    pub fn live_runs(&self) -> usize {
        self.shared.places.len()
    }

    /// How many bytes of events the runs of this process hold in RAM for their watchers. At most
    /// [`RunOptions::max_log_bytes`] a run, and what an agent said at once.
    #[must_use]
    pub fn live_log_bytes(&self) -> usize {
        self.shared.places.all().iter().map(|run| run.log.bytes()).sum()
    }

    async fn start(&self, request: RunRequest) -> Result<FrameStream, RunRefused> {
        let shared = &self.shared;
        let when_busy = request.when_busy.unwrap_or(shared.options.when_busy);
        let run = Arc::new(LiveRun::new(&request, when_busy, shared.options.max_log_bytes));
        match shared.places.admit(&run, &shared.closing) {
            Err(RunRefused::Busy) if free_from_lost(shared, &run.log.thread).await => {
                shared.places.admit(&run, &shared.closing)
            }
            admitted => admitted,
        }?;
        // Here, as it takes a task: the engine may have been made outside of the async runtime.
        shared.heeds_stops.call_once(|| elsewhere::heed_stops(shared));
        let mut shown = Watch::behind(run.log.clone(), shared.store.clone(), 0).map(Shown::into_frames).boxed();
        let mut task = Box::pin(drive::drive(shared.clone(), run.clone(), request));
        // The first step is taken here: what an agent says at once leaves with the response's head, in one
        // write. From then on the task belongs to the engine, and outlives this request.
        if futures_util::poll!(&mut task).is_pending() {
            shared.tasks.spawn(task);
            if run.phase() == Phase::Starting {
                // A store on disk takes a moment to begin it, and to keep what is said at once.
                if let Ok(Some(first)) = timeout(HEAD_WAITS, shown.next()).await {
                    return Ok(stream::once(ready(first)).chain(shown).boxed());
                }
            }
        }
        Ok(shown)
    }

    async fn close(&self, deadline: Duration) {
        let shared = &self.shared;
        shared.places.refuse(&shared.closing);
        shared.tasks.close();
        let stopping = STOPPING.min(deadline / 4);
        if timeout(deadline - stopping, shared.tasks.wait()).await.is_err() {
            shared.stopping.cancel();
            let runs = shared.places.all();
            tracing::info!(runs = runs.len(), "The runs that go on are stopped, as the time of the shutdown is over");
            for run in runs {
                run.ask_to_stop(StopReason::Shutdown);
            }
            if timeout(stopping, shared.tasks.wait()).await.is_err() {
                tracing::warn!(runs = self.live_runs(), "runs were still ending when the shutdown deadline passed");
            }
        }
        shared.stopping.cancel();
        shared.attendants.close();
        shared.attendants.wait().await;
        shared.closed.get_or_init(|| shared.store.close()).await;
    }
}

impl AgentRunner for LiveRunner {
    fn run(&self, request: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
        Box::pin(self.start(request))
    }

    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
        Box::pin(async move {
            match Replay::open(&self.shared, request).await {
                Ok(replay) => Ok(replay.boxed()),
                // Its store goes with the process, which is no failure.
                Err(_) if self.shared.closing.is_cancelled() => {
                    let refused = RunRefused::ShuttingDown;
                    let told = Frames::of(&[Event::run_error(&refused.to_string(), refused.code())]);
                    Ok(stream::once(ready(told)).boxed())
                }
                Err(failure) => Err(failure.into()),
            }
        })
    }

    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
        match self.shared.places.meant(&request.thread, request.run_id.as_deref()) {
            Meant::Elsewhere => Box::pin(elsewhere::stop(&self.shared, request)),
            Meant::Other => Box::pin(ready(Ok(Stopped::OtherRun))),
            Meant::Run(run) if run.ask_to_stop(StopReason::User) => Box::pin(ready(Ok(Stopped::Stopping))),
            Meant::Run(_) => Box::pin(ready(Ok(Stopped::NoActiveRun))),
        }
    }

    fn threads(&self) -> Option<&dyn ThreadStore> {
        Some(&*self.shared.store)
    }

    fn delete_thread<'r>(&'r self, thread: &'r ThreadKey) -> BoxFuture<'r, Result<bool, RunnerError>> {
        Box::pin(async move { Ok(removal::delete(&self.shared, thread).await?) })
    }

    fn clear_threads<'r>(&'r self, owner: &'r Owner) -> BoxFuture<'r, Result<(), RunnerError>> {
        Box::pin(async move { Ok(removal::clear(&self.shared, owner).await?) })
    }

    fn activity(&self) -> Activity {
        let shared = &self.shared;
        let runs = shared.places.all().iter().map(|run| run.now()).collect();
        Activity { runs, watchers_elsewhere: shared.followed.watchers() }
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
