//! Connections that break at any moment, while runs go on, end and follow each other.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::resume::{Client, assert_in_order, ids_after, settle, told};
use super::*;

/// How a run ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Finished,
    /// With a `RUN_ERROR`, whatever is open.
    Failed,
    BrokenOff,
    Stopped,
}

/// What happens from one disconnect to the next.
#[derive(Clone, Debug)]
struct Visit {
    /// What the agent says while the client is away, and while it is there.
    away: Vec<u8>,
    there: Vec<u8>,
    /// Whether the run ends, and whether the client is there then.
    end: Option<(Ending, bool)>,
    /// How many events reach the client before its connection breaks.
    reach: usize,
}

fn visit() -> impl Strategy<Value = Visit> {
    let say = || prop::collection::vec(any::<u8>(), 0..6);
    let ending = prop::sample::select(vec![Ending::Finished, Ending::Failed, Ending::BrokenOff, Ending::Stopped]);
    let end = prop::option::weighted(0.3, (ending, any::<bool>()));
    (say(), say(), end, 0..12usize).prop_map(|(away, there, end, reach)| Visit { away, there, end, reach })
}

/// A thread whose agent says whatever a number tells it to, as long as it is allowed.
struct Thread {
    runner: MemoryRunner,
    open: Option<(Strings, FrameStream)>,
    runs: usize,
    words: usize,
    texts: BTreeSet<String>,
    calls: BTreeSet<String>,
    /// Everything said in runs that are over.
    said: Vec<Event>,
}

impl Thread {
    fn new() -> Thread {
        Thread {
            runner: MemoryRunner::new(),
            open: None,
            runs: 0,
            words: 0,
            texts: BTreeSet::new(),
            calls: BTreeSet::new(),
            said: Vec::new(),
        }
    }

    async fn run(&mut self) -> &Strings {
        if self.open.is_none() {
            self.runs += 1;
            let run = format!("r{}", self.runs);
            let (agent, strings) = puppet();
            let response = self.runner.run(request(agent, "t", &run)).await.expect("the thread is free");
            strings.say(Event::run_started("t", &run));
            self.open = Some((strings, response));
        }
        &self.open.as_ref().unwrap().0
    }

    async fn say(&mut self, what: &[u8]) {
        for byte in what {
            self.run().await;
            let event = self.event(*byte);
            self.run().await.say(event);
            if byte % 3 == 0 {
                settle().await;
            }
        }
        settle().await;
    }

    fn event(&mut self, byte: u8) -> Event {
        self.words += 1;
        let word = format!("{} ", self.words);
        let (message, call) = (format!("m{}-{}", self.runs, byte % 3), format!("c{}-{}", self.runs, byte % 2));
        match byte / 16 {
            0..=4 if self.texts.insert(message.clone()) => Event::text_start(&message),
            0..=4 => Event::text_content(&message, &word),
            5..=8 if self.calls.insert(call.clone()) => Event::tool_start(&call, "f", Some(&message)),
            5..=8 => Event::tool_args(&call, &word),
            9..=10 if self.texts.remove(&message) => Event::text_end(&message),
            11..=12 if self.calls.remove(&call) => Event::tool_end(&call),
            13 => Event::state_snapshot(&json!({"word": self.words})),
            14 => Event::state_delta(&json!([{"op": "add", "path": format!("/{}", byte % 4), "value": self.words}])),
            _ => Event::custom("word", &json!(self.words)),
        }
    }

    async fn end(&mut self, ending: Ending) {
        let run = format!("r{}", self.runs);
        let (texts, calls) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.calls));
        let Some((strings, response)) = self.open.take() else { return };
        match ending {
            Ending::Finished => {
                texts.iter().for_each(|id| strings.say(Event::text_end(id)));
                calls.iter().for_each(|id| strings.say(Event::tool_end(id)));
                strings.say(Event::run_finished("t", &run));
            }
            Ending::Failed => strings.say(Event::run_error("no", "NO")),
            Ending::BrokenOff => {}
            Ending::Stopped => {
                let stop = StopRequest { thread: "t".into(), run_id: Some(run) };
                assert_eq!(self.runner.stop(stop).await, Ok(Stopped::Stopping));
            }
        }
        drop(strings);
        self.said.extend(all(response).await);
    }
}

/// Each run is told once: as it was said from its beginning, then maybe the rest as it is kept; or all as it is kept.
async fn assert_ids_without_gap(runner: &dyn AgentRunner, ids: &[String]) {
    let kept = ids_after(runner, "").await;
    let mut ids = ids;
    let mut last = 0;
    while let Some(first) = ids.first() {
        let number: String = first.chars().take_while(char::is_ascii_digit).collect();
        assert!(last < number.parse::<u64>().unwrap(), "runs are told in their order");
        last = number.parse().unwrap();
        let of_run = |id: &&String| id.starts_with(&format!("{number}-")) || id.starts_with(&format!("{number}."));
        let (run, others) = ids.split_at(ids.iter().take_while(of_run).count());
        let (live, rest) = run.split_at(run.iter().take_while(|id| !id.contains('.')).count());
        assert!(live.iter().zip(1..).all(|(id, place)| *id == format!("{number}-{place}")), "{run:?}");
        let expected = match live.last() {
            None => kept.clone(),
            Some(seen) => ids_after(runner, seen).await,
        };
        assert_eq!(rest, expected.iter().filter(of_run).cloned().collect::<Vec<_>>());
        ids = others;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// More than ten thousand disconnects over all cases.
    #[test]
    fn ten_thousand_disconnects_lose_and_repeat_nothing(visits in prop::collection::vec(visit(), 80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut thread = Thread::new();
            let mut client = Client::default();
            for Visit { away, there, end, reach } in visits {
                thread.say(&away).await;
                if let Some((ending, false)) = end {
                    thread.end(ending).await;
                }
                let mut watching = client.connect(&thread.runner).await;
                thread.say(&there).await;
                if let Some((ending, true)) = end {
                    thread.end(ending).await;
                }
                client.take(&mut watching, reach).await;
            }
            thread.end(Ending::BrokenOff).await;
            client.finish(&thread.runner).await;
            assert_in_order(&client.events);
            assert_eq!(told(&client.events), told(&thread.said));
            assert_ids_without_gap(&thread.runner, &client.ids).await;
        });
    }
}
