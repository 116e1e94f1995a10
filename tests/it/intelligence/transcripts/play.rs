//! Plays a transcript: a fresh runtime and platform, the browsers' requests in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use copilotkit_runtime::http::{Body, CopilotService};
use http::Request;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::director::Recorded;
use super::file::{self, Entry, Transcript, seq};
use super::ids::Ids;
use super::steps::Steps;
use super::{agent, hurry, ours, script, setbacks};
use crate::platform::{Options, Platform, Policy};
use crate::serve::{Answer, call};

/// What a transcript came to.
pub(crate) struct Played {
    /// By the number of the request.
    pub(crate) answers: BTreeMap<usize, Answer>,
    /// What was recorded and did not happen.
    pub(crate) missing: Vec<String>,
    /// What the platform heard and said.
    pub(crate) entries: Vec<Entry>,
    pub(crate) violations: Vec<String>,
    /// Agents that were given up.
    pub(crate) given_up: usize,
    pub(crate) ids: Ids,
}

/// Plays a transcript on a runtime of [`hurry`].
pub(crate) async fn play(transcript: &Transcript) -> Result<Played, String> {
    let _clock = hurry::hold();
    let ids = Arc::new(Mutex::new(Ids::default()));
    let (scripts, faults) = {
        let mut ids = ids.lock();
        (Arc::new(script::of(transcript, &mut ids)), setbacks::of(transcript, &mut ids))
    };
    let director = Arc::new(Recorded::new(transcript, ids.clone()));
    let batches = transcript.platform_options.batch.unwrap_or(true);
    let platform = Platform::start(Options { tokens: Policy::SingleUse, batches, director: Some(director) }).await;
    ids.lock().bind("<platform>", &platform.address().to_string());
    faults.into_iter().for_each(|fault| platform.fail(fault));

    let (progress, so_far) = watch::channel(Steps::default());
    let given_up = Arc::new(AtomicUsize::new(0));
    let played = |description| agent::Played {
        scripts: scripts.clone(),
        description,
        so_far: so_far.clone(),
        given_up: given_up.clone(),
    };
    let service = ours::service(&transcript.runtime_options, &platform, played("scripted"), played(""))?;
    let stage = Stage { platform: &platform, ids: &ids, progress, answers: Rc::default(), news: Rc::default() };
    let missing = LocalSet::new().run_until(stage.perform(transcript, &service)).await;
    hurry::settle().await;
    let answers = stage.answers.take();
    Ok(Played {
        answers,
        missing: missing.unwrap_or_default(),
        entries: file::entries(platform.entries()),
        violations: platform.violations(),
        given_up: given_up.load(Ordering::SeqCst),
        ids: ids.lock().clone(),
    })
}

/// Where it is played.
struct Stage<'a> {
    platform: &'a Platform,
    ids: &'a Arc<Mutex<Ids>>,
    progress: watch::Sender<Steps>,
    answers: Rc<RefCell<BTreeMap<usize, Answer>>>,
    news: Rc<Notify>,
}

impl Stage<'_> {
    /// Sends the requests; says what had not happened in the end.
    async fn perform(&self, transcript: &Transcript, service: &CopilotService) -> Option<Vec<String>> {
        let requests = transcript.entries.iter().filter(|entry| entry.is("browser", "request"));
        for request in requests {
            // What has not happened by then is missing in the end as well.
            let _ = self.reach(transcript, request.n).await;
            self.learn(transcript, request.n);
            let ready = self.request(request);
            let (service, answers, news) = (service.clone(), self.answers.clone(), self.news.clone());
            let number = request.n;
            tokio::task::spawn_local(async move {
                let answer = call(&service, ready).await;
                answers.borrow_mut().insert(number, answer);
                news.notify_one();
            });
        }
        let reached = self.reach(transcript, usize::MAX).await;
        self.learn(transcript, usize::MAX);
        reached.err()
    }

    fn request(&self, entry: &Entry) -> Request<Body> {
        let mut ids = self.ids.lock();
        let mut uri = ids.text(&entry.path);
        if !entry.query.is_empty() {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &entry.query {
                query.append_pair(name, &ids.text(value));
            }
            uri = format!("{uri}?{}", query.finish());
        }
        let mut request = Request::builder().method(entry.method.as_str()).uri(uri);
        for (name, value) in &entry.headers {
            request = request.header(name, value);
        }
        let body = match &entry.body {
            None => Body::empty(),
            // What stands there as a text was no JSON.
            Some(Value::String(text)) => Body::from(text.clone()),
            Some(body) => Body::from(ids.fill(body).to_string()),
        };
        request.body(body).expect("a request")
    }

    /// Waits for what the recording shows before an entry.
    async fn reach(&self, transcript: &Transcript, before: usize) -> Result<(), Vec<String>> {
        let mut wanted = Steps::default();
        let mut answers = 0;
        for entry in transcript.entries.iter().filter(|entry| entry.n < before) {
            wanted.add(entry, |text| self.ids.lock().text(text));
            answers += usize::from(entry.is("browser", "response"));
        }
        let missing = || {
            let mut ours = Steps::default();
            file::entries(self.platform.entries()).iter().for_each(|entry| ours.add(entry, str::to_owned));
            let mut missing = wanted.missing(&ours);
            self.progress.send_replace(ours);
            let has = self.answers.borrow().len();
            if has < answers {
                missing.push(format!("answers: {has} of {answers}"));
            }
            missing
        };
        let mut grown = self.platform.grown();
        let changed = async || {
            tokio::select! {
                _ = grown.changed() => {}
                () = self.news.notified() => {}
            }
        };
        match hurry::until(|| missing().is_empty(), changed).await {
            true => Ok(()),
            false => Err(missing()),
        }
    }

    /// Finds out what ids the runtime gave to the events it has brought.
    fn learn(&self, transcript: &Transcript, before: usize) {
        let mut ids = self.ids.lock();
        for entry in transcript.entries.iter().filter(|entry| entry.n < before) {
            let Some(run) = entry.run() else { continue };
            let stored = self.platform.events_of(&ids.text(run));
            for event in entry.pushed() {
                let ours = stored.iter().find(|stored| seq(stored) == seq(event));
                let id = |event: &Value| event["metadata"]["cpki_event_id"].as_str().unwrap_or_default().to_owned();
                if let Some(ours) = ours {
                    // A mismatch shows in the comparison.
                    ids.matches(&id(event), &id(ours));
                }
            }
        }
    }
}
