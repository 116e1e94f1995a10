//! What every [`ThreadStore`] must do, as tests: [`store_suite!`](crate::store_suite) runs them against yours.
//!
//! ```
//! use std::sync::Arc;
//! use copilotkit_runtime::runner::{MemoryLimits, MemoryStore};
//!
//! copilotkit_runtime::store_suite!(in_memory, async || Arc::new(MemoryStore::new(MemoryLimits::default())));
//! ```

use std::sync::Arc;

use serde_json::json;

use super::{BeginError, Begun, NewRun, SealedRun, ThreadStore};
use crate::agui::{Event, Frames, Message, RunAgentInput};

/// Tests that a [`ThreadStore`] keeps every promise of its trait.
///
/// The arguments are a module name and an async closure that opens a fresh, empty store as
/// `Arc<dyn ThreadStore>` or `Arc` of a type that is one. Needs `tokio` with `macros` and `rt`.
#[macro_export]
macro_rules! store_suite {
    ($module:ident, $open:expr) => {
        $crate::store_suite!(@tests $module, $open,
            a_sealed_run_is_history,
            an_open_run_is_not_history,
            a_thread_has_one_open_run,
            a_discarded_run_leaves_nothing,
            numbers_grow_and_bound_history,
            messages_heard_of_are_known,
            state_is_carried_to_the_next_run,
            threads_are_listed_newest_first,
            the_agent_of_the_last_run_filters,
            cleared_threads_are_forgotten,
            a_cleared_open_run_ends_quietly,
            events_come_back_byte_for_byte,
            an_unknown_thread_is_empty,
        );
    };
    (@tests $module:ident, $open:expr, $($name:ident,)*) => {
        #[cfg(test)]
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    $crate::runner::suite::$name(($open)().await).await;
                }
            )*
        }
    };
}

type Store = Arc<dyn ThreadStore>;

fn new_run(thread: &str, run: &str, agent: &str, messages: &[&str]) -> NewRun {
    let mut input = RunAgentInput::new(thread, run);
    input.messages = messages.iter().map(|id| Message::user(id, "hello")).collect();
    NewRun { thread_id: thread.into(), run_id: run.into(), agent_id: agent.into(), input: Arc::new(input) }
}

async fn begin(store: &Store, thread: &str, run: &str) -> Begun {
    store.begin(new_run(thread, run, "agent", &[])).await.expect("a free thread takes a run")
}

fn said(text: &str) -> Frames {
    Frames::of(&[Event::text_start(text), Event::text_content(text, text), Event::text_end(text)])
}

