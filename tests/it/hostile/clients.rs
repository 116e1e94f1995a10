//! Clients that read slowly, leave, come back, or come all at once.

use std::sync::atomic::Ordering;

use copilotkit_runtime::agent::{AgentCall, FunctionAgent};
use copilotkit_runtime::agui::Event;
use copilotkit_runtime::runner::{MemoryLimits, MemoryRunner, RunOptions};
use copilotkit_runtime::{CopilotRuntime, http::Body};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::serve::{
    Server, call, client, fetch, get, greeter, input, one_terminal, post, puppets, service, service_over, soon, until,
};

const RUN: &str = "/agent/default/run";
const CONNECT: &str = "/agent/default/connect";

#[tokio::test]
async fn a_hundred_clients_that_leave_in_the_middle_end_no_run() {
    let (agent, mut begun) = puppets();
    let alive = agent.alive.clone();
    let service = service(agent);
    let server = Server::of(service.clone()).await;
    let mut runs = Vec::new();
    for number in 0..100 {
        let mut leaving = server.posted(RUN, &input(&format!("t{number}"), "r")).await;
        let puppet = soon("the run", begun.recv()).await.unwrap();
        puppet.start();
        puppet.say(Event::text_start("m"));
        if number % 2 == 0 {
            leaving.until("TEXT_MESSAGE_START").await;
        }
        if number % 3 == 0 {
            // Without a farewell.
            leaving.stream.set_zero_linger().unwrap();
        }
        drop(leaving);
        runs.push(puppet);
    }
    assert_eq!(alive.load(Ordering::SeqCst), 100);
    for puppet in runs {
        puppet.say(Event::text_content("m", "still here"));
        puppet.say(Event::text_end("m"));
        puppet.finish();
    }
    until("the runs end", || alive.load(Ordering::SeqCst) == 0).await;
    for number in 0..100 {
        let replay = call(&service, post(CONNECT, input(&format!("t{number}"), "x"))).await;
        assert_eq!((one_terminal(&replay.events()).as_str(), replay.events().len()), ("", 5));
    }
}

#[tokio::test]
async fn a_client_that_reconnects_a_hundred_times_sees_everything_once_each_time() {
    let (agent, mut begun) = puppets();
    let service = service(agent);
    let server = Server::of(service.clone()).await;
    let mut first = server.posted(RUN, &input("t", "r")).await;
    let puppet = soon("the run", begun.recv()).await.unwrap();
    puppet.start();
    puppet.say(Event::text_start("m"));
    for number in 0..100 {
        puppet.say(Event::text_content("m", &format!("<{number}>")));
        let mut again = server.posted(CONNECT, &input("t", "x")).await;
        let seen = again.until(&format!("<{number}>")).await;
        for earlier in 0..=number {
            assert_eq!(seen.matches(&format!("<{earlier}>")).count(), 1, "{number}");
        }
        assert_eq!(seen.matches("RUN_STARTED").count(), 1);
    }
    puppet.say(Event::text_end("m"));
    puppet.finish();
    let seen = first.until("RUN_FINISHED").await;
    assert!((0..100).all(|number| seen.matches(&format!("<{number}>")).count() == 1));
}

