//! Runs, stops, deletions, watchers who come and leave, crashes and lost leases, in any order over a few threads and processes.

use std::collections::BTreeMap;

use copilotkit_runtime::agui::Verifier;
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::leases::{Disk, Handle};
use super::*;

const PROCESSES: usize = 2;
const THREADS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Run {
        process: usize,
        thread: usize,
        policy: WhenBusy,
        script: Script,
    },
    Connect {
        process: usize,
        thread: usize,
    },
    /// A watcher that leaves, and comes back to any process to go on where it was.
    Change {
        watcher: usize,
        process: usize,
    },
    Leave {
        watcher: usize,
    },
    Stop {
        process: usize,
        thread: usize,
        run: Option<usize>,
    },
    Delete {
        process: usize,
        thread: usize,
    },
    Wait {
        millis: u64,
    },
    Crash {
        process: usize,
    },
    /// The leases of all that crashed, and of a process that only hung.
    Expire {
        process: Option<usize>,
    },
}

/// What an agent does.
#[derive(Clone, Debug)]
struct Script {
    words: usize,
    pause: u64,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Finish,
    Fail,
    Hang,
}

fn step() -> impl Strategy<Value = Step> {
    let enqueue = WhenBusy::Enqueue { max: 2, timeout: Duration::from_secs(1) };
    let policy = prop::sample::select(vec![WhenBusy::Reject, WhenBusy::Interrupt, WhenBusy::Rollback, enqueue]);
    let end = prop::sample::select(vec![End::Finish, End::Finish, End::Fail, End::Hang]);
    let script =
        (0..12usize, prop_oneof![Just(0), 0..40u64], end).prop_map(|(words, pause, end)| Script { words, pause, end });
    let (process, thread, watcher) = (0..PROCESSES, 0..THREADS, any::<prop::sample::Index>());
    let watcher = watcher.prop_map(|index| index.index(1000));
    prop_oneof![
        6 => (process.clone(), thread.clone(), policy, script)
            .prop_map(|(process, thread, policy, script)| Step::Run { process, thread, policy, script }),
        4 => (process.clone(), thread.clone()).prop_map(|(process, thread)| Step::Connect { process, thread }),
        3 => (watcher.clone(), process.clone()).prop_map(|(watcher, process)| Step::Change { watcher, process }),
        1 => watcher.prop_map(|watcher| Step::Leave { watcher }),
        2 => (process.clone(), thread.clone(), prop::option::of(0..8usize))
            .prop_map(|(process, thread, run)| Step::Stop { process, thread, run }),
        1 => (process.clone(), thread).prop_map(|(process, thread)| Step::Delete { process, thread }),
        5 => (0..120u64).prop_map(|millis| Step::Wait { millis }),
        1 => process.clone().prop_map(|process| Step::Crash { process }),
        1 => prop::option::of(process).prop_map(|process| Step::Expire { process }),
    ]
}

fn agent(thread: &str, run: &str, script: &Script) -> Arc<dyn Agent> {
    let Script { words, pause, end } = script.clone();
    let mut events = vec![Event::run_started(thread, run), Event::text_start(&format!("m-{run}"))];
    events.extend((0..words).map(|word| Event::text_content(&format!("m-{run}"), &format!("{run}.{word} "))));
    let hangs = matches!(end, End::Hang);
    if let End::Finish = end {
        events.extend([Event::text_end(&format!("m-{run}")), Event::run_finished(thread, run)]);
    }
    let failure = matches!(end, End::Fail).then(|| AgentError::new("no"));
    let events = Mutex::new(Some((events, failure)));
    Arc::new(FunctionAgent::new(move |_| {
        let (events, failure) = events.lock().take().expect("it runs once");
        let said = stream::iter(events).then(move |event| async move {
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            Ok(event)
        });
        let silence = stream::pending().take(usize::from(hangs));
        said.chain(stream::iter(failure.map(Err))).chain(silence)
    }))
}

/// A process that is alive.
struct Process {
    runner: LiveRunner,
    /// One more with each that takes its place.
    number: usize,
    dead: Arc<AtomicBool>,
}

