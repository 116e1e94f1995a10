//! Seeded faults between a whole runtime and the platform, over real REST calls and sockets: what an agent said is
//! stored once and in order, or the run fails as documented; and its thread is free afterwards. The machine behind it
//! is driven through far more faults in `src/runner/intelligence`; here everything around it takes part.
//!
//! `CHAOS_SEEDS` is how many seeds are tried, `CHAOS_FIRST` the first of them.

use std::cell::OnceCell;
use std::env;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use copilotkit_runtime::agent::{AgentCall, AgentError, FunctionAgent};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::http::CopilotService;
use copilotkit_runtime::intelligence::Intelligence;
use copilotkit_runtime::{CopilotRuntime, User};
use futures_util::{Stream, StreamExt, stream};
use http::request::Parts;
use serde_json::json;
use tokio::task::LocalSet;

use super::hurry;
use crate::platform::{API_KEY, Deed, Fault, Occasion, Options, Platform, Policy};
use crate::serve::{Answer, call, post};

const SEEDS: u64 = 30;
const AT_A_TIME: usize = 4;

#[test]
fn every_run_is_stored_once_and_in_order_or_fails_as_documented() {
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (first, count) = (number("CHAOS_FIRST", 1), number("CHAOS_SEEDS", SEEDS));
    let seeds = Mutex::new(first..first + count);
    let results = Mutex::new(Vec::new());
    let next = || seeds.lock().expect("seeds").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    let result = hurry::runtime().block_on(LocalSet::new().run_until(try_seed(seed)));
                    results.lock().expect("results").push((seed, result));
                }
            });
        }
    });
    let results = results.into_inner().expect("results");
    let wrong: Vec<_> = results.iter().filter_map(|(seed, result)| Some((seed, result.as_ref().err()?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let delivered = results.iter().filter(|(_, result)| *result == Ok(Outcome::Delivered)).count();
    println!("{} runs under faults: {delivered} delivered, {} failed", results.len(), results.len() - delivered);
    assert!(delivered * 2 > results.len(), "most faults pass");
}

/// What became of the run that met the faults.
#[derive(Debug, PartialEq)]
enum Outcome {
    Delivered,
    Failed,
}

/// SplitMix64: the same faults for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Words of the agent's one message; more than fit one push.
const WORDS: u64 = 50;

fn fault(dice: &mut Dice) -> Fault {
    let run = || Some("r1".to_owned());
    let passing = json!({ "reason": "busy" });
    let lasting = json!({ "reason": "no", "retryable": false });
    let draining = json!({ "reason": "gateway_draining", "retryable": true });
    let calls = [("GET", "/api/threads/*"), ("POST", "/api/threads/*/lock"), ("GET", "/api/threads/*/messages")];
    let (at, deed) = match dice.below(12) {
        0 => {
            let (method, path) = calls[usize::try_from(dice.below(3)).expect("an index")];
            let deed = Deed::Answer { status: 503, body: json!({ "error": "fault" }) };
            (Occasion::Rest { method: method.to_owned(), path: path.to_owned() }, deed)
        }
        1 => (Occasion::Upgrade("runner".to_owned()), Deed::Refuse(503)),
        2 => {
            let deeds = [Deed::Error(draining), Deed::Close(1012), Deed::Drop, Deed::Delay(dice.below(9_000))];
            (Occasion::Join { run: run() }, deeds[usize::try_from(dice.below(4)).expect("an index")].clone())
        }
        roll => {
            let deeds = [
                Deed::Error(passing),
                Deed::Silence,
                Deed::Delay(dice.below(15_000)),
                Deed::Close(1012),
                Deed::Drop,
                Deed::Lose,
                Deed::Twice,
                if roll == 3 { Deed::Error(lasting) } else { Deed::Drop },
            ];
            let deed = deeds[usize::try_from(dice.below(8)).expect("an index")].clone();
            (Occasion::Push { run: run(), seq: Some(1 + dice.below(WORDS)) }, deed)
        }
    };
    Fault { at, deed, skip: 0, times: 1 + usize::try_from(dice.below(2)).expect("a count") }
}

/// Whether a run may fail of a fault: nothing else may.
fn may_fail(fault: &Fault) -> bool {
    match &fault.deed {
        Deed::Answer { .. } => true,
        Deed::Error(response) => response["retryable"] == false,
        _ => false,
    }
}

fn talker(call: &AgentCall, seed: u64) -> impl Stream<Item = Result<Event, AgentError>> + use<> {
    let (thread, run) = (call.input.thread_id.clone(), call.input.run_id.clone());
    let mut events = vec![Event::run_started(&thread, &run), Event::text_start("m")];
    events.extend((0..WORDS).map(|word| Event::text_content("m", &word.to_string())));
    events.extend([Event::text_end("m"), Event::run_finished(&thread, &run)]);
    let mut dice = Dice(seed ^ 0x5EED);
    stream::iter(events).then(move |event| {
        let pause = if dice.below(4) == 0 { dice.below(60) } else { 0 };
        async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Ok(event)
        }
    })
}

async fn try_seed(seed: u64) -> Result<Outcome, String> {
    let _clock = hurry::hold();
    let mut dice = Dice(seed);
    let options = Options { tokens: Policy::Reusable, batches: dice.below(4) > 0, director: None };
    let platform = Platform::start(options).await;
    let faults: Vec<Fault> = (0..1 + dice.below(4)).map(|_| fault(&mut dice)).collect();
    faults.iter().cloned().for_each(|fault| platform.fail(fault));

    let intelligence = Intelligence::builder()
        .api_key(API_KEY)
        .api_url(platform.api_url())
        .ws_url(platform.ws_url())
        .generate_thread_names(false)
        .build()
        .map_err(|error| error.to_string())?;
    let agent = FunctionAgent::new(move |call: AgentCall| talker(&call, seed));
    let runtime = CopilotRuntime::on_intelligence(intelligence, |_: &Parts| std::future::ready(Ok(User::new("u"))))
        .agent("default", agent)
        .build()
        .map_err(|error| error.to_string())?;
    let stage = Stage { platform: &platform, service: runtime.into_service() };

    let answer = stage.run("r1").await?;
    let stored = stage.words("r1");
    let is_whole = stored == (0..WORDS).map(|word| word.to_string()).collect::<Vec<_>>() && stage.has_finished("r1");
    let outcome = match (answer.status.as_u16(), is_whole) {
        (200, true) => Outcome::Delivered,
        _ if faults.iter().any(may_fail) => Outcome::Failed,
        (status, _) => return Err(format!("{status}, stored {stored:?}, under {faults:?}")),
    };
    // Whatever it was, the thread is free again and the next run is undisturbed.
    platform.forget_faults();
    let next = stage.run("r2").await?;
    if next.status != 200 || !stage.has_finished("r2") {
        return Err(format!("the next run: {} {:?}, under {faults:?}", next.status, next.body));
    }
    match platform.violations().as_slice() {
        [] => Ok(outcome),
        violations => Err(format!("{violations:?} under {faults:?}")),
    }
}

struct Stage<'a> {
    platform: &'a Platform,
    service: CopilotService,
}

