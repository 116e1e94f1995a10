//! The keys of a URL: kept, asked for again in time, and kept on when there is no answer.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::keys::KeySet;
use super::refresh::Refresh;
use super::token::Unverified;
use crate::runtime::IdentifyError;

/// Asks for keys. What went wrong is for the log, and names no secret.
pub(super) type Fetch = dyn Fn() -> BoxFuture<'static, Result<KeySet, String>> + Send + Sync;

/// The keys of one URL. Whoever asks is a task of its own, which ends with this: a client that leaves ends nobody's
/// question.
pub(super) struct Remote {
    shared: Arc<Shared>,
    asking: Mutex<JoinSet<()>>,
}

struct Shared {
    fetch: Box<Fetch>,
    state: Mutex<State>,
    /// Changes with every answer.
    answered: watch::Sender<()>,
}

struct State {
    refresh: Refresh,
    /// The last good ones.
    keys: Option<Arc<KeySet>>,
}

impl Remote {
    pub(super) fn new(fetch: Box<Fetch>, refresh_after: Duration, interval: Duration) -> Remote {
        let state = State { refresh: Refresh::new(refresh_after, interval), keys: None };
        let shared = Shared { fetch, state: Mutex::new(state), answered: watch::Sender::new(()) };
        Remote { shared: Arc::new(shared), asking: Mutex::default() }
    }

    /// The keys to check a token with. If it may be signed with none of those that are known, waits for newer ones where
    /// these are to come.
    pub(super) async fn keys_for(&self, token: &Unverified<'_>) -> Result<Arc<KeySet>, IdentifyError> {
        let mut has_waited = false;
        loop {
            // Before looking, so that no answer is missed.
            let mut answered = self.shared.answered.subscribe();
            let (keys, is_asking) = self.look(token);
            match keys {
                Some(keys) if keys.knows(token) || has_waited || !is_asking => return Ok(keys),
                None if has_waited || !is_asking => {
                    return Err(IdentifyError::Unavailable("the keys of tokens are not known yet".into()));
                }
                _ => {}
            }
            // The sender is `self`'s, so there is one.
            has_waited = answered.changed().await.is_ok();
        }
    }

    fn look(&self, token: &Unverified<'_>) -> (Option<Arc<KeySet>>, bool) {
        let mut state = self.shared.state.lock();
        let is_missing = state.keys.as_ref().is_some_and(|keys| !keys.knows(token));
        if state.refresh.begin(Instant::now().into_std(), is_missing) {
            let mut asking = self.asking.lock();
            while asking.try_join_next().is_some() {}
            asking.spawn(ask(self.shared.clone()));
        }
        (state.keys.clone(), state.refresh.is_asking())
    }
}

async fn ask(shared: Arc<Shared>) {
    let asked = AssertUnwindSafe(async { (shared.fetch)().await }).catch_unwind().await;
    let answer = asked.unwrap_or_else(|_panic| Err("asking for them panicked".to_owned()));
    {
        let mut state = shared.state.lock();
        state.refresh.end(Instant::now().into_std(), answer.is_ok());
        match answer {
            Ok(keys) => state.keys = Some(Arc::new(keys)),
            Err(error) if state.keys.is_some() => {
                tracing::warn!(error, "The keys of tokens cannot be asked for; the last good ones hold");
            }
            Err(error) => tracing::error!(error, "The keys of tokens cannot be asked for, and nobody gets in"),
        }
    }
    shared.answered.send_replace(());
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("keys", &self.shared.state.lock().keys).finish_non_exhaustive()
    }
}
