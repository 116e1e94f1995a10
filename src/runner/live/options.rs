//! What the engine allows a run, and what it does when runs or watchers meet.

use std::time::Duration;

/// What the engine allows a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// What happens to a run on a busy thread, unless its request says otherwise. Default: [`WhenBusy::Reject`].
    pub when_busy: WhenBusy,
    /// What happens to a run that nobody watches. Default: [`WhenUnwatched::KeepRunning`].
    pub when_unwatched: WhenUnwatched,
    /// How many bytes of events one run may say before it is ended with `RUN_TOO_LARGE`. Default: 64 MiB.
    pub max_run_bytes: usize,
    /// How many events one run may say before it is ended with `RUN_TOO_LONG`. Default: 1 000 000.
    pub max_run_events: usize,
    /// How many bytes of a live run's events are held in RAM for its watchers. Who is further behind reads from the
    /// store. Default: 1 MiB.
    pub max_log_bytes: usize,
    /// How long a run may go on in silence after its terminal event before it is taken for ended. Default: 5 s.
    pub after_terminal: Duration,
    /// Whether a run that fails before it said anything stays in the thread's history. Default: no.
    pub keep_failed_starts: bool,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions {
            when_busy: WhenBusy::Reject,
            when_unwatched: WhenUnwatched::KeepRunning,
            max_run_bytes: 64 * 1024 * 1024,
            max_run_events: 1_000_000,
            max_log_bytes: 1024 * 1024,
            after_terminal: Duration::from_secs(5),
            keep_failed_starts: false,
        }
    }
}

/// What happens to a run on a thread where another is active, in this process or in one that shares the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBusy {
    /// The new run is refused.
    #[default]
    Reject,
    /// The active run is stopped as by a user; what it said stays. Then the new one starts, before those that wait.
    Interrupt,
    /// As [`WhenBusy::Interrupt`], but the active run leaves no history. What the Node runtime calls `supersede`.
    Rollback,
    /// The new run waits, and starts when those that came before it have ended. It waits also if its client leaves,
    /// until it is stopped by its run id. Among processes that share a store the order is not kept.
    Enqueue {
        /// How many runs may wait for one thread; the next is refused with `QUEUE_FULL`.
        max: usize,
        /// How long a run waits before it is given up with `QUEUE_TIMEOUT`.
        timeout: Duration,
    },
}

/// What happens to a run when the last who watched it leaves: the client that started it, and those that connected.
/// Watchers in other processes do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnwatched {
    /// It goes on.
    #[default]
    KeepRunning,
    /// It is stopped as by a user.
    Stop,
    /// It is stopped as by a user unless somebody comes to watch within this time.
    StopAfter(Duration),
}