/// What somebody sees.
#[derive(Clone, Default)]
struct Sight(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    /// Of the events, if it asked for ids.
    ids: Vec<String>,
    /// Whether nothing came yet on this connection.
    is_new: bool,
    ended: bool,
}

struct Watcher {
    /// The process it watches at; it sees no end if that dies.
    process: usize,
    thread: usize,
    /// The run, if it is the response of one.
    run: Option<String>,
    sight: Sight,
    task: tokio::task::AbortHandle,
    /// It left before the end.
    left: bool,
}

struct World {
    disk: Arc<Disk>,
    processes: Vec<Process>,
    born: usize,
    crashed: Vec<usize>,
    runs: usize,
    watchers: Vec<Watcher>,
    tasks: JoinSet<()>,
}

impl World {
    fn new(delays: Vec<u8>) -> World {
        let mut world = World {
            disk: Disk::new(delays),
            processes: Vec::new(),
            born: 0,
            crashed: Vec::new(),
            runs: 0,
            watchers: Vec::new(),
            tasks: JoinSet::new(),
        };
        world.processes = (0..PROCESSES).map(|_| world.process()).collect();
        world
    }

    fn process(&mut self) -> Process {
        self.born += 1;
        let (handle, dead): (Handle, _) = self.disk.handle(self.born);
        let mut options = RunOptions::default();
        // So little that watchers fall behind all the time.
        options.max_log_bytes = 300;
        Process { runner: LiveRunner::new(Arc::new(handle), options), number: self.born, dead }
    }

    fn watch(&mut self, process: usize, thread: usize, run: Option<String>, sight: Sight, stream: Watching) {
        let into = sight.clone();
        let task = self.tasks.spawn(async move {
            let mut stream = stream.await;
            into.0.lock().is_new = true;
            while let Some(frames) = stream.next().await {
                into.see(&frames);
            }
            into.0.lock().ended = true;
        });
        let process = self.processes[process].number;
        self.watchers.push(Watcher { process, thread, run, sight, task, left: false });
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Run { process, thread, policy, script } => {
                self.runs += 1;
                let run = format!("r{}", self.runs);
                let thread_id = name(thread);
                let mut request = request(agent(&thread_id, &run, &script), &thread_id, &run);
                request.when_busy = Some(policy);
                if let Ok(stream) = self.processes[process].runner.run(request).await {
                    self.watch(process, thread, Some(run), Sight::default(), std::future::ready(stream).boxed());
                }
            }
            Step::Connect { process, thread } => self.connect(process, thread, Sight::default()),
            Step::Change { watcher, process } => {
                let Some(watcher) = self.watching(watcher).filter(|watcher| watcher.run.is_none()) else { return };
                watcher.task.abort();
                watcher.left = true;
                let (thread, sight) = (watcher.thread, watcher.sight.clone());
                self.connect(process, thread, sight);
            }
            Step::Leave { watcher } => {
                let Some(watcher) = self.watching(watcher) else { return };
                watcher.task.abort();
                watcher.left = true;
            }
            Step::Stop { process, thread, run } => {
                let run_id = run.map(|run| format!("r{}", self.runs.saturating_sub(run)));
                let runner = self.processes[process].runner.clone();
                let stop = StopRequest { thread: name(thread).as_str().into(), run_id };
                self.tasks.spawn(async move {
                    runner.stop(stop).await.unwrap();
                });
            }
            Step::Delete { process, thread } => {
                let runner = self.processes[process].runner.clone();
                self.tasks.spawn(async move {
                    runner.delete_thread(&name(thread).as_str().into()).await.unwrap();
                });
            }
            Step::Wait { millis } => tokio::time::sleep(Duration::from_millis(millis)).await,
            Step::Crash { process } => {
                let next = self.process();
                let old = std::mem::replace(&mut self.processes[process], next);
                old.dead.store(true, Ordering::SeqCst);
                self.crashed.push(old.number);
                for watcher in self.watchers.iter_mut().filter(|watcher| watcher.process == old.number) {
                    watcher.task.abort();
                    watcher.left = true;
                }
            }
            Step::Expire { process } => {
                let hung = process.map(|process| self.processes[process].number);
                for process in self.crashed.iter().copied().chain(hung) {
                    self.disk.expire(process).await;
                }
            }
        }
    }

    fn connect(&mut self, process: usize, thread: usize, sight: Sight) {
        let runner = self.processes[process].runner.clone();
        let last_seen = sight.0.lock().ids.last().cloned().unwrap_or_default();
        let connect = ConnectRequest::new(name(thread).as_str()).after(last_seen);
        let stream = async move { runner.connect(connect).await.unwrap() };
        self.watch(process, thread, None, sight, stream.boxed());
    }

    /// One of those who watch still.
    fn watching(&mut self, index: usize) -> Option<&mut Watcher> {
        let mut watching: Vec<_> =
            self.watchers.iter_mut().filter(|watcher| !watcher.left && !watcher.sight.0.lock().ended).collect();
        if watching.is_empty() { None } else { Some(watching.swap_remove(index % watching.len())) }
    }

    /// Ends what does not end by itself, and gives everything the time it may take.
    async fn settle(&mut self) {
        for _ in 0..6 {
            self.take(Step::Expire { process: None }).await;
            for thread in 0..THREADS {
                self.take(Step::Stop { process: 0, thread, run: None }).await;
            }
            self.take(Step::Wait { millis: 5_000 }).await;
        }
    }
}

