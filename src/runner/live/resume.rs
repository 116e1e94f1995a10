//! Going on where a watcher left off (chapter 14, row 17).
//!
//! An event's id is its run's number in the store and its place in the run, from 1:
//! - `7-12` is the twelfth event of run 7, as it was said live;
//! - `7.3` is the third event of the shortened run 7, replayed from its beginning;
//! - `7-12.3` is that event replayed for a watcher that had seen twelve events live. Of a message seen in part it
//!   holds what was not seen.
//!
//! So every id says all that its watcher has of the run, and it stays good when the run is shortened.

use std::sync::Arc;

use futures_util::{Stream, StreamExt};

use super::LiveRun;
use super::log::{Log, Watch};
use crate::agui::{Cuts, Frames};
use crate::runner::StoredRun;

/// Where a replay begins.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The first run to show.
    run: u64,
    /// What of it.
    first: First,
}

#[derive(Clone, Debug)]
enum First {
    Whole,
    /// What it says live behind so many events.
    Behind(u64),
    /// What its watcher lacks of a run that is over.
    Rest(Frames),
}

/// What a watcher has of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// So many events, as they were said.
    Said(u64),
    /// So many events of the shortened run.
    Kept(u64),
    /// So many events as they were said, and then of the shortened run the rest up to this place.
    Both(u64, u64),
}

impl Start {
    /// Everything.
    const ALL: Start = Start { run: 0, first: First::Whole };

    /// Behind the event of this id. Everything if there is no such event.
    pub(super) fn after(id: &str, history: &[StoredRun], live: Option<(u64, &Log)>) -> Start {
        let Some((run, seen)) = read(id) else { return Start::ALL };
        let first = match live {
            Some((number, log)) if number == run => match seen {
                Seen::Said(place) if place <= log.said() => Some(First::Behind(place)),
                _ => None,
            },
            _ => {
                history.iter().find(|stored| stored.number == run).and_then(|stored| seen.rest(stored)).map(First::Rest)
            }
        };
        first.map_or(Start::ALL, |first| Start { run, first })
    }

    /// A run of the history from here on, its events with their ids.
    pub(super) fn stored(&self, run: &StoredRun) -> Option<Frames> {
        let frames = match &self.first {
            _ if run.number < self.run => return None,
            First::Rest(rest) if run.number == self.run => rest.clone(),
            _ => run.frames.identified(&format!("{}.", run.number), 1, 0),
        };
        Some(frames).filter(|frames| !frames.is_empty())
    }

    /// A live run from here on, its events with their ids. What the run's log shows but no store keeps has none:
    /// nobody can go on behind it.
    pub(super) fn live(&self, run: Arc<LiveRun>) -> impl Stream<Item = Frames> + Send + 'static {
        let skip = match self.first {
            First::Behind(place) => place,
            First::Whole | First::Rest(_) => 0,
        };
        Watch::new(run.log.clone())
            .scan(0_u64, move |shown, frames| {
                let before = *shown;
                *shown += frames.count() as u64;
                let number = *run.number.lock();
                let frames = match number.filter(|_| *shown <= run.log.said()) {
                    None => frames,
                    Some(number) => {
                        let known = usize::try_from(skip.saturating_sub(before)).unwrap_or(usize::MAX);
                        frames.identified(&format!("{number}-"), before + 1, known)
                    }
                };
                std::future::ready(Some(frames))
            })
            .filter(|frames| std::future::ready(!frames.is_empty()))
    }
}

impl Seen {
    /// What such a watcher lacks of a run that is over, with ids; `None` if the run has no such place.
    fn rest(self, run: &StoredRun) -> Option<Frames> {
        let number = run.number;
        let (seen, shown) = match self {
            Seen::Kept(place) => {
                let skip = usize::try_from(place).ok().filter(|skip| *skip <= run.frames.count())?;
                return Some(run.frames.identified(&format!("{number}."), 1, skip));
            }
            // Needs no cuts, so it also holds for a run kept without them.
            Seen::Said(place) if place == run.said => return Some(Frames::default()),
            Seen::Said(place) => (place, 0),
            Seen::Both(seen, shown) => (seen, shown),
        };
        let rest = Cuts::from(run.cuts.clone()).rest(&run.frames, seen, shown)?;
        Some(Frames::with_ids(&format!("{number}-{seen}."), rest))
    }
}

/// The run of an id, and what its watcher has of it.
fn read(id: &str) -> Option<(u64, Seen)> {
    let place = |text: &str| text.parse().ok().filter(|place| *place > 0);
    let (run, seen) = match id.split_once('-') {
        None => {
            let (run, kept) = id.split_once('.')?;
            (run, Seen::Kept(place(kept)?))
        }
        Some((run, seen)) => match seen.split_once('.') {
            None => (run, Seen::Said(place(seen)?)),
            Some((seen, shown)) => (run, Seen::Both(place(seen)?, place(shown)?)),
        },
    };
    Some((run.parse().ok()?, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        assert_eq!(read("7-12"), Some((7, Seen::Said(12))));
        assert_eq!(read("7.3"), Some((7, Seen::Kept(3))));
        assert_eq!(read("7-12.3"), Some((7, Seen::Both(12, 3))));
        for other in [
            "",
            "7",
            "-",
            ".",
            "7-",
            "7.",
            "-7",
            ".7",
            "7-0",
            "7.0",
            "7-1.0",
            "7-0.1",
            "7-1.",
            "7.1-1",
            "7-1-1",
            "7.1.1",
            "a-1",
            "7-18446744073709551616",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
