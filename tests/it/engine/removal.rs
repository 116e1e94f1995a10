//! A deleted thread stays deleted: what ran on it and what waited for it ends, in every process.

use tokio::sync::watch;

use super::stores::{Between, Call};
use super::*;

fn enqueue() -> WhenBusy {
    WhenBusy::Enqueue { max: 10, timeout: Duration::from_secs(60) }
}

/// A thread of the owner of these tests.
fn thread() -> ThreadKey {
    ThreadKey::new(Owner::of("ann"), "t")
}

fn queued(agent: Arc<dyn Agent>, owner: &str, run: &str) -> RunRequest {
    let mut request = request(agent, "t", run);
    request.owner = Owner::of(owner);
    request.when_busy = Some(enqueue());
    request
}

/// How threads are deleted.
#[derive(Clone, Copy, Debug)]
enum How {
    Delete,
    Clear,
}

impl How {
    async fn remove(self, runner: &dyn AgentRunner) {
        match self {
            How::Delete => assert!(runner.delete_thread(&thread()).await.unwrap()),
            How::Clear => runner.clear_threads(&Owner::of("ann")).await.unwrap(),
        }
    }
}

/// A run that goes on, and those that wait for its thread. The last is another user's.
struct Busy {
    running: FrameStream,
    strings: Strings,
    waiting: Vec<(FrameStream, Strings)>,
}

/// Starts a run, and lets others wait for it in the processes given.
async fn busy(here: &dyn AgentRunner, waiting_in: &[&dyn AgentRunner]) -> Busy {
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "running"));
    let mut running = here.run(queued(agent, "ann", "running")).await.unwrap();
    assert_eq!(next(&mut running).await.len(), 1);
    let mut waiting = Vec::new();
    for runner in waiting_in {
        let (agent, strings) = puppet();
        waiting.push((runner.run(queued(agent, "ann", "waiting")).await.unwrap(), strings));
    }
    Busy { running, strings, waiting }
}

impl Busy {
    /// All of it has ended, and its thread is not there.
    async fn has_ended(self, runner: &dyn AgentRunner) {
        assert_eq!(one_terminal(&all(self.running).await), "", "as a run that was stopped");
        assert!(self.strings.dropped.load(Ordering::SeqCst));
        for (waiting, strings) in self.waiting {
            let told = all(waiting).await;
            assert_eq!((told.len(), one_terminal(&told).as_str()), (1, codes::THREAD_DELETED));
            assert!(strings.say.is_closed() && !strings.dropped.load(Ordering::SeqCst), "its agent never ran");
        }
        let store = runner.threads().unwrap();
        assert_eq!(store.thread(&thread()).await.unwrap(), None, "nobody made the thread anew");
        let again = all(runner.run(queued(saying(greeting("t", "new")), "ann", "new")).await.unwrap()).await;
        assert_eq!(one_terminal(&again), "");
        assert_eq!(all(runner.connect(ConnectRequest::new(thread())).await.unwrap()).await, again);
    }
}

async fn of_one_process(runner: impl AgentRunner) {
    for how in [How::Delete, How::Clear] {
        let others = all(runner.run(queued(saying(greeting("t", "r")), "ben", "r")).await.unwrap()).await;
        let busy = busy(&runner, &[&runner, &runner, &runner]).await;
        how.remove(&runner).await;
        busy.has_ended(&runner).await;
        how.remove(&runner).await;
        let bens = ThreadKey::new(Owner::of("ben"), "t");
        assert_eq!(all(runner.connect(ConnectRequest::new(bens.clone())).await.unwrap()).await, others);
        assert!(runner.delete_thread(&bens).await.unwrap());
        assert!(!runner.delete_thread(&bens).await.unwrap(), "there is none");
    }
}

async fn of_several_processes(here: impl AgentRunner, there: impl AgentRunner) {
    for how in [How::Delete, How::Clear] {
        // Those that wait do so where the thread is deleted, and behind the run itself.
        let busy = busy(&here, &[&here, &there, &here, &there]).await;
        how.remove(&there).await;
        busy.has_ended(&there).await;
        how.remove(&here).await;
    }
}

#[tokio::test]
async fn a_deleted_thread_ends_what_runs_on_it_and_what_waits_for_it() {
    of_one_process(MemoryRunner::new()).await;
}

#[tokio::test]
async fn a_thread_deleted_in_one_process_ends_what_runs_and_waits_in_another() {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let engine = || LiveRunner::new(store.clone(), RunOptions::default());
    of_several_processes(engine(), engine()).await;
}

#[cfg(feature = "sqlite")]
mod in_a_file {
    use copilotkit_runtime::runner::SqliteRunner;

    use super::*;

    #[tokio::test]
    async fn a_deleted_thread_ends_what_runs_on_it_and_what_waits_for_it() {
        let place = tempfile::tempdir().unwrap();
        of_one_process(SqliteRunner::open(place.path().join("threads.db")).await.unwrap()).await;
    }

    #[tokio::test]
    async fn a_thread_deleted_in_one_process_ends_what_runs_and_waits_in_another() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("threads.db");
        let here = SqliteRunner::open(&file).await.unwrap();
        of_several_processes(here, SqliteRunner::open(&file).await.unwrap()).await;
    }
}

/// An engine over a store that takes its time for one kind of call, until it is told to go on.
fn held_up_by(kind: Call) -> (Arc<Between>, LiveRunner, watch::Sender<bool>) {
    let (release, gate) = watch::channel(false);
    let store = Between::new(move |call, _| {
        let mut gate = gate.clone();
        async move {
            if call == kind {
                gate.wait_for(|open| *open).await.expect("the test goes on");
            }
            Ok(())
        }
    });
    let runner = LiveRunner::new(store.clone(), RunOptions::default());
    (store, runner, release)
}

#[tokio::test]
async fn a_run_that_is_about_to_begin_does_not_make_its_deleted_thread_anew() {
    let (store, runner, release) = held_up_by(Call::Begin);
    let (agent, strings) = puppet();
    let run = runner.run(queued(agent, "ann", "r")).await.unwrap();
    assert!(!runner.delete_thread(&thread()).await.unwrap(), "there is none yet");
    release.send(true).unwrap();
    one_terminal(&all(run).await);
    assert!(strings.say.is_closed() && !strings.dropped.load(Ordering::SeqCst), "its agent never ran");
    assert_eq!(store.inner.thread(&thread()).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_begins_while_its_thread_is_deleted_ends() {
    let (store, runner, release) = held_up_by(Call::Delete);
    let key = thread();
    let mut deleting = runner.delete_thread(&key);
    assert!(futures_util::poll!(&mut deleting).is_pending());
    let (agent, strings) = puppet();
    let run = runner.run(queued(agent, "ann", "r")).await.unwrap();
    assert!(store.inner.active(&key).await.unwrap().is_some());
    release.send(true).unwrap();
    assert!(deleting.await.unwrap());
    assert_eq!(one_terminal(&all(run).await), "");
    assert!(strings.dropped.load(Ordering::SeqCst));
    assert_eq!(store.inner.thread(&key).await.unwrap(), None);
}
