//! Whether the runtime can do its work: asked by those who decide where requests go.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{CopilotRuntime, Mode};
use crate::intelligence::Intelligence;
use crate::runner::AgentRunner;

/// How long a check may take.
const BOUND: Duration = Duration::from_secs(2);
/// How long its answer holds: however many ask, the store writes no more often than this.
const KEPT: Duration = Duration::from_secs(1);

/// Whether a runtime can do its work, and what keeps it from that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// Whether every check passed.
    pub ready: bool,
    /// The checks.
    pub checks: Vec<Check>,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// `store`, `platform` or `running`.
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Why not. It may name paths and hosts, so it is for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Readiness {
    /// The same for everybody: which checks failed, and not why.
    #[must_use]
    pub fn without_reasons(mut self) -> Readiness {
        for check in &mut self.checks {
            check.reason = None;
        }
        self
    }
}

impl CopilotRuntime {
    /// Whether runs can be kept, the platform is reached where it keeps them, and nobody has told the runtime to shut
    /// down. It answers within two seconds, and what was found out holds for one, so probes may ask as they like.
    pub async fn readiness(&self) -> Readiness {
        let probes = &self.shared.probes;
        let kept = probes.check().await;
        let running = match probes.closing.is_cancelled() {
            true => Check { name: "running", ok: false, reason: Some("the runtime is shutting down".to_owned()) },
            false => Check { name: "running", ok: true, reason: None },
        };
        Readiness { ready: kept.ok && running.ok, checks: vec![running, kept] }
    }
}

/// Asks what is to be asked, and not too often.
pub(super) struct Probes {
    asked: Asked,
    checked: Mutex<Option<Checked>>,
    closing: CancellationToken,
}

/// Who knows whether runs can be kept.
#[derive(Clone)]
enum Asked {
    Runner(Arc<dyn AgentRunner>),
    Platform(Intelligence),
}

struct Checked {
    at: Instant,
    answer: Shared<BoxFuture<'static, Check>>,
}

impl Probes {
    pub(super) fn of(mode: &Mode) -> Probes {
        let asked = match mode {
            Mode::Local(local) => Asked::Runner(local.runner.clone()),
            Mode::Platform(platform) => Asked::Platform(platform.intelligence.clone()),
        };
        Probes { asked, checked: Mutex::default(), closing: CancellationToken::new() }
    }

    /// From here on the runtime is not ready.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// What was found out lately, or is being found out: all who ask meanwhile wait for the same.
    fn check(&self) -> Shared<BoxFuture<'static, Check>> {
        let mut checked = self.checked.lock();
        let known = checked.as_ref().filter(|known| {
            // One that nobody waits for any more does not go on, and would tell of a time long ago.
            let holds = if known.answer.peek().is_some() { KEPT } else { BOUND };
            known.at.elapsed() < holds
        });
        if let Some(known) = known {
            return known.answer.clone();
        }
        let answer = self.asked.clone().check().boxed().shared();
        *checked = Some(Checked { at: Instant::now(), answer: answer.clone() });
        answer
    }
}

impl Asked {
    async fn check(self) -> Check {
        let name = match &self {
            Asked::Runner(_) => "store",
            Asked::Platform(_) => "platform",
        };
        let answer = timeout(BOUND, async {
            match &self {
                Asked::Runner(runner) => runner.check().await.map_err(|failure| failure.to_string()),
                Asked::Platform(intelligence) => intelligence.check().await.map_err(|failure| failure.to_string()),
            }
        });
        let failure = match answer.await {
            Ok(Ok(())) => return Check { name, ok: true, reason: None },
            Ok(Err(failure)) => failure,
            Err(_) => format!("no answer within {BOUND:?}"),
        };
        tracing::warn!(check = name, error = failure, "the runtime is not ready");
        Check { name, ok: false, reason: Some(failure) }
    }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("closing", &self.closing.is_cancelled()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::runner::{ConnectRequest, FrameStream, RunRefused, RunRequest, RunnerError, StopRequest, Stopped};

    /// Counts how often it was asked, and answers as it is told.
    struct Asking {
        count: Arc<AtomicUsize>,
        answer: fn() -> BoxFuture<'static, Result<(), RunnerError>>,
    }

    impl AgentRunner for Asking {
        fn run(&self, _: RunRequest) -> BoxFuture<'_, Result<FrameStream, RunRefused>> {
            async { Err(RunRefused::Busy) }.boxed()
        }
        fn connect(&self, _: ConnectRequest) -> BoxFuture<'_, Result<FrameStream, RunnerError>> {
            async { Err(RunnerError("none".to_owned())) }.boxed()
        }
        fn stop(&self, _: StopRequest) -> BoxFuture<'_, Result<Stopped, RunnerError>> {
            async { Ok(Stopped::NoActiveRun) }.boxed()
        }
        fn check(&self) -> BoxFuture<'_, Result<(), RunnerError>> {
            self.count.fetch_add(1, Ordering::SeqCst);
            (self.answer)()
        }
    }

    fn runtime(answer: fn() -> BoxFuture<'static, Result<(), RunnerError>>) -> (CopilotRuntime, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let runner = Asking { count: count.clone(), answer };
        (CopilotRuntime::builder().runner(runner).build().expect("a runtime"), count)
    }

    #[tokio::test(start_paused = true)]
    async fn many_probes_are_one_check_a_second() {
        let (runtime, count) = runtime(|| async { Ok(()) }.boxed());
        for _ in 0..50 {
            assert!(runtime.readiness().await.ready);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::advance(KEPT).await;
        assert!(runtime.readiness().await.ready);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_is_not_ready() {
        let (runtime, _) = runtime(|| std::future::pending().boxed());
        let told = runtime.readiness().await;
        assert!(!told.ready);
        assert_eq!(told.checks[1].reason.as_deref(), Some("no answer within 2s"));
        assert_eq!(told.without_reasons().checks[1].reason, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_nobody_waited_for_is_made_anew() {
        let (runtime, count) = runtime(|| std::future::pending().boxed());
        assert!(timeout(Duration::from_millis(10), runtime.readiness()).await.is_err());
        tokio::time::advance(BOUND).await;
        assert!(!runtime.readiness().await.ready);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_runtime_that_shuts_down_is_not_ready() {
        let (runtime, _) = runtime(|| async { Ok(()) }.boxed());
        runtime.shutdown(Duration::ZERO).await;
        let told = runtime.readiness().await;
        assert!(!told.ready && !told.checks[0].ok && told.checks[1].ok, "{told:?}");
    }
}
