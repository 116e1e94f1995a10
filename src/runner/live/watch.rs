//! Watching a run: from its log, and what is too old for the log from the store.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
use tracing::error;

use super::log::{Cursor, End, Log, Step};
use crate::agui::{Cuts, Event, Frames};
use crate::runner::{OpenRun, RunPhase, Said, StoreError, StoredRun, ThreadStore, codes};

/// Follows a run to its end.
pub(super) struct Watch {
    cursor: Cursor,
    store: Arc<dyn ThreadStore>,
    /// What the log does not have, on its way from the store.
    reading: Option<BoxFuture<'static, Found>>,
    over: bool,
}

/// What a watcher comes to see next.
#[derive(Debug)]
pub(super) enum Shown {
    /// Events as they were said, and how many the run had said before.
    Said { before: u64, frames: Frames },
    /// The rest of a run that was shortened meanwhile.
    Rest(Rest),
    /// The rest of the run is nowhere any more, as it was discarded or its thread deleted. The watcher saw so many
    /// events of it.
    Gone { seen: u64 },
    /// Why no more can be shown. No event of the run.
    Failure(Frames),
}

/// What a watcher that saw the beginning of a run lacks of the shortened run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// How many events it saw as they were said.
    pub(super) seen: u64,
    /// The events, with their places in the shortened run.
    pub(super) events: Vec<(u64, Bytes)>,
}

/// What the store tells of a run.
enum Found {
    More(Frames),
    Rest(Rest),
    Gone,
    Failure(Frames),
}

impl Watch {
    /// Behind the run's first `seen` events.
    pub(super) fn behind(log: Arc<Log>, store: Arc<dyn ThreadStore>, seen: u64) -> Watch {
        Watch { cursor: Cursor::behind(log, seen), store, reading: None, over: false }
    }

    fn read(&self, run: OpenRun) -> BoxFuture<'static, Found> {
        let (store, seen) = (self.store.clone(), self.cursor.seen());
        async move {
            look_up(&*store, &run, seen).await.unwrap_or_else(|failure| {
                error!(thread.id = %run.thread.id, user.id = %run.thread.owner, error = %failure, "a live run could not be read back");
                Found::Failure(Frames::of(&[Event::run_error(&failure.to_string(), codes::RUNNER_FAILED)]))
            })
        }
        .boxed()
    }
}

impl Stream for Watch {
    type Item = Shown;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Shown>> {
        let watch = self.get_mut();
        loop {
            if watch.over {
                return Poll::Ready(None);
            }
            if let Some(reading) = &mut watch.reading {
                let found = ready!(reading.poll_unpin(cx));
                watch.reading = None;
                watch.over = !matches!(found, Found::More(_));
                return Poll::Ready(match found {
                    Found::More(frames) => {
                        let before = watch.cursor.seen();
                        watch.cursor.saw(&frames);
                        Some(Shown::Said { before, frames })
                    }
                    Found::Rest(rest) if rest.events.is_empty() => None,
                    Found::Rest(rest) => Some(Shown::Rest(rest)),
                    Found::Gone => Some(Shown::Gone { seen: watch.cursor.seen() }),
                    Found::Failure(failure) => Some(Shown::Failure(failure)),
                });
            }
            match ready!(watch.cursor.poll_step(cx)) {
                Step::Said { before, frames } => return Poll::Ready(Some(Shown::Said { before, frames })),
                Step::End(End::Told) => return Poll::Ready(None),
                Step::End(End::Failed(failure)) => {
                    watch.over = true;
                    return Poll::Ready(Some(Shown::Failure(failure)));
                }
                Step::Behind | Step::End(End::Elsewhere) => match watch.cursor.log.run() {
                    Some(run) => watch.reading = Some(watch.read(run)),
                    // Only what was kept is too old for the log, and only a run that began is kept.
                    None => return Poll::Ready(None),
                },
            }
        }
    }
}

impl Rest {
    /// What is lacking of a run that is over; `None` if it has no such place.
    pub(super) fn of(run: &StoredRun, seen: u64) -> Option<Rest> {
        let events = match seen {
            0 => (1..).zip(run.frames.events()).collect(),
            // Needs no cuts, so it also holds for a run kept without them.
            _ if seen == run.said => Vec::new(),
            _ => Cuts::from(run.cuts.clone()).rest(&run.frames, seen, 0)?,
        };
        Some(Rest { seen, events })
    }
}

/// What follows the run's first `seen` events. What is kept may be shown, also if the log has not come to it.
async fn look_up(store: &dyn ThreadStore, run: &OpenRun, seen: u64) -> Result<Found, StoreError> {
    let Said { frames, phase } = store.said(run, seen).await?;
    match phase {
        RunPhase::Open if !frames.is_empty() => return Ok(Found::More(frames)),
        RunPhase::Sealed => {
            let history = store.history(&run.thread, run.number, run.number.checked_add(1)).await?;
            if let Some(rest) = history.runs.iter().find_map(|stored| Rest::of(stored, seen)) {
                return Ok(Found::Rest(rest));
            }
        }
        RunPhase::Open | RunPhase::Gone => {}
    }
    Ok(Found::Gone)
}
