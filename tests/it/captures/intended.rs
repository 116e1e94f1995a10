//! The one list of cases this runtime answers otherwise than recorded: why, and what it answers.
//!
//! A case listed here that is answered as recorded after all fails the replay, so the list cannot go stale. "Row" is a
//! row of the contract's list of weaknesses of the reference runtime that are not to be copied.

use serde_json::{Value, json};

use super::case::{Case, Response};

/// A case that differs.
struct Intended {
    name: &'static str,
    because: &'static str,
    /// Turns the recorded answers into ours.
    instead: fn(&mut Case),
}

/// What differs wherever it is recorded.
struct General {
    because: &'static str,
    /// Turns a recorded answer into ours; says whether it was another.
    instead: fn(&mut Response) -> bool,
}

/// One reason why our answers to a case differ.
pub(crate) struct Step {
    pub(crate) because: &'static str,
    /// Whether it holds for every case it can.
    pub(crate) is_general: bool,
    /// The answers with this and every earlier reason.
    pub(crate) ours: Case,
}

/// Why our answers to a case differ from the recorded ones: what is general first, then what is its own.
pub(crate) fn steps(recorded: &Case) -> Vec<Step> {
    let mut case = recorded.clone();
    let mut steps = Vec::new();
    for general in GENERAL {
        let changes: Vec<bool> =
            case.exchanges.iter_mut().map(|exchange| (general.instead)(&mut exchange.response)).collect();
        if changes.contains(&true) {
            steps.push(Step { because: general.because, is_general: true, ours: case.clone() });
        }
    }
    if let Some(intended) = INTENDED.iter().find(|intended| intended.name == recorded.name) {
        (intended.instead)(&mut case);
        steps.push(Step { because: intended.because, is_general: false, ours: case });
    }
    steps
}

/// Every reason, and the cases it is for: none, where it holds for every case it can.
pub(crate) fn reasons() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut reasons: Vec<_> = GENERAL.iter().map(|general| (general.because, Vec::new())).collect();
    for Intended { name, because, .. } in INTENDED {
        match reasons.iter_mut().find(|(known, _)| known == because) {
            Some((_, names)) => names.push(*name),
            None => reasons.push((because, vec![*name])),
        }
    }
    reasons
}

/// How many reasons there are for single cases, and how many general ones.
pub(crate) fn count() -> (usize, usize) {
    (INTENDED.len(), GENERAL.len())
}

const fn differs(name: &'static str, because: &'static str, instead: fn(&mut Case)) -> Intended {
    Intended { name, because, instead }
}

const GENERAL: &[General] = &[General {
    because: "a store that lists threads lets them be renamed, archived and deleted",
    instead: Response::with_mutations,
}];

