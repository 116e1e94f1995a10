//! Connecting to a thread: its history, and then what its active run says, joined by run number.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt};
use tracing::error;

use super::history::Pages;
use super::log::Log;
use super::resume::{self, Seen};
use super::run::Phase;
use super::watch::{Shown, Watch};
use super::{Shared, elsewhere};
use crate::agui::{Event, Frames};
use crate::runner::{ConnectRequest, OpenRun, RunPhase, Said, StoreError, ThreadKey, codes};

/// A thread from its beginning, or from behind the event its watcher saw last, to the end of its active run.
pub(super) struct Replay {
    /// Whether the watcher wants ids.
    with_ids: bool,
    /// What it lacks of a run it saw in part.
    rest: Option<Frames>,
    /// Boxed, as it is gone while the active run is followed.
    history: Option<Box<Pages>>,
    /// The active run and its number.
    live: Option<(u64, Watch)>,
}

impl Replay {
    pub(super) async fn open(shared: &Arc<Shared>, request: ConnectRequest) -> Result<Replay, StoreError> {
        let ConnectRequest { thread, last_seen } = request;
        let mut live = Live::find(shared, &thread).await?;
        let start = match &last_seen {
            Some(id) => Start::behind(shared, &thread, id, &mut live).await?,
            None => None,
        };
        let start = match start {
            Some(start) => start,
            None => {
                let before = live.as_ref().map(|live| live.run.number);
                let history = Pages::open(shared.store.clone(), thread, 0, before).await?;
                Start { rest: None, history: Some(history), seen: 0 }
            }
        };
        Ok(Replay {
            with_ids: last_seen.is_some(),
            rest: start.rest,
            history: start.history.map(Box::new),
            live: live.map(|live| (live.run.number, live.watch(shared, start.seen))),
        })
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(rest));
        }
        while let Some(history) = &mut self.history {
            match ready!(history.poll_run(cx)) {
                Some(Ok(run)) if self.with_ids => return Poll::Ready(Some(resume::whole(&run))),
                Some(Ok(run)) => return Poll::Ready(Some(run.frames)),
                Some(Err(failure)) => {
                    let thread = history.thread();
                    error!(thread.id = %thread.id, user.id = %thread.owner, error = %failure, "the thread's history could not be read to its end");
                    (self.history, self.live) = (None, None);
                    let event = Event::run_error(&failure.to_string(), codes::RUNNER_FAILED);
                    return Poll::Ready(Some(Frames::of(&[event])));
                }
                None => self.history = None,
            }
        }
        let Some((number, watch)) = &mut self.live else { return Poll::Ready(None) };
        // A run of which nothing was seen, and which is gone, is as if it had never been.
        let shown = ready!(watch.poll_next_unpin(cx)).filter(|shown| !matches!(shown, Shown::Gone { seen: 0 }));
        let frames = shown.map(|shown| if self.with_ids { shown.identified(*number) } else { shown.into_frames() });
        Poll::Ready(frames)
    }
}

impl Stream for Replay {
    type Item = Frames;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frames>> {
        loop {
            let frames = ready!(self.poll_any(cx));
            // A run may have said nothing.
            if frames.as_ref().is_none_or(|frames| !frames.is_empty()) {
                return Poll::Ready(frames);
            }
        }
    }
}

/// The active run of a thread.
struct Live {
    run: OpenRun,
    /// Where to watch it, if it is a run of this process.
    log: Option<Arc<Log>>,
}

impl Live {
    async fn find(shared: &Shared, thread: &ThreadKey) -> Result<Option<Live>, StoreError> {
        while let Some(run) = shared.places.holder(thread) {
            if run.leaves(Phase::Starting).await == Phase::WaitingElsewhere {
                break;
            }
            if let Some(open) = run.log.run() {
                return Ok(Some(Live { run: open, log: Some(run.log.clone()) }));
            }
            // It could not begin, and left its place to another or to nobody.
        }
        let active = shared.store.active(thread).await?;
        Ok(active.map(|active| Live { run: active.run, log: None }))
    }

    fn watch(self, shared: &Arc<Shared>, seen: u64) -> Watch {
        match self.log {
            Some(log) => Watch::behind(log, shared.store.clone(), seen),
            None => elsewhere::follow(shared, self.run, seen),
        }
    }

    /// Whether the run has said as many events; `None` if it is over.
    async fn has_said(&self, shared: &Shared, events: u64) -> Result<Option<bool>, StoreError> {
        if let Some(log) = &self.log {
            return Ok(Some(events <= log.said()));
        }
        let Said { frames, phase } = shared.store.said(&self.run, events.saturating_sub(1)).await?;
        Ok((phase == RunPhase::Open).then_some(!frames.is_empty()))
    }
}

/// Where a replay begins.
struct Start {
    rest: Option<Frames>,
    history: Option<Pages>,
    /// How many events of the live run are known.
    seen: u64,
}

impl Start {
    /// Behind the event of an id; `None` if there is no such event.
    async fn behind(
        shared: &Shared,
        thread: &ThreadKey,
        id: &str,
        live: &mut Option<Live>,
    ) -> Result<Option<Start>, StoreError> {
        let Some((number, seen)) = resume::read(id) else { return Ok(None) };
        if let Some(run) = live.as_ref().filter(|live| live.run.number == number) {
            let Seen::Said(place) = seen else { return Ok(None) };
            match run.has_said(shared, place).await? {
                Some(known) => return Ok(known.then_some(Start { rest: None, history: None, seen: place })),
                // It was sealed just now, and is history.
                None => *live = None,
            }
        }
        let before = live.as_ref().map(|live| live.run.number);
        let mut history = Pages::open(shared.store.clone(), thread.clone(), number, before).await?;
        let first = history.first().filter(|run| run.number == number);
        let Some(rest) = first.and_then(|run| seen.rest(run)) else { return Ok(None) };
        history.skip_first();
        Ok(Some(Start { rest: Some(rest), history: Some(history), seen: 0 }))
    }
}
