use proptest::prelude::*;

use super::*;
use crate::agui::{EventKind, EventWriter};
use crate::phoenix::some_time;

const NOTHING: [u64; 0] = [];
const RETRYABLE: &str = r#"{"reason":"busy"}"#;

/// A delivery, its clock, and the push that is out.
struct Played {
    delivery: Delivery,
    now: Instant,
    begun: Instant,
    queued: u64,
    pushes: u64,
    out: Option<PushRef>,
}

/// The numbers of the events in a push, and whether it is a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    seqs: Vec<u64>,
    batch: bool,
    payload: String,
}

impl Played {
    fn new(joined: Option<Intake>) -> Played {
        let input = r#"{"threadId":"t","runId":"r","messages":[]}"#.to_owned();
        let mut delivery = Delivery::new("t", "r", input);
        if let Some(intake) = joined {
            delivery.joined(intake);
        }
        let now = some_time();
        Played { delivery, now, begun: now, queued: 0, pushes: 0, out: None }
    }

    fn queue(&mut self, events: u64) {
        for _ in 0..events {
            self.queued += 1;
            let event = EventWriter::new(EventKind::Custom).text("name", &format!("e{}", self.queued)).finish();
            self.delivery.queue(&event, &format!("id-{}", self.queued), self.now);
        }
    }

    fn queue_last(&mut self) {
        self.queued += 1;
        let event = EventWriter::new(EventKind::RunError).text("message", "no").finish();
        self.delivery.queue_last(&event, &format!("id-{}", self.queued), self.now);
    }

