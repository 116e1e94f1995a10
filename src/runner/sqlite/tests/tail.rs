//! What runs say comes back whole and in order, wherever in the file it stands at the moment.

use proptest::prelude::*;

use super::*;
use crate::runner::{OpenRun, ThreadKey};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// One of the runs says some events of such a length.
    Say { run: usize, count: usize, length: usize },
    /// All say something, and wait for the writer together.
    Together,
    /// A thread without a run is deleted: everything that was said gets rows of its own.
    Delete,
    /// One of the runs ends, and another begins in its place.
    Next(usize),
}

const RUNS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![8 => 1..60usize, 2 => 900..2500usize, 1 => 4000..9000usize];
    prop_oneof![
        12 => (0..RUNS, 1..5usize, length).prop_map(|(run, count, length)| Step::Say { run, count, length }),
        3 => Just(Step::Together),
        1 => Just(Step::Delete),
        1 => (0..RUNS).prop_map(Step::Next),
    ]
}

/// Runs, and what each should have said.
struct Model {
    store: SqliteStore,
    other: SqliteStore,
    runs: Vec<(OpenRun, Vec<Event>)>,
    begun: usize,
}

impl Model {
    async fn new(place: &TempFile) -> Model {
        let mut model = Model { store: open(place), other: open(place), runs: Vec::new(), begun: 0 };
        for _ in 0..RUNS {
            let run = model.begin().await;
            model.runs.push((run, Vec::new()));
        }
        model
    }

    async fn begin(&mut self) -> OpenRun {
        self.begun += 1;
        begin(&self.store, &format!("t{}", self.begun), "r").await.run
    }

