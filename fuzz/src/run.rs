//! Whatever an agent says, what leaves is a run clients accept, and shortening it loses nothing.

use copilotkit_runtime::agui::{
    ChunkExpander, Ending, Event, EventKind, Finalizer, MessageList, StateFold, Verifier, compact, normalise,
};

/// Takes each line for an event of one run.
pub fn holds(bytes: &[u8]) {
    let mut expander = ChunkExpander::default();
    let (mut verifier, mut finalizer) = (Verifier::default(), Finalizer::new("t", "r"));
    let mut delivered = Vec::new();
    let started = Event::run_started("t", "r");
    let said = bytes.split(|byte| *byte == b'\n').filter_map(|line| Event::parse(line.to_vec()).ok());
    'said: for event in [started].into_iter().chain(said) {
        let Ok(event) = normalise(event) else { break };
        let mut expanded = Vec::new();
        if expander.push(event, &mut expanded).is_err() {
            break;
        }
        for event in expanded {
            if verifier.check(&event).is_err() {
                break 'said;
            }
            finalizer.observe(&event);
            delivered.push(event);
        }
    }
    delivered.extend(finalizer.close(Ending::Stopped));

    let mut verifier = Verifier::default();
    for event in &delivered {
        assert_eq!(verifier.check(event), Ok(()), "{delivered:#?}");
    }
    assert!(verifier.terminal_seen(), "{delivered:#?}");

    let short = compact(&delivered);
    assert_eq!(state(&short), state(&delivered), "{delivered:#?}\n{short:#?}");
    // Shortened, messages that overlapped come one after the other.
    if one_at_a_time(&delivered) {
        assert_eq!(messages(&short), messages(&delivered), "{delivered:#?}\n{short:#?}");
    }
}

/// The state a client makes of a run. A patch that does not fit is skipped, by clients as well.
fn state(events: &[Event]) -> String {
    let mut state = StateFold::new(None);
    for event in events {
        let _ = state.apply(event);
    }
    state.to_rest().into_owned()
}

/// The messages a client makes of a run.
fn messages(events: &[Event]) -> String {
    let mut messages = MessageList::default();
    for event in events {
        messages.apply(event);
    }
    messages.to_rest()
}

/// Whether nothing comes between the start of a message or tool call and its end but its own pieces.
fn one_at_a_time(events: &[Event]) -> bool {
    let mut open = false;
    events.iter().all(|event| match event.kind() {
        EventKind::TextMessageStart | EventKind::ToolCallStart => !std::mem::replace(&mut open, true),
        EventKind::TextMessageEnd | EventKind::ToolCallEnd => std::mem::replace(&mut open, false),
        EventKind::TextMessageContent | EventKind::ToolCallArgs => open,
        _ => !open,
    })
}
