//! Seeded faults in virtual time: whatever the platform and the way to it do, what the agent said is stored once and
//! in order, or the run fails and gives its thread back.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::time::sleep;

use super::platform::{Act, Got, Platform, over};
use crate::agent::{Agent, AgentError, FunctionAgent};
use crate::agui::Event;
use crate::runner::intelligence::PlatformStop;

/// SplitMix64: the same faults for the same seed.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn milliseconds(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

/// What a run is like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Finished,
    Threw,
    JustEnded,
    Stopped,
    LockLost,
}

fn busy() -> Act {
    Act::Refuse(json!({"reason": "busy"}))
}

fn draining() -> Act {
    Act::Refuse(json!({"reason": "gateway_draining", "retryable": true}))
}

fn last() -> Act {
    Act::Refuse(json!({"reason": "no", "retryable": false}))
}

/// Faults that pass before an event is a minute old.
fn passing(mut dice: Dice) -> impl FnMut(Got) -> Act {
    let (mut slow, mut quick, mut joined) = (2, 8, false);
    move |got| {
        if dice.one_in(2) {
            joined |= got == Got::Join;
            return Act::Serve;
        }
        let kept = dice.one_in(2);
        let late = Act::Late(dice.milliseconds(9_000));
        let (act, is_slow) = match (got, dice.below(8)) {
            (Got::Dial, 0..=4) => (Act::Break { kept: false }, false),
            (Got::Dial, _) => (Act::Late(dice.milliseconds(800)), false),
            (Got::Join, 0..=2) => (draining(), true),
            (Got::Join, 3) => (late, true),
            (Got::Join, 4) => (Act::Close(1012), false),
            // A first join is not waited for longer than ten seconds.
            (Got::Join, 5) if joined => (Act::Swallow, true),
            (Got::Join, 6) => (Act::Err, true),
            (_, 0) => (busy(), false),
            (Got::Events, 1) => (if kept { Act::Swallow } else { Act::Ignore }, true),
            (Got::Events, 2) => (Act::Late(dice.milliseconds(20_000)), true),
            (_, 3) => (Act::Twice, false),
            (_, 4) => (Act::Close(1012), false),
            (_, 5) => (Act::Close([1000, 1001, 1006, 1011][dice.below(4) as usize]), false),
            (Got::Events, 6) => (Act::Err, false),
            _ => (Act::Break { kept }, false),
        };
        let left = if is_slow { &mut slow } else { &mut quick };
        if *left == 0 {
            joined |= got == Got::Join;
            return Act::Serve;
        }
        *left -= 1;
        joined |= got == Got::Join && matches!(act, Act::Late(_) | Act::Twice);
        act
    }
}

/// Faults of any kind, some of which last.
fn lasting(mut dice: Dice) -> impl FnMut(Got) -> Act {
    let sickness = 2 + dice.below(12);
    move |got| {
        if !dice.one_in(sickness) {
            return Act::Serve;
        }
        let kept = dice.one_in(2);
        match dice.below(13) {
            0 | 1 => Act::Swallow,
            2 => Act::Ignore,
            3 => Act::Late(dice.milliseconds(70_000)),
            4 => Act::Twice,
            5 => busy(),
            6 => draining(),
            7 if dice.one_in(4) => last(),
            8 => Act::Close(1012),
            9 => Act::Close(1000),
            10 if got != Got::Dial => Act::Err,
            _ => Act::Break { kept },
        }
    }
}

/// An agent that says so many numbers, in bursts and with pauses, and ends so.
fn counting(numbers: u64, ending: Ending, dice: &Dice) -> impl Agent {
    let dice = dice.clone();
    FunctionAgent::new(move |_| {
        let numbers = stream::iter(0..numbers).map(|n| Ok(Event::custom("n", &json!(n))));
        let end = match ending {
            Ending::Finished => stream::iter(vec![Ok(Event::run_finished("t", "r"))]).boxed(),
            Ending::Threw => stream::iter(vec![Err(AgentError::new("threw"))]).boxed(),
            Ending::JustEnded => stream::empty().boxed(),
            Ending::Stopped | Ending::LockLost => stream::pending().boxed(),
        };
        let dice = dice.clone();
        let start = stream::iter([Ok(Event::run_started("t", "r"))]);
        start.chain(numbers).chain(end).scan(dice, |dice, event| {
            let pause = if dice.one_in(20) { dice.milliseconds(2_000) } else { dice.milliseconds(3) };
            async move {
                sleep(pause).await;
                Some(event)
            }
        })
    })
}

