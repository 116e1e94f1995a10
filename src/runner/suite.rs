//! What every [`ThreadStore`] must do, as tests: [`store_suite!`](crate::store_suite) runs them against yours.
//!
//! ```
//! use std::sync::Arc;
//! use copilotkit_runtime::runner::{MemoryLimits, MemoryStore};
//!
//! copilotkit_runtime::store_suite!(in_memory, async || Arc::new(MemoryStore::new(MemoryLimits::default())));
//! ```

use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::json;

use super::{
    AskedStop, BeginError, Begun, History, NewRun, Owner, RunPhase, SealedRun, StopKind, StoredRun, ThreadEntry,
    ThreadKey, ThreadPatch, ThreadQuery, ThreadStore,
};
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
            an_open_run_tells_what_it_said,
            the_input_new_to_the_thread_is_kept_first,
            a_thread_has_one_open_run,
            a_discarded_run_leaves_nothing,
            a_stop_is_asked_once_and_heard,
            an_owner_is_told_their_open_runs,
            numbers_grow_and_bound_history,
            messages_heard_of_are_known,
            state_is_carried_to_the_next_run,
            a_thread_is_listed_from_its_first_run_on,
            threads_are_listed_newest_first,
            a_list_comes_in_pages,
            archived_threads_are_listed_when_asked_for,
            a_thread_is_named_once_and_renamed_at_will,
            a_search_finds_words_of_names_and_messages,
            a_deleted_thread_is_forgotten,
            owners_do_not_see_each_other,
            the_agent_of_the_last_run_filters,
            threads_of_all_agents_are_in_one_order,
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

fn new_run(thread: impl Into<ThreadKey>, run: &str, agent: &str, messages: &[&str]) -> NewRun {
    let thread = thread.into();
    let mut input = RunAgentInput::new(thread.id.to_string(), run);
    input.messages = messages.iter().map(|id| Message::user(id, "hello")).collect();
    NewRun { thread, run_id: run.into(), agent_id: agent.into(), input: Arc::new(input), name: None }
}

async fn begin(store: &Store, thread: impl Into<ThreadKey>, run: &str) -> Begun {
    store.begin(new_run(thread, run, "agent", &[])).await.expect("a free thread takes a run")
}

fn said(text: &str) -> Frames {
    Frames::of(&[Event::text_start(text), Event::text_content(text, text), Event::text_end(text)])
}