    fn finish(&mut self) {
        self.queue(1);
        self.delivery.finish();
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    /// Waits as long as the delivery asks for; milliseconds since the beginning.
    fn sleep(&mut self) -> u128 {
        self.now = self.now.max(self.delivery.poll_timeout().expect("a time to wait for"));
        self.now.duration_since(self.begun).as_millis()
    }

    fn push(&mut self) -> Option<Sent> {
        let push = self.delivery.poll_push(self.now)?;
        self.pushes += 1;
        let reference = PushRef::numbered(self.pushes);
        self.delivery.sent(&push, reference);
        self.out = Some(reference);
        let payload: Value = serde_json::from_str(&push.payload).unwrap();
        let batch = push.event == "events";
        let events = if batch { payload["events"].as_array().unwrap().clone() } else { vec![payload] };
        let seqs = events.iter().map(|event| {
            let seq = event["metadata"]["cpki_event_seq"].as_u64().unwrap();
            assert_eq!(event["metadata"]["cpki_event_id"], format!("id-{seq}"));
            seq
        });
        Some(Sent { seqs: seqs.collect(), batch, payload: push.payload.clone() })
    }

    /// The numbers of what is pushed now.
    fn pushed(&mut self) -> Vec<u64> {
        self.push().map(|sent| sent.seqs).unwrap_or_default()
    }

    fn ok(&mut self) {
        let push = self.out.take().unwrap();
        self.delivery.replied(push, Ok(()), self.now).unwrap();
    }

    fn refused(&mut self, response: &str) -> Result<(), Undeliverable> {
        let push = self.out.take().unwrap();
        self.delivery.replied(push, Err(RawValue::from_string(response.to_owned()).unwrap()), self.now)
    }
}

fn seqs(from: u64, to: u64) -> Vec<u64> {
    (from..=to).collect()
}

#[test]
fn batches_hold_up_to_thirty_two_events_and_one_is_out_at_a_time() {
    let mut played = Played::new(Some(Intake::Batches));
    played.queue(84);
    assert_eq!(played.pushed(), seqs(1, 32));
    assert_eq!(played.pushed(), NOTHING);
    played.ok();
    assert_eq!(played.pushed(), seqs(33, 64));
    played.wait(5);
    played.ok();
    // As recorded in burst-batching.
    assert_eq!(played.pushed(), seqs(65, 84));
}

#[test]
fn less_than_a_batch_waits_five_milliseconds_for_more_unless_the_run_is_over() {
    let mut played = Played::new(Some(Intake::Batches));
    played.queue(2);
    assert_eq!(played.pushed(), NOTHING);
    played.wait(2);
    played.queue(1);
    assert_eq!(played.sleep(), 5);
    assert_eq!(played.pushed(), seqs(1, 3));
    played.ok();
    played.finish();
    assert_eq!(played.pushed(), [4]);
    assert!(!played.delivery.is_complete());
    played.ok();
    assert!(played.delivery.is_complete());
}

#[test]
fn a_batch_is_bounded_in_bytes_too_but_for_one_large_event() {
    let mut played = Played::new(Some(Intake::Batches));
    for bytes in [200, 200, 200, 900, 1] {
        let event = EventWriter::new(EventKind::Custom).text("name", &"x".repeat(bytes << 10)).finish();
        played.queued += 1;
        played.delivery.queue(&event, &format!("id-{}", played.queued), played.now);
    }
    for expected in [vec![1, 2], vec![3], vec![4]] {
        assert_eq!(played.pushed(), expected);
        played.ok();
    }
    assert_eq!(played.pushed(), NOTHING);
}

#[test]
fn without_the_capability_events_go_one_at_a_time_as_they_are() {
    let mut played = Played::new(Some(Intake::Single));
    played.queue(2);
    let sent = played.push().unwrap();
    assert!(!sent.batch && sent.payload.starts_with(r#"{"type":"CUSTOM""#), "{}", sent.payload);
    assert_eq!(sent.seqs, [1]);
    assert_eq!(played.pushed(), NOTHING);
    played.ok();
    assert_eq!(played.pushed(), [2]);
}

#[test]
fn the_capability_is_read_from_the_answer_to_the_join() {
    let of = |json: &str| Intake::of(&RawValue::from_string(json.to_owned()).unwrap());
    assert_eq!(of(r#"{"capabilities":["x",1,"runner_event_batch_v1"]}"#), Intake::Batches);
    for none in ["{}", "null", r#"{"capabilities":[]}"#, r#"{"capabilities":"runner_event_batch_v1"}"#] {
        assert_eq!(of(none), Intake::Single, "{none}");
    }
}

#[test]
fn nothing_is_pushed_unless_the_channel_is_joined() {
    let mut played = Played::new(None);
    played.queue(40);
    assert_eq!(played.pushed(), NOTHING);
    played.delivery.joined(Intake::Batches);
    assert_eq!(played.pushed(), seqs(1, 32));
    played.delivery.lost();
    played.wait(1_000);
    assert_eq!(played.pushed(), NOTHING);
}

#[test]
fn a_failed_batch_is_sent_again_as_it_was_with_growing_waits_until_it_succeeds() {
    let mut played = Played::new(Some(Intake::Batches));
    played.queue(3);
    played.sleep();
    let first = played.push().unwrap();
    played.queue(40);
    let mut waits = Vec::new();
    for refused in [true, false, true, false, true, false, true] {
        if refused {
            played.refused(RETRYABLE).unwrap();
        } else {
            let push = played.out.take().unwrap();
            played.delivery.timed_out(push, played.now);
        }
        assert_eq!(played.push(), None);
        let before = played.now;
        played.sleep();
        waits.push(played.now.duration_since(before).as_millis());
        assert_eq!(played.push().unwrap(), first);
    }
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
    played.ok();
    assert_eq!(played.pushed(), seqs(4, 35));
    played.refused(RETRYABLE).unwrap();
    let before = played.now;
    played.sleep();
    assert_eq!(played.now.duration_since(before).as_millis(), 100, "the waits begin anew after a success");
}

#[test]
fn an_answer_to_anything_but_the_push_that_is_out_changes_nothing() {
    let mut played = Played::new(Some(Intake::Batches));
    played.queue(40);
    played.push();
    let late = played.out.unwrap();
    played.delivery.timed_out(late, played.now);
    played.delivery.replied(late, Ok(()), played.now).unwrap();
    played.sleep();
    assert_eq!(played.pushed(), seqs(1, 32));
    played.delivery.timed_out(late, played.now);
    played.delivery.replied(late, Ok(()), played.now).unwrap();
    played.ok();
    played.delivery.replied(PushRef::numbered(2), Ok(()), played.now).unwrap();
    played.sleep();
    assert_eq!(played.pushed(), seqs(33, 40));
}

#[test]
fn a_permanent_refusal_ends_the_run_with_its_reason() {
    let message = |response: &str| {
        let mut played = Played::new(Some(Intake::Single));
        played.queue(1);
        played.push();
        played.refused(response).err().map(|error| error.to_string())
    };
    let failed = |reason| Some(format!("Runner event durability failed: {reason}"));
    assert_eq!(message(r#"{"reason":"event_rejected","retryable":false}"#), failed("event_rejected"));
    assert_eq!(message(r#"{"retryable":false}"#), failed("permanent_gateway_rejection"));
    for passing in [r#"{"reason":"x","retryable":true}"#, r#"{"reason":"x"}"#, "null", r#"{"retryable":"false"}"#] {
        assert_eq!(message(passing), None, "{passing}");
    }
}

#[test]
fn a_refused_first_join_is_final_unless_it_is_said_or_known_to_pass() {
    let may_pass = |json: &str| Refusal::of(&RawValue::from_string(json.to_owned()).unwrap()).may_pass();
    for passing in [r#"{"retryable":true}"#, r#"{"reason":"gateway_draining"}"#] {
        assert!(may_pass(passing), "{passing}");
    }
    for last in ["{}", "null", r#"{"reason":"x"}"#, r#"{"reason":"gateway_draining","retryable":false}"#] {
        assert!(!may_pass(last), "{last}");
    }
}

#[test]
fn after_a_rejoin_what_was_out_is_sent_at_once_as_it_was() {
    for failed in [false, true] {
        let mut played = Played::new(Some(Intake::Batches));
        played.queue(1);
        played.sleep();
        let first = played.push().unwrap();
        played.queue(2);
        if failed {
            (0..3).for_each(|_| {
                played.refused(RETRYABLE).unwrap();
                played.sleep();
                played.push();
            });
            played.refused(RETRYABLE).unwrap();
        }
        played.delivery.lost();
        played.delivery.joined(Intake::Batches);
        assert_eq!(played.push().unwrap(), first);
        played.refused(RETRYABLE).unwrap();
        let before = played.now;
        played.sleep();
        assert_eq!(played.now.duration_since(before).as_millis(), 100, "the rejoin began the waits anew");
    }
}

#[test]
fn a_rejoin_that_changes_the_capability_sends_everything_pending_in_order() {
    let mut played = Played::new(Some(Intake::Batches));
    played.queue(3);
    played.sleep();
    played.push();
    played.delivery.lost();
    played.delivery.joined(Intake::Single);
    for seq in 1..=3 {
        assert_eq!(played.pushed(), [seq]);
        if seq < 3 {
            played.ok();
        }
    }
    played.queue(40);
    played.delivery.lost();
    played.delivery.lost();
    played.delivery.joined(Intake::Batches);
    assert_eq!(played.pushed(), seqs(3, 34));
}

#[test]
fn an_event_that_is_not_delivered_within_a_minute_ends_the_run() {
    let mut played = Played::new(Some(Intake::Batches));
    played.queue(32);
    played.wait(30_000);
    played.queue(1);
    played.push();
    played.wait(29_999);
    assert_eq!(played.delivery.check(played.now), Ok(()));
    assert_eq!(played.sleep(), 60_000);
    assert_eq!(played.delivery.check(played.now), Err(Undeliverable::TimedOut));
    assert_eq!(Undeliverable::TimedOut.to_string(), "Timed out trying to durably deliver runner events");
    // It is the oldest that counts.
    played.ok();
    assert_eq!(played.delivery.check(played.now), Ok(()));
    played.push();
    played.delivery.lost();
    assert_eq!(played.sleep(), 90_000);
    assert_eq!(played.delivery.check(played.now), Err(Undeliverable::TimedOut));
}

#[test]
fn a_last_event_that_is_withheld_leaves_in_one_push_with_what_is_pending() {
    let mut played = Played::new(None);
    played.queue(39);
    played.queue_last();
    assert!(!played.delivery.hold(), "the channel is lost");
    played.delivery.joined(Intake::Batches);
    assert!(!played.delivery.hold(), "too much is pending");
    assert_eq!(played.pushed(), seqs(1, 32));
    assert!(!played.delivery.hold(), "something is out");
    played.ok();
    assert!(played.delivery.hold());
    assert!(played.delivery.hold());
    played.wait(1_000);
    assert_eq!(played.pushed(), NOTHING);
    assert_eq!(played.sleep(), 60_000, "but not for ever");
    played.delivery.finish();
    assert!(!played.delivery.hold(), "nothing is withheld any more");
    assert_eq!(played.pushed(), seqs(33, 40));

    let mut played = Played::new(Some(Intake::Batches));
    played.queue(1);
    assert!(!played.delivery.hold(), "nothing is withheld yet");

    let mut played = Played::new(Some(Intake::Single));
    played.queue(1);
    played.queue_last();
    assert!(!played.delivery.hold(), "it needs a push of its own");
    assert_eq!(played.pushed(), [1]);
    played.ok();
    assert_eq!(played.pushed(), NOTHING);
    assert!(played.delivery.hold());
    played.delivery.finish();
    assert_eq!(played.pushed(), [2]);
}

#[test]
fn no_more_is_taken_from_the_agent_while_much_is_undelivered() {
    let mut played = Played::new(None);
    played.queue(255);
    assert!(played.delivery.has_room());
    played.queue(1);
    assert!(!played.delivery.has_room());
    played.delivery.joined(Intake::Batches);
    played.push();
    played.ok();
    assert!(played.delivery.has_room());

    let mut played = Played::new(Some(Intake::Single));
    let large = EventWriter::new(EventKind::Custom).text("name", &"x".repeat(256 << 10)).finish();
    played.delivery.queue(&large, "id-1", played.now);
    assert!(!played.delivery.has_room());
    played.push();
    played.ok();
    assert!(played.delivery.has_room());
}

#[derive(Clone, Debug)]
enum Input {
    Queue(u64),
    Finish,
    /// The last event, to be withheld.
    Last,
    Release,
    Wait(u64),
    Ok,
    Refused,
    TimedOut,
    Lost,
    Joined(bool),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => (1..50u64).prop_map(Input::Queue),
        1 => Just(Input::Finish),
        1 => Just(Input::Last),
        2 => Just(Input::Release),
        6 => (1..3_000u64).prop_map(Input::Wait),
        8 => Just(Input::Ok),
        2 => Just(Input::Refused),
        1 => Just(Input::TimedOut),
        2 => Just(Input::Lost),
        3 => any::<bool>().prop_map(Input::Joined),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_events_are_accepted_once_and_in_order(inputs in prop::collection::vec(input(), 0..80)) {
        let mut played = Played::new(None);
        // What the platform has, told by what it acknowledged, and what it may have.
        let (mut accepted, mut out, mut last, mut finished) = (0, None::<Sent>, false, false);
        for input in inputs {
            match input {
                Input::Queue(events) if !last => played.queue(events),
                Input::Finish if !last => { played.finish(); (last, finished) = (true, true); }
                Input::Last if !last => { played.queue_last(); last = true; }
                Input::Release if played.delivery.hold() => { played.delivery.finish(); finished = true; }
                Input::Wait(milliseconds) => played.wait(milliseconds),
                Input::Ok if out.is_some() => {
                    accepted = *out.take().unwrap().seqs.last().unwrap();
                    played.ok();
                }
                Input::Refused if out.take().is_some() => played.refused(RETRYABLE).unwrap(),
                Input::TimedOut if out.take().is_some() => {
                    let push = played.out.take().unwrap();
                    played.delivery.timed_out(push, played.now);
                }
                Input::Lost => { played.delivery.lost(); out = None; played.out = None; }
                Input::Joined(batches) if played.delivery.joined.is_none() => {
                    played.delivery.joined(if batches { Intake::Batches } else { Intake::Single });
                }
                _ => {}
            }
            let held = played.delivery.hold();
            if let Some(sent) = played.push() {
                let withheld = last && !finished && sent.seqs.contains(&played.queued);
                prop_assert!(!held, "everything is held");
                prop_assert!(!withheld, "the last event is withheld");
                prop_assert!(out.is_none(), "one push is out at a time");
                let last = *sent.seqs.last().unwrap();
                prop_assert_eq!(&sent.seqs, &seqs(accepted + 1, last), "no gap, nothing acknowledged again");
                let most = if sent.batch { 32 } else { 1 };
                prop_assert!(sent.seqs.len() <= most);
                out = Some(sent);
            }
            prop_assert_eq!(played.delivery.is_complete(), finished && accepted == played.queued);
            let idle = out.is_none() && played.delivery.joined.is_some() && accepted < played.queued;
            prop_assert!(!idle || played.delivery.poll_timeout().unwrap() > played.now, "what is pending is tried");
        }
    }
}
