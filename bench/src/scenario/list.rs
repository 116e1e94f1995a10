//! 17: pages of the list of a hundred thousand threads.

use super::lab::Lab;
use crate::failure::{Failure, Result};
use crate::load::closed_loop::ClosedLoop;
use crate::load::{Request, Workload, single};
use crate::play::Props;
use crate::process::Pid;
use crate::report::{Chapter, Metric, Samples, Target};
use crate::server::{Kind, Running};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// Threads in the list.
const THREADS: u64 = 100_000;

/// One in so many of them is the other agent's.
const OTHERS: u64 = 100;

/// They are filled in so many portions, so that the other agent's lie all over the list.
const PORTIONS: u64 = 10;

/// Threads of a page.
const PAGE: usize = 50;

/// On the way to the middle of the list. A server may give less.
const STRIDE: usize = 1000;

/// Requests per turn and kind of page.
const PAGES: usize = 200;

const PROPS: &str = r#"{"deltas":1}"#;

/// How long an old thread may take to be found, and how often it is looked for.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

/// A word that every thread says.
const EVERYWHERE: &str = "parcel";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    threads: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
}

/// What is asked for.
struct Pages {
    newest: Request,
    deep: Request,
    of_other: Request,
    rare: Request,
    frequent: Request,
}

/// Not Node: its SQLite runner has no list.
pub(super) async fn measure(lab: &Lab) -> Result<Chapter> {
    let upstream = lab.upstream.start().await?;
    let url = format!("http://{}/agent", upstream.target.address());
    let (mut servers, mut first, mut found) = (Vec::new(), Samples::new(), Samples::new());
    for program in lab.only(&[Kind::OursDurable, Kind::Ours]) {
        let program = program.with_env("UPSTREAM_URL", url.clone()).with_env("MAX_THREADS", (2 * THREADS).to_string());
        let server = program.start().await?;
        fill(lab, &server).await?;
        let start = Instant::now();
        page(&server, search(EVERYWHERE)).await?;
        first.insert(server.kind, vec![start.elapsed().as_secs_f64()]);
        let pages = Pages::of(&server).await?;
        // What was said long ago may be found only later.
        while page(&server, pages.rare.clone()).await?.threads.is_empty() {
            if start.elapsed() > PATIENCE {
                return Err(Failure::said(format!("{} does not find an old thread", server.kind.name())));
            }
            tokio::time::sleep(AGAIN).await;
        }
        found.insert(server.kind, vec![start.elapsed().as_secs_f64()]);
        servers.push(Listing { server, pages });
    }
    let [newest, deep, of_other, rare, frequent] = lab
        .rounds(&servers, async |Listing { server, pages }| {
            let p99 = async |request: &Request| {
                let times = single::measure_within(server.target, request.clone(), PAGES, lab.window).await?;
                Result::Ok(times.whole.quantile(0.99))
            };
            Ok([
                p99(&pages.newest).await?,
                p99(&pages.deep).await?,
                p99(&pages.of_other).await?,
                p99(&pages.rare).await?,
                p99(&pages.frequent).await?,
            ])
        })
        .await?;
    let within = Target::AtMost(20.0);
    Ok(Chapter {
        title: "17. A page of 50 of 100,000 threads".into(),
        metrics: vec![
            Metric::new("the newest p99, ms", newest, within),
            Metric::new("from the middle of the list p99, ms", deep, within),
            Metric::new("the newest of an agent that has 1 % p99, ms", of_other, within),
            Metric::new("search for a word of one thread p99, ms", rare, Target::None),
            Metric::new("search for a word of all threads p99, ms", frequent, Target::None),
            Metric::new("first search after 100,000 new threads, s", first, Target::None),
            Metric::new("until a search finds one from their middle, s", found, Target::None),
        ],
    })
}

/// A server, and the pages that are asked of it.
struct Listing {
    server: Running,
    pages: Pages,
}

impl super::lab::Subject for Listing {
    fn kind(&self) -> Kind {
        self.server.kind
    }

    fn process(&self) -> Option<Pid> {
        Some(self.server.pid())
    }
}

async fn fill(lab: &Lab, server: &Running) -> Result<()> {
    eprintln!("  {}: {THREADS} threads", server.kind.name());
    let events = Props { deltas: 1, ..Props::default() }.events();
    let others = THREADS / OTHERS / PORTIONS;
    for _ in 0..PORTIONS {
        let threads = [(Workload::runs(PROPS), THREADS / PORTIONS - others), (Workload::remote(PROPS), others)];
        for (workload, threads) in threads {
            let load: ClosedLoop = lab.load(server, workload.numbered().run(), events);
            load.measure_requests(threads).await?;
        }
    }
    Ok(())
}

impl Pages {
    /// Walks to the middle of the list, and takes a thread from there to search for.
    async fn of(server: &Running) -> Result<Pages> {
        let (mut cursor, mut passed) = (String::new(), 0);
        let (deep, thread) = loop {
            let stride = page(server, Request::threads(&format!("limit={STRIDE}{cursor}"))).await?;
            passed += stride.threads.len();
            let (Some(next), Some(last)) = (stride.next_cursor, stride.threads.last()) else {
                return Err(Failure::said(format!("{} lists {passed} threads", server.kind.name())));
            };
            cursor = format!("&cursor={next}");
            if passed as u64 >= THREADS / 2 {
                break (cursor, last.id.clone());
            }
        };
        let number = thread.trim_start_matches("t-");
        let pages = Pages {
            newest: Request::threads(&format!("limit={PAGE}")),
            deep: Request::threads(&format!("limit={PAGE}{deep}")),
            of_other: Request::threads(&format!("limit={PAGE}&agentId=remote")),
            rare: search(number),
            frequent: search(EVERYWHERE),
        };
        let full = [&pages.newest, &pages.deep, &pages.of_other, &pages.frequent].map(|request| (request, PAGE));
        for (request, threads) in full {
            let found = page(server, request.clone()).await?.threads.len();
            if found != threads {
                return Err(Failure::said(format!("{} lists {found} threads, not {threads}", server.kind.name())));
            }
        }
        Ok(pages)
    }
}

fn search(word: &str) -> Request {
    Request::threads(&format!("limit={PAGE}&query={word}"))
}

async fn page(server: &Running, mut request: Request) -> Result<Page> {
    let answer = single::fetch(server.target, request.fresh()).await?;
    serde_json::from_slice(&answer).map_err(|error| Failure::said(format!("no list of threads: {error}")))
}
