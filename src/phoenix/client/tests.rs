use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OK: &str = r#"{"status":"ok","response":{}}"#;
const NO: &str = r#"{"status":"error","response":{"reason":"no"}}"#;

/// A client, its clock, and what it did.
struct Played {
    client: Client,
    now: Instant,
    begun: Instant,
}

impl Played {
    fn new() -> Played {
        let options = Options {
            topic: "room:1".to_owned(),
            params: r#"{"who":1}"#.to_owned(),
            max_reconnect: Duration::from_secs(10),
            max_rejoin: Duration::from_secs(30),
        };
        let now = Instant::now();
        Played { client: Client::new(options, now), now, begun: now }
    }

    /// Open and joined, with nothing left to do or tell.
    fn joined() -> Played {
        let mut played = Played::new();
        played.open();
        played.told(r#"["1","1","room:1","phx_reply",{"status":"ok","response":{}}]"#);
        played.actions();
        played.news();
        played
    }

    fn open(&mut self) {
        self.client.handle_open(self.now);
    }

    fn close(&mut self, code: Option<u16>) {
        self.client.handle_close(code, self.now);
    }

    fn told(&mut self, frame: &str) {
        self.client.handle_text(frame, self.now);
    }

    /// Goes on to the time the client asked for; milliseconds since the beginning.
    fn sleep(&mut self) -> u128 {
        self.now = self.now.max(self.client.poll_timeout().expect("a time to wait for"));
        self.client.handle_timeout(self.now);
        self.now.duration_since(self.begun).as_millis()
    }

    fn wait(&mut self, milliseconds: u64) {
        let until = self.now + Duration::from_millis(milliseconds);
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
        }
        self.now = until;
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.client.poll_action()).collect()
    }

    fn sent(&mut self) -> Vec<Value> {
        let actions = self.actions().into_iter();
        actions
            .map(|action| match action {
                Action::Send(text) => serde_json::from_str(&text).unwrap(),
                other => json!(format!("{other:?}")),
            })
            .collect()
    }

    fn news(&mut self) -> Vec<String> {
        let news = std::iter::from_fn(|| self.client.poll_news());
        news.map(|news| format!("{news:?}")).collect()
    }
}

