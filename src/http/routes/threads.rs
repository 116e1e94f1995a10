//! `GET /threads…`, `PATCH`, `DELETE` and `archive` of a thread, `POST /threads/clear`
//! (rest-sse.md chapter 9, intelligence.md 2.6). Everything is the caller's own.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use serde_json::json;

use super::{may_use, read};
use crate::http::body::{Body, Response};
use crate::http::error::{ApiError, InvalidThreadRequest, empty, json_bytes, reply};
use crate::http::fields::{self, NotJson};
use crate::http::handler::Face;
use crate::runtime::{Caller, Listing, ThreadChange};

/// The longest name a thread can be given.
const MAX_NAME: usize = 1000;

pub(super) async fn list(face: &Face, caller: &Caller, head: &Parts) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    let listing = listing(head.uri.query().unwrap_or_default())?;
    if let Some(agent_id) = &listing.agent_id {
        may_use(face, Some(caller), agent_id)?;
    }
    Ok(json_bytes(StatusCode::OK, threads.list(listing).await?))
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
    Ok(json_bytes(StatusCode::OK, threads.state(thread_id).await?))
}

pub(super) async fn update(face: &Face, caller: &Caller, thread_id: &str, body: Body) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    let (agent_id, change) = change(&read(face, body).await?)?;
    may_use(face, Some(caller), &agent_id)?;
    Ok(json_bytes(StatusCode::OK, threads.change(thread_id, &agent_id, change).await?))
}

pub(super) async fn archive(face: &Face, caller: &Caller, thread_id: &str, body: Body) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    let agent_id = agent_id(&read(face, body).await?)?;
    may_use(face, Some(caller), &agent_id)?;
    threads.archive(thread_id, &agent_id).await?;
    Ok(reply(StatusCode::OK, &json!({"threadId": thread_id, "archived": true})))
}

pub(super) async fn delete(face: &Face, caller: &Caller, thread_id: &str, body: Body) -> Result<Response, ApiError> {
    let threads = face.runtime.threads(caller)?;
    let agent_id = agent_id(&read(face, body).await?)?;
    may_use(face, Some(caller), &agent_id)?;
    threads.delete(thread_id, &agent_id).await?;
    Ok(reply(StatusCode::OK, &json!({"threadId": thread_id, "deleted": true})))
}

pub(super) async fn clear(face: &Face, caller: &Caller) -> Result<Response, ApiError> {
    // Where nothing is kept, nothing is left.
    if let Ok(threads) = face.runtime.threads(caller) {
        threads.clear().await?;
    }
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn subscribe(face: &Face, caller: &Caller) -> Result<Response, ApiError> {
    let join_token = face.runtime.threads(caller)?.subscribe().await?;
    Ok(reply(StatusCode::OK, &json!({"joinToken": join_token})))
}

/// The threads a query asks for. Of a parameter that is there twice, the first counts; empty ones are none.
fn listing(query: &str) -> Result<Listing, InvalidThreadRequest> {
    let parameter = |wanted: &str| {
        let found = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    };
    let limit = match parameter("limit") {
        Some(limit) => Some(limit.parse().ok().filter(|limit| *limit > 0).ok_or(InvalidThreadRequest::Limit)?),
        None => None,
    };
    Ok(Listing {
        agent_id: parameter("agentId"),
        include_archived: parameter("includeArchived").as_deref() == Some("true"),
        matching: parameter("query"),
        limit,
        after: parameter("cursor"),
    })
}

/// The agent a body names, as the contract demands and every client does. To threads kept here it makes no
/// difference: one may be used with several.
fn agent_id(body: &[u8]) -> Result<String, InvalidThreadRequest> {
    let text = fields::text(body);
    let [agent_id] = fields::read(&text, ["agentId"]).map_err(not_json)?;
    let named = agent_id.and_then(fields::string).filter(|agent_id| !agent_id.trim().is_empty());
    named.map(Cow::into_owned).ok_or(InvalidThreadRequest::NoAgentId)
}

/// What a body asks to change.
fn change(body: &[u8]) -> Result<(String, ThreadChange), InvalidThreadRequest> {
    let agent_id = agent_id(body)?;
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
    Ok((agent_id, ThreadChange { name, archived }))
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
        assert_eq!((all.limit, all.include_archived), (None, false));
        assert!(all.agent_id.is_none() && all.matching.is_none() && all.after.is_none());
        let some = listing("agentId=a%20b&limit=2&includeArchived=true&query=rome+trip&cursor=1f-2&agentId=c").unwrap();
        assert_eq!(some.agent_id.as_deref(), Some("a b"));
        assert_eq!((some.limit, some.include_archived), (Some(2), true));
        assert_eq!(some.matching.as_deref(), Some("rome trip"));
        assert_eq!(some.after.as_deref(), Some("1f-2"));
        for query in ["agentId=&limit=&cursor=&query=&includeArchived=", "includeArchived=TRUE", "includeArchived=1"] {
            let none = listing(query).unwrap();
            assert_eq!((none.limit, none.include_archived, none.agent_id), (None, false, None), "{query}");
        }
    }

    #[test]
    fn a_limit_that_is_none_is_refused() {
        for limit in ["0", "-1", "1.5", "x", "NaN", "99999999999999999999999"] {
            assert_eq!(listing(&format!("limit={limit}")).unwrap_err(), InvalidThreadRequest::Limit, "{limit}");
        }
    }

    #[test]
    fn a_change_is_read_from_its_three_fields_alone() {
        let read = |body: &str| change(body.as_bytes()).map(|(agent_id, change)| (agent_id == "a").then_some(change));
        assert_eq!(read(r#"{"agentId":"a","userId":"eve","x":[1]}"#), Ok(Some(ThreadChange::default())));
        let renamed = ThreadChange { name: Some(Some("Rome".into())), archived: Some(false) };
        assert_eq!(read(r#"{"agentId":"a","name":"Rome","archived":false}"#), Ok(Some(renamed)));
        assert_eq!(read(r#"{"agentId":"a","name":null}"#).unwrap().unwrap().name, Some(None));
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
