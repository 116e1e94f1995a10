//! `openapi.yaml` as the tests read it: its operations, and whether an answer fits one of them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderMap, Method};
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What the frames of an event stream hold, by the schema of the stream, and how single events go on.
const STREAMS: [(&str, &str); 2] = [("EventStream", "Event"), ("DebugEventStream", "DebugEvent")];
const EVENTS: [(&str, &str); 3] =
    [("RUN_STARTED", "RunStartedEvent"), ("RUN_FINISHED", "RunFinishedEvent"), ("RUN_ERROR", "RunErrorEvent")];

/// Schemas that nothing refers to: OpenAPI 3.1 cannot say what the items of a stream are, so `description`s do.
pub(super) const ITEMS: [&str; 4] = ["/DebugEvent", "/RunStartedEvent", "/RunFinishedEvent", "/RunErrorEvent"];

/// Headers of which none may come undocumented.
const OURS: [&str; 6] = ["allow", "cache-control", "retry-after", "vary", "www-authenticate", "x-accel-buffering"];

pub(super) struct Document {
    pub(super) root: Value,
    operations: Vec<Operation>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) method: Method,
    /// `x-route`.
    pub(super) route: Option<String>,
    pub(super) value: Value,
}

/// An answer that was given or recorded.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// `None`: not to be looked at, as of `HEAD`.
    pub(super) body: Option<Bytes>,
}

pub(super) fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
        let yaml = include_str!("../../../openapi.yaml");
        let root: Value = serde_saphyr::from_str(yaml).expect("openapi.yaml is YAML");
        let operations = root["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
            methods.map(|(method, value)| Operation {
                id: text(&value["operationId"]).to_owned(),
                path: path.clone(),
                method: method.to_uppercase().parse().expect("a method"),
                route: value.get("x-route").map(|route| text(route).to_owned()),
                value: value.clone(),
            })
        });
        let operations = operations.collect();
        Document { root, operations, validators: Mutex::default() }
    });
    &DOCUMENT
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}"))
}

/// The examples of a media type.
pub(super) fn examples(media: &Value) -> impl Iterator<Item = &Value> {
    let named = media.get("examples").and_then(Value::as_object);
    named.into_iter().flat_map(|named| named.values().map(|one| &one["value"])).chain(media.get("example"))
}

/// A body as it goes over the wire.
pub(super) fn bytes_of(example: &Value) -> Bytes {
    match example {
        Value::String(raw) => raw.clone().into(),
        json => json.to_string().into(),
    }
}