/// Plays one run through its faults, and says whether the platform has all of it.
async fn play(seed: u64, faults: impl FnOnce(Dice) -> Platform) -> (Ending, bool) {
    let mut dice = Dice(seed);
    let platform = faults(Dice(dice.roll()));
    let runner = platform.runner();
    let ending = match dice.below(8) {
        0 => Ending::Threw,
        1 => Ending::JustEnded,
        2 | 3 => Ending::Stopped,
        4 => Ending::LockLost,
        _ => Ending::Finished,
    };
    let numbers = dice.below(120);
    let mut run = platform.run("t", "r", counting(numbers, ending, &dice));
    run.lock.slow = dice.milliseconds(200);
    run.lock.lost_after = (ending == Ending::LockLost).then(|| dice.milliseconds(8_000));
    let started = runner.start(run).await;
    let mut drops = dice.clone();
    let disturbed = async {
        for _ in 0..drops.below(3) {
            sleep(drops.milliseconds(3_000)).await;
            platform.hang_up([None, Some(1012), Some(1000)][drops.below(3) as usize]);
        }
    };
    let ended = async {
        let mut stopped = None;
        if ending == Ending::Stopped && started.is_ok() {
            sleep(dice.milliseconds(6_000)).await;
            stopped = Some(runner.stop("t", None).await);
        }
        over(&runner).await;
        stopped
    };
    let ((), stopped) = tokio::join!(disturbed, ended);
    assert_eq!(platform.violations(), [""; 0], "seed {seed}");
    let (events, releases) = (platform.events("r"), platform.releases("r"));
    // The platform checks ids, order, what follows the end and that an error finds the lock released.
    let said = events.iter().filter(|event| event["type"] == "CUSTOM").map(|event| event["value"].as_u64().unwrap());
    let said: Vec<u64> = said.collect();
    assert!(said.iter().copied().eq(0..said.len() as u64), "seed {seed}: {said:?}");
    if !platform.has_terminal("r") {
        assert_eq!(releases, 1, "seed {seed}: a failed run gives its thread back, once");
        assert_ne!(stopped, Some(PlatformStop::Stopped), "seed {seed}");
        return (ending, false);
    }
    let last = events.last().unwrap()["type"].as_str().unwrap().to_owned();
    match ending {
        Ending::Finished | Ending::Stopped => assert_eq!(last, "RUN_FINISHED", "seed {seed}"),
        Ending::Threw | Ending::JustEnded | Ending::LockLost => assert_eq!(last, "RUN_ERROR", "seed {seed}"),
    }
    if matches!(ending, Ending::Finished | Ending::Threw | Ending::JustEnded) {
        assert_eq!(said.len() as u64, numbers, "seed {seed}: nothing is lost");
    }
    assert!(releases <= 1, "seed {seed}");
    (ending, true)
}

#[tokio::test(start_paused = true)]
async fn every_event_is_stored_once_and_in_order_through_any_faults_that_pass() {
    let mut failed = 0;
    for seed in 0..1_000 {
        let (ending, complete) = play(seed, |dice| {
            let mut capability = dice.clone();
            Platform::scripted(passing(dice)).batches(move || !capability.one_in(3))
        })
        .await;
        // The thread of a run that errs is given back before its end is stored, and then a rejoin is refused.
        let may_fail = !matches!(ending, Ending::Finished | Ending::Stopped);
        assert!(complete || may_fail, "seed {seed}: {ending:?}");
        failed += u32::from(!complete);
    }
    assert!(failed < 120, "{failed} runs failed");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_delivered_fails_and_gives_its_thread_back_through_any_faults() {
    let mut complete = 0;
    for seed in 0..1_000 {
        let (_, all) = play(0xBAD_0000 + seed, |dice| {
            let mut capability = dice.clone();
            Platform::scripted(lasting(dice)).batches(move || !capability.one_in(3))
        })
        .await;
        complete += u32::from(all);
    }
    assert!((100..1_000).contains(&complete), "{complete} of 1000 runs were complete");
}