const INTENDED: &[Intended] = &[
    differs("connect/after-run-error", "row 2: what is open at a RUN_ERROR is replayed before it", |case| {
        case.edit_events("connect", |events| {
            let open = events.remove(2);
            events.insert(1, open);
            events.insert(2, text_end("r1-m1"));
        });
    }),
    differs("connect/last-seen-event-id-ignored", "row 17: who goes on behind an event gets ids", |case| {
        let mut place = 0;
        let answer = case.answer("connect");
        let body = answer.body_text.take().unwrap_or_default();
        let identified = body.split_inclusive("\n\n").map(|frame| {
            place += 1;
            format!("id: 1.{place}\n{frame}")
        });
        answer.body_text = Some(identified.collect());
    }),
    differs("concurrency/second-run-same-thread", BUSY, |case| case.set_events("run2", &busy())),
    differs("stop/run-while-still-finishing", BUSY, |case| case.set_events("run2", &busy())),
    differs("sqlite/concurrent", BUSY, |case| case.set_events("run2", &busy())),
    differs("connect/runner-throws", "row 8: a failing runner is told by a RUN_ERROR", |case| {
        case.set_events(
            "connect",
            &json!([{"type": "RUN_ERROR", "message": "runner unavailable", "code": "RUNNER_FAILED"}]),
        );
    }),
    differs("suggest/error-mid", SUGGEST, |case| {
        case.edit_events("x1", |events| events.extend([text_end("r1-m1"), incomplete("agent exploded")]));
    }),
    differs("suggest/throw-now", SUGGEST, |case| case.set_events("x1", &json!([incomplete("immediate failure")]))),
    differs("run/error-burst", "row 10: what the agent said before it failed is delivered first", |case| {
        case.edit_events("x1", |events| {
            events.splice(
                1..1,
                [
                    json!({"type": "TEXT_MESSAGE_START", "messageId": "r1-m1", "role": "assistant"}),
                    json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "r1-m1", "delta": "partial"}),
                    text_end("r1-m1"),
                ],
            );
        });
    }),
    differs(
        "connect/during-run-skips-known-message-ids",
        "row 16: live events are skipped by position, not id",
        |case| {
            case.edit_events("connect", |events| {
                events.splice(
                    6..6,
                    [
                        json!({"type": "TEXT_MESSAGE_START", "messageId": "fixed-msg", "role": "assistant"}),
                        json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "fixed-msg", "delta": "again"}),
                        text_end("fixed-msg"),
                    ],
                );
            });
        },
    ),
    differs("connect/state-across-runs", "row 18: the state is folded over the whole thread", |case| {
        let state = || json!({"count": 2, "items": ["x"], "a": 1, "b": {"c": [1, 2]}});
        case.edit_events("connect", |events| events[7]["snapshot"] = state());
        case.set_json("state", 200, json!({"state": state()}));
    }),
    differs("threads/events-during-run", "row 7: a running run and its thread show from the beginning", |case| {
        let so_far = case.events("r1").into_iter().take(3).collect::<Vec<_>>();
        case.set_json("events", 200, json!({"events": so_far}));
        case.set_json("list", 200, json!({"threads": [thread("t-e2", "slow")], "nextCursor": null}));
    }),
    differs("threads/rename", CHANGED, |case| case.set_json("x1", 404, no_thread())),
    differs("threads/rename-bad-json", CHANGED, |case| {
        case.set_json("x1", 400, json!({"error": "Invalid request body", "details": "expected JSON"}));
    }),
    differs("threads/archive", CHANGED, |case| case.set_json("x1", 404, no_thread())),
    differs("threads/delete", CHANGED, |case| case.set_json("x1", 404, no_thread())),
    differs("single-route/resource-patch", CHANGED, |case| case.set_json("x1", 404, no_thread())),
    differs("threads/messages-second-run-keeps-latest", MERGED, |case| {
        case.edit_messages("messages", &[("u1", "user", "a"), ("r1-m1", "assistant", "Hello, world!")]);
    }),
    differs("bounds/max-runs-per-thread", MERGED, |case| {
        case.edit_messages(
            "messages",
            &[
                ("u1", "user", "one"),
                ("r1-m1", "assistant", "Hello, world!"),
                ("u2", "user", "two"),
                ("r2-m1", "assistant", "Hello, world!"),
            ],
        );
    }),
    differs("remote/stop", "row 20: a stopped remote agent is a clean stop", |case| {
        for id in ["run", "connect"] {
            let started = case.events(id)[0].clone();
            case.set_events(
                id,
                &json!([
                    started,
                    {"type": "TEXT_MESSAGE_START", "messageId": "m1", "role": "assistant"},
                    {"type": "TEXT_MESSAGE_CONTENT", "messageId": "m1", "delta": "x"},
                    text_end("m1"),
                    {"type": "RUN_FINISHED", "threadId": "rm-stop", "runId": "r1"},
                ]),
            );
        }
    }),
    differs("remote/crlf-framing", "row 21: lines of a remote stream may end in CRLF", |case| {
        let input = case.request_body("run");
        let (thread_id, run_id) = ("rm-crlf-framing", "r1");
        case.set_events(
            "run",
            &json!([
                {"type": "RUN_STARTED", "threadId": thread_id, "runId": run_id, "input": input},
                {"type": "RUN_FINISHED", "threadId": thread_id, "runId": run_id},
            ]),
        );
    }),
    differs("run/agent-id-prototype-key", "row 23: an inherited property is no agent", |case| {
        let body = json!({"error": "Agent not found", "message": "Agent 'constructor' does not exist"});
        case.set_json("x1", 404, body);
    }),
    differs("single-route/envelope-null", "row 23: `null` is no envelope", |case| {
        case.set_json("x1", 400, json!({"error": "invalid_request", "message": "Invalid JSON payload"}));
    }),
    differs("routing/thread-named-info", "row 25: a rule that fits the whole path wins", |case| {
        case.set_json("x1", 200, json!({"stopped": false, "message": "No active run for thread 'info'."}));
    }),
    differs(
        "run/bad-missing-tools",
        "what AG-UI 1.0.0 leaves out is accepted: tools and context default to []",
        |case| {
            case.set_stream("x1");
            case.set_events("x1", &hello("t", "r", &json!({"state": {}, "messages": [], "forwardedProps": {}})));
        },
    ),
    differs("run/input-echo-state-null", "AG-UI 1.0.0 refuses an input whose forwardedProps are null", |case| {
        case.edit_events("x1", |events| {
            if let Some(input) = events[0]["input"].as_object_mut() {
                input.shift_remove("forwardedProps");
            }
        });
    }),
    differs("single-route/express-single-route-subpath", "everything below the base path is the one route", |case| {
        case.set_json("x1", 200, single_route_info());
        case.answer("x1").headers.insert("access-control-allow-origin".to_owned(), "*".to_owned());
    }),
    differs("sqlite/duplicate-run-id", "row 6: a run id may come again, on the same thread too", |case| {
        let run = |id: &str, run_id: &str, case: &Case| {
            hello("q4", run_id, &case.request_body(id)).as_array().cloned().unwrap_or_default()
        };
        let (first, third) = (run("run1", "dup", case), run("run3", "r3", case));
        case.answer("run2").client_timed_out = false;
        case.set_events("run3", &third.clone().into());
        case.answer("connect").client_timed_out = false;
        let replayed = [first.clone(), first, third].map(said_at_once).concat();
        case.set_events("connect", &replayed.into());
    }),
    differs("sqlite/error-message-lost", "a durable run keeps the agent's message, as one in memory does", |case| {
        case.edit_events("run", |events| events[4]["message"] = json!("agent exploded"));
    }),
    differs("sqlite/no-thread-endpoints", "a durable store lets threads be read, as one in memory does", |case| {
        case.set_json("list", 200, json!({"threads": [thread("q8", "text")], "nextCursor": null}));
        let endpoints = json!({"list": true, "inspect": true, "mutations": true, "realtimeMetadata": false});
        if let Some(info) = &mut case.answer("info").body {
            info["threadEndpoints"] = endpoints;
        }
        case.answer("info").body_text = None;
    }),
];

