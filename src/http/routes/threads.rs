//! `GET /threads…`, `PATCH`, `DELETE` and `archive` of a thread, `POST /threads/clear`
//! (rest-sse.md chapter 9, intelligence.md 2.6). Everything is the caller's own.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use serde_json::json;

use super::read;
use crate::http::body::{Body, Response};
use crate::http::error::{ApiError, InvalidThreadRequest, empty, json_bytes, needs, reply};
use crate::http::fields::{self, NotJson};
use crate::http::handler::Face;
use crate::runtime::{Caller, Listing, ThreadChange};

/// How many threads a page has at most, and where the client names no limit: as many as the reference runtime ever
/// has, so that a client that knows no pages sees as many as there.
const PAGE: usize = 1000;
/// The longest name a thread can be given.
const MAX_NAME: usize = 1000;

pub(super) async fn list(face: &Face, caller: &Caller, head: &Parts) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    let listing = listing(head.uri.query().unwrap_or_default())?;
    Ok(reply(StatusCode::OK, &threads.list(listing).await?))
}

pub(super) async fn messages(face: &Face, caller: &Caller, thread_id: &str) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    Ok(json_bytes(StatusCode::OK, threads.messages(thread_id).await?))
}

pub(super) async fn events(face: &Face, caller: &Caller, thread_id: &str) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    Ok(json_bytes(StatusCode::OK, threads.events(thread_id).await?))
}

pub(super) async fn state(face: &Face, caller: &Caller, thread_id: &str) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    Ok(reply(StatusCode::OK, &threads.state(thread_id).await?))
}

pub(super) async fn update(face: &Face, caller: &Caller, thread_id: &str, body: Body) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    let change = change(&read(face, body).await?)?;
    Ok(reply(StatusCode::OK, &threads.change(thread_id, change).await?))
}

pub(super) async fn archive(face: &Face, caller: &Caller, thread_id: &str, body: Body) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    check_agent(&read(face, body).await?)?;
    threads.change(thread_id, ThreadChange { archived: Some(true), ..ThreadChange::default() }).await?;
    Ok(reply(StatusCode::OK, &json!({"threadId": thread_id, "archived": true})))
}

pub(super) async fn delete(face: &Face, caller: &Caller, thread_id: &str, body: Body) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    check_agent(&read(face, body).await?)?;
    threads.delete(thread_id).await?;
    Ok(reply(StatusCode::OK, &json!({"threadId": thread_id, "deleted": true})))
}

