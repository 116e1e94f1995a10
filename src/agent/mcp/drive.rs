//! Drives an agent through its turns: lists tools, passes events on, executes calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::HeaderMap;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::server::McpServer;
use super::session::Session;
use super::toolbox::Toolbox;
use super::turns::{Answer, Broken, Call, Next, Turns};
use super::{Failure, McpAgent};
use crate::agent::{Agent, AgentCall, AgentError, EventStream};
use crate::agui::{Event, RunAgentInput};

/// How long an agent that said that its turn is over may stay silent before its stream is taken for ended.
const SILENCE: Duration = Duration::from_millis(100);
/// How many calls are executed at the same time.
const AT_ONCE: usize = 8;

/// Runs an agent with the tools of its servers; without any tools, as it is.
pub(super) fn run(with: McpAgent, call: AgentCall) -> EventStream {
    let stopped = call.stopped.clone();
    let begin = async move {
        let listing = toolbox(&with.servers, &call);
        let Some(toolbox) = stopped.run_until_cancelled(listing).await else { return stream::empty().boxed() };
        if toolbox.is_empty() {
            return with.agent.run(call);
        }
        let turns = Turns::new((*call.input).clone(), toolbox, with.max_rounds);
        let mut drive =
            Drive { agent: with.agent, servers: with.servers, call, turns, ready: VecDeque::new(), phase: Phase::Over };
        drive.phase = drive.turn(drive.turns.input());
        drive.into_events().boxed()
    };
    begin.flatten_stream().boxed()
}

/// A run under way.
struct Drive {
    agent: Arc<dyn Agent>,
    servers: Arc<[McpServer]>,
    call: AgentCall,
    turns: Turns,
    /// What is to be shown next.
    ready: VecDeque<Event>,
    phase: Phase,
}

enum Phase {
    /// The agent has its turn.
    Turn(EventStream),
    /// Calls are executed.
    Calls(Vec<Call>),
    /// The run has its end; the agent may have something to do yet.
    WindingDown(EventStream),
    Over,
}

impl Drive {
    fn into_events(self) -> impl Stream<Item = Result<Event, AgentError>> + Send {
        stream::unfold(self, |mut drive| async move { Some((drive.next().await?, drive)) })
    }

    async fn next(&mut self) -> Option<Result<Event, AgentError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Turn(mut events) => match listen(&mut events, self.turns.has_finished()).await {
                    Some(Ok(event)) => {
                        self.phase = Phase::Turn(events);
                        if let Err(broken) = self.turns.hear(event, &mut self.ready) {
                            self.phase = Phase::Over;
                            self.ready.clear();
                            return Some(Err(broken.into()));
                        }
                    }
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.phase = self.after(events),
                },
                Phase::Calls(calls) => self.phase = self.execute(calls).await,
                Phase::WindingDown(mut events) => while events.next().await.is_some() {},
                Phase::Over => return None,
            }
        }
    }

    fn after(&mut self, events: EventStream) -> Phase {
        match self.turns.end_turn() {
            Next::Execute(calls) => Phase::Calls(calls),
            Next::Refuse(calls) => {
                warn!(calls = calls.len(), "an agent went on calling MCP tools; its calls are refused from here on");
                let refusals: Vec<_> = calls.iter().map(refused).collect();
                self.turns.answer(&refusals, &mut self.ready);
                self.finish(events)
            }
            Next::Over => self.finish(events),
        }
    }

    fn finish(&mut self, events: EventStream) -> Phase {
        self.ready.extend(self.turns.finish());
        Phase::WindingDown(events)
    }

    async fn execute(&mut self, calls: Vec<Call>) -> Phase {
        let stopped: CancellationToken = self.call.stopped.clone();
        let Some(answers) = stopped.run_until_cancelled(answers(&self.servers, &calls, &self.call.headers)).await
        else {
            // Whoever stops the run closes what is open.
            return Phase::Over;
        };
        self.turns.answer(&answers, &mut self.ready);
        match self.turns.next_turn() {
            Some(input) => self.turn(RunAgentInput { run_id: Uuid::new_v4().to_string(), ..input }),
            None => {
                self.ready.extend(self.turns.finish());
                Phase::Over
            }
        }
    }

    fn turn(&self, input: RunAgentInput) -> Phase {
        Phase::Turn(self.agent.run(AgentCall { input: Arc::new(input), ..self.call.clone() }))
    }
}

/// What an agent says next; `None` if its turn is over.
async fn listen(events: &mut EventStream, has_finished: bool) -> Option<Result<Event, AgentError>> {
    if has_finished {
        return timeout(SILENCE, events.next()).await.unwrap_or(None);
    }
    events.next().await
}

/// The tools of all servers that say in time what they have.
async fn toolbox(servers: &[McpServer], call: &AgentCall) -> Toolbox {
    let mut toolbox = Toolbox::beside(call.input.tool_names());
    let listings = join_all(servers.iter().map(|server| server.tools(&call.headers))).await;
    for (index, (server, listing)) in servers.iter().zip(listings).enumerate() {
        let id = server.id_at(index);
        let tools = listing.unwrap_or_else(|failure| {
            warn!(server = %id, error = %failure, "the tools of an MCP server are missing from a run");
            Vec::new()
        });
        for tool in tools {
            let name = tool.name.clone();
            if let Err(too_many) = toolbox.add(index, &id, tool) {
                warn!(server = %id, tool = name, error = %too_many, "a tool of an MCP server is left out");
            }
        }
    }
    toolbox
}

/// The servers whose tools are called, by their places.
type Sessions<'s> = BTreeMap<usize, (&'s McpServer, Result<Session, Failure>)>;

/// Executes calls, and answers them in their order. The headers are those of the run.
async fn answers(servers: &[McpServer], calls: &[Call], headers: &HeaderMap) -> Vec<Answer> {
    let wanted: BTreeSet<usize> = calls.iter().map(|call| call.origin.server).collect();
    let opening = wanted.iter().filter_map(|index| Some((*index, servers.get(*index)?)));
    let opened =
        join_all(opening.map(|(index, server)| async move { (index, (server, server.open(headers).await)) })).await;
    let sessions: Sessions<'_> = opened.into_iter().collect();
    let executing: Vec<_> = calls.iter().map(|call| execute(&sessions, call)).collect();
    stream::iter(executing).buffered(AT_ONCE).collect().await
}

async fn execute(sessions: &Sessions<'_>, call: &Call) -> Answer {
    let result = match sessions.get(&call.origin.server) {
        Some((server, Ok(session))) => server.call(session, &call.origin.name, &call.arguments).await,
        Some((_, Err(failure))) => Err(failure.clone()),
        None => Err(Failure::Malformed("is missing")),
    };
    let content = result.unwrap_or_else(|failure| {
        warn!(tool = call.origin.name, error = %failure, "a tool of an MCP server failed");
        error_of(call, &failure)
    });
    answer(call, content)
}

fn answer(call: &Call, content: String) -> Answer {
    Answer { call_id: call.id.clone(), content, message_id: Uuid::new_v4().to_string() }
}

fn refused(call: &Call) -> Answer {
    answer(call, error_of(call, &"too many rounds of tool calls in one run"))
}

/// What the agent is told of a call that failed.
fn error_of(call: &Call, why: &dyn std::fmt::Display) -> String {
    format!("Error executing tool {}: {why}", call.origin.name)
}

impl From<Broken> for AgentError {
    fn from(broken: Broken) -> AgentError {
        let error = AgentError::new(broken.to_string());
        match broken {
            Broken::Chunk(_) => error,
            Broken::TooLarge => error.with_code("RUN_TOO_LARGE"),
        }
    }
}