const BUSY: &str = "row 8: a busy thread is told by a RUN_ERROR";
const SUGGEST: &str = "row 9: a failed suggestion is closed and told by a RUN_ERROR";
const CHANGED: &str = "threads in a store can be renamed, archived and deleted, where there are such threads";
const MERGED: &str = "row 19: the messages of a thread are those of all its runs";

fn busy() -> Value {
    json!([{"type": "RUN_ERROR", "message": "Thread already running", "code": "THREAD_BUSY"}])
}

fn no_thread() -> Value {
    json!({"error": "Thread not found"})
}

/// A thread without a name, as lists show it.
fn thread(id: &str, agent_id: &str) -> Value {
    json!({
        "id": id, "name": null, "agentId": agent_id, "organizationId": "", "createdById": "", "archived": false,
        "createdAt": "<ISO8601>", "updatedAt": "<ISO8601>",
    })
}

fn incomplete(message: &str) -> Value {
    json!({"type": "RUN_ERROR", "message": message, "code": "INCOMPLETE_STREAM"})
}

fn text_end(message_id: &str) -> Value {
    json!({"type": "TEXT_MESSAGE_END", "messageId": message_id})
}

/// What the agent `text` says to an input.
fn hello(thread_id: &str, run_id: &str, posted: &Value) -> Value {
    let mut input = json!({"threadId": thread_id, "runId": run_id, "tools": [], "context": []});
    for (name, value) in posted.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    let id = format!("{run_id}-m1");
    let content = |delta: &str| json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": delta});
    json!([
        {"type": "RUN_STARTED", "threadId": thread_id, "runId": run_id, "input": input},
        {"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"},
        content("Hello"),
        content(", "),
        content("world"),
        content("!"),
        text_end(&id),
        {"type": "RUN_FINISHED", "threadId": thread_id, "runId": run_id},
    ])
}

