//! Whatever the other end of a Phoenix socket says, the client sends messages of the protocol, tells what was said as
//! it was said, and never spins.

use std::time::{Duration, Instant};

use copilotkit_runtime::fuzzing::Channel;
use serde_json::value::RawValue;

/// Plays the bytes: a line is what happens, a frame if it is nothing else.
pub fn holds(bytes: &[u8]) {
    let mut channel = Channel::new("t", Instant::now());
    let mut left = false;
    for line in String::from_utf8_lossy(bytes).lines() {
        match line {
            "o" => channel.open(),
            "c" => channel.close(None),
            "n" => channel.close(Some(1000)),
            "s" => sleep(&mut channel),
            "p" => assert!(!(channel.push(r#"{"n":1.0}"#) && left), "pushed after leaving"),
            "l" => {
                channel.leave();
                left = true;
            }
            frame => channel.told(frame),
        }
        for sent in channel.sent() {
            let message: (Option<String>, String, String, String, &RawValue) =
                serde_json::from_str(&sent).expect("a message of the protocol");
            assert!(matches!(&*message.2, "t" | "phoenix"), "{sent}");
        }
        let (said, others) = channel.said();
        assert!(said.iter().all(|said| line.contains(said.as_str())), "{said:?} of {line}");
        assert!(!left || (said.is_empty() && others == 0), "told after leaving");
    }
}

/// Time goes on, with several timers at one moment, but not without end.
fn sleep(channel: &mut Channel) {
    for _ in 0..16 {
        match channel.sleep() {
            Some(Duration::ZERO) => {}
            _ => return,
        }
    }
    panic!("the client wants to be woken again and again");
}