#[test]
fn a_channel_is_joined_with_its_params_as_soon_as_the_socket_is_open() {
    let mut played = Played::new();
    assert_eq!(played.actions(), [Action::Connect]);
    played.open();
    assert_eq!(played.sent(), [json!(["1", "1", "room:1", "phx_join", {"who": 1}])]);
    played.told(r#"["1","1","room:1","phx_reply",{"status":"ok","response":{"capabilities":["x"]}}]"#);
    assert_eq!(played.news(), [r#"Joined(RawValue({"capabilities":["x"]}))"#]);
}

#[test]
fn a_push_is_answered_once() {
    let mut played = Played::joined();
    let push = played.client.push("say", r#"{"a":1.0}"#, played.now).unwrap();
    assert_eq!(played.actions(), [Action::Send(r#"["1","2","room:1","say",{"a":1.0}]"#.to_owned())]);
    played.told(&format!(r#"["1","2","room:1","phx_reply",{OK}]"#));
    played.told(&format!(r#"["1","2","room:1","phx_reply",{NO}]"#));
    assert_eq!(played.news(), [format!("Replied({push:?}, Ok(()))")]);
    let push = played.client.push("say", "{}", played.now).unwrap();
    played.told(&format!(r#"["1","3","room:1","phx_reply",{NO}]"#));
    assert_eq!(played.news(), [format!(r#"Replied({push:?}, Err(RawValue({{"reason":"no"}})))"#)]);
}

#[test]
fn a_push_times_out_after_ten_seconds_and_a_late_answer_is_ignored() {
    let mut played = Played::joined();
    let push = played.client.push("say", "{}", played.now).unwrap();
    assert_eq!(played.sleep(), 10_000);
    assert_eq!(played.news(), [format!("PushTimedOut({push:?})")]);
    played.told(&format!(r#"["1","2","room:1","phx_reply",{OK}]"#));
    assert_eq!(played.news(), [""; 0]);
}

#[test]
fn nothing_is_pushed_unless_the_channel_is_joined() {
    let mut played = Played::new();
    assert_eq!(played.client.push("say", "{}", played.now), None);
    played.open();
    assert_eq!(played.client.push("say", "{}", played.now), None);
    let mut played = Played::joined();
    played.close(None);
    assert_eq!(played.client.push("say", "{}", played.now), None);
}

#[test]
fn pushes_of_the_other_end_are_told_with_or_without_a_join_ref() {
    let mut played = Played::joined();
    played.told(r#"["1",null,"room:1","ag-ui",{"n":1}]"#);
    played.told(r#"[null,null,"room:1","ag-ui",{"n":2}]"#);
    let said = |n| format!(r#"Said {{ event: "ag-ui", payload: RawValue({{"n":{n}}}) }}"#);
    assert_eq!(played.news(), [said(1), said(2)]);
}

#[test]
fn what_belongs_to_an_earlier_join_or_another_topic_is_dropped() {
    let mut played = Played::joined();
    for frame in [
        r#"["9",null,"room:1","ag-ui",{}]"#,
        r#"["1",null,"room:2","ag-ui",{}]"#,
        r#"["9","9","room:1","phx_error",{}]"#,
        "no frame",
    ] {
        played.told(frame);
    }
    assert_eq!(played.news(), [""; 0]);
    // The answer to a push of the join before.
    let mut played = Played::joined();
    played.client.push("say", "{}", played.now).unwrap();
    played.close(None);
    played.sleep();
    played.open();
    played.news();
    played.told(&format!(r#"["1","2","room:1","phx_reply",{OK}]"#));
    assert_eq!(played.news(), [""; 0]);
}

#[test]
fn a_heartbeat_goes_out_every_thirty_seconds() {
    let mut played = Played::joined();
    assert_eq!(played.sleep(), 30_000);
    assert_eq!(played.sent(), [json!([null, "2", "phoenix", "heartbeat", {}])]);
    played.wait(20_000);
    played.told(&format!(r#"[null,"2","phoenix","phx_reply",{OK}]"#));
    assert_eq!(played.sleep(), 80_000);
    assert_eq!(played.sent(), [json!([null, "3", "phoenix", "heartbeat", {}])]);
}

#[test]
fn a_heartbeat_without_an_answer_closes_the_socket_and_dials_again() {
    let mut played = Played::joined();
    played.sleep();
    played.actions();
    played.told(&format!(r#"[null,"1","phoenix","phx_reply",{OK}]"#));
    assert_eq!(played.sleep(), 60_000);
    assert_eq!(played.actions(), [Action::Disconnect(1000)]);
    assert_eq!(played.news(), ["SocketLost(None)"]);
    assert_eq!(played.sleep(), 60_100);
    assert_eq!(played.actions(), [Action::Connect]);
}

#[test]
fn a_lost_socket_is_dialled_again_and_the_channel_joined_with_the_same_params_and_new_refs() {
    for code in [None, Some(1000), Some(1001), Some(1006), Some(1012), Some(4000)] {
        let mut played = Played::joined();
        played.client.push("say", "{}", played.now).unwrap();
        played.actions();
        played.close(code);
        assert_eq!(played.news(), [format!("SocketLost({code:?})")]);
        assert_eq!(played.sleep(), 100, "{code:?}");
        assert_eq!(played.actions(), [Action::Connect]);
        played.open();
        assert_eq!(played.sent(), [json!(["3", "3", "room:1", "phx_join", {"who": 1}])]);
        played.told(&format!(r#"["3","3","room:1","phx_reply",{OK}]"#));
        assert_eq!(played.news(), ["Joined(RawValue({}))"]);
        // What was pushed before is forgotten.
        assert_eq!(played.sleep(), 30_100);
    }
}

#[test]
fn refused_connects_are_tried_again_with_doubling_waits_and_a_watchdog_after_a_second() {
    let mut played = Played::new();
    let mut dials = Vec::new();
    while dials.len() < 9 {
        if played.actions().contains(&Action::Connect) {
            dials.push(played.now.duration_since(played.begun).as_millis());
            played.close(None);
        }
        played.sleep();
    }
    // As recorded in fault-runner-refused.
    assert_eq!(dials, [0, 100, 300, 700, 1_000, 1_100, 1_300, 1_700, 2_000]);
}

#[test]
fn a_dial_that_hangs_after_a_loss_is_given_up_after_a_second_and_once() {
    let mut played = Played::joined();
    played.close(None);
    assert_eq!(played.sleep(), 100);
    assert_eq!(played.actions(), [Action::Connect]);
    assert_eq!(played.sleep(), 1_000);
    assert_eq!(played.actions(), [Action::Connect]);
    assert_eq!(played.client.poll_timeout(), None);
}

#[test]
fn a_normal_close_wakes_no_watchdog() {
    let mut played = Played::joined();
    played.close(Some(1000));
    played.sleep();
    assert_eq!(played.client.poll_timeout(), None);
}

#[test]
fn the_waits_of_reconnects_are_capped() {
    let mut played = Played::joined();
    let mut waits = Vec::new();
    for _ in 0..9 {
        // Of a socket that closes normally: no watchdog shortens the waits.
        played.close(Some(1000));
        let before = played.now;
        played.sleep();
        waits.push(played.now.duration_since(before).as_millis());
    }
    assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
}

#[test]
fn a_refused_join_is_tried_again_with_doubling_waits() {
    let mut played = Played::new();
    played.open();
    let mut joins = Vec::new();
    for reference in 1..=7 {
        let frames = played.sent();
        assert_eq!(
            frames.last().unwrap(),
            &json!([format!("{reference}"), format!("{reference}"), "room:1", "phx_join", {"who": 1}])
        );
        joins.push(played.now.duration_since(played.begun).as_millis());
        played.told(&format!(r#"["{reference}","{reference}","room:1","phx_reply",{NO}]"#));
        assert_eq!(played.news(), [r#"Refused(RawValue({"reason":"no"}))"#]);
        while !matches!(played.client.channel, Channel::Joining { .. }) {
            played.sleep();
            if let Link::Open(Heartbeat::Sent { .. }) = played.client.link {
                // Answered, and its ref given back: it is not of this test.
                played.client.link = Link::Open(Heartbeat::Due(played.now + Duration::from_secs(3600)));
                played.client.references -= 1;
                played.actions();
            }
        }
    }
    assert_eq!(joins, [0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000]);
}

#[test]
fn a_join_that_is_not_answered_is_left_after_ten_seconds_and_tried_again() {
    let mut played = Played::new();
    played.open();
    played.actions();
    assert_eq!(played.sleep(), 10_000);
    assert_eq!(played.news(), ["JoinTimedOut"]);
    assert_eq!(played.sent(), [json!(["1", "2", "room:1", "phx_leave", {}])]);
    // Too late.
    played.told(&format!(r#"["1","1","room:1","phx_reply",{OK}]"#));
    assert_eq!(played.news(), [""; 0]);
    assert_eq!(played.sleep(), 11_000);
    assert_eq!(played.sent(), [json!(["3", "3", "room:1", "phx_join", {"who": 1}])]);
}

#[test]
fn the_time_for_the_first_join_begins_with_dialling_and_a_failed_dial_ends_it() {
    let mut played = Played::new();
    played.actions();
    assert_eq!(played.sleep(), 10_000);
    assert_eq!(played.news(), ["JoinTimedOut"]);
    assert_eq!(played.actions(), []);

    let mut played = Played::new();
    played.wait(9_000);
    played.close(None);
    played.wait(5_000);
    assert_eq!(played.news(), ["SocketLost(None)"]);
}

#[test]
fn a_channel_that_errs_is_joined_again_and_one_that_is_closed_is_gone() {
    let mut played = Played::joined();
    played.told(r#"["1","1","room:1","phx_error",{}]"#);
    assert_eq!(played.news(), ["ChannelLost"]);
    assert_eq!(played.sleep(), 1_000);
    assert_eq!(played.sent(), [json!(["2", "2", "room:1", "phx_join", {"who": 1}])]);
    played.told(&format!(r#"["2","2","room:1","phx_reply",{OK}]"#));
    played.told(r#"["2","2","room:1","phx_close",{}]"#);
    assert_eq!(played.news(), ["Joined(RawValue({}))", "ChannelLost"]);
    assert_eq!(played.sleep(), 30_000);
    assert_eq!(played.sent(), [json!([null, "3", "phoenix", "heartbeat", {}])]);
    played.close(None);
    played.sleep();
    played.open();
    assert_eq!(played.actions(), [Action::Connect]);
}

#[test]
fn who_leaves_says_so_and_nothing_more_happens() {
    let mut played = Played::joined();
    played.client.push("say", "{}", played.now).unwrap();
    played.actions();
    played.client.leave();
    assert_eq!(played.sent(), [json!(["1", "3", "room:1", "phx_leave", {}])]);
    played.told(&format!(r#"["1","2","room:1","phx_reply",{OK}]"#));
    played.close(Some(1005));
    played.open();
    played.wait(100_000);
    assert_eq!((played.actions(), played.news()), (vec![], vec![]));
    assert_eq!(played.client.poll_timeout(), None);

    // As recorded in fault-join-timeout: of a join that was given up, no join is named.
    let mut played = Played::new();
    played.open();
    played.sleep();
    played.actions();
    played.client.leave();
    assert_eq!(played.sent(), [json!([null, "3", "room:1", "phx_leave", {}])]);
}

#[derive(Clone, Debug)]
enum Input {
    Open,
    Close(Option<u16>),
    Text(String),
    Sleep,
    Push,
    Leave,
}

fn input() -> impl Strategy<Value = Input> {
    let reference = || prop_oneof![Just("null".to_owned()), (1..12u8).prop_map(|n| format!("\"{n}\""))];
    let event = prop_oneof![Just("phx_reply"), Just("phx_error"), Just("phx_close"), Just("ag-ui")];
    let topic = prop_oneof![4 => Just("room:1"), 1 => Just("phoenix"), 1 => Just("room:2")];
    let payload = prop_oneof![Just(OK), Just(NO), Just("{}")];
    let frame =
        (reference(), reference(), topic, event, payload).prop_map(|(join, reference, topic, event, payload)| {
            format!(r#"[{join},{reference},"{topic}","{event}",{payload}]"#)
        });
    prop_oneof![
        3 => Just(Input::Open),
        2 => prop::option::of(1000..1013u16).prop_map(Input::Close),
        8 => frame.prop_map(Input::Text),
        6 => Just(Input::Sleep),
        4 => Just(Input::Push),
        1 => Just(Input::Leave),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_push_has_one_outcome_and_time_moves_on(inputs in prop::collection::vec(input(), 0..60)) {
        let mut played = Played::new();
        let mut open = BTreeSet::new();
        let mut left = false;
        let mut last_reference = 0;
        for input in inputs {
            // A wire is open between these two, as the pump has it.
            let is_open = matches!(played.client.link, Link::Open(_));
            match input {
                Input::Open if matches!(played.client.link, Link::Dialling) => played.open(),
                Input::Close(code) if !matches!(played.client.link, Link::Down { .. }) => played.close(code),
                Input::Text(text) if is_open => played.told(&text),
                Input::Sleep => {
                    if let Some(at) = played.client.poll_timeout() {
                        played.now = played.now.max(at);
                        played.client.handle_timeout(played.now);
                        let next = played.client.poll_timeout();
                        prop_assert!(next.is_none_or(|next| next > played.now), "the time did not move on");
                    }
                }
                Input::Push if open.is_empty() => {
                    if let Some(push) = played.client.push("say", "{}", played.now) {
                        prop_assert!(is_open && !left);
                        open.insert(push.0);
                    }
                }
                Input::Leave => { played.client.leave(); left = true; }
                _ => {}
            }
            for action in played.actions() {
                let Action::Send(text) = action else { continue };
                let frame: (Option<String>, String, String, String, Value) = serde_json::from_str(&text).unwrap();
                let reference: u64 = frame.1.parse().unwrap();
                prop_assert!(reference > last_reference, "refs grow");
                last_reference = reference;
            }
            while let Some(news) = played.client.poll_news() {
                prop_assert!(!left);
                match news {
                    News::Replied(push, _) | News::PushTimedOut(push) => prop_assert!(open.remove(&push.0)),
                    News::SocketLost(_) | News::ChannelLost => open.clear(),
                    _ => {}
                }
            }
            if !left && open.is_empty() {
                prop_assert!(played.client.push.is_none());
            }
        }
    }
}
