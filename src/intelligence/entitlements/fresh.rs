//! A value that is found out when somebody asks, and kept for as long as it is good.

use std::future::Future;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// A value that is found out at most once at a time. Those who ask meanwhile wait for the same answer; if the one
/// who finds it out gives up, the next does.
#[derive(Debug)]
pub(crate) struct Fresh<T> {
    value: Mutex<Option<(T, Instant)>>,
}

impl<T> Default for Fresh<T> {
    fn default() -> Fresh<T> {
        Fresh { value: Mutex::new(None) }
    }
}

impl<T: Clone> Fresh<T> {
    /// The value; `find_out` also says how long it is good, and is not started while one is.
    pub(crate) async fn get(&self, find_out: impl Future<Output = (T, Duration)>) -> T {
        let mut kept = self.value.lock().await;
        if let Some((value, good_until)) = &*kept
            && Instant::now() < *good_until
        {
            return value.clone();
        }
        let (value, good_for) = find_out.await;
        *kept = Some((value.clone(), Instant::now() + good_for));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join3;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    const GOOD: Duration = Duration::from_secs(30);

    #[derive(Default)]
    struct Source {
        asked: AtomicU32,
        fresh: Fresh<u32>,
    }

    impl Source {
        async fn get(&self, takes: Duration) -> u32 {
            let find_out = async {
                let number = self.asked.fetch_add(1, Ordering::SeqCst);
                sleep(takes).await;
                (number, GOOD)
            };
            self.fresh.get(find_out).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn value_is_kept_as_long_as_it_is_good() {
        let source = Source::default();
        assert_eq!(source.get(Duration::ZERO).await, 0);
        advance(GOOD - Duration::from_millis(5)).await;
        assert_eq!(source.get(Duration::ZERO).await, 0);
        advance(Duration::from_millis(10)).await;
        assert_eq!(source.get(Duration::ZERO).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_request() {
        let (source, second) = (Source::default(), Duration::from_secs(1));
        assert_eq!(join3(source.get(second), source.get(second), source.get(second)).await, (0, 0, 0));
        assert_eq!(source.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn caller_that_gives_up_leaves_the_question_to_the_next() {
        let (source, long) = (Source::default(), Duration::from_secs(10));
        assert!(timeout(Duration::from_secs(1), source.get(long)).await.is_err());
        assert_eq!(source.get(Duration::ZERO).await, 1);
    }
}
