//! Stops asked of open runs. Engines over one store in RAM are to each other what processes over one file are.

use std::collections::BTreeMap;
use std::ops::Bound;

use futures_util::{Stream, stream};
use tokio::sync::watch;

use crate::runner::{AskedStop, OpenRun};

/// What is asked of the runs that are open, in the order it was asked.
#[derive(Debug, Default)]
pub(super) struct Stops {
    asked: watch::Sender<BTreeMap<u64, AskedStop>>,
    last: u64,
}

impl Stops {
    /// Whether less had been asked of the run before.
    pub(super) fn ask(&mut self, stop: AskedStop) -> bool {
        let is_as_much = |asked: &AskedStop| asked.run == stop.run && asked.how >= stop.how;
        if self.asked.borrow().values().any(is_as_much) {
            return false;
        }
        self.last += 1;
        let number = self.last;
        self.asked.send_modify(|asked| {
            asked.insert(number, stop);
        });
        true
    }

    /// The run is over; nothing is asked of it any more.
    pub(super) fn forget(&self, run: &OpenRun) {
        if !self.asked.borrow().is_empty() {
            self.asked.send_if_modified(|asked| {
                asked.retain(|_, stop| stop.run != *run);
                false
            });
        }
    }

    /// What is asked and will be, until the store is gone.
    pub(super) fn listen(&self) -> impl Stream<Item = AskedStop> + Send + 'static {
        stream::unfold((self.asked.subscribe(), 0), |(mut asked, told)| async move {
            loop {
                let behind = (Bound::Excluded(told), Bound::Unbounded);
                let next = asked.borrow_and_update().range(behind).next().map(|(number, stop)| (*number, stop.clone()));
                if let Some((number, stop)) = next {
                    return Some((stop, (asked, number)));
                }
                asked.changed().await.ok()?;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::runner::StopKind::{self, End, Forget};

    fn stop(number: u64, how: StopKind) -> AskedStop {
        AskedStop { run: OpenRun { thread: "t".into(), number }, how }
    }

    #[tokio::test]
    async fn each_listener_hears_each_request_once_and_only_of_open_runs() {
        let mut stops = Stops::default();
        assert!(stops.ask(stop(1, End)));
        assert!(!stops.ask(stop(1, End)));
        let mut early = Box::pin(stops.listen());
        assert_eq!(early.next().await, Some(stop(1, End)));
        assert_eq!(early.next().now_or_never(), None);
        assert!(stops.ask(stop(1, Forget)), "not as much was asked before");
        assert!(stops.ask(stop(2, Forget)));
        assert!(!stops.ask(stop(2, End)));
        stops.forget(&stop(2, Forget).run);
        let mut late = Box::pin(stops.listen());
        assert_eq!(late.next().await, Some(stop(1, End)));
        for listener in [&mut early, &mut late] {
            assert_eq!(listener.next().await, Some(stop(1, Forget)));
            assert_eq!(listener.next().now_or_never(), None);
        }
        drop(stops);
        assert_eq!(early.next().await, None);
    }
}
