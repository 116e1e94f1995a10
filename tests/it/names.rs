//! What threads are called: by their first words, and by titles that agents write in the background.

use std::time::Duration;

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::agui::{Event, Role};
use copilotkit_runtime::http::{Body, CopilotService};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::serve::{Puppet, call, get, post, puppets};

/// A runtime whose agent the test leads, also where it is asked for titles.
struct Naming {
    runtime: CopilotRuntime,
    service: CopilotService,
    asked: UnboundedReceiver<Puppet>,
}

impl Naming {
    fn new(generate: bool) -> Naming {
        let (agent, asked) = puppets();
        let runtime =
            CopilotRuntime::builder().agent("default", agent).generate_thread_names(generate).build().unwrap();
        Naming { service: runtime.clone().into_service(), runtime, asked }
    }

    /// A run on the thread `t`, from its start to its end.
    async fn run(&mut self, run: &str, text: &str) {
        let message = json!({"id": run, "role": "user", "content": text});
        let input = json!({
            "threadId": "t", "runId": run, "messages": [message], "state": {"s": 1}, "tools": [],
            "context": [{"description": "page", "value": "home"}],
        });
        let request = post("/agent/default/run", input.to_string());
        let (answer, ()) = tokio::join!(call(&self.service, request), async {
            let puppet = self.asked.recv().await.unwrap();
            assert_eq!(puppet.call.input.run_id, run);
            puppet.start();
            puppet.finish();
        });
        answer.events();
    }

    /// The next time the agent is asked for a title.
    async fn asked_for_title(&mut self) -> Puppet {
        self.asked.recv().await.unwrap()
    }

    /// Whether the agent is asked for nothing more: under a paused clock the wait ends when all is done.
    async fn is_left_alone(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(600), self.asked.recv()).await.is_err()
    }

    async fn name(&self) -> Value {
        let listed = call(&self.service, get("/threads")).await.json();
        listed["threads"][0]["name"].clone()
    }

    async fn rename(&self, name: &str) {
        let body = json!({"agentId": "default", "name": name}).to_string();
        let request = Request::builder().method(Method::PATCH).uri("/threads/t").body(Body::from(body)).unwrap();
        assert_eq!(call(&self.service, request).await.status, 200);
    }
}

/// Answers a question for a title.
fn reply(puppet: Puppet, text: &str) {
    puppet.start();
    puppet.say(Event::text_start("title"));
    puppet.say(Event::text_content("title", text));
    puppet.say(Event::text_end("title"));
    puppet.finish();
}

#[tokio::test(start_paused = true)]
async fn a_new_thread_is_named_by_its_first_words() {
    let mut naming = Naming::new(false);
    naming.run("r1", "Please tell me **all** about the weather in Rome today!").await;
    assert_eq!(naming.name().await, "Please tell me all about the weather in");
    naming.run("r2", "And in Oslo?").await;
    assert_eq!(naming.name().await, "Please tell me all about the weather in", "its first words");
    assert!(naming.is_left_alone().await, "titles are off");
}

