use serde_json::{Value, json};

use super::super::call::{Answer, Call};
use super::{Now, Policy, Topic, World};

fn call(method: &str, path: &str, body: Value) -> Call {
    let parts = path.split('/').skip(1).map(str::to_owned).collect();
    let user = body["userId"].as_str().unwrap_or("u").to_owned();
    Call {
        method: method.to_owned(),
        path: path.to_owned(),
        parts,
        query: [("userId".to_owned(), user)].into(),
        headers: [("x-cpki-user-id".to_owned(), "u".to_owned())].into(),
        body: Some(body),
    }
}

/// A world with the thread `t`, held by the run `r`, whose runner has joined.
struct Stage {
    world: World,
    now: Now,
}

impl Stage {
    fn new() -> Stage {
        let mut stage = Stage { world: World::new(Policy::SingleUse), now: Now::read() };
        let thread = json!({ "threadId": "t", "userId": "u", "agentId": "default" });
        assert_eq!(stage.call("POST", "/api/threads", thread).status, 201);
        assert_eq!(stage.lock("r").status, 200);
        stage.join("r").unwrap();
        stage
    }

    fn call(&mut self, method: &str, path: &str, body: Value) -> Answer {
        self.world.answer(&call(method, path, body), &self.now)
    }

    fn lock(&mut self, run: &str) -> Answer {
        let body = json!({ "runId": run, "userId": "u", "agentId": "default", "ttlSeconds": 20 });
        self.call("POST", "/api/threads/t/lock", body)
    }

    fn join(&mut self, run: &str) -> Result<Value, Value> {
        let params = json!({ "thread_id": "t", "run_id": run });
        self.world.join_runner(&format!("ingestion:{run}"), &params, true, &self.now)
    }

    fn push(&mut self, events: &[Value]) -> Result<(), Value> {
        self.world.ingest("r", events, &self.now)
    }

    /// Whether these events are refused for good, and the runtime is blamed.
    fn refuses(mut self, events: &[Value]) -> bool {
        let refused = self.push(events).is_err_and(|error| error["retryable"] == false);
        refused && !self.world.violations().is_empty()
    }
}

/// The event of a number, as a runner sends it.
fn event(seq: u64, kind: &str) -> Value {
    let mut event = json!({
        "type": kind, "threadId": "t", "runId": "r", "thread_id": "t", "run_id": "r",
        "metadata": { "cpki_event_id": format!("00000000-0000-4000-8000-{seq:012}"), "cpki_event_seq": seq },
    });
    if kind == "RUN_STARTED" {
        event["input"] = json!({ "messages": [{ "id": "m", "role": "user", "content": "hello" }] });
    }
    event
}

fn start() -> Value {
    event(1, "RUN_STARTED")
}

#[test]
fn an_event_is_stored_once_however_often_it_comes() {
    let mut stage = Stage::new();
    stage.push(&[start()]).unwrap();
    stage.push(&[start(), event(2, "RUN_FINISHED")]).unwrap();
    assert_eq!(stage.world.events_of("r").len(), 2);
    assert!(stage.world.violations().is_empty());
}

#[test]
fn what_no_runner_may_send_is_refused_for_good_and_remembered() {
    assert!(Stage::new().refuses(&[start(), event(3, "CUSTOM")]), "a gap");
    assert!(Stage::new().refuses(&[event(1, "CUSTOM")]), "no start");
    assert!(Stage::new().refuses(&[start(), event(2, "RUN_STARTED")]), "two starts");
    assert!(Stage::new().refuses(&[start(), event(2, "RUN_ERROR"), event(3, "CUSTOM")]), "after the end");
    let mut other = event(2, "CUSTOM");
    other["run_id"] = "s".into();
    assert!(Stage::new().refuses(&[start(), other]), "another run");
    let mut changed = start();
    changed["input"]["messages"] = json!([]);
    assert!(Stage::new().refuses(&[start(), changed]), "other content under the same number");
    let mut same_id = event(2, "CUSTOM");
    same_id["metadata"]["cpki_event_id"] = start()["metadata"]["cpki_event_id"].clone();
    assert!(Stage::new().refuses(&[start(), same_id]), "one id twice");
}

#[test]
fn a_refused_batch_leaves_nothing_behind() {
    let mut stage = Stage::new();
    stage.push(&[start(), event(3, "CUSTOM")]).unwrap_err();
    assert!(stage.world.events_of("r").is_empty());
}