impl Document {
    pub(super) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter()
    }

    pub(super) fn operation(&self, id: &str) -> &Operation {
        self.operations().find(|operation| operation.id == id).unwrap_or_else(|| panic!("no operation {id}"))
    }

    /// Parameters of an operation and of its path.
    pub(super) fn parameters(&self, operation: &Operation) -> impl Iterator<Item = &Value> {
        let path = self.root["paths"][&operation.path].get("parameters");
        let own = self.root["paths"][&operation.path][operation.method.as_str().to_lowercase()].get("parameters");
        [path, own].into_iter().flatten().filter_map(Value::as_array).flatten().map(|one| self.resolve(one))
    }

    /// What a reference leads to.
    pub(super) fn find(&self, target: &str) -> Option<&Value> {
        self.root.pointer(target.strip_prefix('#')?)
    }

    pub(super) fn resolve<'v>(&'v self, node: &'v Value) -> &'v Value {
        match node.get("$ref") {
            Some(target) => self.resolve(self.find(text(target)).unwrap_or_else(|| panic!("{target} leads nowhere"))),
            None => node,
        }
    }

    /// The value of an example, as in `components/responses/EventStream`, `text/event-stream`, `busy`.
    pub(super) fn example(&self, response: &str, media_type: &str, name: &str) -> &Value {
        &self.root["components"]["responses"][response]["content"][media_type]["examples"][name]["value"]
    }

    /// What about an answer is not as the operation says; empty when it fits.
    pub(super) fn problems(&self, operation: &Operation, answer: &Answer) -> Vec<String> {
        let Some(response) = operation.value["responses"].get(answer.status.to_string()) else {
            return vec![format!("status {} is not documented", answer.status)];
        };
        self.response_problems(response, answer)
    }

    /// The same for a response of the document by itself.
    pub(super) fn response_problems(&self, response: &Value, answer: &Answer) -> Vec<String> {
        let response = self.resolve(response);
        let mut problems = self.header_problems(&response["headers"], &answer.headers);
        let given = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
        match (response.get("content").and_then(Value::as_object), given) {
            (None, None) => {
                if answer.body.as_ref().is_some_and(|body| !body.is_empty()) {
                    problems.push("a body, where none is documented".to_owned());
                }
            }
            (None, Some(given)) => problems.push(format!("content type {given}, where no body is documented")),
            (Some(_), None) => problems.push("no content type".to_owned()),
            (Some(content), Some(given)) => match (content.get(given), &answer.body) {
                (None, _) => problems.push(format!("content type {given} is not documented")),
                (Some(media), Some(body)) => problems.extend(self.body_problems(given, media, body)),
                (Some(_), None) => {}
            },
        }
        problems
    }

    fn header_problems(&self, documented: &Value, given: &HeaderMap) -> Vec<String> {
        let mut problems = Vec::new();
        let documented = documented.as_object().unwrap();
        for (name, header) in documented {
            let header = self.resolve(header);
            match given.get(name.as_str()) {
                Some(value) => problems.extend(
                    self.schema_problems(&header["schema"], &json!(value.to_str().unwrap()))
                        .map(|problem| format!("{name}: {problem}")),
                ),
                None if header["required"] == true => problems.push(format!("{name} is missing")),
                None => {}
            }
        }
        for name in given.keys() {
            let is_ours = OURS.contains(&name.as_str()) || name.as_str().starts_with("access-control-");
            if is_ours && !documented.keys().any(|known| known.eq_ignore_ascii_case(name.as_str())) {
                problems.push(format!("{name} is not documented"));
            }
        }
        problems
    }

    pub(super) fn body_problems(&self, media_type: &str, media: &Value, body: &[u8]) -> Vec<String> {
        let body = std::str::from_utf8(body).expect("UTF-8");
        let schema = &media["schema"];
        match media_type {
            "text/event-stream" => self.stream_problems(schema, body),
            "application/json" => match serde_json::from_str(body) {
                Ok(json) => self.schema_problems(schema, &json).map(|problem| format!("{problem} in {body}")).collect(),
                Err(failure) => vec![format!("not JSON: {failure}: {body}")],
            },
            _ => self.schema_problems(schema, &json!(body)).collect(),
        }
    }

    fn stream_problems(&self, schema: &Value, body: &str) -> Vec<String> {
        let stream = text(&schema["$ref"]).rsplit('/').next().unwrap();
        let (_, item) = STREAMS.iter().find(|(name, _)| *name == stream).expect("a stream");
        let Some(frames) = body.strip_suffix("\n\n") else {
            return if body.is_empty() { vec![] } else { vec![format!("broken off: {body}")] };
        };
        let mut problems = Vec::new();
        for frame in frames.split("\n\n") {
            let Some(json) = frame.strip_prefix("data: ") else {
                if !frame.starts_with(": ") || frame.contains('\n') {
                    problems.push(format!("neither comment nor event: {frame}"));
                }
                continue;
            };
            match serde_json::from_str::<Value>(json) {
                Ok(value) => {
                    let event = if *item == "DebugEvent" { &value["event"] } else { &value };
                    let own = EVENTS.iter().find(|(kind, _)| event["type"] == *kind);
                    let own = own.into_iter().flat_map(|(_, name)| self.schema_problems(&named(name), event));
                    let found = self.schema_problems(&named(item), &value).chain(own);
                    problems.extend(found.map(|problem| format!("{problem} in {json}")));
                }
                Err(failure) => problems.push(format!("not JSON: {failure}: {json}")),
            }
        }
        problems
    }

    pub(super) fn schema_problems(&self, schema: &Value, instance: &Value) -> impl Iterator<Item = String> + use<> {
        let validator = self.validator(schema);
        let found: Vec<String> =
            validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
        found.into_iter()
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock();
        let validator = validators.entry(schema.to_string()).or_insert_with(|| {
            let with_components = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "allOf": [schema],
                "components": self.root["components"],
            });
            let options = jsonschema::options().should_validate_formats(true);
            Arc::new(options.build(&with_components).expect("a schema"))
        });
        validator.clone()
    }
}

/// A schema of the document, by reference.
pub(super) fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}
