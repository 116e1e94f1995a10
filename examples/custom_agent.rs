//! Two agents of your own: one as a type, one as a closure that streams what a channel brings.
//!
//! Run with `cargo run --example custom_agent`, then
//! `curl -N http://127.0.0.1:3000/api/copilotkit/agent/shout/run -d '{"threadId":"t1","runId":"r1","messages":[{"id":"u1","role":"user","content":"hello there"}]}'`

use std::time::Duration;

use axum::Router;
use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agent::{Agent, AgentCall, AgentError, EventStream, FunctionAgent};
use copilotkit_runtime::agui::{Event, Role};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Repeats what it is told, louder.
struct Shout;

impl Agent for Shout {
    fn run(&self, call: AgentCall) -> EventStream {
        let input = call.input;
        let told = input.messages.iter().rev().find(|message| message.role() == Role::User);
        let Some(text) = told.and_then(|message| message.text()) else {
            // An error becomes the run's RUN_ERROR, with this message.
            return Box::pin(tokio_stream::once(Err(AgentError::new("There is nothing to shout."))));
        };
        let message = format!("{}-answer", input.run_id);
        Box::pin(tokio_stream::iter([
            Ok(Event::run_started(&input.thread_id, &input.run_id)),
            Ok(Event::text_start(&message)),
            Ok(Event::text_content(&message, &text.to_uppercase())),
            Ok(Event::text_end(&message)),
            Ok(Event::run_finished(&input.thread_id, &input.run_id)),
        ]))
    }

    fn description(&self) -> &str {
        "Repeats what you say, louder"
    }
}

/// Counts to ten, one number every 200 ms. The sender ends when the stream is dropped: a stopped run stops counting.
async fn count(call: AgentCall, events: mpsc::Sender<Result<Event, AgentError>>) -> Option<()> {
    let input = call.input;
    let message = format!("{}-count", input.run_id);
    events.send(Ok(Event::run_started(&input.thread_id, &input.run_id))).await.ok()?;
    events.send(Ok(Event::text_start(&message))).await.ok()?;
    for number in 1..=10 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        events.send(Ok(Event::text_content(&message, &format!("{number} ")))).await.ok()?;
    }
    events.send(Ok(Event::text_end(&message))).await.ok()?;
    events.send(Ok(Event::run_finished(&input.thread_id, &input.run_id))).await.ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counter = FunctionAgent::new(|call| {
        let (events, received) = mpsc::channel(16);
        #[expect(clippy::disallowed_methods, reason = "ends with its channel, which ends with the run")]
        tokio::spawn(count(call, events));
        ReceiverStream::new(received)
    })
    .described("Counts to ten");

    let runtime = CopilotRuntime::builder().agent("shout", Shout).agent("count", counter).build()?;
    let app: Router = Router::new().nest_service("/api/copilotkit", runtime.into_service());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("Runtime at http://{}/api/copilotkit", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
