//! Relays what runs and connects write to whoever watches `/cpk-debug-events` (rest-sse.md chapter 9).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver};
use tokio_util::sync::CancellationToken;

use super::Caller;
use crate::agui::Frames;
use crate::runner::Owner;

/// How many events a slow watcher may be behind before it misses some.
const BEHIND: usize = 1024;

/// Every event written on a run's or connect's response, as it passes, for watchers of the same owner: nobody
/// sees, or is slowed down by, what others say. Cloning gives the same feed.
#[derive(Clone, Debug, Default)]
pub(crate) struct DebugFeed {
    /// Of every owner who is watching.
    watched: Arc<Mutex<HashMap<Owner, broadcast::Sender<Bytes>>>>,
    closed: CancellationToken,
}

impl DebugFeed {
    /// The caller's feed from now on, framed. It ends with [`DebugFeed::close`] only; a watcher that is too slow is
    /// told in a comment how many events it missed.
    pub(crate) fn watch(&self, caller: &Caller) -> BoxStream<'static, Bytes> {
        let owner = caller.owner().clone();
        let events = {
            let mut watched = self.watched.lock();
            watched.entry(owner.clone()).or_insert_with(|| broadcast::Sender::new(BEHIND)).subscribe()
        };
        let watcher = Watcher { feed: self.clone(), owner, events: Some(events) };
        let greeting = stream::iter([Bytes::from_static(b": connected\n\n")]);
        let events = stream::unfold(watcher, |mut watcher| async move {
            // What was said before the end is still told.
            let next = tokio::select! {
                biased;
                next = next(watcher.events.as_mut()?) => next?,
                () = watcher.feed.closed.cancelled() => return None,
            };
            Some((next, watcher))
        });
        greeting.chain(events).boxed()
    }

    /// Ends every watcher's stream, which otherwise would keep a server from shutting down.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Where an owner's events go, if anybody watches them.
    fn of(&self, owner: &Owner) -> Option<broadcast::Sender<Bytes>> {
        self.watched.lock().get(owner).cloned()
    }
}

struct Watcher {
    feed: DebugFeed,
    owner: Owner,
    events: Option<Receiver<Bytes>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watched = self.feed.watched.lock();
        self.events = None;
        if watched.get(&self.owner).is_some_and(|events| events.receiver_count() == 0) {
            watched.remove(&self.owner);
        }
    }
}

async fn next(events: &mut Receiver<Bytes>) -> Option<Bytes> {
    match events.recv().await {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(skipped)) => Some(format!(": skipped {skipped}\n\n").into()),
        Err(RecvError::Closed) => None,
    }
}

/// Shows a response's events to the feed as they are written. A response nobody reads any more is shown no more.
pub(crate) fn tap(
    feed: &DebugFeed,
    caller: &Caller,
    agent_id: &str,
    stream: BoxStream<'static, Frames>,
) -> BoxStream<'static, Frames> {
    let mut tap = Tap {
        feed: feed.clone(),
        owner: caller.owner().clone(),
        agent_id: agent_id.into(),
        thread_id: text("").into(),
        run_id: text("").into(),
    };
    stream.inspect(move |frames| tap.pass(frames)).boxed()
}

struct Tap {
    feed: DebugFeed,
    owner: Owner,
    agent_id: Arc<str>,
    /// As JSON: the ids of the last `RUN_STARTED` on this stream.
    thread_id: Arc<str>,
    run_id: Arc<str>,
}

impl Tap {
    fn pass(&mut self, frames: &Frames) {
        let watched = self.feed.of(&self.owner);
        // Also while nobody watches, so that whoever starts to in mid-run is told which run it is.
        let starts = mentions_start(frames.bytes());
        if watched.is_none() && !starts {
            return;
        }
        for event in frames.events() {
            if starts {
                self.follow(&event);
            }
            if let Some(watched) = &watched {
                // Fails when the last watcher has just left.
                let _ = watched.send(self.line(&event));
            }
        }
    }

    fn follow(&mut self, event: &[u8]) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Started {
            r#type: Value,
            thread_id: Option<Value>,
            run_id: Option<Value>,
        }
        let Ok(started) = serde_json::from_slice::<Started>(event) else { return };
        if started.r#type == "RUN_STARTED" {
            let id = |id: Option<Value>| text(id.as_ref().and_then(Value::as_str).unwrap_or_default()).into();
            self.thread_id = id(started.thread_id);
            self.run_id = id(started.run_id);
        }
    }

    fn line(&self, event: &[u8]) -> Bytes {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let (agent_id, thread_id, run_id) = (text(&self.agent_id), &self.thread_id, &self.run_id);
        let mut head = String::with_capacity(128 + event.len());
        // Writing to a string does not fail.
        let _ = write!(
            head,
            r#"data: {{"timestamp":{timestamp},"agentId":{agent_id},"threadId":{thread_id},"runId":{run_id},"event":"#
        );
        let mut line = head.into_bytes();
        line.extend_from_slice(event);
        line.extend_from_slice(b"}\n\n");
        line.into()
    }
}