#[test]
fn history_is_not_persisted_again() {
    let mut stage = Stage::new();
    stage.push(&[start(), event(2, "RUN_FINISHED")]).unwrap();
    stage.lock("s");
    stage.join("s").unwrap();
    let mut again = start();
    for name in ["runId", "run_id"] {
        again[name] = "s".into();
    }
    again["metadata"]["cpki_event_id"] = super::new_id().into();
    stage.world.ingest("s", &[again], &stage.now.clone()).unwrap_err();
    assert_eq!(stage.world.violations().len(), 1);
}

#[test]
fn the_end_of_a_run_frees_its_thread_and_lets_it_rejoin() {
    let mut stage = Stage::new();
    assert_eq!(stage.lock("s").status, 409);
    stage.push(&[start(), event(2, "RUN_FINISHED")]).unwrap();
    assert!(stage.join("r").is_ok(), "the acknowledgement may have been lost");
    assert_eq!(stage.lock("s").status, 200);
    stage.call("DELETE", "/api/threads/t/lock", json!({ "runId": "r" }));
    assert_eq!(stage.world.violations().len(), 1, "a run that ended well releases nothing");
}

#[test]
fn a_run_without_its_lock_may_finish_but_not_join() {
    let mut stage = Stage::new();
    stage.world.expire_lock("t");
    assert!(stage.join("r").is_err());
    assert!(stage.push(&[start(), event(2, "RUN_ERROR")]).is_ok());
}

#[test]
fn a_browser_gets_every_event_once_then_the_control_frames() {
    let mut stage = Stage::new();
    stage.push(&[start()]).unwrap();
    let connect = json!({ "stream_mode": "connect", "last_seen_event_id": null });
    let mut feed = stage.world.open_feed("t", &connect, None).unwrap();
    let mut heard = Vec::new();
    let mut hear = |stage: &Stage| {
        heard.extend(stage.world.due(&mut feed, &stage.now).into_iter().map(|(event, payload)| match event {
            "ag_ui_event" => payload["metadata"]["cpki_event_seq"].to_string(),
            control => control.to_owned(),
        }));
    };
    hear(&stage);
    stage.push(&[event(2, "CUSTOM")]).unwrap();
    hear(&stage);
    stage.push(&[event(2, "CUSTOM"), event(3, "RUN_FINISHED")]).unwrap();
    hear(&stage);
    hear(&stage);
    assert_eq!(heard, ["1", "replay_complete", "2", "3", "stream_idle"]);
}

#[test]
fn a_browser_that_knows_an_event_gets_what_follows() {
    let mut stage = Stage::new();
    stage.push(&[start(), event(2, "RUN_FINISHED")]).unwrap();
    let cursor = start()["metadata"]["cpki_event_id"].clone();
    let connect = json!({ "stream_mode": "connect", "last_seen_event_id": cursor });
    let mut feed = stage.world.open_feed("t", &connect, None).unwrap();
    let due = stage.world.due(&mut feed, &stage.now);
    assert_eq!(due[0].1["metadata"]["cpki_event_seq"], 2);
    assert_eq!(due.len(), 3);
}

#[test]
fn only_the_run_that_holds_the_thread_is_stopped() {
    let mut stage = Stage::new();
    assert!(stage.world.stop_from_browser("t", "s", &stage.now).is_err());
    stage.world.stop_from_browser("t", "r", &stage.now).unwrap();
    assert_eq!(stage.world.notices(0).last().unwrap().topic, "ingestion:r");
}

#[test]
fn other_users_threads_do_not_exist() {
    let mut stage = Stage::new();
    let other = json!({ "userId": "v", "agentId": "default", "reason": "x" });
    assert_eq!(stage.call("GET", "/api/threads/t", other.clone()).status, 404);
    assert_eq!(stage.call("DELETE", "/api/threads/t", other.clone()).status, 404);
    assert_eq!(stage.call("POST", "/api/threads/t/connect", other).status, 204);
}

#[test]
fn a_token_opens_its_topic_once_or_as_often_as_allowed() {
    for (policy, again) in [(Policy::SingleUse, false), (Policy::Reusable, true)] {
        let mut world = World::new(policy);
        let token = world.issue("thread", "u", Topic::Thread("t".to_owned()));
        assert_eq!(world.redeem(&token), Some(("u".to_owned(), Topic::Thread("t".to_owned()))));
        assert_eq!(world.redeem(&token).is_some(), again);
        assert_eq!(world.redeem("made-up"), None);
    }
}
