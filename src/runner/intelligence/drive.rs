//! One run from its place on the thread to the acknowledgement of its last event.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, error, error_span, info, warn};
use uuid::Uuid;

use super::active::{ActiveRun, Place, STOP};
use super::agent::Speaker;
use super::delivery::{Delivery, Intake, Refusal, Undeliverable};
use super::lock::{self, Lock};
use super::{PlatformRun, Shared, StartError, join};
use crate::agent::{Agent, AgentCall, AgentError};
use crate::agui::{Ending, Event, EventKind, EventWriter, RunAgentInput};
use crate::meter::PlatformTrouble;
use crate::phoenix::{News, Options, Socket};
use crate::runner::batch::{Batch, More};
use crate::runner::outcome;
use crate::runner::pipeline::{Pipeline, Sink};
use crate::runner::{AgentBounds, Outcome, codes};

/// An agent that is to be started, and what holds for it.
type Starting = (Arc<dyn Agent>, AgentCall, AgentBounds);

type Admitted = oneshot::Sender<Result<(), StartError>>;

/// Why a run failed: the platform has no terminal event of it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Undeliverable(#[from] Undeliverable),
    #[error("Gateway permanently rejected channel rejoin: {0}")]
    Rejected(String),
    #[error("Timed out stopping Intelligence run")]
    StopTimedOut,
    #[error("The runtime is shutting down")]
    ShutDown,
}

/// Runs an agent and delivers what it says. Whatever happens, the thread is free afterwards.
pub(super) async fn drive<L: Lock>(shared: Arc<Shared>, place: Place, run: PlatformRun<L>, admitted: Admitted) {
    let PlatformRun { agent_id, agent, input, headers, bounds, new_messages, user_id, lock, meter, .. } = run;
    let span = error_span!("run", thread.id = %input.thread_id, user.id = %user_id, run.id = %input.run_id, agent.id = %agent_id);
    let work = async {
        let started = RunAgentInput { messages: new_messages, ..input.clone() };
        let delivery = Delivery::new(&input.thread_id, &input.run_id, started.to_json());
        let call = AgentCall {
            input: Arc::new(input.for_agent(|| Uuid::new_v4().to_string())),
            headers,
            stopped: CancellationToken::new(),
        };
        // What the run no longer needs while it lasts.
        drop((started, input));
        execute(&shared, place, delivery, (agent, call, bounds), &lock, admitted).await;
    };
    if AssertUnwindSafe(work.instrument(span.clone())).catch_unwind().await.is_err() {
        span.in_scope(|| error!("the runner panicked; the run was abandoned"));
        meter.ended(Outcome::Failed(codes::RUNNER_FAILED));
        lock::release(&lock).instrument(span).await;
    }
}

async fn execute<L: Lock>(
    shared: &Shared,
    place: Place,
    delivery: Delivery,
    agent: Starting,
    lock: &L,
    admitted: Admitted,
) {
    let run = place.run().clone();
    let mut socket = Socket::new(shared.dial.clone(), channel(shared, &run));
    // Boxed, as it lives as long as the run and would be in the task twice.
    let mut lost = lock.renew().boxed();
    let intake = match join::join(&mut socket, &mut lost, &shared.closing, run.meter()).await {
        Ok(intake) => intake,
        Err(refused) => {
            info!(error = %refused, "the run did not start");
            tokio::join!(socket.leave(), lock::release(lock));
            drop(place);
            let _ = admitted.send(Err(refused));
            return;
        }
    };
    // Nobody may be waiting any more: the run goes on.
    let _ = admitted.send(Ok(()));
    let mut drive = Box::new(Drive::begin(shared, &run, lock, socket, delivery, intake, agent));
    let delivered = drive.deliver(&mut lost).await;
    let outcome = drive.outcome;
    let (socket, release) = drive.end();
    let outcome = if delivered.is_ok() { outcome } else { Outcome::Failed(Outcome::DELIVERY_FAILED) };
    let (ended, code) = outcome.words();
    debug!(outcome = ended, code, events = run.meter().events(), "the run ended");
    run.meter().ended(outcome);
    match delivered {
        Ok(()) => {
            // The next run may come while the socket is still closing.
            place.acknowledge();
            socket.leave().await;
        }
        Err(failure) => {
            error!(error = %failure, "the run failed");
            tokio::join!(socket.leave(), release.unwrap_or_else(|| lock::release(lock).boxed()));
            drop(place);
        }
    }
}

