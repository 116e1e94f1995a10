//! Going on where a watcher left off (chapter 14, row 17).
//!
//! An event's id is its run's number in the store and its place in the run, from 1: `7-12` as it was said live,
//! `7.3` as it is replayed from the shortened run. The two count differently, so they look different.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};

use super::log::{Log, Watch};
use crate::agui::Frames;
use crate::runner::StoredRun;

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The first run to show.
    run: u64,
    /// How many of its events to leave out.
    skip: u64,
}

impl Start {
    /// Everything.
    pub(super) const ALL: Start = Start { run: 0, skip: 0 };

    /// Behind the event of this id, as long as what follows it can be told: in a run still live, in the shortened
    /// form of one that is over, or at its end. Otherwise everything.
    pub(super) fn after(id: &str, history: &[StoredRun], live: Option<(u64, &Log)>) -> Start {
        let parse = |separator| {
            let (run, place) = id.split_once(separator)?;
            Some((run.parse::<u64>().ok()?, place.parse::<u64>().ok().filter(|place| *place > 0)?))
        };
        let sealed = |run| history.iter().find(|stored| stored.number == run);
        let found = match (parse('.'), parse('-')) {
            (Some((run, place)), _) => {
                sealed(run).filter(|stored| place <= stored.frames.count() as u64).map(|_| Start { run, skip: place })
            }
            (_, Some((run, place))) => match live {
                Some((number, log)) if number == run => (place <= log.shown()).then_some(Start { run, skip: place }),
                _ => sealed(run).filter(|stored| stored.said == place).map(|_| Start { run: run + 1, skip: 0 }),
            },
            _ => None,
        };
        found.unwrap_or(Start::ALL)
    }

    fn skip_in(self, run: u64) -> Option<u64> {
        (run >= self.run).then_some(if run == self.run { self.skip } else { 0 })
    }

    /// A run of the history from here on, its events with their ids.
    pub(super) fn stored(self, run: &StoredRun) -> Option<Frames> {
        let skip = usize::try_from(self.skip_in(run.number)?).unwrap_or(usize::MAX);
        Some(run.frames.identified(&format!("{}.", run.number), 1, skip)).filter(|frames| !frames.is_empty())
    }

    /// A live run from here on, its events with their ids.
    pub(super) fn live(self, run: u64, log: Arc<Log>) -> impl Stream<Item = Frames> + Send + 'static {
        let skip = self.skip_in(run).unwrap_or_default();
        let name = format!("{run}-");
        Watch::new(log)
            .scan(0_u64, move |shown, frames| {
                let before = *shown;
                *shown += frames.count() as u64;
                let known = usize::try_from(skip.saturating_sub(before)).unwrap_or(usize::MAX);
                std::future::ready(Some(frames.identified(&name, before + 1, known)))
            })
            .filter(|frames| std::future::ready(!frames.is_empty()))
    }
}
