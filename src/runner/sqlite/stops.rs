//! Runs of this process that others have asked to stop.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use rusqlite::Connection;

use super::error::Failure;
use super::lease::Presence;
use super::readers::Readers;
use super::runs::stop_number;
use crate::runner::{AskedStop, OpenRun, Owner, StopKind, ThreadKey};

/// How often it is looked for them while this process holds runs.
const LOOK: Duration = Duration::from_millis(25);

struct Looking {
    readers: Weak<Readers>,
    presence: Arc<Presence>,
    /// What was told already, of the runs still open.
    told: HashSet<(u64, StopKind)>,
    found: Vec<AskedStop>,
}

/// Each request once, as it is made, and those made before. Ends with the store.
pub(super) fn requests(readers: &Arc<Readers>, presence: &Arc<Presence>) -> BoxStream<'static, AskedStop> {
    let looking = Looking {
        readers: Arc::downgrade(readers),
        presence: presence.clone(),
        told: HashSet::new(),
        found: Vec::new(),
    };
    stream::unfold(looking, async |mut looking| {
        loop {
            if let Some(stop) = looking.found.pop() {
                return Some((stop, looking));
            }
            looking.look().await?;
        }
    })
    .boxed()
}

impl Looking {
    /// Waits a little, then looks. `None` once the store is gone.
    async fn look(&mut self) -> Option<()> {
        let changed = self.presence.changed.notified();
        let Some(epoch) = self.presence.epoch() else {
            // Nobody can ask for runs that are not there.
            tokio::select! {
                () = self.presence.closed.cancelled() => return None,
                () = changed => return Some(()),
            }
        };
        tokio::time::sleep(LOOK).await;
        match self.readers.upgrade()?.run(move |connection| asked(connection, epoch)).await {
            Ok(asked) => {
                let name = |stop: &AskedStop| (stop.run.number, stop.how);
                self.told.retain(|told| asked.iter().any(|stop| name(stop) == *told));
                self.found = asked.into_iter().filter(|stop| self.told.insert(name(stop))).collect();
            }
            Err(error) => tracing::debug!(%error, "the store could not be asked who wants a run to stop"),
        }
        Some(())
    }
}

fn asked(connection: &Connection, epoch: i64) -> Result<Vec<AskedStop>, Failure> {
    const ASKED: &str = "
        SELECT owner, thread_id, number, stop_asked FROM open_runs JOIN threads ON id = thread
        WHERE epoch = ?1 AND stop_asked";
    let mut statement = connection.prepare_cached(ASKED)?;
    let runs = statement.query_map([epoch], |row| {
        let owner = Owner::of(row.get::<_, Arc<str>>(0)?);
        let thread = ThreadKey::new(owner, row.get::<_, Arc<str>>(1)?);
        let run = OpenRun { thread, number: row.get::<_, i64>(2)?.cast_unsigned() };
        let number: i64 = row.get(3)?;
        let known = [StopKind::Delete, StopKind::Forget].into_iter().find(|how| stop_number(*how) == number);
        Ok(AskedStop { run, how: known.unwrap_or(StopKind::End) })
    })?;
    Ok(runs.collect::<Result<_, _>>()?)
}

/// The open runs on all threads of an owner.
pub(super) fn open_runs(connection: &Connection, owner: &Owner) -> Result<Vec<OpenRun>, Failure> {
    const OPEN: &str = "SELECT thread_id, number FROM open_runs JOIN threads ON id = thread WHERE owner = ?1";
    let mut statement = connection.prepare_cached(OPEN)?;
    let runs = statement.query_map([owner.as_str()], |row| {
        let thread = ThreadKey::new(owner.clone(), row.get::<_, Arc<str>>(0)?);
        Ok(OpenRun { thread, number: row.get::<_, i64>(1)?.cast_unsigned() })
    })?;
    Ok(runs.collect::<Result<_, _>>()?)
}