type Watching = BoxFuture<'static, FrameStream>;

impl Sight {
    fn see(&self, frames: &Frames) {
        let mut seen = self.0.lock();
        let text = String::from_utf8(frames.bytes().to_vec()).unwrap();
        let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect();
        if std::mem::take(&mut seen.is_new) && seen.starts_over(&ids) {
            (seen.events, seen.ids) = Default::default();
        }
        seen.ids.extend(ids);
        seen.events.extend(parse(frames));
    }
}

impl Seen {
    /// Whether what comes is everything anew, as the run seen last was rolled back meanwhile.
    fn starts_over(&self, coming: &[String]) -> bool {
        let (Some(last), Some(next)) = (self.ids.last(), coming.first()) else { return false };
        let between_runs = self.events.last().is_some_and(|event| event.kind().is_terminal());
        if between_runs { run_of(next) <= run_of(last) } else { run_of(next) != run_of(last) }
    }
}

/// The number of the run an id names.
fn run_of(id: &str) -> u64 {
    id.split(['-', '.']).next().unwrap().parse().unwrap()
}

fn name(thread: usize) -> String {
    format!("t{thread}")
}

/// The words of each run, as they were said.
fn words(events: &[Event]) -> BTreeMap<String, Vec<usize>> {
    let mut words = BTreeMap::<_, Vec<_>>::new();
    for event in events.iter().filter(|event| event.kind() == EventKind::TextMessageContent) {
        let content: Value = event.view().unwrap();
        for word in content["delta"].as_str().unwrap().split_whitespace() {
            let (run, number) = word.split_once('.').unwrap();
            words.entry(run.to_owned()).or_default().push(number.parse().unwrap());
        }
    }
    words
}

/// No gap, no repetition, no event out of order.
#[track_caller]
fn assert_whole(events: &[Event]) {
    let mut verifier = Verifier::default();
    for event in events {
        assert_eq!(verifier.check(event), Ok(()), "{event:?} in {events:#?}");
    }
    for (run, words) in words(events) {
        assert!(words.iter().copied().eq(0..words.len()), "{run}: {words:?} in {events:#?}");
    }
}

