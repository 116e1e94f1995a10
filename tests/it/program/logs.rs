//! What the program logs, and what it must not.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::post;
use serde_json::{Value, json};

use super::place::{Place, Served, answer};
use crate::platform::{API_KEY, Options, Platform};
use crate::serve::{Server, client, until};
use crate::signer::Signer;

/// Nothing else in these tests contains it, and what nobody may find in a log does.
const SECRET: &str = "s3cret";

/// What is logged, line by line.
fn lines(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.path("log")).expect("a log");
    // The last may not be whole yet.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a line and the spans it is in say of a field.
fn told<'l>(line: &'l Value, field: &str) -> Option<&'l str> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.chain([line]).find_map(|part| part[field].as_str())
}

fn holds_no_secret(place: &Place) {
    let text = fs::read_to_string(place.path("log")).expect("a log");
    assert!(text.contains("TRACE") && text.contains("the request was answered"), "all is logged: {text}");
    let bytes = format!("{:?}", SECRET.as_bytes());
    for secret in [SECRET, bytes.trim_matches(['[', ']'])] {
        let found = text.lines().find(|line| line.contains(secret));
        assert_eq!(found, None);
    }
}

/// A run whose every part that a client chooses, but for ids, is secret.
fn input(thread: &str, run: &str) -> String {
    json!({
        "threadId": thread,
        "runId": run,
        "messages": [{"id": format!("{run}-message"), "role": "user", "content": SECRET}],
        "state": {"of": SECRET},
        "context": [{"description": "x", "value": SECRET}],
        "forwardedProps": {"of": SECRET},
    })
    .to_string()
}

/// An agent that says what it hears.
async fn agent() -> Server {
    let run = post(async |body: String| {
        let input: Value = serde_json::from_str(&body).expect("an input");
        let (thread, run) = (&input["threadId"], &input["runId"]);
        let events = [
            json!({"type": "RUN_STARTED", "threadId": thread, "runId": run}),
            json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}),
            json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": input["messages"][0]["content"]}),
            json!({"type": "TEXT_MESSAGE_END", "messageId": "m"}),
            json!({"type": "RUN_FINISHED", "threadId": thread, "runId": run}),
        ];
        let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        ([("content-type", "text/event-stream")], events)
    });
    Server::start(Router::new().route("/agent", run)).await
}

/// Asks for everything there is, with a credential.
async fn everything(served: &Served, client: &reqwest::Client, credential: (&str, &str)) {
    let with = |request: reqwest::RequestBuilder| {
        let request = request.header("content-type", "application/json").header("x-forwarded-secret", SECRET);
        request.header(credential.0, credential.1)
    };
    let agent = "/agent/default";
    for (path, body) in [
        (format!("{agent}/run"), input("t", "r")),
        (format!("{agent}/connect"), input("t", "c")),
        (format!("{agent}/suggest"), input("t", "s")),
        (format!("{agent}/stop/t"), "{}".to_owned()),
        (format!("{agent}/run"), format!("{{\"threadId\": \"{SECRET}")),
    ] {
        answer(with(client.post(served.url(&path)).body(body))).await;
    }
    let rename = json!({"agentId": "default", "name": SECRET}).to_string();
    answer(with(client.patch(served.url("/threads/t")).body(rename))).await;
    for path in ["/threads/t/messages", &format!("/threads?agentId=default&query={SECRET}"), "/info"] {
        answer(with(client.get(served.url(path)))).await;
    }
}