#[tokio::test(start_paused = true)]
async fn an_agent_gives_a_new_thread_its_title() {
    let mut naming = Naming::new(true);
    naming.run("r1", "What is the weather in Rome?").await;
    assert_eq!(naming.name().await, "What is the weather in Rome", "nobody waits for the title");
    let puppet = naming.asked_for_title().await;
    let input = &puppet.call.input;
    assert!(input.thread_id != "t" && input.run_id != "r1" && !input.thread_id.is_empty());
    assert_eq!((input.tools.len(), input.context.len()), (0, 0));
    assert_eq!(input.state.as_ref().unwrap().get(), "{}");
    assert_eq!(input.messages.iter().map(|message| message.role()).collect::<Vec<_>>(), [Role::System, Role::User]);
    assert!(input.messages[1].text().unwrap().contains("user: What is the weather in Rome?"));
    reply(puppet, r#"{"title":"Weather in Rome."}"#);
    assert!(naming.is_left_alone().await);
    assert_eq!(naming.name().await, "Weather in Rome");
    let listed = call(&naming.service, get("/threads")).await.json();
    assert_eq!(listed["threads"].as_array().unwrap().len(), 1, "the question is no thread");
    naming.run("r2", "And in Oslo?").await;
    assert!(naming.is_left_alone().await, "only new threads get titles");
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_asked_three_times_at_most() {
    let mut naming = Naming::new(true);
    naming.run("r1", "Hi there").await;
    reply(naming.asked_for_title().await, "{}");
    // An answer that never comes, and a run that fails after it said something.
    drop(naming.asked_for_title().await);
    let puppet = naming.asked_for_title().await;
    puppet.start();
    puppet.say(Event::text_start("title"));
    puppet.say(Event::text_content("title", "Greetings"));
    puppet.say(Event::run_error("no luck", "CODE"));
    assert!(naming.is_left_alone().await);
    assert_eq!(naming.name().await, "Hi there");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_is_given_up() {
    let mut naming = Naming::new(true);
    naming.run("r1", "Hi there").await;
    let silent = [naming.asked_for_title().await, naming.asked_for_title().await];
    reply(naming.asked_for_title().await, "Third time lucky");
    assert!(naming.is_left_alone().await);
    assert_eq!(naming.name().await, "Third time lucky");
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_name_somebody_chose_is_not_overwritten() {
    let mut naming = Naming::new(true);
    naming.run("r1", "Hi there").await;
    let puppet = naming.asked_for_title().await;
    naming.rename("Mine").await;
    reply(puppet, "Greetings");
    assert!(naming.is_left_alone().await);
    assert_eq!(naming.name().await, "Mine");
}

#[tokio::test(start_paused = true)]
async fn a_title_makes_no_thread() {
    let mut naming = Naming::new(true);
    naming.run("r1", "Hi there").await;
    let puppet = naming.asked_for_title().await;
    let clear = Request::post("/threads/clear").body(Body::empty()).unwrap();
    assert_eq!(call(&naming.service, clear).await.status, 204);
    reply(puppet, "Greetings");
    assert!(naming.is_left_alone().await);
    assert_eq!(naming.name().await, Value::Null);
    assert_eq!(call(&naming.service, get("/threads")).await.json()["threads"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_thread_without_words_is_given_no_title() {
    let mut naming = Naming::new(true);
    naming.run("r1", " ").await;
    assert!(naming.is_left_alone().await);
    assert_eq!(naming.name().await, Value::Null);
}

#[tokio::test(start_paused = true)]
async fn titles_end_with_the_runtime() {
    let mut naming = Naming::new(true);
    naming.run("r1", "Hi there").await;
    let puppet = naming.asked_for_title().await;
    naming.runtime.shutdown(Duration::from_secs(3600)).await;
    puppet.start();
    assert!(puppet.is_forgotten(), "the agent's stream was dropped before the shutdown returned");
    assert!(naming.is_left_alone().await);
}

/// An agent that says everything at once may have a title before its first run has begun on a disk.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_title_finds_a_thread_that_is_still_beginning() {
    use copilotkit_runtime::agent::FunctionAgent;
    use copilotkit_runtime::runner::SqliteRunner;
    use futures_util::stream;

    use crate::serve::soon;

    let dir = tempfile::tempdir().unwrap();
    let agent = FunctionAgent::new(|call| {
        let (thread, run) = (&call.input.thread_id, &call.input.run_id);
        let events = [
            Event::run_started(thread, run),
            Event::text_start("m"),
            Event::text_content("m", "Small talk"),
            Event::text_end("m"),
            Event::run_finished(thread, run),
        ];
        stream::iter(events.map(Ok))
    });
    let runner = SqliteRunner::open(dir.path().join("threads.db")).await.unwrap();
    let runtime = CopilotRuntime::builder().agent("default", agent).runner(runner).generate_thread_names(true);
    let runtime = runtime.build().unwrap();
    let service = runtime.clone().into_service();
    let input = json!({"threadId": "t", "runId": "r", "messages": [{"id": "u", "role": "user", "content": "Hi"}]});
    call(&service, post("/agent/default/run", input.to_string())).await.events();
    soon("the title", async {
        while call(&service, get("/threads")).await.json()["threads"][0]["name"] != "Small talk" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    runtime.shutdown(Duration::from_secs(5)).await;
}
