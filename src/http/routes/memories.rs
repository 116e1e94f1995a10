//! The memory routes (intelligence.md 2.7).

use http::StatusCode;
use http::request::Parts;

use super::{Call, read};
use crate::http::body::{Body, Response};
use crate::http::error::{ApiError, InvalidMemory, MemoryFailure, empty, json_bytes, needs, reply};
use crate::http::fields::{self, NotJson};
use crate::http::handler::Face;
use crate::intelligence::{NewMemory, Recall};
use crate::runtime::{Caller, Memories, MemoriesError};

const KINDS: [&str; 3] = ["topical", "episodic", "operational"];
const SCOPES: [&str; 2] = ["user", "project"];

pub(super) async fn list(face: &Face, caller: &Caller, head: &Parts) -> Result<Response, ApiError> {
    let query = head.uri.query().unwrap_or_default();
    let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "includeInvalidated");
    let include_invalidated = asked.is_some_and(|(_, value)| value == "true");
    let listed = memories(face, caller, head)?.list(include_invalidated).await;
    Ok(json_bytes(StatusCode::OK, listed.map_err(failed("list memories"))?))
}

pub(super) async fn recall(face: &Face, caller: &Caller, call: Call) -> Result<Response, ApiError> {
    let memories = memories(face, caller, &call.head)?;
    let recall = recall_of(&read(face, call.body).await?)?;
    let recalled = memories.recall(&recall).await;
    Ok(json_bytes(StatusCode::OK, recalled.map_err(failed("recall memories"))?))
}

pub(super) async fn create(face: &Face, caller: &Caller, call: Call) -> Result<Response, ApiError> {
    let memories = memories(face, caller, &call.head)?;
    let new = new_memory(face, call.body).await?;
    let created = memories.create(&new).await;
    Ok(json_bytes(StatusCode::CREATED, created.map_err(failed("create memory"))?))
}

pub(super) async fn update(face: &Face, caller: &Caller, id: &str, call: Call) -> Result<Response, ApiError> {
    let memories = memories(face, caller, &call.head)?;
    let new = new_memory(face, call.body).await?;
    let updated = memories.update(id, &new).await;
    Ok(json_bytes(StatusCode::OK, updated.map_err(failed("update memory"))?))
}

pub(super) async fn remove(face: &Face, caller: &Caller, id: &str, head: &Parts) -> Result<Response, ApiError> {
    memories(face, caller, head)?.remove(id).await.map_err(failed("remove memory"))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn subscribe(face: &Face, caller: &Caller, head: &Parts) -> Result<Response, ApiError> {
    let credentials = memories(face, caller, head)?.subscribe().await;
    Ok(reply(StatusCode::OK, &credentials.map_err(failed("subscribe to memories"))?))
}

fn memories<'r>(face: &'r Face, caller: &'r Caller, head: &'r Parts) -> Result<Memories<'r>, ApiError> {
    face.runtime.memories(caller, head).ok_or(ApiError::NeedsIntelligence(needs::MEMORIES))
}

fn failed(what: &'static str) -> impl FnOnce(MemoriesError) -> ApiError {
    move |error| ApiError::Memory(MemoryFailure { what, error })
}

async fn new_memory(face: &Face, body: Body) -> Result<NewMemory, ApiError> {
    Ok(memory_of(&read(face, body).await?)?)
}

/// The memory a body describes.
pub(super) fn memory_of(body: &[u8]) -> Result<NewMemory, InvalidMemory> {
    let text = fields::text(body);
    let names = ["content", "kind", "scope", "sourceThreadIds"];
    let [content, kind, scope, threads] = fields::read(&text, names).map_err(|NotJson| InvalidMemory::Body)?;
    let (Some(content), Some(kind)) = (content.and_then(fields::string), kind.and_then(fields::string)) else {
        return Err(InvalidMemory::NoContent);
    };
    if !KINDS.contains(&&*kind) {
        return Err(InvalidMemory::Kind);
    }
    let scope = scope_of(scope, InvalidMemory::ScopeType, InvalidMemory::Scope)?;
    let source_thread_ids = threads.map(serde_json::from_str).transpose().map_err(|_| InvalidMemory::SourceThreads)?;
    Ok(NewMemory {
        content: content.into_owned(),
        kind: kind.into_owned(),
        scope,
        source_thread_ids: source_thread_ids.unwrap_or_default(),
    })
}

