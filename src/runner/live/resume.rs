//! Going on where a watcher left off (chapter 14, row 17).
//!
//! An event's id is its run's number in the store and its place in the run, from 1:
//! - `7-12` is the twelfth event of run 7, as it was said live;
//! - `7.3` is the third event of the shortened run 7, replayed from its beginning;
//! - `7-12.3` is that event replayed for a watcher that had seen twelve events live. Of a message seen in part it
//!   holds what was not seen.
//!
//! So every id says all that its watcher has of the run, and it stays good when the run is shortened.

use super::watch::{Rest, Shown};
use crate::agui::{Cuts, Event, Frames};
use crate::runner::{StoredRun, codes};

/// What a watcher has of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// So many events, as they were said.
    Said(u64),
    /// So many events of the shortened run.
    Kept(u64),
    /// So many events as they were said, and then of the shortened run the rest up to this place.
    Both(u64, u64),
}

/// The run of an id, and what its watcher has of it.
pub(super) fn read(id: &str) -> Option<(u64, Seen)> {
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

/// A run that is over, its events with their ids.
pub(super) fn whole(run: &StoredRun) -> Frames {
    run.frames.identified(&format!("{}.", run.number), 1, 0)
}

impl Seen {
    /// What such a watcher lacks of a run that is over, with ids; `None` if the run has no such place.
    pub(super) fn rest(self, run: &StoredRun) -> Option<Frames> {
        let number = run.number;
        match self {
            Seen::Kept(place) => {
                let skip = usize::try_from(place).ok().filter(|skip| *skip <= run.frames.count())?;
                Some(run.frames.identified(&format!("{number}."), 1, skip))
            }
            Seen::Said(seen) => Rest::of(run, seen).map(|rest| rest.identified(number)),
            Seen::Both(seen, shown) => {
                let events = Cuts::from(run.cuts.clone()).rest(&run.frames, seen, shown)?;
                Some(Rest { seen, events }.identified(number))
            }
        }
    }
}

impl Rest {
    fn identified(self, number: u64) -> Frames {
        let name = if self.seen == 0 { format!("{number}.") } else { format!("{number}-{}.", self.seen) };
        Frames::with_ids(&name, self.events)
    }
}

impl Shown {
    /// As it leaves.
    pub(super) fn into_frames(self) -> Frames {
        match self {
            Shown::Said { frames, .. } | Shown::Failure(frames) => frames,
            Shown::Rest(rest) => Frames::of_json(rest.events.into_iter().map(|(_, json)| json)),
            Shown::Gone { .. } => {
                let message = "The run was taken away before all of it was read";
                Frames::of(&[Event::run_error(message, codes::RUN_INTERRUPTED)])
            }
        }
    }

    /// As it leaves for a watcher that wants ids. What is no event of the run has none: nobody can go on behind it.
    pub(super) fn identified(self, number: u64) -> Frames {
        match self {
            Shown::Said { before, frames } => frames.identified(&format!("{number}-"), before + 1, 0),
            Shown::Rest(rest) => rest.identified(number),
            Shown::Gone { .. } | Shown::Failure(_) => self.into_frames(),
        }
    }
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
