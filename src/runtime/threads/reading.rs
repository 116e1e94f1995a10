//! What was said on a thread: its sealed runs, and what an open one has said so far (upstream shows nothing of a
//! run until it ends: chapter 14, row 7).

use serde_json::{Value, json};

use super::{LocalThreads, ThreadsError};
use crate::agui::{Event, Frames, StateFold};
use crate::runner::{History, OpenRun, RunPhase, ThreadKey};

impl LocalThreads<'_> {
    /// The thread's messages, merged over all its runs (upstream shows the last run's list alone:
    /// chapter 14, row 19).
    pub(super) async fn messages(&self, id: &str) -> Result<String, ThreadsError> {
        let said = self.said_on(&self.caller.thread(id)).await?;
        let mut messages = said.sealed.earlier.as_deref().cloned().unwrap_or_default();
        for run in &said.sealed.runs {
            messages.add_input(run.unsaid.iter());
            events(&run.frames).for_each(|event| messages.apply(&event));
        }
        said.open.iter().flat_map(events).for_each(|event| messages.apply(&event));
        Ok(format!("{{\"messages\":{}}}", messages.to_rest()))
    }

    /// The thread's events as one JSON array: those of sealed runs shortened, those of an open one as they came.
    pub(super) async fn events(&self, id: &str) -> Result<String, ThreadsError> {
        let said = self.said_on(&self.caller.thread(id)).await?;
        let mut body = String::from("{\"events\":[");
        let frames = said.sealed.runs.iter().map(|run| &run.frames).chain(&said.open);
        for event in frames.flat_map(Frames::events) {
            if !body.ends_with('[') {
                body.push(',');
            }
            body.push_str(std::str::from_utf8(&event).unwrap_or("null"));
        }
        body.push_str("]}");
        Ok(body)
    }

    /// The thread's shared state, folded over all its runs (chapter 14, row 18); `null` unless it is an object.
    pub(super) async fn state(&self, id: &str) -> Result<Value, ThreadsError> {
        let thread = self.caller.thread(id);
        let active = self.store.active(&thread).await?;
        // Before what the open run says is read, so that nothing of it is in there already.
        let mut state = self.store.state(&thread).await?.as_deref().cloned();
        if let Some(active) = active {
            match self.said_by(&active.run).await? {
                None => state = self.store.state(&thread).await?.as_deref().cloned(),
                Some(said) => {
                    let mut fold = StateFold::new(state);
                    for event in said.iter().flat_map(events) {
                        // As when the run is sealed: a patch that does not apply changes nothing (row 3).
                        let _ = fold.apply(&event);
                    }
                    state = fold.into_value();
                }
            }
        }
        Ok(json!({ "state": state.filter(Value::is_object) }))
    }

    /// Everything said on a thread; what an open run says stands in `open` alone.
    async fn said_on(&self, thread: &ThreadKey) -> Result<SaidOn, ThreadsError> {
        let Some(active) = self.store.active(thread).await? else {
            return Ok(SaidOn { sealed: self.sealed(thread, 0, None).await?, open: Vec::new() });
        };
        let mut sealed = self.sealed(thread, 0, Some(active.run.number)).await?;
        match self.said_by(&active.run).await? {
            Some(open) => Ok(SaidOn { sealed, open }),
            // It was sealed meanwhile.
            None => {
                sealed.runs.extend(self.sealed(thread, active.run.number, None).await?.runs);
                Ok(SaidOn { sealed, open: Vec::new() })
            }
        }
    }

    /// Every sealed run from one number up to another.
    async fn sealed(&self, thread: &ThreadKey, from: u64, before: Option<u64>) -> Result<History, ThreadsError> {
        let mut whole = self.store.history(thread, from, before).await?;
        while let Some(next) = whole.next {
            let page = self.store.history(thread, next, before).await?;
            whole.runs.extend(page.runs);
            whole.next = page.next;
        }
        Ok(whole)
    }

    /// What a run has said so far; `None` if it is no longer open.
    async fn said_by(&self, run: &OpenRun) -> Result<Option<Vec<Frames>>, ThreadsError> {
        let mut said = Vec::new();
        let mut after = 0;
        loop {
            let page = self.store.said(run, after).await?;
            if page.phase != RunPhase::Open {
                return Ok(None);
            }
            if page.frames.is_empty() {
                return Ok(Some(said));
            }
            after += page.frames.count() as u64;
            said.push(page.frames);
        }
    }
}

struct SaidOn {
    sealed: History,
    open: Vec<Frames>,
}

fn events(frames: &Frames) -> impl Iterator<Item = Event> + '_ {
    frames.events().filter_map(|json| Event::parse(json).ok())
}
