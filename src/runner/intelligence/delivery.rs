//! How the events of a run get to the platform: each once, in order, none lost while there is time
//! (intelligence.md 4.3 and 4.4). Pure: ids and times come from outside.

mod stamp;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use self::stamp::Stamp;
use crate::agui::Event;
use crate::phoenix::PushRef;

/// The most events of a batch.
const BATCH: usize = 32;
/// A batch is sent before it has more bytes than this, unless one event has. Gateways bound what a frame may hold,
/// and none says how.
const BATCH_BYTES: usize = 512 << 10;
/// How long an event waits for others to share a batch with.
const FLUSH: Duration = Duration::from_millis(5);
const RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(2);
/// How old an undelivered event may become.
const DEADLINE: Duration = Duration::from_secs(60);
/// With so much undelivered, no more is taken from the agent.
const ROOM: usize = 256;
const ROOM_BYTES: usize = 256 << 10;
/// What a gateway that takes batches says when it is joined.
const TAKES_BATCHES: &str = "runner_event_batch_v1";

/// How a gateway takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// One at a time.
    Single,
    /// Several at once.
    Batches,
}

/// Why events cannot be delivered, for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undeliverable {
    #[error("Runner event durability failed: {0}")]
    Rejected(String),
    #[error("Timed out trying to durably deliver runner events")]
    TimedOut,
}

/// What is to be pushed.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) event: &'static str,
    pub(super) payload: String,
    events: usize,
}

/// The undelivered events of one run.
#[derive(Debug)]
pub(super) struct Delivery {
    stamp: Stamp,
    pending: VecDeque<Pending>,
    bytes: usize,
    /// How the gateway takes events while its channel is joined.
    joined: Option<Intake>,
    flight: Flight,
    /// How often the first events failed since the last success.
    failures: u32,
    last: Last,
}

/// The run's last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    ToCome,
    /// Pending, and not to be sent yet.
    Withheld,
    /// The same, and nothing else is sent either.
    HoldsAll,
    /// To be sent like any other, or accepted already.
    Free,
}

#[derive(Debug)]
struct Pending {
    json: String,
    queued: Instant,
}

/// The first of the pending events, as far as they were sent. What was sent together stays together.
#[derive(Debug)]
enum Flight {
    None,
    Sent {
        events: usize,
        push: PushRef,
    },
    Failed {
        events: usize,
        again: Instant,
    },
    /// The channel was lost before there was an answer.
    Interrupted {
        events: usize,
        intake: Intake,
    },
}

impl Intake {
    /// What the answer to a join says.
    pub(super) fn of(response: &RawValue) -> Intake {
        #[derive(Deserialize)]
        struct Joined {
            capabilities: Vec<Value>,
        }
        let capabilities = serde_json::from_str(response.get()).map(|joined: Joined| joined.capabilities);
        match capabilities.unwrap_or_default().iter().any(|capability| capability == TAKES_BATCHES) {
            true => Intake::Batches,
            false => Intake::Single,
        }
    }
}

impl Delivery {
    /// `input` is the run's input as JSON text, with canonical ids and the messages that are new to the thread.
    pub(super) fn new(thread_id: &str, run_id: &str, input: String) -> Delivery {
        Delivery {
            stamp: Stamp::new(thread_id, run_id, input),
            pending: VecDeque::new(),
            bytes: 0,
            joined: None,
            flight: Flight::None,
            failures: 0,
            last: Last::ToCome,
        }
    }

    /// Takes the run's next event. The id must be new.
    pub(super) fn queue(&mut self, event: &Event, id: &str, now: Instant) {
        let json = self.stamp.apply(event, id);
        self.bytes += json.len();
        self.pending.push_back(Pending { json, queued: now });
    }

    /// Takes the run's last event, which is not to be sent before [`Delivery::finish`].
    pub(super) fn queue_last(&mut self, event: &Event, id: &str, now: Instant) {
        self.queue(event, id, now);
        self.last = Last::Withheld;
    }

    /// Everything may be sent, and no event will follow.
    pub(super) fn finish(&mut self) {
        self.last = Last::Free;
    }

    /// Sends nothing more before [`Delivery::finish`], so that the last event, if it is withheld, leaves in one push
    /// with what is pending. `false` while that cannot be: the channel is lost, something is out, or more is pending
    /// than one push takes.
    pub(super) fn hold(&mut self) -> bool {
        let fits = match self.joined {
            Some(Intake::Batches) => self.pending.len() <= BATCH,
            Some(Intake::Single) => self.pending.len() == 1,
            None => false,
        };
        if fits && self.last == Last::Withheld && matches!(self.flight, Flight::None) {
            self.last = Last::HoldsAll;
        }
        self.last == Last::HoldsAll
    }