async fn explore(delays: Vec<u8>, steps: Vec<Step>) {
    let mut world = World::new(delays);
    for step in steps {
        world.take(step).await;
    }
    world.settle().await;
    // What is kept, and that no thread is stuck.
    let (mut kept, mut numbers) = (BTreeMap::new(), Vec::new());
    for thread in 0..THREADS {
        for process in 0..PROCESSES {
            let (runner, id) = (&world.processes[process].runner, name(thread));
            let events = all(runner.run(request(saying(greeting(&id, "last")), &id, "last")).await.unwrap()).await;
            assert_eq!(one_terminal(&events), "", "{id} is free");
        }
        let runner = &world.processes[0].runner;
        let events = all(runner.connect(ConnectRequest::new(name(thread).as_str())).await.unwrap()).await;
        let events: Vec<_> = events.into_iter().filter(|event| !event.as_str().contains("Hello")).collect();
        assert_whole(&events);
        kept.extend(words(&events));
        let history = world.disk.store.history(&name(thread).as_str().into(), 0, None).await.unwrap();
        numbers.extend(history.runs.iter().map(|run| run.number));
    }
    // A run whose lease was lost while its agent was silent ended with those runs; its watchers hear of it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.processes.iter().all(|process| process.runner.live_runs() == 0));
    for watcher in &world.watchers {
        let seen = watcher.sight.0.lock();
        assert_whole(&seen.events);
        for (run, words) in words(&seen.events) {
            // Of a run rolled back or deleted nothing is kept; of every other all that anybody saw.
            let kept = kept.get(&run);
            assert!(kept.is_none_or(|kept| words.len() <= kept.len()), "{run}: {words:?} of {kept:?}");
        }
        if watcher.left {
            continue;
        }
        assert!(seen.ended, "at {} on {}: {:?}", watcher.process, name(watcher.thread), seen.events);
        if watcher.run.is_some() {
            one_terminal(&seen.events);
        } else if let Some(last) = seen.events.last().filter(|last| !last.kind().is_terminal()) {
            // It came back to a run that had been rolled back.
            let run = run_of(seen.ids.last().unwrap());
            assert!(seen.is_new && !numbers.contains(&run), "{last:?} of {:#?}", seen.events);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_in_whatever_order(
        delays in prop::collection::vec(prop_oneof![Just(0), 0..6u8], 1..12),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(explore(delays, steps));
    }
}

/// The same at once, on several cores.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_at_the_same_time() {
    let store = Arc::new(MemoryStore::new(MemoryLimits::default()));
    let mut options = RunOptions::default();
    options.max_log_bytes = 300;
    let runners: Vec<_> = (0..PROCESSES).map(|_| LiveRunner::new(store.clone(), options.clone())).collect();
    let policies = [
        WhenBusy::Reject,
        WhenBusy::Interrupt,
        WhenBusy::Rollback,
        WhenBusy::Enqueue { max: 2, timeout: Duration::from_secs(1) },
    ];
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let runners = runners.clone();
        clients.spawn(async move {
            let mut watchers = JoinSet::new();
            for turn in 0..40 {
                let (runner, thread) = (&runners[(client + turn) % PROCESSES], name(turn % THREADS));
                let watching = runner.connect(ConnectRequest::new(thread.as_str())).await.unwrap();
                watchers.spawn(async move { assert_whole(&all(watching).await) });
                let run = format!("r{client}-{turn}");
                let end = if turn % 5 == 0 { End::Hang } else { End::Finish };
                let mut asking = request(agent(&thread, &run, &Script { words: turn, pause: 0, end }), &thread, &run);
                asking.when_busy = Some(policies[(client + turn / 3) % policies.len()]);
                let Ok(response) = runner.run(asking).await else { continue };
                let stops = async {
                    // From any process; until it has begun, only its own knows it.
                    for other in runners.iter().cycle() {
                        let stop = StopRequest { thread: thread.as_str().into(), run_id: Some(run.clone()) };
                        other.stop(stop).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                let response = tokio::select! {
                    response = all(response) => response,
                    () = stops, if turn % 5 == 0 => unreachable!("it goes on and on"),
                };
                one_terminal(&response);
                assert_whole(&response);
            }
            watchers.join_all().await;
        });
    }
    clients.join_all().await;
    assert!(runners.iter().all(|runner| runner.live_runs() == 0));
}
