//! Watchers, however many and however slow.

use super::*;

#[tokio::test]
async fn watchers_that_come_at_any_moment_see_everything_once() {
    let runner = MemoryRunner::new();
    all(runner.run(request(saying(greeting("t", "r0")), "t", "r0")).await.unwrap()).await;
    let history = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    let (agent, strings) = puppet();
    let first = runner.run(request(agent, "t", "r1")).await.unwrap();
    let mut watchers = tokio::task::JoinSet::new();
    let mut say = |event| {
        strings.say(event);
        let runner = runner.clone();
        watchers.spawn(async move { all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await });
    };
    say(Event::run_started("t", "r1"));
    say(Event::text_start("m"));
    for number in 0..50 {
        say(Event::text_content("m", &number.to_string()));
        tokio::task::yield_now().await;
    }
    say(Event::text_end("m"));
    say(Event::run_finished("t", "r1"));
    drop(strings);
    let live = all(first).await;
    let compacted = {
        let replayed = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
        replayed[history.len()..].to_vec()
    };
    for seen in watchers.join_all().await {
        let (before, after) = seen.split_at(history.len());
        assert_eq!(before, history);
        assert!(after == live || after == compacted, "{after:?}");
    }
}

#[tokio::test]
async fn many_watchers_who_come_and_go_leave_nothing_behind() {
    let runner = MemoryRunner::new();
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r"));
    let first = runner.run(request(agent, "t", "r")).await.unwrap();
    for _ in 0..1000 {
        let mut watcher = runner.connect(ConnectRequest::new("t")).await.unwrap();
        assert_eq!(next(&mut watcher).await.len(), 1);
    }
    strings.say(Event::run_finished("t", "r"));
    drop(strings);
    assert_eq!(one_terminal(&all(first).await), "");
}