impl Stage<'_> {
    /// A run, to the end of its runner.
    async fn run(&self, run: &str) -> Result<Answer, String> {
        let message = json!({ "id": run, "role": "user", "content": "go" });
        let input = json!({ "threadId": "t", "runId": run, "messages": [message], "tools": [], "context": [] });
        let request = post("/agent/default/run", input.to_string());
        let (service, answer) = (self.service.clone(), Rc::new(OnceCell::new()));
        let answered = answer.clone();
        tokio::task::spawn_local(async move {
            let answer = call(&service, request).await;
            answered.set(answer).expect("one answer");
        });
        let mut grown = self.platform.grown();
        let changed = async || drop(grown.changed().await);
        let is_over = || {
            answer.get().is_some_and(|answer: &Answer| answer.status != 200)
                || answer.get().is_some() && self.has_ended(run)
        };
        if !hurry::until(is_over, changed).await {
            return Err(format!("{run} does not end; answered: {}", answer.get().is_some()));
        }
        hurry::settle().await;
        Rc::into_inner(answer).and_then(OnceCell::into_inner).ok_or_else(|| "no answer".to_owned())
    }

    /// Whether a run's runner has left, or given back its lock.
    fn has_ended(&self, run: &str) -> bool {
        self.platform.entries().iter().any(|entry| {
            let leaves = entry["frame"][3] == "phx_leave" && entry["frame"][2] == format!("ingestion:{run}");
            let releases = entry["method"] == "DELETE" && entry["body"]["runId"] == run;
            entry["plane"] == "runner" && leaves || releases
        })
    }

    /// What was stored of what the agent said.
    fn words(&self, run: &str) -> Vec<String> {
        let events = self.platform.events_of(run);
        events.iter().filter_map(|event| event["delta"].as_str()).map(str::to_owned).collect()
    }

    fn has_finished(&self, run: &str) -> bool {
        self.platform.events_of(run).last().is_some_and(|event| event["type"] == "RUN_FINISHED")
    }
}