async fn seal(store: &Store, begun: &Begun, frames: Frames) {
    let sealed = SealedRun { frames, ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
}

async fn history(store: &Store, thread: &str) -> Vec<Frames> {
    let history = store.history(thread, None).await.expect("history can be read");
    history.runs.into_iter().map(|run| run.frames).collect()
}

/// What was sealed is read back, oldest run first.
pub async fn a_sealed_run_is_history(store: Arc<dyn ThreadStore>) {
    for run in ["r1", "r2"] {
        let begun = begin(&store, "t", run).await;
        store.append(&begun.run, said("raw")).await.expect("events are kept");
        seal(&store, &begun, said(run)).await;
    }
    assert_eq!(history(&store, "t").await, [said("r1"), said("r2")]);
}

/// Events of a run that is still open are nobody's history.
pub async fn an_open_run_is_not_history(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r").await;
    store.append(&begun.run, said("raw")).await.expect("events are kept");
    assert!(history(&store, "t").await.is_empty());
    assert!(store.list(None).await.expect("threads can be listed").is_empty());
}

/// A second run on a thread with an open one is refused; another thread is free.
pub async fn a_thread_has_one_open_run(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    let second = store.begin(new_run("t", "r2", "agent", &[])).await;
    assert!(matches!(second, Err(BeginError::Busy)));
    begin(&store, "other", "r1").await;
    seal(&store, &begun, said("r1")).await;
    begin(&store, "t", "r2").await;
}

/// A discarded run was never there, and neither was the thread it would have created.
pub async fn a_discarded_run_leaves_nothing(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    store.append(&begun.run, said("raw")).await.expect("events are kept");
    store.discard(&begun.run).await.expect("an open run can be discarded");
    assert!(history(&store, "t").await.is_empty());
    assert!(store.list(None).await.expect("threads can be listed").is_empty());
    let again = begin(&store, "t", "r1").await;
    seal(&store, &again, said("r1")).await;
    assert_eq!(history(&store, "t").await.len(), 1);
}

/// Run numbers grow, also over discarded runs, and `before` leaves a run and its followers out.
pub async fn numbers_grow_and_bound_history(store: Arc<dyn ThreadStore>) {
    let first = begin(&store, "t", "r1").await;
    seal(&store, &first, said("r1")).await;
    let dropped = begin(&store, "t", "r2").await;
    store.discard(&dropped.run).await.expect("an open run can be discarded");
    let last = begin(&store, "t", "r3").await;
    seal(&store, &last, said("r3")).await;
    assert!(first.run.number < dropped.run.number && dropped.run.number < last.run.number);
    let earlier = store.history("t", Some(last.run.number)).await.expect("history can be read");
    assert_eq!(earlier.runs.iter().map(|run| run.number).collect::<Vec<_>>(), [first.run.number]);
}

/// A message id is known once a sealed run's input or events held it.
pub async fn messages_heard_of_are_known(store: Arc<dyn ThreadStore>) {
    let begun = store.begin(new_run("t", "r1", "agent", &["u1"])).await.expect("a free thread takes a run");
    assert_eq!(begun.known, [false]);
    let sealed = SealedRun { message_ids: vec!["a1".into()], ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
    let next = store.begin(new_run("t", "r2", "agent", &["u1", "a1", "u2"])).await.expect("the thread is free");
    assert_eq!(next.known, [true, true, false]);
    let elsewhere = store.begin(new_run("other", "r1", "agent", &["u1"])).await.expect("the thread is free");
    assert_eq!(elsewhere.known, [false], "threads do not know each other's messages");
}

/// The state a run leaves is what the next one starts from, and what history tells.
pub async fn state_is_carried_to_the_next_run(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    assert!(begun.state.is_none());
    let state = json!({"count": 1});
    let sealed = SealedRun { state: Some(state.clone()), ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
    assert_eq!(begin(&store, "t", "r2").await.state.as_deref(), Some(&state));
    let history = store.history("t", None).await.expect("history can be read");
    assert_eq!(history.state.as_deref(), Some(&state));
}

/// The thread whose run ended last comes first; its creation is the end of its first run.
pub async fn threads_are_listed_newest_first(store: Arc<dyn ThreadStore>) {
    for (thread, run) in [("a", "r1"), ("b", "r1"), ("a", "r2")] {
        let begun = begin(&store, thread, run).await;
        seal(&store, &begun, said(run)).await;
    }
    let listed = store.list(None).await.expect("threads can be listed");
    assert_eq!(listed.iter().map(|thread| &*thread.id).collect::<Vec<_>>(), ["a", "b"]);
    assert!(listed.iter().all(|thread| thread.created_at <= thread.updated_at && thread.created_at > 0));
}

/// A filter by agent asks who ran last.
pub async fn the_agent_of_the_last_run_filters(store: Arc<dyn ThreadStore>) {
    for (thread, agent) in [("a", "x"), ("b", "x"), ("a", "y")] {
        let begun = store.begin(new_run(thread, agent, agent, &[])).await.expect("the thread is free");
        seal(&store, &begun, said(agent)).await;
    }
    let of = async |agent| {
        let listed = store.list(Some(agent)).await.expect("threads can be listed");
        listed.iter().map(|thread| thread.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((of("x").await, of("y").await, of("z").await), (vec!["b".into()], vec!["a".into()], vec![]));
}

/// After a clear there is no thread, no history, and every thread is free.
pub async fn cleared_threads_are_forgotten(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    seal(&store, &begun, said("r1")).await;
    store.clear().await.expect("threads can be cleared");
    assert!(history(&store, "t").await.is_empty());
    assert!(store.list(None).await.expect("threads can be listed").is_empty());
    begin(&store, "t", "r1").await;
}

/// A run that was open when its thread was cleared goes on without being kept.
pub async fn a_cleared_open_run_ends_quietly(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    store.clear().await.expect("threads can be cleared");
    store.append(&begun.run, said("late")).await.expect("a cleared run is no failure");
    seal(&store, &begun, said("late")).await;
    assert!(history(&store, "t").await.is_empty());
    // A new run on the thread is not touched by the old one.
    let next = begin(&store, "t", "r2").await;
    store.discard(&begun.run).await.expect("a cleared run is no failure");
    seal(&store, &next, said("r2")).await;
    assert_eq!(history(&store, "t").await, [said("r2")]);
}

/// Unknown types, odd numbers, escapes and empty runs survive, and so do messages no event holds.
pub async fn events_come_back_byte_for_byte(store: Arc<dyn ThreadStore>) {
    let odd = r#"{"type":"FROM_THE_FUTURE","n":1.000000000000000000001e400,"s":"\ud83d \u0000","x":null}"#;
    let frames = Frames::of(&[Event::parse(odd).expect("an event")]);
    let begun = begin(&store, "t", "r1").await;
    let unsaid = vec![Message::user("u1", "said nowhere")];
    let sealed = SealedRun { frames: frames.clone(), unsaid, ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
    let begun = begin(&store, "t", "r2").await;
    seal(&store, &begun, Frames::default()).await;
    let history = store.history("t", None).await.expect("history can be read");
    assert_eq!(history.runs[0].frames, frames);
    assert_eq!(history.runs[0].unsaid.iter().map(Message::id).collect::<Vec<_>>(), ["u1"]);
    assert!(history.runs.iter().skip(1).all(|run| run.frames.is_empty()));
}

/// Asking about a thread nobody ran is no failure and creates nothing.
pub async fn an_unknown_thread_is_empty(store: Arc<dyn ThreadStore>) {
    assert!(history(&store, "never").await.is_empty());
    assert!(store.list(None).await.expect("threads can be listed").is_empty());
}