pub(super) async fn clear(face: &Face, caller: &Caller) -> Result<Response, ApiError> {
    // Where nothing is kept, nothing is left.
    if let Ok(threads) = face.runtime.threads(caller) {
        threads.clear().await?;
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

/// There is no realtime channel to subscribe to.
pub(super) fn subscribe() -> Result<Response, ApiError> {
    Err(ApiError::NeedsIntelligence(needs::THREADS))
}

/// The threads a query asks for. Of a parameter that is there twice, the first counts; empty ones are none.
fn listing(query: &str) -> Result<Listing, InvalidThreadRequest> {
    let parameter = |wanted: &str| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    let limit = match parameter("limit") {
        Some(limit) => limit.parse().ok().filter(|limit| *limit > 0).ok_or(InvalidThreadRequest::Limit)?,
        None => PAGE,
    };
    let after = parameter("cursor").map(|cursor| cursor.parse()).transpose();
    Ok(Listing {
        agent_id: parameter("agentId"),
        include_archived: parameter("includeArchived").as_deref() == Some("true"),
        matching: parameter("query"),
        limit: limit.min(PAGE),
        after: after.map_err(|_| InvalidThreadRequest::Cursor)?,
    })
}

/// Checks that a body names an agent, as the contract demands and every client does. Which one makes no difference:
/// a thread may be used with several.
fn check_agent(body: &[u8]) -> Result<(), InvalidThreadRequest> {
    let text = fields::text(body);
    let [agent_id] = fields::read(&text, ["agentId"]).map_err(not_json)?;
    let named = agent_id.and_then(fields::string).is_some_and(|agent_id| !agent_id.trim().is_empty());
    if named { Ok(()) } else { Err(InvalidThreadRequest::NoAgentId) }
}

/// What a body asks to change.
fn change(body: &[u8]) -> Result<ThreadChange, InvalidThreadRequest> {
    check_agent(body)?;
    let text = fields::text(body);
    let [name, archived] = fields::read(&text, ["name", "archived"]).map_err(not_json)?;
    let name = match name {
        None => None,
        Some("null") => Some(None),
        Some(json) => match fields::string(json).filter(|name| name.chars().count() <= MAX_NAME) {
            Some(name) => Some(Some(Arc::from(name))),
            None => return Err(unfit(format!("name: expected null or a string of at most {MAX_NAME} characters"))),
        },
    };
    let archived = match archived {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(unfit("archived: expected true or false".to_owned())),
    };
    Ok(ThreadChange { name, archived })
}

fn not_json(NotJson: NotJson) -> InvalidThreadRequest {
    unfit("expected JSON".to_owned())
}

fn unfit(details: String) -> InvalidThreadRequest {
    InvalidThreadRequest::Body(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_page_of_what_is_asked_for() {
        let all = listing("").unwrap();
        assert_eq!((all.limit, all.include_archived), (PAGE, false));
        assert!(all.agent_id.is_none() && all.matching.is_none() && all.after.is_none());
        let some = listing("agentId=a%20b&limit=2&includeArchived=true&query=rome+trip&cursor=1f-2&agentId=c").unwrap();
        assert_eq!(some.agent_id.as_deref(), Some("a b"));
        assert_eq!((some.limit, some.include_archived), (2, true));
        assert_eq!(some.matching.as_deref(), Some("rome trip"));
        assert_eq!(some.after.map(|after| after.to_string()).as_deref(), Some("1f-2"));
        assert_eq!(listing("limit=999999").unwrap().limit, PAGE);
        for query in ["agentId=&limit=&cursor=&query=&includeArchived=", "includeArchived=TRUE", "includeArchived=1"] {
            let none = listing(query).unwrap();
            assert_eq!((none.limit, none.include_archived, none.agent_id), (PAGE, false, None), "{query}");
        }
    }

    #[test]
    fn a_limit_or_cursor_that_is_none_is_refused() {
        for limit in ["0", "-1", "1.5", "x", "NaN", "99999999999999999999999"] {
            assert_eq!(listing(&format!("limit={limit}")).unwrap_err(), InvalidThreadRequest::Limit, "{limit}");
        }
        for cursor in ["x", "1", "-", "%00"] {
            assert_eq!(listing(&format!("cursor={cursor}")).unwrap_err(), InvalidThreadRequest::Cursor, "{cursor}");
        }
    }

    #[test]
    fn a_change_is_read_from_its_three_fields_alone() {
        let read = |body: &str| change(body.as_bytes());
        assert_eq!(read(r#"{"agentId":"a","userId":"eve","x":[1]}"#), Ok(ThreadChange::default()));
        let renamed = ThreadChange { name: Some(Some("Rome".into())), archived: Some(false) };
        assert_eq!(read(r#"{"agentId":"a","name":"Rome","archived":false}"#), Ok(renamed));
        assert_eq!(read(r#"{"agentId":"a","name":null}"#).unwrap().name, Some(None));
        assert!(read(&format!(r#"{{"agentId":"a","name":"{}"}}"#, "ü".repeat(MAX_NAME))).is_ok());
    }

    #[test]
    fn a_change_that_cannot_be_read_says_why() {
        let long = format!(r#"{{"agentId":"a","name":"{}"}}"#, "x".repeat(MAX_NAME + 1));
        let bad_name = "name: expected null or a string of at most 1000 characters";
        for (body, why) in [
            ("", "expected JSON"),
            ("{not json", "expected JSON"),
            ("null", "Valid agentId is required"),
            ("[]", "Valid agentId is required"),
            (r#"{"name":"x"}"#, "Valid agentId is required"),
            (r#"{"agentId":" "}"#, "Valid agentId is required"),
            (r#"{"agentId":1}"#, "Valid agentId is required"),
            (r#"{"agentId":"a","name":1}"#, bad_name),
            (&long, bad_name),
            (r#"{"agentId":"a","archived":null}"#, "archived: expected true or false"),
            (r#"{"agentId":"a","archived":"true"}"#, "archived: expected true or false"),
        ] {
            assert_eq!(change(body.as_bytes()).unwrap_err().to_string(), why, "{body}");
        }
    }
}