async fn seal(store: &Store, begun: &Begun, frames: Frames) {
    let said = frames.count() as u64;
    let sealed = SealedRun { frames, said, ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
}

/// A thread with one sealed run.
async fn talked(store: &Store, thread: impl Into<ThreadKey>, text: &str) {
    let begun = begin(store, thread, "r").await;
    seal(store, &begun, said(text)).await;
}

/// Every page of a thread's history from a run on.
async fn runs(store: &Store, thread: impl Into<ThreadKey>, from: u64, before: Option<u64>) -> Vec<StoredRun> {
    let thread = thread.into();
    let mut runs = Vec::new();
    let mut page = Some(from);
    while let Some(from) = page {
        let History { runs: found, next, .. } =
            store.history(&thread, from, before).await.expect("history can be read");
        assert!(next.is_none_or(|next| next > from), "pages lead on");
        runs.extend(found);
        page = next;
    }
    runs
}

async fn history(store: &Store, thread: impl Into<ThreadKey>) -> Vec<Frames> {
    runs(store, thread, 0, None).await.into_iter().map(|run| run.frames).collect()
}

async fn list(store: &Store, query: ThreadQuery) -> Vec<ThreadEntry> {
    let list = store.list(query).await.expect("threads can be listed");
    assert_eq!(list.next, None);
    list.threads
}

fn mine() -> ThreadQuery {
    ThreadQuery::of(Owner::anonymous())
}

fn ids(threads: &[ThreadEntry]) -> Vec<&str> {
    threads.iter().map(|thread| &*thread.key.id).collect()
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
}

/// Until it is sealed, an open run is found by its thread and read from any place; then history tells.
pub async fn an_open_run_tells_what_it_said(store: Arc<dyn ThreadStore>) {
    let thread = ThreadKey::from("t");
    assert_eq!(store.active(&thread).await.expect("a thread can be asked about"), None);
    let begun = begin(&store, "t", "r1").await;
    for text in ["a", "b"] {
        store.append(&begun.run, said(text)).await.expect("events are kept");
    }
    let active = store.active(&thread).await.expect("a thread can be asked about").expect("a run is open");
    assert_eq!((&active.run, &*active.run_id, &*active.agent_id), (&begun.run, "r1", "agent"));
    let whole: Vec<_> = said("a").events().chain(said("b").events()).collect();
    for from in 0..=6 {
        let mut read = Vec::new();
        loop {
            let page = store.said(&begun.run, from + read.len() as u64).await.expect("an open run can be read");
            assert_eq!(page.phase, RunPhase::Open);
            assert_eq!(page.frames.count(), page.frames.events().count());
            if page.frames.is_empty() {
                break;
            }
            read.extend(page.frames.events());
        }
        assert_eq!(read, whole[usize::try_from(from).expect("a small number")..], "behind {from}");
    }
    seal(&store, &begun, said("a")).await;
    assert_eq!(store.said(&begun.run, 0).await.expect("a run can be read").phase, RunPhase::Sealed);
    assert_eq!(store.active(&thread).await.expect("a thread can be asked about"), None);
    let dropped = begin(&store, "t", "r2").await;
    store.discard(&dropped.run).await.expect("an open run can be discarded");
    assert_eq!(store.said(&dropped.run, 0).await.expect("a run can be read").phase, RunPhase::Gone);
}

/// What a run begins with is answered as it was kept: the input, with the messages new to the thread.
pub async fn the_input_new_to_the_thread_is_kept_first(store: Arc<dyn ThreadStore>) {
    let first = new_run("t", "r1", "agent", &["u1"]);
    let begun = store.begin(first.clone()).await.expect("a free thread takes a run");
    assert_eq!(begun.input, first.input.to_json_with_messages(|_, _| true));
    seal(&store, &begun, said("a1")).await;
    let second = new_run("t", "r2", "agent", &["u1", "u2"]);
    let begun = store.begin(second.clone()).await.expect("a free thread takes a run");
    assert_eq!(begun.input, second.input.to_json_with_messages(|index, _| index == 1));
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
    assert!(list(&store, mine()).await.is_empty());
    let again = begin(&store, "t", "r1").await;
    seal(&store, &again, said("r1")).await;
    let dropped = begin(&store, "t", "r2").await;
    store.discard(&dropped.run).await.expect("an open run can be discarded");
    assert_eq!(history(&store, "t").await.len(), 1);
    assert_eq!(ids(&list(&store, mine()).await), ["t"]);
}

/// Who listens hears what is asked of open runs, also what was asked before; nothing is asked twice. A store that no two engines share
/// may leave it all.
pub async fn a_stop_is_asked_once_and_heard(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r").await;
    let ask = async |how| {
        let stop = AskedStop { run: begun.run.clone(), how };
        store.ask_to_stop(stop).await.expect("a stop can be asked for")
    };
    if !ask(StopKind::End).await {
        // A store that no two engines share.
        return;
    }
    let mut requests = store.stop_requests();
    let mut hear = async || {
        let heard = requests.next().await.expect("the store goes on");
        assert_eq!(heard.run, begun.run);
        heard.how
    };
    assert!(!ask(StopKind::End).await);
    assert_eq!(hear().await, StopKind::End);
    assert!(ask(StopKind::Forget).await, "more than before");
    assert!(!ask(StopKind::Forget).await && !ask(StopKind::End).await);
    assert_eq!(hear().await, StopKind::Forget);
    assert!(ask(StopKind::Delete).await, "more than before");
    assert!(!ask(StopKind::Forget).await);
    assert_eq!(hear().await, StopKind::Delete);
    seal(&store, &begun, said("r")).await;
    assert!(!ask(StopKind::Delete).await, "it is over");
}

/// The open runs of an owner are those on their threads, until they end.
pub async fn an_owner_is_told_their_open_runs(store: Arc<dyn ThreadStore>) {
    let ann = Owner::of("ann");
    let thread = |id: &str| ThreadKey::new(ann.clone(), id);
    let open = async || store.open_runs(&ann).await.expect("open runs can be asked for");
    talked(&store, thread("over"), "r").await;
    begin(&store, "of nobody", "r").await;
    assert_eq!(open().await, []);
    let one = begin(&store, thread("one"), "r").await;
    let two = begin(&store, thread("two"), "r").await;
    let mut both = open().await;
    both.sort_by_key(|run| run.number);
    assert_eq!(both, [one.run.clone(), two.run.clone()]);
    seal(&store, &one, said("r")).await;
    assert_eq!(open().await, [two.run]);
    store.delete(&thread("two")).await.expect("a thread with an open run can be deleted");
    assert_eq!(open().await, []);
}

/// Run numbers grow, also over discarded runs; `from` and `before` bound what is read.
pub async fn numbers_grow_and_bound_history(store: Arc<dyn ThreadStore>) {
    let first = begin(&store, "t", "r1").await;
    seal(&store, &first, said("r1")).await;
    let dropped = begin(&store, "t", "r2").await;
    store.discard(&dropped.run).await.expect("an open run can be discarded");
    let last = begin(&store, "t", "r3").await;
    seal(&store, &last, said("r3")).await;
    let (one, two, three) = (first.run.number, dropped.run.number, last.run.number);
    assert!(one < two && two < three);
    let numbers = async |from, before| {
        runs(&store, "t", from, before).await.into_iter().map(|run| run.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, Some(three)).await, [one]);
    assert_eq!(numbers(one + 1, None).await, [three]);
    assert_eq!(numbers(one, None).await, [one, three]);
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

/// The state a run leaves is what the next one starts from, and what the thread's state is.
pub async fn state_is_carried_to_the_next_run(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    assert!(begun.state.is_none());
    let state = Arc::new(json!({"count": 1}));
    let sealed = SealedRun { state: Some(state.clone()), ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
    assert_eq!(begin(&store, "t", "r2").await.state.as_ref(), Some(&state));
    let kept = store.state(&"t".into()).await.expect("state can be read");
    assert_eq!(kept, Some(state));
}

/// A thread is there, and listed, while its first run is still open.
pub async fn a_thread_is_listed_from_its_first_run_on(store: Arc<dyn ThreadStore>) {
    assert_eq!(store.thread(&"t".into()).await.expect("a thread can be asked about"), None);
    let new = NewRun { name: Some("Weather".into()), ..new_run("t", "r1", "agent", &["u1"]) };
    store.begin(new).await.expect("a free thread takes a run");
    let listed = list(&store, mine()).await;
    assert_eq!(ids(&listed), ["t"]);
    let thread = &listed[0];
    assert_eq!((thread.name.as_deref(), &*thread.agent_id, thread.archived), (Some("Weather"), "agent", false));
    assert!(thread.created_at > 0 && thread.created_at <= thread.updated_at);
    assert_eq!(store.thread(&"t".into()).await.expect("a thread can be asked about").as_ref(), Some(thread));
}

/// The thread on which a run began or ended last comes first.
pub async fn threads_are_listed_newest_first(store: Arc<dyn ThreadStore>) {
    for thread in ["a", "b", "c", "a"] {
        talked(&store, thread, thread).await;
    }
    begin(&store, "b", "open").await;
    let listed = list(&store, mine()).await;
    assert_eq!(ids(&listed), ["b", "a", "c"]);
    assert!(listed.iter().all(|thread| thread.created_at <= thread.updated_at && thread.created_at > 0));
}

/// Pages follow each other without gap or repetition.
pub async fn a_list_comes_in_pages(store: Arc<dyn ThreadStore>) {
    for n in 0..7 {
        talked(&store, &*format!("t{n}"), "hi").await;
    }
    let mut seen = Vec::new();
    let mut query = ThreadQuery { limit: 3, ..mine() };
    loop {
        let page = store.list(query.clone()).await.expect("threads can be listed");
        assert!(page.threads.len() <= 3);
        seen.extend(page.threads);
        let Some(next) = page.next else { break };
        let again = next.to_string().parse().expect("a cursor survives its text");
        query.after = Some(again);
    }
    assert_eq!(ids(&seen), ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
}

/// Archiving takes a thread out of lists that do not ask for it, and is no activity.
pub async fn archived_threads_are_listed_when_asked_for(store: Arc<dyn ThreadStore>) {
    talked(&store, "old", "hi").await;
    talked(&store, "new", "hi").await;
    let archive = |on| ThreadPatch { archived: Some(on), ..ThreadPatch::default() };
    let changed = store.update(&"old".into(), archive(true)).await.expect("a thread can be changed");
    assert!(changed.expect("the thread is there").archived);
    assert_eq!(ids(&list(&store, mine()).await), ["new"]);
    let all = || ThreadQuery { include_archived: true, ..mine() };
    assert_eq!(ids(&list(&store, all()).await), ["new", "old"]);
    store.update(&"old".into(), archive(false)).await.expect("a thread can be changed");
    assert_eq!(ids(&list(&store, mine()).await), ["new", "old"]);
    assert_eq!(store.update(&"never".into(), archive(true)).await.expect("no failure"), None);
}

/// A run names a thread that has no name; a rename always counts, a conditional one if nothing changed before.
pub async fn a_thread_is_named_once_and_renamed_at_will(store: Arc<dyn ThreadStore>) {
    let name = async || store.thread(&"t".into()).await.expect("can be asked").and_then(|thread| thread.name);
    let run = async |name: Option<&str>| {
        let new = NewRun { name: name.map(Into::into), ..new_run("t", "r", "agent", &[]) };
        let begun = store.begin(new).await.expect("a free thread takes a run");
        seal(&store, &begun, said("hi")).await;
    };
    run(None).await;
    assert_eq!(name().await, None);
    run(Some("first")).await;
    run(Some("second")).await;
    assert_eq!(name().await.as_deref(), Some("first"));
    let rename = async |to: Option<&str>, from: Option<Option<&str>>| {
        let patch = ThreadPatch {
            name: Some(to.map(Into::into)),
            if_named: from.map(|from| from.map(Into::into)),
            ..ThreadPatch::default()
        };
        let changed = store.update(&"t".into(), patch).await.expect("a thread can be changed");
        assert_eq!(changed.expect("the thread is there").name, name().await);
    };
    rename(Some("third"), None).await;
    assert_eq!(name().await.as_deref(), Some("third"));
    rename(Some("guessed"), Some(Some("first"))).await;
    assert_eq!(name().await.as_deref(), Some("third"));
    rename(None, Some(Some("third"))).await;
    assert_eq!(name().await, None);
}

/// Every word of a search must begin a word of the thread's name or of what was said on it.
pub async fn a_search_finds_words_of_names_and_messages(store: Arc<dyn ThreadStore>) {
    let new = NewRun { name: Some("Weather report".into()), ..new_run("named", "r", "agent", &[]) };
    let begun = store.begin(new).await.expect("a free thread takes a run");
    seal(&store, &begun, said("Sunshine")).await;
    talked(&store, "said", "tomorrow it rains").await;
    let mut asking = new_run("asked", "r", "agent", &[]);
    Arc::make_mut(&mut asking.input).messages = vec![Message::user("u1", "Will it rain?")];
    store.begin(asking).await.expect("a free thread takes a run");
    let found = async |text: &str| {
        let threads = list(&store, ThreadQuery { matching: Some(text.into()), ..mine() }).await;
        threads.iter().map(|thread| thread.key.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found("weather").await, ["named"]);
    assert_eq!(found("sunsh WEATH").await, ["named"], "a word of each");
    assert_eq!(found("rain").await, ["asked", "said"], "newest first");
    assert_eq!(found("rain tomorrow").await, ["said"]);
    assert_eq!(found("ain").await, [""; 0], "words begin with what is asked for");
    assert_eq!(found("\"rain* OR (").await, [""; 0], "nothing is an operator");
    assert_eq!(found(" ").await.len(), 3, "no word asks for everything");
    let patch = ThreadPatch { name: Some(Some("Rain, too".into())), ..ThreadPatch::default() };
    store.update(&"named".into(), patch).await.expect("a thread can be changed");
    assert_eq!(found("rain").await, ["asked", "said", "named"]);
    assert_eq!(found("weather").await, [""; 0]);
    store.delete(&"said".into()).await.expect("a thread can be deleted");
    assert_eq!(found("rain").await, ["asked", "named"]);
}

/// A filter by agent asks who ran last.
pub async fn the_agent_of_the_last_run_filters(store: Arc<dyn ThreadStore>) {
    for (thread, agent) in [("a", "x"), ("b", "x"), ("a", "y")] {
        let begun = store.begin(new_run(thread, agent, agent, &[])).await.expect("the thread is free");
        seal(&store, &begun, said(agent)).await;
    }
    let of = async |agent: &str| {
        let listed = list(&store, ThreadQuery { agent_id: Some(agent.into()), ..mine() }).await;
        listed.iter().map(|thread| thread.key.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((of("x").await, of("y").await, of("z").await), (vec!["b".into()], vec!["a".into()], vec![]));
}

/// Pages mix agents, and archived threads where they are asked for.
pub async fn threads_of_all_agents_are_in_one_order(store: Arc<dyn ThreadStore>) {
    let mut order = Vec::new();
    for n in 0..12 {
        let thread = format!("t{n:02}");
        let agent = ["x", "", "y", "z"][n % 4];
        let key = ThreadKey::new(Owner::of(["a", "b"][n % 5 / 3]), thread.as_str());
        let begun = store.begin(new_run(key.clone(), "r", agent, &[])).await.expect("the thread is free");
        seal(&store, &begun, said(agent)).await;
        if n % 3 == 0 {
            let archive = ThreadPatch { archived: Some(true), ..ThreadPatch::default() };
            store.update(&key, archive).await.expect("a thread can be changed");
        }
        order.insert(0, (key, n % 3 == 0));
    }
    for owner in [None, Some(Owner::of("a")), Some(Owner::of("b")), Some(Owner::of("c"))] {
        for include_archived in [false, true] {
            let mut seen = Vec::new();
            let query = ThreadQuery { owner: owner.clone(), include_archived, limit: 2, ..ThreadQuery::everybody() };
            let mut after = Some(query);
            while let Some(query) = after.take() {
                let page = store.list(query.clone()).await.expect("threads can be listed");
                seen.extend(page.threads.into_iter().map(|thread| thread.key));
                after = page.next.map(|next| ThreadQuery { after: Some(next), ..query });
            }
            let is_asked = |(key, archived): &&(ThreadKey, bool)| {
                owner.as_ref().is_none_or(|owner| key.owner == *owner) && (include_archived || !archived)
            };
            let expected: Vec<_> = order.iter().filter(is_asked).map(|(key, _)| key.clone()).collect();
            assert_eq!(seen, expected, "{owner:?}, archived: {include_archived}");
        }
    }
}

/// Of a deleted thread nothing is left; others stay, and its id is free for a new thread.
pub async fn a_deleted_thread_is_forgotten(store: Arc<dyn ThreadStore>) {
    talked(&store, "t", "r1").await;
    talked(&store, "other", "r1").await;
    assert!(store.delete(&"t".into()).await.expect("a thread can be deleted"));
    assert!(!store.delete(&"t".into()).await.expect("a missing thread is no failure"));
    assert!(history(&store, "t").await.is_empty());
    assert_eq!(store.thread(&"t".into()).await.expect("a thread can be asked about"), None);
    assert_eq!(store.state(&"t".into()).await.expect("state can be read"), None);
    assert_eq!(ids(&list(&store, mine()).await), ["other"]);
    let again = store.begin(new_run("t", "r1", "agent", &["u1"])).await.expect("the thread is free");
    assert_eq!(again.known, [false]);
    store.delete(&"t".into()).await.expect("a thread with an open run can be deleted");
    assert_eq!(store.said(&again.run, 0).await.expect("a run can be read").phase, RunPhase::Gone);
}

/// Two owners may have threads of one id; each sees, changes and clears their own alone.
pub async fn owners_do_not_see_each_other(store: Arc<dyn ThreadStore>) {
    let key = |user: &str| ThreadKey::new(Owner::of(user), "t");
    talked(&store, key("ann"), "for ann").await;
    let open = begin(&store, key("bob"), "r").await;
    assert_eq!(open.run.thread, key("bob"));
    assert!(history(&store, key("bob")).await.is_empty());
    assert_eq!(store.active(&key("ann")).await.expect("can be asked"), None);
    seal(&store, &open, said("for bob")).await;
    assert_eq!(history(&store, key("ann")).await, [said("for ann")]);
    assert_eq!(history(&store, key("bob")).await, [said("for bob")]);
    assert!(history(&store, "t").await.is_empty(), "nobody is somebody else");
    let archive = ThreadPatch { archived: Some(true), ..ThreadPatch::default() };
    store.update(&key("ann"), archive).await.expect("a thread can be changed");
    for (owner, count) in [("ann", 0), ("bob", 1), ("", 0)] {
        assert_eq!(list(&store, ThreadQuery::of(Owner::of(owner))).await.len(), count, "{owner}");
    }
    assert_eq!(list(&store, ThreadQuery { include_archived: true, ..ThreadQuery::everybody() }).await.len(), 2);
    assert!(!store.delete(&key("")).await.expect("a missing thread is no failure"));
    store.clear(&Owner::of("bob")).await.expect("threads can be cleared");
    assert!(history(&store, key("bob")).await.is_empty());
    assert_eq!(history(&store, key("ann")).await, [said("for ann")]);
}

/// After a clear there is no thread, no history, and every thread is free.
pub async fn cleared_threads_are_forgotten(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    seal(&store, &begun, said("r1")).await;
    store.clear(&Owner::anonymous()).await.expect("threads can be cleared");
    assert!(history(&store, "t").await.is_empty());
    assert!(list(&store, mine()).await.is_empty());
    begin(&store, "t", "r1").await;
}

/// A run that was open when its thread was cleared goes on without being kept.
pub async fn a_cleared_open_run_ends_quietly(store: Arc<dyn ThreadStore>) {
    let begun = begin(&store, "t", "r1").await;
    store.clear(&Owner::anonymous()).await.expect("threads can be cleared");
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
    let cuts = bytes::Bytes::from_static(b"cuts");
    let sealed = SealedRun { frames: frames.clone(), said: 3, cuts, unsaid: unsaid.clone(), ..SealedRun::default() };
    store.seal(&begun.run, sealed).await.expect("an open run can be sealed");
    let begun = begin(&store, "t", "r2").await;
    seal(&store, &begun, Frames::default()).await;
    let kept = runs(&store, "t", 0, None).await;
    assert_eq!((&kept[0].frames, kept[0].said, &*kept[0].cuts), (&frames, 3, &b"cuts"[..]));
    assert_eq!(
        kept[0].unsaid.iter().map(Message::json).collect::<Vec<_>>(),
        unsaid.iter().map(Message::json).collect::<Vec<_>>()
    );
    assert!(kept.iter().skip(1).all(|run| run.frames.is_empty()));
}

/// Asking about a thread nobody ran is no failure and creates nothing.
pub async fn an_unknown_thread_is_empty(store: Arc<dyn ThreadStore>) {
    assert!(history(&store, "never").await.is_empty());
    assert!(list(&store, mine()).await.is_empty());
}