#[tokio::test]
async fn two_hundred_watchers_see_the_same_bytes() {
    let (agent, mut begun) = puppets();
    let server = Server::of(service(agent)).await;
    let mut watchers = JoinSet::new();
    let url = server.url(RUN);
    watchers.spawn(async move { fetch(&client(), &url, input("t", "r")).await.body });
    let puppet = soon("the run", begun.recv()).await.unwrap();
    puppet.start();
    puppet.say(Event::text_start("m"));
    let connecting = client();
    let (here, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..200 {
        let (client, url, here) = (connecting.clone(), server.url(CONNECT), here.clone());
        watchers.spawn(async move {
            let response = client.post(url).body(input("t", "x")).send().await.unwrap();
            here.send(()).unwrap();
            response.bytes().await.unwrap()
        });
    }
    // Some come while the run speaks.
    for number in 0..50 {
        puppet.say(Event::text_content("m", &number.to_string()));
        soon("a watcher", arrived.recv()).await;
    }
    for _ in 50..200 {
        soon("a watcher", arrived.recv()).await;
    }
    puppet.say(Event::text_end("m"));
    puppet.finish();
    let seen = soon("all watchers", watchers.join_all()).await;
    assert_eq!(seen.len(), 201);
    assert!(seen.iter().all(|bytes| *bytes == seen[0]));
    assert_eq!(crate::serve::events(&seen[0]).len(), 54);
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody_and_get_everything_when_they_do() {
    // More than the sockets hold.
    const SAID: usize = 16 * 1024 * 1024;
    let runtime = CopilotRuntime::builder()
        .agent(
            "flood",
            FunctionAgent::new(|call: AgentCall| {
                let event =
                    Event::from_value(&json!({"type": "CUSTOM", "name": "x", "value": "x".repeat(64 * 1024)})).unwrap();
                let (start, end) = (
                    Event::run_started(&call.input.thread_id, &call.input.run_id),
                    Event::run_finished(&call.input.thread_id, &call.input.run_id),
                );
                let middle = stream::repeat(event).take(SAID / (64 * 1024));
                stream::iter([start]).chain(middle).chain(stream::iter([end])).map(Ok)
            }),
        )
        .agent("default", greeter())
        .build()
        .unwrap();
    let service = runtime.into_service();
    let server = Server::of(service.clone()).await;
    let mut slow = Vec::new();
    for run in ["a", "b", "c"] {
        slow.push(server.posted("/agent/flood/run", &input(run, "r")).await);
    }
    for run in 0..20 {
        let answer = fetch(&client(), &server.url(RUN), input("t", &run.to_string())).await;
        assert_eq!(one_terminal(&answer.events()), "");
    }
    // The runs are over though nobody has read a byte.
    let flooded =
        async || call(&service, get("/threads?agentId=flood")).await.json()["threads"].as_array().unwrap().len();
    soon("the floods end", async {
        while flooded().await < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut reader = slow.swap_remove(1);
    soon("the slow one reads", async {
        while !reader.read.ends_with(b"0\r\n\r\n") {
            assert!(tokio::io::AsyncReadExt::read_buf(&mut reader.stream, &mut reader.read).await.unwrap() > 0);
        }
    })
    .await;
    assert!(reader.read.len() > SAID, "{}", reader.read.len());
    let tail = String::from_utf8_lossy(&reader.read[reader.read.len() - 200..]).into_owned();
    assert!(tail.contains("RUN_FINISHED"), "{tail}");
}

#[tokio::test]
async fn a_flood_nobody_reads_ends_at_its_cap() {
    let agent = FunctionAgent::new(|call: AgentCall| {
        let start = Event::run_started(&call.input.thread_id, &call.input.run_id);
        stream::iter([start])
            .chain(stream::iter(
                (0..).map(|n| Event::from_value(&json!({"type": "CUSTOM", "name": "n", "value": n})).unwrap()),
            ))
            .map(Ok)
    });
    let mut options = RunOptions::default();
    options.max_run_bytes = 1024 * 1024;
    let service = service_over(MemoryRunner::with_options(MemoryLimits::default(), options), agent);
    let server = Server::of(service.clone()).await;
    let unread = server.posted(RUN, &input("t", "r")).await;
    soon("the run ends by itself", async {
        while call(&service, get("/threads")).await.json()["threads"].as_array().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let replay = call(&service, post(CONNECT, input("t", "x"))).await;
    assert_eq!(one_terminal(&replay.events()), "RUN_TOO_LARGE");
    drop(unread);
}

#[tokio::test]
async fn requests_that_never_end_keep_nobody_from_being_served() {
    let server = Server::of(service(greeter())).await;
    let mut stuck = Vec::new();
    for part in [
        "",
        "POST ",
        "POST /agent/default/run HTTP/1.1\r\nhost: t\r\n",
        "POST /agent/default/run HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{",
    ] {
        for _ in 0..25 {
            let mut raw = server.connect().await;
            raw.send(part.as_bytes()).await;
            stuck.push(raw);
        }
    }
    let answer = fetch(&client(), &server.url(RUN), input("t", "r")).await;
    assert_eq!(one_terminal(&answer.events()), "");
    // One that leaves in the middle of its request started nothing.
    drop(stuck);
    let threads = client().get(server.url("/threads")).send().await.unwrap().json::<serde_json::Value>().await.unwrap();
    assert_eq!(threads["threads"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let broken =
        stream::iter([Ok(http_body::Frame::data(bytes::Bytes::from_static(b"{"))), Err(std::io::Error::other("gone"))]);
    let request = http::Request::post(RUN).body(Body::new(http_body_util::StreamBody::new(broken))).unwrap();
    let answer = call(&service(greeter()), request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (400, json!({"error": "Invalid request body", "details": "gone"}))
    );
}

#[tokio::test]
async fn thousands_of_threads_stay_within_the_limits() {
    let limits = MemoryLimits { max_threads: 10, max_runs_per_thread: 3, ..MemoryLimits::default() };
    let service = service_over(MemoryRunner::with_limits(limits), greeter());
    for thread in 0..3000 {
        let answer = call(&service, post(RUN, input(&format!("t{thread}"), "r"))).await;
        assert_eq!(answer.status, 200);
        // Looking at threads there are none of keeps nothing.
        if thread % 100 == 0 {
            let nothing = call(&service, post(CONNECT, input(&format!("unknown{thread}"), "r"))).await;
            assert!(nothing.body.is_empty());
        }
    }
    let listed = call(&service, get("/threads")).await.json();
    let ids: Vec<_> =
        listed["threads"].as_array().unwrap().iter().map(|thread| thread["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, (2990..3000).rev().map(|thread| format!("t{thread}")).collect::<Vec<_>>());
    for run in 0..100 {
        call(&service, post(RUN, input("t2999", &run.to_string()))).await;
    }
    let replay = call(&service, post(CONNECT, input("t2999", "x"))).await;
    assert_eq!(replay.events().len(), 3 * 5);
}

#[tokio::test]
async fn a_thread_whose_messages_are_always_new_stays_within_the_limits() {
    let limits = MemoryLimits { max_bytes: 200_000, ..MemoryLimits::default() };
    let service = service_over(MemoryRunner::with_limits(limits), greeter());
    let body = |run: usize| {
        let messages: Vec<_> = (0..20)
            .map(|n| json!({"id": format!("{run}-{n}-{}", "i".repeat(100)), "role": "user", "content": ""}))
            .collect();
        json!({"threadId": "t", "runId": run.to_string(), "messages": messages}).to_string()
    };
    for run in 0..200 {
        assert_eq!(one_terminal(&call(&service, post(RUN, body(run))).await.events()), "");
    }
    let replay = call(&service, post(CONNECT, input("t", "x"))).await;
    assert!(replay.body.len() < 250_000, "{}", replay.body.len());
    let messages = call(&service, get("/threads/t/messages")).await;
    assert!(messages.body.len() < 250_000, "{}", messages.body.len());
}

#[tokio::test]
async fn two_hundred_runs_at_once_are_told_apart() {
    let server = Server::of(service(FunctionAgent::new(|call: AgentCall| {
        let (thread, run) = (call.input.thread_id.clone(), call.input.run_id.clone());
        let said = vec![
            Event::run_started(&thread, &run),
            Event::text_start("m"),
            Event::text_content("m", &thread),
            Event::text_end("m"),
            Event::run_finished(&thread, &run),
        ];
        stream::iter(said).then(|event| async {
            tokio::task::yield_now().await;
            Ok(event)
        })
    })))
    .await;
    let client = client();
    let mut runs = JoinSet::new();
    for number in 0..200 {
        let (client, url) = (client.clone(), server.url(RUN));
        runs.spawn(async move {
            let answer = fetch(&client, &url, input(&format!("<{number}>"), "r")).await;
            assert_eq!(one_terminal(&answer.events()), "");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(text.matches(&format!("<{number}>")).count(), text.matches('<').count());
        });
    }
    soon("all runs", runs.join_all()).await;
}

#[tokio::test]
async fn one_thread_stormed_by_runs_has_one_winner_at_a_time() {
    let (agent, mut begun) = puppets();
    let service = service(agent);
    let mut storm = JoinSet::new();
    for number in 0..100 {
        let service = service.clone();
        storm.spawn(async move { call(&service, post(RUN, input("t", &number.to_string()))).await });
    }
    let puppet = soon("the winner", begun.recv()).await.unwrap();
    for _ in 0..99 {
        let answer = soon("a loser", storm.join_next()).await.unwrap().unwrap();
        assert_eq!(one_terminal(&answer.events()), "THREAD_BUSY");
    }
    assert!(begun.try_recv().is_err());
    puppet.start();
    puppet.finish();
    let winner = soon("the winner", storm.join_next()).await.unwrap().unwrap();
    assert_eq!(one_terminal(&winner.events()), "");
}

#[tokio::test]
async fn stops_by_the_hundred_stop_once() {
    let (agent, mut begun) = puppets();
    let service = service(agent);
    let running = soon("the head", service.clone().oneshot(post(RUN, input("t", "r")))).await.unwrap();
    let _puppet = begun.recv().await.unwrap();
    let mut stops = JoinSet::new();
    for _ in 0..100 {
        let service = service.clone();
        stops.spawn(async move { call(&service, post("/agent/default/stop/t", "{}")).await.json()["stopped"] == true });
    }
    assert_eq!(stops.join_all().await.into_iter().filter(|stopped| *stopped).count(), 1);
    let body = soon("the run ends", running.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(crate::serve::events(&body).iter().filter(|event| event.kind().is_terminal()).count(), 1);
}