fn mentions_start(frames: &[u8]) -> bool {
    std::str::from_utf8(frames).is_ok_and(|frames| frames.contains("\"RUN_STARTED\""))
}

/// A text as JSON.
fn text(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::agui::Event;

    fn ada() -> Caller {
        Caller::of("ada")
    }

    fn frames(events: &[&str]) -> Frames {
        let events: Vec<Event> =
            events.iter().map(|event| Event::parse(Bytes::copy_from_slice(event.as_bytes())).unwrap()).collect();
        Frames::of(&events)
    }

    /// What a tapped stream of these batches yields; it does not wait for watchers.
    async fn run(feed: &DebugFeed, batches: Vec<Frames>) -> Vec<Frames> {
        tap(feed, &ada(), "a\"gent", stream::iter(batches).boxed()).collect().await
    }

    /// The lines ready for a watcher, timestamps masked.
    fn ready(watch: &mut BoxStream<'static, Bytes>) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut lines = Vec::new();
        while let Poll::Ready(Some(line)) = watch.poll_next_unpin(&mut cx) {
            let line = String::from_utf8(line.to_vec()).unwrap();
            lines.push(match line.strip_prefix("data: {\"timestamp\":") {
                Some(rest) => rest.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned(),
                None => line,
            });
        }
        lines
    }

    const STARTED: &str = r#"{"type":"RUN_STARTED","threadId":"t\n","runId":"r1","input":{"x":[]}}"#;
    const ENDED: &str = r#"{"type":"RUN_FINISHED","threadId":"t\n","runId":"r1"}"#;
    const ERROR: &str = r#"{"type":"RUN_ERROR","message":"m"}"#;

    #[tokio::test]
    async fn watcher_sees_each_event_with_its_run() {
        let feed = DebugFeed::default();
        let mut watch = feed.watch(&ada());
        let batches = vec![frames(&[ERROR]), frames(&[STARTED, ENDED])];
        assert_eq!(run(&feed, batches.clone()).await, batches, "the stream itself is not touched");
        assert_eq!(
            ready(&mut watch),
            [
                ": connected\n\n".to_owned(),
                format!(",\"agentId\":\"a\\\"gent\",\"threadId\":\"\",\"runId\":\"\",\"event\":{ERROR}}}\n\n"),
                format!(",\"agentId\":\"a\\\"gent\",\"threadId\":\"t\\n\",\"runId\":\"r1\",\"event\":{STARTED}}}\n\n"),
                format!(",\"agentId\":\"a\\\"gent\",\"threadId\":\"t\\n\",\"runId\":\"r1\",\"event\":{ENDED}}}\n\n"),
            ]
        );
    }

    #[tokio::test]
    async fn watcher_that_comes_late_is_told_the_run() {
        let feed = DebugFeed::default();
        let (send, mut batches) = tokio::sync::mpsc::unbounded_channel();
        let mut tapped = tap(&feed, &ada(), "a", stream::poll_fn(move |cx| batches.poll_recv(cx)).boxed());
        send.send(frames(&[STARTED])).unwrap();
        tapped.next().await;
        assert!(feed.watched.lock().is_empty());
        let mut watch = feed.watch(&ada());
        assert_eq!(feed.watched.lock().len(), 1);
        send.send(frames(&[ENDED])).unwrap();
        tapped.next().await;
        let wanted = format!(",\"agentId\":\"a\",\"threadId\":\"t\\n\",\"runId\":\"r1\",\"event\":{ENDED}}}\n\n");
        assert_eq!(ready(&mut watch), [": connected\n\n".to_owned(), wanted]);
        drop(watch);
        assert!(feed.watched.lock().is_empty());
    }

    #[test]
    fn watcher_too_slow_is_told_what_it_missed() {
        let feed = DebugFeed::default();
        let mut watch = feed.watch(&ada());
        // Outside a runtime, whose budget would have the reader come back in between.
        run(&feed, vec![frames(&[ERROR]); BEHIND + 7]).now_or_never().unwrap();
        let lines = ready(&mut watch);
        assert_eq!(lines[..2], [": connected\n\n", ": skipped 7\n\n"]);
        assert_eq!(lines.len(), 2 + BEHIND);
    }

    #[test]
    fn watcher_sees_and_misses_nothing_of_others() {
        let feed = DebugFeed::default();
        let (mut adas, mut bobs) = (feed.watch(&ada()), feed.watch(&Caller::of("bob")));
        run(&feed, vec![frames(&[ERROR]); BEHIND + 1]).now_or_never().unwrap();
        assert_eq!(ready(&mut bobs), [": connected\n\n"]);
        assert_eq!(ready(&mut adas).len(), 2 + BEHIND);
        drop(adas);
        assert_eq!(feed.watched.lock().len(), 1, "bob still watches");
    }

    #[tokio::test]
    async fn closing_ends_every_watch() {
        let feed = DebugFeed::default();
        let watch = feed.watch(&ada());
        feed.clone().close();
        assert_eq!(watch.collect::<Vec<_>>().await, [": connected\n\n"]);
    }
}
