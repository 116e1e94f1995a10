//! What happens to a run on a busy thread.

use super::*;

#[tokio::test]
async fn a_superseded_run_ends_cleanly_and_leaves_no_history() {
    let mut options = RunOptions::default();
    options.when_busy = WhenBusy::Rollback;
    let runner = MemoryRunner::with_options(MemoryLimits::default(), options);
    let (agent, strings) = puppet();
    strings.say(Event::run_started("t", "r1"));
    let first = runner.run(request(agent, "t", "r1")).await.unwrap();
    let second = runner.run(request(saying(greeting("t", "r2")), "t", "r2")).await.unwrap();
    assert_eq!(all(first).await, [Event::run_started("t", "r1"), Event::run_finished("t", "r1")].map(with_input));
    assert_eq!(one_terminal(&all(second).await), "");
    let replayed = all(runner.connect(ConnectRequest::new("t")).await.unwrap()).await;
    assert!(replayed.iter().all(|event| !event.as_str().contains("r1")), "{replayed:?}");
}

/// As the engine shows a `RUN_STARTED` of an empty input.
fn with_input(event: Event) -> Event {
    if event.kind() != EventKind::RunStarted {
        return event;
    }
    let open = event.as_str().strip_suffix('}').unwrap();
    let input = RunAgentInput::new("t", "r1").to_json();
    Event::parse(format!("{open},\"input\":{input}}}")).unwrap()
}