fn channel(shared: &Shared, run: &ActiveRun) -> Options {
    let params = serde_json::json!({"thread_id": run.thread_id(), "run_id": run.run_id()});
    Options {
        topic: format!("ingestion:{}", run.run_id()),
        params: params.to_string(),
        max_reconnect: shared.max_reconnect,
        max_rejoin: shared.max_rejoin,
    }
}

/// A run that was let in.
struct Drive<'a, L> {
    shared: &'a Shared,
    run: &'a ActiveRun,
    lock: &'a L,
    socket: Socket,
    delivery: Delivery,
    pipeline: Pipeline,
    /// Nobody listens to an agent whose run is over.
    speaker: Option<Speaker>,
    /// When an agent that was told to wind down has had its time.
    wind_down_by: Option<Instant>,
    /// When a stopped run must be over.
    stop_by: Option<Instant>,
    /// The release of the lock, before the run's error is pushed.
    release: Option<BoxFuture<'a, ()>>,
    keeps_lock: bool,
    /// By its terminal event.
    outcome: Outcome,
}

/// What a run waits for.
enum Next {
    News(News),
    Said(Batch, More),
    LockLost(String),
    Released,
    Stop,
    ShutDown,
    Abandon,
    Time,
}

impl<'a, L: Lock> Drive<'a, L> {
    fn begin(
        shared: &'a Shared,
        run: &'a ActiveRun,
        lock: &'a L,
        socket: Socket,
        mut delivery: Delivery,
        intake: Intake,
        (agent, call, bounds): Starting,
    ) -> Drive<'a, L> {
        delivery.joined(intake);
        // An agent that was stopped before it could start does not.
        let speaker = (!run.stop().is_cancelled()).then(|| Speaker::start(agent, call, bounds));
        Drive {
            shared,
            run,
            lock,
            socket,
            delivery,
            pipeline: Pipeline::new(run.thread_id(), run.run_id(), None),
            speaker,
            wind_down_by: None,
            stop_by: None,
            release: None,
            keeps_lock: true,
            outcome: outcome::closed(&Ending::Incomplete),
        }
    }

    /// Takes what the agent says to the platform, until all of it is acknowledged. `lost` ends when the lock is lost.
    async fn deliver(&mut self, mut lost: impl Future<Output = String> + Unpin) -> Result<(), Failure> {
        let shared = self.shared;
        loop {
            let now = Instant::now();
            self.heed_time(now)?;
            self.give_back();
            self.push(now);
            if self.delivery.is_complete() {
                return Ok(());
            }
            let timer = timer(self.due());
            let Drive { run, socket, delivery, speaker, release, .. } = self;
            let listens = speaker.is_some() && delivery.has_room();
            let over = speaker.is_none();
            let next = tokio::select! {
                biased;
                () = shared.abandoning.cancelled() => Next::Abandon,
                news = socket.next() => Next::News(news),
                why = &mut lost, if self.keeps_lock => Next::LockLost(why),
                () = released(release), if release.is_some() => Next::Released,
                () = run.stop().cancelled(), if self.stop_by.is_none() => Next::Stop,
                () = shared.stopping.cancelled(), if !over => Next::ShutDown,
                () = timer => Next::Time,
                (batch, more) = listen(speaker), if listens => Next::Said(batch, more),
            };
            let full = matches!(&next, Next::Said(batch, _) if batch.is_full());
            self.heed(next)?;
            if full {
                // An agent that is always ready must not keep its worker from other runs.
                tokio::task::yield_now().await;
            }
        }
    }

    fn heed(&mut self, next: Next) -> Result<(), Failure> {
        let now = Instant::now();
        match next {
            Next::News(news) => self.hear(news, now)?,
            Next::Said(batch, more) => self.take(batch, more, now),
            Next::LockLost(why) => self.abort(&why, now),
            Next::Released => {
                self.release = None;
                self.delivery.finish();
            }
            Next::Stop => {
                self.stop_by = Some(now + STOP);
                self.dismiss(Ending::Stopped, now);
            }
            Next::ShutDown => {
                let message = Failure::ShutDown.to_string();
                self.dismiss(Ending::Failed { message, code: Some(codes::RUNTIME_SHUTDOWN) }, now);
            }
            Next::Abandon => return Err(Failure::ShutDown),
            Next::Time => {}
        }
        Ok(())
    }

    fn hear(&mut self, news: News, now: Instant) -> Result<(), Failure> {
        match news {
            News::Joined(response) => self.delivery.joined(Intake::of(&response)),
            News::Refused(response) => {
                let refusal = Refusal::of(&response);
                if refusal.is_permanent() {
                    return Err(Failure::Rejected(refusal.into_reason()));
                }
                self.run.meter().trouble(PlatformTrouble::Channel);
            }
            News::Replied(push, answer) => self.delivery.replied(push, answer, now.into_std())?,
            News::PushTimedOut(push) => {
                self.run.meter().trouble(PlatformTrouble::Push);
                self.delivery.timed_out(push, now.into_std());
            }
            News::ChannelLost => {
                self.run.meter().trouble(PlatformTrouble::Channel);
                self.delivery.lost();
            }
            News::SocketLost(_) => {
                self.run.meter().trouble(PlatformTrouble::Socket);
                self.delivery.lost();
            }
            News::Said { event, payload } if event == "ag-ui" && is_stop(&payload) => {
                self.run.ask_to_stop();
            }
            News::JoinTimedOut | News::Said { .. } => {}
        }
        Ok(())
    }

    fn push(&mut self, now: Instant) {
        if let Some(push) = self.delivery.poll_push(now.into_std())
            && let Some(reference) = self.socket.push(push.event, &push.payload)
        {
            self.delivery.sent(&push, reference);
        }
    }

    fn due(&self) -> Option<Instant> {
        let delivery = self.delivery.poll_timeout().map(Instant::from_std);
        [delivery, self.wind_down_by, self.stop_by].into_iter().flatten().min()
    }

    fn heed_time(&mut self, now: Instant) -> Result<(), Failure> {
        self.delivery.check(now.into_std())?;
        if self.stop_by.is_some_and(|at| at <= now) {
            return Err(Failure::StopTimedOut);
        }
        if self.wind_down_by.is_some_and(|at| at <= now) {
            self.dismiss(Ending::Incomplete, now);
        }
        Ok(())
    }

    /// Takes what the agent said. After its terminal event nothing counts.
    fn take(&mut self, batch: Batch, more: More, now: Instant) {
        self.run.meter().said(batch.events.len(), batch.bytes());
        for event in batch.events {
            if event.kind().is_terminal() {
                self.outcome = outcome::told(&event);
            }
            let mut queue = Queue { delivery: &mut self.delivery, now };
            if let Err(failure) = self.pipeline.push(event, &mut queue) {
                return self.fail(&failure, now);
            }
            if self.pipeline.has_ended() {
                return self.settle(Speaker::retire);
            }
        }
        match more {
            More::Coming => {}
            // An agent that was told to wind down may do so by failing.
            More::Failed(failure) if self.wind_down_by.is_none() => self.fail(&failure, now),
            More::Ended | More::Failed(_) => self.dismiss(Ending::Incomplete, now),
        }
    }

    /// Upstream's way to tell that an agent failed: its error, and what is open stays open.
    fn fail(&mut self, failure: &AgentError, now: Instant) {
        warn!(error = %failure, "the agent failed");
        self.outcome = Outcome::Failed(failure.code().unwrap_or(codes::INCOMPLETE_STREAM));
        let error = EventWriter::new(EventKind::RunError).text("message", failure.message());
        let error = error.optional_text("code", failure.code()).finish();
        let mut queue = Queue { delivery: &mut self.delivery, now };
        self.pipeline.fail(&error, &mut queue);
        self.settle(Speaker::dismiss);
    }

    /// The lock is lost: the agent is told to stop, and what it says until then counts.
    fn abort(&mut self, why: &str, now: Instant) {
        self.keeps_lock = false;
        let Some(speaker) = &self.speaker else { return };
        warn!(error = why, "the run lost its lock and is ended");
        self.run.meter().trouble(PlatformTrouble::Lock);
        self.wind_down_by = Some(now + speaker.tell_to_stop());
    }

    /// Closes what is open. What the agent says from here on does not count.
    fn dismiss(&mut self, why: Ending, now: Instant) {
        if !self.pipeline.has_ended() {
            self.outcome = outcome::closed(&why);
            let mut queue = Queue { delivery: &mut self.delivery, now };
            self.pipeline.close(why, &mut queue);
            self.settle(Speaker::dismiss);
        }
    }

    /// The run has its terminal event.
    fn settle(&mut self, part: impl FnOnce(Speaker, &TaskTracker)) {
        self.run.settle();
        self.wind_down_by = None;
        if let Some(speaker) = self.speaker.take() {
            part(speaker, &self.shared.tasks);
        }
    }

    /// Gives the thread back before the run's error is pushed, as late as can be: a run without its lock is not let in
    /// again if it loses the channel. Upstream does so at once, and loses the error then.
    fn give_back(&mut self) {
        if self.release.is_none() && self.delivery.hold() {
            self.keeps_lock = false;
            self.release = Some(Box::pin(lock::release(self.lock)));
        }
    }

    /// The end, whatever the agent thinks; with the release of the lock, if that was begun.
    fn end(self: Box<Self>) -> (Socket, Option<BoxFuture<'a, ()>>) {
        if let Some(speaker) = self.speaker {
            speaker.dismiss(&self.shared.tasks);
        }
        (self.socket, self.release)
    }
}

