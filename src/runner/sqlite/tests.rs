//! What only a store on disk promises; the rest is in the suite of every store.

mod admin;
mod attachments;
mod earlier;
mod failures;
pub(super) mod files;
mod node;
mod processes;
mod search;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use super::{SqliteOptions, SqliteStore};
use crate::agui::{Event, Frames, Message, RunAgentInput};
use crate::runner::{BeginError, Begun, NewRun, SealedRun, StoredRun, ThreadStore};
use files::TempFile;

/// A store over a new file.
fn fresh() -> SqliteStore {
    let place = TempFile::new();
    let mut store = open(&place);
    store.place = Some(place);
    store
}

/// A store, as another process would open it.
fn open(place: &TempFile) -> SqliteStore {
    SqliteStore::open(place.path(), &SqliteOptions::default()).unwrap()
}

/// A run with one message of the user's, whose id is its text.
fn new_run(thread: &str, run: &str, text: &str) -> NewRun {
    let mut input = RunAgentInput::new(thread, run);
    input.messages = vec![Message::user(text, text)];
    NewRun { thread: thread.into(), run_id: run.into(), agent_id: "agent".into(), input: Arc::new(input), name: None }
}

async fn begin(store: &SqliteStore, thread: &str, run: &str) -> Begun {
    store.begin(new_run(thread, run, "hello")).await.unwrap()
}

/// What an agent says, begun with a `RUN_STARTED` that holds the run's input.
fn answer(begun: &Begun, events: &[Event]) -> Frames {
    let started = Event::run_started(&begun.run.thread.id, "r").with_field("input", &begun.input);
    Frames::of(&[&[started], events].concat())
}

async fn seal(store: &SqliteStore, begun: &Begun, frames: Frames) {
    let said = frames.count() as u64;
    store.seal(&begun.run, SealedRun { frames, said, ..SealedRun::default() }).await.unwrap();
}

async fn history(store: &SqliteStore, thread: &str) -> Vec<StoredRun> {
    store.history(&thread.into(), 0, None).await.unwrap().runs
}

/// The events of a run, as text.
fn texts(frames: &Frames) -> Vec<String> {
    frames.events().map(|json| String::from_utf8(json.to_vec()).unwrap()).collect()
}

crate::store_suite!(suite, async || Arc::new(fresh()));