/// What [`hello`] becomes when it is replayed: one piece of text.
fn said_at_once(mut events: Vec<Value>) -> Vec<Value> {
    events.drain(3..6);
    events[2]["delta"] = json!("Hello, world!");
    events
}

/// `/info` as the single-route cases are mounted.
fn single_route_info() -> Value {
    let endpoints = |on| json!({"list": on, "inspect": on, "mutations": on, "realtimeMetadata": false});
    let agent = |name, description| json!({"name": name, "description": description, "className": "ScriptedAgent"});
    json!({
        "version": "<RUNTIME_VERSION>",
        "agents": {
            "text": agent("text", "Streams one assistant message"),
            "slow": agent("slow", "Slow text; ends quietly when aborted"),
            "echo": agent("echo", "Emits the input and the outgoing headers it received"),
            "state": agent("state", "State snapshot and deltas"),
        },
        "audioFileTranscriptionEnabled": false,
        "mode": "sse",
        "threadEndpoints": endpoints(false),
        "singleRoute": {"resourceOperations": true, "threadEndpoints": endpoints(true)},
        "suggestions": true,
        "a2uiEnabled": false,
        "openGenerativeUIEnabled": false,
        "telemetryDisabled": true,
    })
}

impl Response {
    /// `/info` of a runtime that lists threads, wherever in the answer it says so.
    fn with_mutations(&mut self) -> bool {
        const RECORDED: &str = r#""list":true,"inspect":true,"mutations":false"#;
        let exact = self.body_text.as_mut().filter(|text| text.contains(RECORDED));
        let in_text = exact.map(|text| *text = text.replace(RECORDED, &RECORDED.replace("false", "true"))).is_some();
        let places = ["/threadEndpoints", "/singleRoute/threadEndpoints"];
        let in_body = places.map(|place| {
            let endpoints = self.body.as_mut().and_then(|body| body.pointer_mut(place));
            let lists = endpoints.filter(|endpoints| endpoints["list"] == true && endpoints["mutations"] == false);
            lists.map(|endpoints| endpoints["mutations"] = json!(true)).is_some()
        });
        in_text || in_body.contains(&true)
    }
}

impl Case {
    fn answer(&mut self, id: &str) -> &mut Response {
        let exchange = self.exchanges.iter_mut().find(|exchange| exchange.id == id);
        &mut exchange.unwrap_or_else(|| panic!("no exchange `{id}`")).response
    }

    fn request_body(&self, id: &str) -> Value {
        let exchange = self.exchanges.iter().find(|exchange| exchange.id == id);
        exchange.and_then(|exchange| exchange.request.body.clone()).unwrap_or_default()
    }

    fn events(&mut self, id: &str) -> Vec<Value> {
        self.answer(id).events.clone().unwrap_or_default()
    }

    fn set_events(&mut self, id: &str, events: &Value) {
        let answer = self.answer(id);
        answer.body_text = None;
        answer.events = events.as_array().cloned();
    }

    fn edit_events(&mut self, id: &str, edit: impl FnOnce(&mut Vec<Value>)) {
        let mut events = self.events(id);
        edit(&mut events);
        self.set_events(id, &events.into());
    }

    fn set_json(&mut self, id: &str, status: u16, body: Value) {
        let answer = self.answer(id);
        answer.status = status;
        answer.headers = [("content-type".to_owned(), "application/json".to_owned())].into_iter().collect();
        answer.events = None;
        answer.body_text = None;
        answer.body = Some(body);
    }

    /// An answer that was JSON becomes an event stream.
    fn set_stream(&mut self, id: &str) {
        let answer = self.answer(id);
        answer.status = 200;
        answer.body = None;
        answer.headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
    }

    /// Puts messages `(id, role, content)` before the recorded ones.
    fn edit_messages(&mut self, id: &str, earlier: &[(&str, &str, &str)]) {
        let earlier = earlier.iter().map(|(id, role, content)| json!({"id": id, "role": role, "content": content}));
        let answer = self.answer(id);
        answer.body_text = None;
        if let Some(Value::Array(messages)) = answer.body.as_mut().and_then(|body| body.get_mut("messages")) {
            messages.splice(0..0, earlier);
        }
    }
}
