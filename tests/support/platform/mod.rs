//! A stand-in for the Intelligence platform: real REST, real Phoenix sockets for runners and browsers, faults on
//! demand. It records what it hears and says, and notes every promise of the runtime that it sees broken.
//!
//! What it answers is this project's choice and known to satisfy the released clients and runtime; nothing is copied
//! from the managed service.

mod call;
mod client;
mod conduct;
mod faults;
mod frame;
mod record;
mod runner;
mod serve;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

pub(crate) use self::call::{Answer, Call};
pub(crate) use self::faults::{Deed, Fault, Occasion};
pub(crate) use self::world::Policy;

use self::faults::Faults;
use self::record::Record;
use self::world::World;

/// The key runtimes use here.
pub(crate) const API_KEY: &str = "cpk-fixture.key";

/// How it behaves.
pub(crate) struct Options {
    pub(crate) tokens: Policy,
    /// Runners are offered to push several events at once.
    pub(crate) batches: bool,
    /// Gives other answers than the platform's own.
    pub(crate) director: Option<Arc<dyn Director>>,
}

impl Default for Options {
    fn default() -> Options {
        Options { tokens: Policy::default(), batches: true, director: None }
    }
}

/// Decides what REST calls are answered.
pub(crate) trait Director: Send + Sync {
    /// The answer to give instead of the platform's own, which then has no effect unless the status is the same.
    fn answer(&self, call: &Call, own: &Answer) -> Option<Answer>;
}

/// What is done to open sockets from outside.
#[derive(Clone, Debug)]
struct Cut {
    plane: String,
    /// Closed with a code, or broken off.
    code: Option<u16>,
}

/// What its parts share.
struct Shared {
    world: Mutex<World>,
    changes: watch::Sender<u64>,
    cuts: broadcast::Sender<Cut>,
    faults: Faults,
    record: Record,
    batches: bool,
    director: Option<Arc<dyn Director>>,
}

impl Shared {
    /// Looks at or changes what is known, and wakes those who wait for news.
    fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let result = work(&mut self.world.lock());
        self.changes.send_modify(|count| *count += 1);
        result
    }
}

/// A listening platform. It ends with this.
pub(crate) struct Platform {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Platform {
    pub(crate) async fn start(options: Options) -> Platform {
        Platform::listen(options, axum::Router::new()).await
    }

    /// A platform that also serves routes of the test's own.
    pub(crate) async fn listen(options: Options, more: axum::Router) -> Platform {
        let Options { tokens, batches, director } = options;
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(tokens)),
            changes: watch::Sender::new(0),
            cuts: broadcast::channel(64).0,
            faults: Faults::default(),
            record: Record::new(),
            batches,
            director,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("an address");
        let app = more.merge(serve::app(shared.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("a server") });
        Platform { address, shared, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Everything heard and said, in the form of the recorded transcripts.
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.shared.record.entries()
    }

    /// Tells of every entry.
    pub(crate) fn grown(&self) -> watch::Receiver<usize> {
        self.shared.record.grown()
    }

    /// What was stored of a run.
    pub(crate) fn events_of(&self, run_id: &str) -> Vec<Value> {
        self.shared.world.lock().events_of(run_id)
    }

    /// Promises of the runtime that were broken.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.shared.world.lock().violations().to_vec()
    }

    /// Closes every socket of a plane with a code, or breaks it off.
    pub(crate) fn cut(&self, plane: &str, code: Option<u16>) {
        // Nobody is connected: nothing to cut.
        let _ = self.shared.cuts.send(Cut { plane: plane.to_owned(), code });
    }

    /// Takes a thread's lock away, as if its time had run out.
    pub(crate) fn expire_lock(&self, thread_id: &str) {
        self.shared.with(|world| world.expire_lock(thread_id));
    }

    /// Tells the runner of a run to stop.
    pub(crate) fn stop(&self, run_id: &str) {
        self.shared.with(|world| world.ask_to_stop(run_id));
    }
}