    /// Events that stay as they are when the run is shortened.
    fn more(&mut self, run: usize, count: usize, length: usize) -> Frames {
        let said = &mut self.runs[run].1;
        let from = said.len();
        for n in from..from + count {
            let json = format!(r#"{{"type":"CUSTOM","name":"{run}-{n}","value":"{}"}}"#, "x".repeat(length));
            said.push(Event::parse(json).unwrap());
        }
        Frames::of(&said[from..])
    }

    async fn take(&mut self, step: &Step) {
        match *step {
            Step::Say { run, count, length } => {
                let frames = self.more(run, count, length);
                self.store.append(&self.runs[run].0, frames).await.unwrap();
            }
            Step::Together => {
                let frames: Vec<Frames> = (0..RUNS).map(|run| self.more(run, 1, 10)).collect();
                let appends = (0..RUNS).map(|run| self.store.append(&self.runs[run].0, frames[run].clone()));
                futures_util::future::try_join_all(appends).await.unwrap();
            }
            Step::Delete => {
                seal(&self.store, &begin(&self.store, "gone", "r").await, Frames::default()).await;
                assert!(self.store.delete(&ThreadKey::from("gone")).await.unwrap());
            }
            Step::Next(run) => {
                let sealed = SealedRun { frames: Frames::of(&self.runs[run].1), ..SealedRun::default() };
                self.store.seal(&self.runs[run].0, sealed).await.unwrap();
                self.runs[run] = (self.begin().await, Vec::new());
            }
        }
    }

    /// Reads every run in another process, from its beginning and from everywhere near its end.
    async fn check(&self) {
        for (run, said) in &self.runs {
            for from in [0].into_iter().chain(said.len().saturating_sub(3)..=said.len()) {
                let mut read = Vec::new();
                loop {
                    let page = self.other.said(run, (from + read.len()) as u64).await.unwrap().frames;
                    if page.is_empty() {
                        break;
                    }
                    assert_eq!(page.count(), page.events().count());
                    read.extend(texts(&page));
                }
                assert_eq!(read, said[from..].iter().map(ToString::to_string).collect::<Vec<_>>(), "behind {from}");
            }
        }
    }
}

async fn tries(steps: Vec<Step>) {
    let place = TempFile::new();
    let mut model = Model::new(&place).await;
    for step in &steps {
        model.take(step).await;
    }
    model.check().await;
    let Model { store, other, runs, .. } = model;
    store.kill().await;
    other.close().await;
    let store = open(&place);
    for (run, said) in runs.iter().filter(|(_, said)| !said.is_empty()) {
        let frames = store.history(&run.thread, 0, None).await.unwrap().runs[0].frames.clone();
        let kept = texts(&frames);
        assert_eq!(kept[..kept.len() - 1], said.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    assert_eq!(store.check().await.unwrap().problems, [""; 0]);
    let left = place.connect().query_row("SELECT count(*) FROM tail", [], |row| row.get::<_, i64>(0));
    assert_eq!(left.unwrap(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_runs_say_comes_back_whole_and_in_order(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(tries(steps));
    }
}

fn rows(place: &TempFile, table: &str) -> i64 {
    place.connect().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_is_committed_together_is_one_row_and_goes_with_its_runs() {
    let place = TempFile::new();
    let store = open(&place);
    let (one, two) = (begin(&store, "one", "r").await, begin(&store, "two", "r").await);
    let token = Frames::of(&[Event::text_content("m", "x")]);
    for _ in 0..10 {
        let (first, second) =
            tokio::join!(store.append(&one.run, token.clone()), store.append(&two.run, token.clone()));
        assert_eq!((first, second), (Ok(()), Ok(())));
    }
    assert!(rows(&place, "tail") <= 20);
    assert_eq!(rows(&place, "events"), 0);
    seal(&store, &one, Frames::default()).await;
    seal(&store, &two, Frames::default()).await;
    while rows(&place, "tail") > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_run_that_says_much_gets_rows_of_its_own() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    for _ in 0..200 {
        store.append(&begun.run, Frames::of(&[Event::text_content("m", "x")])).await.unwrap();
    }
    assert!((1..10).contains(&rows(&place, "events")));
    assert!(rows(&place, "tail") < 100);
    assert_eq!(store.said(&begun.run, 0).await.unwrap().frames.count(), 200);
}

#[tokio::test]
async fn what_is_said_next_is_written_over_what_is_not_needed_any_more() {
    let place = TempFile::new();
    let store = open(&place);
    let begun = begin(&store, "t", "r").await;
    let token = Frames::of(&[Event::text_content("m", "x")]);
    let look = place.connect();
    let pages = || look.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get::<_, i64>("log")).unwrap();
    // Some of it got rows of its own by then, and the next of that is not due.
    for _ in 0..200 {
        store.append(&begun.run, token.clone()).await.unwrap();
    }
    let before = pages();
    for _ in 0..40 {
        store.append(&begun.run, token.clone()).await.unwrap();
    }
    // A page for each, and not those that tell which are free.
    let written = pages() - before;
    assert!((40..60).contains(&written), "{written} pages");
    assert_eq!(store.said(&begun.run, 0).await.unwrap().frames.count(), 240);
}

#[tokio::test]
async fn rows_nobody_needs_go_in_portions_until_none_is_left() {
    let place = TempFile::new();
    let store = open(&place);
    let token = Frames::of(&[Event::text_content("m", "x")]);
    let mut runs = Vec::new();
    for thread in ["a", "b", "c", "d", "e"] {
        let begun = begin(&store, thread, "r").await;
        for _ in 0..60 {
            store.append(&begun.run, token.clone()).await.unwrap();
        }
        runs.push(begun);
    }
    assert!(rows(&place, "tail") > 0);
    let seals = runs.iter().map(|begun| seal(&store, begun, Frames::default()));
    futures_util::future::join_all(seals).await;
    while rows(&place, "tail") > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_a_deleted_thread_said_is_overwritten_where_others_need_the_row() {
    let place = TempFile::new();
    let (one, two) = (open(&place), open(&place));
    let (gone, stays) = (begin(&one, "gone", "r").await, begin(&one, "stays", "r").await);
    let said = |text: &str| Frames::of(&[Event::text_content("m", text)]);
    let (first, second) = tokio::join!(one.append(&gone.run, said("needle")), one.append(&stays.run, said("thread")));
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert!(two.delete(&"gone".into()).await.unwrap());
    let left = "SELECT count(*) FROM tail WHERE instr(said, CAST('needle' AS BLOB))";
    assert_eq!(place.connect().query_row(left, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(two.said(&stays.run, 0).await.unwrap().frames, said("thread"));
    one.append(&stays.run, said("goes on")).await.unwrap();
    assert_eq!(two.said(&stays.run, 1).await.unwrap().frames, said("goes on"));
}

#[tokio::test]
async fn who_was_taken_for_dead_deletes_nothing_of_others() {
    let place = TempFile::new();
    let one = open(&place);
    let lost = begin(&one, "lost", "r").await;
    let said = Frames::of(&[Event::text_content("m", "x")]);
    one.append(&lost.run, said.clone()).await.unwrap();
    // As another process does that finds its lease expired. The next row gets the id of its row.
    place
        .connect()
        .execute_batch("DELETE FROM open_runs; DELETE FROM leases; DELETE FROM tail; DELETE FROM threads")
        .unwrap();
    let two = open(&place);
    let other = begin(&two, "other", "r").await;
    two.append(&other.run, said.clone()).await.unwrap();
    one.append(&lost.run, said.clone()).await.unwrap();
    begin(&one, "next", "r").await;
    assert_eq!(two.said(&other.run, 0).await.unwrap().frames, said);
}
