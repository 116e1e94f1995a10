//! What holds whatever comes.

use proptest::prelude::*;

use super::super::{ChunkExpander, Ending, Event, EventKind, EventWriter, Message, RunAgentInput, Verifier};
use super::Pipeline;

/// A few ids and lanes, so that they meet often.
fn few() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("a")), Just(Some("b")), Just(Some("c"))]
}

prop_compose! {
    /// Any event, mostly out of place.
    fn any_event()(
        kind in proptest::sample::select(EventKind::ALL),
        message in few(), call in few(), lane in few(), name in few(), delta in few(), parent in few(),
    ) -> Event {
        EventWriter::new(kind)
            .text("threadId", "t").text("runId", "r").text("message", "m")
            .optional_text("messageId", message).optional_text("toolCallId", call)
            .optional_text("subagentRunId", lane).optional_text("toolCallName", name)
            .optional_text("stepName", name).optional_text("name", name)
            .optional_text("delta", delta).optional_text("parentMessageId", parent)
            .finish()
    }
}

/// The longest stream without an end that can be made of some events by leaving out what does not fit.
fn valid(events: Vec<Event>) -> Vec<Event> {
    let mut verifier = Verifier::default();
    let mut stream = Vec::new();
    for event in [Event::run_started("t", "r")].into_iter().chain(events) {
        let lacks_id = match event.kind().name() {
            name if name.ends_with("_CHUNK") => true,
            name if name.starts_with("TEXT_") => event.message_id().is_none(),
            name if name.starts_with("TOOL_") => event.tool_call_id().is_none(),
            name if name.starts_with("STEP_") => !event.as_str().contains("stepName"),
            _ => false,
        };
        let mut next = verifier.clone();
        if !lacks_id && !event.kind().is_terminal() && next.check(&event).is_ok() {
            verifier = next;
            stream.push(event);
        }
    }
    stream
}

proptest! {
    #[test]
    fn parse_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = RunAgentInput::parse(&bytes);
        let _ = Message::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn parse_survives_near_misses(
        cut in 0..400usize, at in 0..400usize, with in "[\\[\\]{}\",:0-9ntu\\\\ \n]{0,4}",
    ) {
        let body = concat!(
            "{\"threadId\":\"t\",\"runId\":\"r\",\"state\":{\"a\":[1,2]},\"messages\":[{\"id\":\"u\",\"role\":\"user\",",
            "\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",",
            "\"value\":\"v\"}}]},{\"id\":\"a\",\"role\":\"assistant\",\"toolCalls\":[{\"id\":\"c\",\"type\":\"function\",",
            "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}],\"tools\":[{\"name\":\"n\",\"description\":\"d\"}],",
            "\"context\":[],\"forwardedProps\":null}"
        );
        let mut body = body.to_owned();
        let (at, end) = (at.min(body.len()), (at + cut / 40).min(body.len()));
        body.replace_range(at..end, &with);
        if let Ok(input) = RunAgentInput::parse(body.as_bytes()) {
            let json = input.to_json();
            prop_assert!(!json.contains('\n'));
            prop_assert_eq!(RunAgentInput::parse(json.as_bytes()).unwrap().to_json(), json);
        }
    }

    #[test]
    fn no_chunk_leaves_the_expander(events in proptest::collection::vec(any_event(), 0..60)) {
        let (mut expander, mut out) = (ChunkExpander::default(), Vec::new());
        for event in events {
            if expander.push(event, &mut out).is_err() {
                break;
            }
        }
        prop_assert!(out.iter().all(|event| !event.kind().name().ends_with("_CHUNK")));
    }

    #[test]
    fn terminal_closes_what_chunks_opened(events in proptest::collection::vec(any_event(), 0..60)) {
        let (mut expander, mut out) = (ChunkExpander::default(), Vec::new());
        for event in events.into_iter().filter(|event| event.kind().name().ends_with("_CHUNK")) {
            // One that continues nothing changes nothing.
            let _ = expander.push(event, &mut out);
        }
        expander.push(Event::run_finished("t", "r"), &mut out).unwrap();
        for (start, end) in [
            (EventKind::TextMessageStart, EventKind::TextMessageEnd),
            (EventKind::ToolCallStart, EventKind::ToolCallEnd),
            (EventKind::ReasoningMessageStart, EventKind::ReasoningMessageEnd),
        ] {
            let count = |kind| out.iter().filter(|event| event.kind() == kind).count();
            prop_assert_eq!(count(start), count(end));
        }
        prop_assert_eq!(out.last().unwrap().kind(), EventKind::RunFinished);
    }

    #[test]
    fn every_closed_prefix_is_valid(
        events in proptest::collection::vec(any_event(), 0..40), cut in 0..40usize, why in 0..3,
    ) {
        let mut pipeline = Pipeline::new("t", "r");
        for event in valid(events).into_iter().take(cut) {
            pipeline.push(event).unwrap();
        }
        pipeline.close(match why {
            0 => Ending::Incomplete,
            1 => Ending::Failed { message: "boom".to_owned(), code: None },
            _ => Ending::Stopped,
        });
        let mut verifier = Verifier::default();
        for event in &pipeline.delivered {
            prop_assert_eq!(verifier.check(event), Ok(()), "{:?}", pipeline.delivered);
        }
        prop_assert!(verifier.terminal_seen());
    }
}