/// Takes a run's events from its pipeline to its delivery. An error waits there for the release of the lock.
struct Queue<'a> {
    delivery: &'a mut Delivery,
    now: Instant,
}

impl Sink for Queue<'_> {
    fn deliver(&mut self, event: &Event) {
        let (id, now) = (Uuid::new_v4().to_string(), self.now.into_std());
        match event.kind() {
            EventKind::RunError => self.delivery.queue_last(event, &id, now),
            EventKind::RunFinished => {
                self.delivery.queue(event, &id, now);
                self.delivery.finish();
            }
            _ => self.delivery.queue(event, &id, now),
        }
    }

    fn precede(&mut self, opening: &Event) {
        self.deliver(opening);
    }
}

async fn listen(speaker: &mut Option<Speaker>) -> (Batch, More) {
    match speaker {
        Some(speaker) => speaker.listen().await,
        None => std::future::pending().await,
    }
}

async fn released(release: &mut Option<BoxFuture<'_, ()>>) {
    match release {
        Some(release) => release.await,
        None => std::future::pending().await,
    }
}

async fn timer(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether the platform asks the run to stop.
fn is_stop(payload: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Said<'a> {
        r#type: &'a str,
        name: &'a str,
    }
    serde_json::from_str(payload.get()).is_ok_and(|said: Said<'_>| said.r#type == "CUSTOM" && said.name == "stop")
}