    /// Whether the agent may say more now. What it says meanwhile stays with it.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < ROOM && self.bytes < ROOM_BYTES
    }

    /// Whether every event of the finished run was accepted.
    pub(super) fn is_complete(&self) -> bool {
        self.last == Last::Free && self.pending.is_empty()
    }

    /// The channel is joined.
    pub(super) fn joined(&mut self, intake: Intake) {
        self.joined = Some(intake);
        self.failures = 0;
        if let Flight::Interrupted { intake: before, .. } = self.flight
            && before != intake
        {
            self.flight = Flight::None;
        }
    }

    /// The channel is lost, and with it the answer to what was sent.
    pub(super) fn lost(&mut self) {
        let Some(intake) = self.joined.take() else { return };
        if let Flight::Sent { events, .. } | Flight::Failed { events, .. } = self.flight {
            self.flight = Flight::Interrupted { events, intake };
        }
    }

    /// What to push now, if anything. [`Delivery::sent`] says that it was.
    pub(super) fn poll_push(&self, now: Instant) -> Option<Push> {
        let intake = self.joined?;
        let events = match self.flight {
            Flight::Sent { .. } => return None,
            _ if self.last == Last::HoldsAll => return None,
            Flight::Failed { again, .. } if again > now => return None,
            Flight::Failed { events, .. } | Flight::Interrupted { events, .. } => events,
            Flight::None => self.ready(intake, now)?,
        };
        let batch = self.pending.iter().take(events).map(|pending| &*pending.json);
        let (event, payload) = match intake {
            Intake::Single => ("event", batch.collect()),
            Intake::Batches => ("events", array(batch)),
        };
        Some(Push { event, payload, events })
    }

    /// How many events are to be sent together now.
    fn ready(&self, intake: Intake, now: Instant) -> Option<usize> {
        let sendable = self.pending.len() - usize::from(self.last == Last::Withheld);
        let oldest = self.pending.front().filter(|_| sendable > 0)?;
        if intake == Intake::Single {
            return Some(1);
        }
        let mut bytes = 0;
        let fitting = self.pending.iter().take(sendable.min(BATCH)).take_while(|pending| {
            bytes += pending.json.len();
            bytes <= BATCH_BYTES
        });
        let fitting = fitting.count();
        let is_full = fitting == BATCH || fitting < sendable;
        (is_full || self.last == Last::Free || oldest.queued + FLUSH <= now).then_some(fitting.max(1))
    }

    /// It was pushed.
    pub(super) fn sent(&mut self, push: &Push, reference: PushRef) {
        self.flight = Flight::Sent { events: push.events, push: reference };
    }

    /// The push was answered.
    pub(super) fn replied(
        &mut self,
        push: PushRef,
        answer: Result<(), Box<RawValue>>,
        now: Instant,
    ) -> Result<(), Undeliverable> {
        let Some(events) = self.in_flight(push) else { return Ok(()) };
        match answer {
            Ok(()) => {
                self.bytes -= self.pending.drain(..events).map(|pending| pending.json.len()).sum::<usize>();
                self.flight = Flight::None;
                self.failures = 0;
            }
            Err(response) => {
                let refusal = Refusal::of(&response);
                if refusal.is_permanent() {
                    return Err(Undeliverable::Rejected(refusal.into_reason()));
                }
                self.fail(events, now);
            }
        }
        Ok(())
    }

    /// The push was not answered in time. It may have arrived, so the same is sent again.
    pub(super) fn timed_out(&mut self, push: PushRef, now: Instant) {
        if let Some(events) = self.in_flight(push) {
            self.fail(events, now);
        }
    }

    fn in_flight(&self, answered: PushRef) -> Option<usize> {
        match self.flight {
            Flight::Sent { events, push } if push == answered => Some(events),
            _ => None,
        }
    }

    fn fail(&mut self, events: usize, now: Instant) {
        let wait = RETRY.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(MAX_RETRY);
        self.failures += 1;
        self.flight = Flight::Failed { events, again: now + wait };
    }

    /// When to look again if nothing happens before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.pending.front()?.queued;
        let deadline = oldest + DEADLINE;
        let push = match (self.joined, &self.flight) {
            (None, _) | (_, Flight::Sent { .. }) => deadline,
            _ if self.last == Last::HoldsAll => deadline,
            (_, Flight::Failed { again, .. }) => *again,
            (_, Flight::None | Flight::Interrupted { .. }) => oldest + FLUSH,
        };
        Some(push.min(deadline))
    }

    /// Whether there is still time.
    pub(super) fn check(&self, now: Instant) -> Result<(), Undeliverable> {
        match self.pending.front() {
            Some(oldest) if oldest.queued + DEADLINE <= now => Err(Undeliverable::TimedOut),
            _ => Ok(()),
        }
    }
}

fn array<'a>(batch: impl Iterator<Item = &'a str> + Clone) -> String {
    let bytes: usize = batch.clone().map(|json| json.len() + 1).sum();
    let mut out = String::with_capacity(bytes + 13);
    out.push_str(r#"{"events":["#);
    for (index, json) in batch.enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(json);
    }
    out.push_str("]}");
    out
}

/// What a gateway says when it refuses a join or a push.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    reason: Option<String>,
    retryable: Option<bool>,
}

impl Refusal {
    pub(super) fn of(response: &RawValue) -> Refusal {
        let response: Value = serde_json::from_str(response.get()).unwrap_or_default();
        Refusal {
            reason: response.get("reason").and_then(Value::as_str).map(ToOwned::to_owned),
            retryable: response.get("retryable").and_then(Value::as_bool),
        }
    }

    /// Of a run that was let in before: only what is said to be permanent is.
    pub(super) fn is_permanent(&self) -> bool {
        self.retryable == Some(false)
    }

    /// Of a run that never was: only what is known to pass is waited for.
    pub(super) fn may_pass(&self) -> bool {
        let drains = self.reason.as_deref() == Some("gateway_draining");
        self.retryable.unwrap_or(drains)
    }

    /// What a failed run says about it.
    pub(super) fn into_reason(self) -> String {
        self.reason.unwrap_or_else(|| "permanent_gateway_rejection".to_owned())
    }
}