/// The search a body describes.
pub(super) fn recall_of(body: &[u8]) -> Result<Recall, InvalidMemory> {
    let text = fields::text(body);
    let names = ["query", "limit", "scope"];
    let [query, limit, scope] = fields::read(&text, names).map_err(|NotJson| InvalidMemory::Body)?;
    let query = query.and_then(fields::string).map(|query| query.trim().to_owned());
    let query = query.filter(|query| !query.is_empty()).ok_or(InvalidMemory::NoQuery)?;
    let number = |json: &str| serde_json::from_str(json).ok().and_then(fields::positive_integer);
    let limit = limit.map(|limit| number(limit).ok_or(InvalidMemory::Limit)).transpose()?;
    let scope = scope_of(scope, InvalidMemory::RecallScopeType, InvalidMemory::RecallScope)?;
    Ok(Recall { query, limit, scope })
}

fn scope_of(
    scope: Option<&str>,
    no_string: InvalidMemory,
    unknown: InvalidMemory,
) -> Result<Option<String>, InvalidMemory> {
    let Some(scope) = scope else { return Ok(None) };
    let scope = fields::string(scope).ok_or(no_string)?;
    if SCOPES.contains(&&*scope) { Ok(Some(scope.into_owned())) } else { Err(unknown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_its_four_fields_alone() {
        let read = |body: &str| memory_of(body.as_bytes());
        let least = NewMemory {
            content: "likes blue".to_owned(),
            kind: "topical".to_owned(),
            scope: None,
            source_thread_ids: Vec::new(),
        };
        assert_eq!(read(r#"{"content":"likes blue","kind":"topical","userId":"eve"}"#), Ok(least.clone()));
        let full = NewMemory { scope: Some("project".to_owned()), source_thread_ids: vec!["t".to_owned()], ..least };
        let body = r#"{"content":"likes blue","kind":"topical","scope":"project","sourceThreadIds":["t"]}"#;
        assert_eq!(read(body), Ok(full));
    }

    #[test]
    fn memory_that_cannot_be_read_says_why() {
        let with = |more: &str| format!(r#"{{"content":"c","kind":"topical",{more}}}"#);
        for (body, why) in [
            ("{".to_owned(), "Invalid request body"),
            (String::new(), "Invalid request body"),
            ("null".to_owned(), "Memory requires string `content` and `kind`"),
            (r#"{"content":1,"kind":"topical"}"#.to_owned(), "Memory requires string `content` and `kind`"),
            (r#"{"content":"c"}"#.to_owned(), "Memory requires string `content` and `kind`"),
            (
                r#"{"content":"c","kind":"x"}"#.to_owned(),
                "Memory `kind` must be one of: topical, episodic, operational",
            ),
            (with(r#""scope":null"#), "Memory `scope` must be a string when provided"),
            (with(r#""scope":"all""#), "Memory `scope` must be one of: user, project"),
            (with(r#""sourceThreadIds":[1]"#), "Memory `sourceThreadIds` must be an array of strings when provided"),
            (with(r#""sourceThreadIds":null"#), "Memory `sourceThreadIds` must be an array of strings when provided"),
        ] {
            assert_eq!(memory_of(body.as_bytes()).unwrap_err().to_string(), why, "{body}");
        }
    }

    #[test]
    fn recall_is_read_as_javascript_would() {
        let read = |body: &str| recall_of(body.as_bytes());
        let recall =
            |limit, scope: Option<&str>| Recall { query: "a b".to_owned(), limit, scope: scope.map(str::to_owned) };
        assert_eq!(read(r#"{"query":" a b\n"}"#), Ok(recall(None, None)));
        assert_eq!(read(r#"{"query":"a b","limit":3.0,"scope":"user"}"#), Ok(recall(Some(3), Some("user"))));
        for (body, why) in [
            ("x", "Invalid request body"),
            ("{}", "Recall requires a non-empty string `query`"),
            (r#"{"query":" "}"#, "Recall requires a non-empty string `query`"),
            (r#"{"query":["a"]}"#, "Recall requires a non-empty string `query`"),
            (r#"{"query":"a","limit":0}"#, "Recall `limit` must be a positive integer"),
            (r#"{"query":"a","limit":1.5}"#, "Recall `limit` must be a positive integer"),
            (r#"{"query":"a","limit":"3"}"#, "Recall `limit` must be a positive integer"),
            (r#"{"query":"a","limit":null}"#, "Recall `limit` must be a positive integer"),
            (r#"{"query":"a","scope":1}"#, "Recall `scope` must be a string when provided"),
            (r#"{"query":"a","scope":""}"#, "Recall `scope` must be one of: user, project"),
        ] {
            assert_eq!(read(body).unwrap_err().to_string(), why, "{body}");
        }
    }
}