#[tokio::test]
async fn no_credential_and_nothing_anybody_says_is_logged_at_any_level() {
    let (place, agent, signer) = (Place::new(), agent().await, Signer::new("ES256"));
    place.write("key.pem", &signer.pem());
    let made: Value = serde_json::from_str(&place.said(&["users", "hash-key", "--json"])).expect("JSON");
    let (key, hash) = (made["key"].as_str().expect("a key"), made["hash"].as_str().expect("a hash"));
    let url = agent.url("/agent").replace("http://", &format!("http://user:{SECRET}@"));
    place.write(
        "copilotkit.toml",
        &format!(
            "[users.jwt]\naudience = \"chat\"\ncookie = \"session\"\n\
             [users.jwt.keys.main]\nalgorithm = \"ES256\"\npublic_key_file = \"key.pem\"\n\
             [users.api_keys.bot]\nhash = \"{hash}\"\nuser = \"bot\"\n\
             [agents.demo]\nkind = \"demo\"\n[agents.default]\nurl = \"{url}?token={SECRET}\"\nheaders = {{ authorization = \"Bearer {SECRET}\" }}\n"
        ),
    );
    let served = place.serve_telling("log", &["--database", "memory"], &[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let token = signer.token(&json!({"sub": "ada", "aud": "chat", "exp": now + 600, "name": SECRET}));
    let http2 = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    for client in [client(), http2] {
        for credential in [
            ("authorization", format!("Bearer {token}")),
            ("cookie", format!("session={token}")),
            ("x-api-key", key.to_owned()),
            ("authorization", format!("Bearer {SECRET}")),
        ] {
            everything(&served, &client, (credential.0, &credential.1)).await;
        }
    }
    holds_no_secret(&place);
    let text = fs::read_to_string(place.path("log")).expect("a log");
    assert!(token.split('.').chain([key]).all(|part| !text.contains(part)), "no part of a token, and no key");

    // What was done, and by whom.
    let all = lines(&place);
    for (route, thread, run) in [
        ("agent/run", Some("t"), Some("r")),
        ("agent/connect", Some("t"), Some("c")),
        ("agent/suggest", Some("t"), Some("s")),
        ("agent/stop", Some("t"), None),
        ("threads/messages", Some("t"), None),
        ("threads/list", None, None),
    ] {
        let of_ada = all.iter().filter(|line| line["message"] == "the request was answered");
        let found = of_ada.filter(|line| told(line, "http.route") == Some(route)).any(|line| {
            let named = !route.starts_with("agent/") || told(line, "agent.id") == Some("default");
            let user = told(line, "user.id") == Some("ada");
            named && user && (told(line, "thread.id"), told(line, "run.id")) == (thread, run)
        });
        assert!(found, "{route}: {all:#?}");
    }
    let ended = all.iter().find(|line| line["message"] == "the run ended").expect("a run that ended");
    let ids = ["agent.id", "thread.id", "run.id", "outcome"].map(|field| told(ended, field));
    assert_eq!(ids, [Some("default"), Some("t"), Some("r"), Some("finished")]);
    assert!(matches!(told(ended, "user.id"), Some("ada" | "bot")), "{ended}");
}

#[tokio::test]
async fn nothing_that_goes_to_the_platform_is_logged_at_any_level() {
    let (place, agent, platform) = (Place::new(), agent().await, Platform::start(Options::default()).await);
    let variables = [
        ("COPILOTKIT_INTELLIGENCE_API_KEY", API_KEY.to_owned()),
        ("COPILOTKIT_INTELLIGENCE_API_URL", platform.api_url()),
        ("COPILOTKIT_INTELLIGENCE_WS_URL", platform.ws_url()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let args = ["--user-header", "x-user", "--agent", &agent.url("/agent"), "--agent", "demo=demo"];
    let served = place.serve_telling("log", &args, &variables);
    everything(&served, &client(), ("x-user", "ada")).await;
    until("the run is delivered", || platform.events_of("r").iter().any(|event| event["type"] == "RUN_FINISHED")).await;
    let ended =
        || lines(&place).iter().any(|line| line["message"] == "the run ended" && told(line, "run.id") == Some("r"));
    until("its end is logged", ended).await;
    holds_no_secret(&place);
    let text = fs::read_to_string(place.path("log")).expect("a log");
    assert!(!text.contains(API_KEY), "{text}");
}
