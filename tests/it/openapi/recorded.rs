//! What the released Node runtime answered fits `openapi.yaml`, apart from what is listed here.

use std::collections::BTreeSet;
use std::fs;

use bytes::Bytes;
use copilotkit_runtime::agui::RunAgentInput;
use copilotkit_runtime::http::Route;
use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};
use url::Url;

use super::document::{Answer, document, named, text};

/// Recorded answers that do not fit: why, what is said of them, and the cases.
const EXCEPTIONS: &[(&str, &str, &[&str])] = &[
    (
        "a bug of the release: the RUN_FINISHED that ends a stopped run does not name it (chapter 14, row 1)",
        "is a required property in {\"type\":\"RUN_FINISHED\"}",
        &[
            "concurrency/supersede",
            "connect/after-stop",
            "single-route/stop",
            "sqlite/stop",
            "stop/abort-throws",
            "stop/matching-run-id",
            "stop/mid-text",
            "stop/mid-tool",
            "stop/then-run-again",
        ],
    ),
    (
        "an id that is a route's word shadows the route in the release (chapter 14, row 25)",
        "Allow: : \"POST\" was expected",
        &["routing/thread-named-info"],
    ),
    (
        "a hook of the embedding application made the answer",
        "is not documented",
        &[
            "cors/hook-thrown-response-gets-cors",
            "hooks/before-handler-throws-response",
            "hooks/before-middleware-throws-response",
            "hooks/on-error-returns-response",
            "hooks/on-request-throws-response",
            "hooks/on-response-replaces",
        ],
    ),
    (
        "a hook of the embedding application refused, in its own words",
        "WWW-Authenticate is missing",
        &["cors/hook-thrown-response-gets-cors", "hooks/on-request-throws-response"],
    ),
    (
        "a hook of the embedding application refused, in its own words",
        "{\"error\":\"forbidden\"}",
        &["hooks/before-handler-throws-response"],
    ),
    ("a hook of the embedding application made the answer", "oops", &["hooks/on-error-returns-response"]),
    (
        "the web framework around the runtime made the answer, not the runtime",
        "is not documented",
        &["cors/hono-outside", "single-route/express-single-route-subpath"],
    ),
];

/// Not recorded at all: an addition of ours.
const ADDED: &str = "X-Accel-Buffering is missing";

#[test]
fn recorded_answers_fit_the_document() {
    let mut odd = Vec::new();
    let mut excused = BTreeSet::new();
    let mut checked = 0;
    each_exchange(|name, server, exchange| {
        let Some(problems) = problems(server, exchange) else { return };
        checked += 1;
        for problem in problems {
            let excuses = |(_, what, cases): &&(&str, &str, &[&str])| cases.contains(&name) && problem.contains(what);
            match EXCEPTIONS.iter().find(excuses) {
                Some(_) => {
                    excused.insert(name.to_owned());
                }
                None => odd.push(format!("{name}: {problem}")),
            }
        }
    });
    assert!(odd.is_empty(), "\n{}", odd.join("\n"));
    let listed = EXCEPTIONS.iter().flat_map(|(_, _, cases)| *cases);
    let needless: Vec<_> = listed.filter(|name| !excused.contains(**name)).collect();
    assert!(needless.is_empty(), "these fit: {needless:?}");
    assert!(checked > 300, "only {checked} answers were checked");
}

/// The schema of a run's input takes what the runtime takes, and nothing else.
#[test]
fn recorded_inputs_are_taken_as_the_document_says() {
    let mut odd = Vec::new();
    let (mut taken, mut refused) = (0, 0);
    each_exchange(|name, _, exchange| {
        let request = &exchange["request"];
        let path = text(&request["path"]);
        let schema = if path.ends_with("/connect") { "ConnectInput" } else { "RunAgentInput" };
        if !["/run", "/suggest", "/connect"].iter().any(|end| path.ends_with(end)) || request.get("body").is_none() {
            return;
        }
        let parsed = RunAgentInput::parse(request["body"].to_string().as_bytes());
        let problems: Vec<_> = document().schema_problems(&named(schema), &request["body"]).collect();
        *if parsed.is_ok() { &mut taken } else { &mut refused } += 1;
        if parsed.is_ok() != problems.is_empty() {
            odd.push(format!("{name}: {:?}, but {problems:?}", parsed.map(|_| "taken")));
        }
    });
    assert!(odd.is_empty(), "\n{}", odd.join("\n"));
    assert!(taken > 100 && refused > 8, "only {taken} and {refused} inputs");
}

/// Every recorded exchange, with the name of its case and how the server was set up.
fn each_exchange(mut visit: impl FnMut(&str, &Value, &Value)) {
    for file in fs::read_dir("tests/captures/rest-sse").unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") || name == "agents.json" {
            continue;
        }
        let cases: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            for exchange in case["exchanges"].as_array().unwrap() {
                visit(text(&case["name"]), &case["server"], exchange);
            }
        }
    }
}

/// `None` for an exchange without an answer.
fn problems(server: &Value, exchange: &Value) -> Option<Vec<String>> {
    let (request, response) = (&exchange["request"], &exchange["response"]);
    let status = u16::try_from(response["status"].as_u64()?).unwrap();
    let method: Method = text(&request["method"]).parse().unwrap();
    let answer = Answer { status, headers: headers(&response["headers"]), body: body(&method, response) };

    // Dot segments are resolved by a URL parser, here as there.
    let url = Url::parse(&format!("http://host{}", text(&request["path"]))).unwrap();
    let path = url.path();
    let base = server["basePath"].as_str().unwrap_or_default().trim_end_matches('/');
    let below = path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_preflight = method == Method::OPTIONS && server.get("cors").is_some_and(|cors| *cors != false);
    let route = below.and_then(Route::of_path).map(|route| route.name());
    let of_route = |fits: &dyn Fn(&Method) -> bool| {
        document().operations().find(|operation| operation.route.as_deref() == route && fits(&operation.method))
    };
    let found = if is_preflight {
        document().problems(document().operation("cors_preflight"), &answer)
    } else if server["mode"] == "single-route" || (method == Method::POST && below == Some("")) {
        document().problems(document().operation("single_route"), &answer)
    } else if route.is_none() {
        document().response_problems(&json!({"$ref": "#/components/responses/NotFound"}), &answer)
    } else {
        // A method the path does not have is told with any it has.
        let operation =
            of_route(&|known| *known == method).or_else(|| of_route(&|_| true)).expect("every route is told");
        document().problems(operation, &answer)
    };
    Some(found.into_iter().filter(|problem| problem != ADDED).collect())
}

fn headers(recorded: &Value) -> HeaderMap {
    let fields = recorded.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), text(value).parse().unwrap())).collect()
}

fn body(method: &Method, response: &Value) -> Option<Bytes> {
    if *method == Method::HEAD {
        return None;
    }
    let body = if let Some(events) = response.get("events").and_then(Value::as_array) {
        events.iter().map(|event| format!("data: {event}\n\n")).collect()
    } else if let Some(raw) = response.get("bodyText") {
        text(raw).to_owned()
    } else {
        response.get("body").map(Value::to_string).unwrap_or_default()
    };
    Some(unmasked(&body).into())
}

/// Values in place of the recording's placeholders.
fn unmasked(body: &str) -> String {
    body.replace("\"<EPOCH_MS>\"", "1767225600000").replace("<ISO8601>", "2026-01-01T00:00:00.000Z")
}
