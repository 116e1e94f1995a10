//! `GET /inspector-metadata` and `GET /inspector-learning` (intelligence.md 2.7). No cache keeps their answers.

use http::StatusCode;
use http::request::Parts;
use url::form_urlencoded::parse;

use super::may_use;
use crate::http::body::Response;
use crate::http::error::{ApiError, LearningFailure, empty, reply, uncached};
use crate::http::fields::positive_integer;
use crate::http::handler::Face;
use crate::intelligence::LearningPage;
use crate::runtime::Caller;

/// The longest id of an agent.
const MAX_ID: usize = 128;

pub(super) async fn metadata(face: &Face) -> Response {
    uncached(match face.runtime.inspector_metadata().await {
        Some(metadata) => reply(StatusCode::OK, &metadata),
        None => empty(StatusCode::NO_CONTENT),
    })
}

pub(super) async fn learning(face: &Face, caller: &Caller, head: &Parts) -> Result<Response, ApiError> {
    Ok(uncached(learned(face, caller, head).await.unwrap_or_else(ApiError::into_response)))
}

async fn learned(face: &Face, caller: &Caller, head: &Parts) -> Result<Response, ApiError> {
    if !face.runtime.has_learning() {
        return Err(ApiError::Learning(LearningFailure::NotFound));
    }
    let page = page(head.uri.query().unwrap_or_default()).ok_or(ApiError::Learning(LearningFailure::Invalid))?;
    if let Some(agent_id) = &page.agent_id {
        may_use(face, Some(caller), agent_id)?;
    }
    asked(face, &page).await.map_err(ApiError::Learning)
}

async fn asked(face: &Face, page: &LearningPage) -> Result<Response, LearningFailure> {
    match face.runtime.inspector_learning(page).await.ok_or(LearningFailure::NotFound)? {
        Ok(snapshot) => Ok(reply(StatusCode::OK, &snapshot)),
        Err(error) if error.status() == Some(404) => Err(LearningFailure::NotFound),
        Err(error) => Err(LearningFailure::Unavailable(error)),
    }
}

/// The page a query asks for; none if it asks for anything else. Of a parameter that is there twice, the first counts.
fn page(query: &str) -> Option<LearningPage> {
    let parameter = |wanted: &str| parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value);
    if parse(query.as_bytes()).any(|(name, _)| !matches!(&*name, "agentId" | "skillsPage" | "insightsPage")) {
        return None;
    }
    let agent_id = parameter("agentId").map(std::borrow::Cow::into_owned);
    if agent_id.as_deref().is_some_and(|id| id.trim().is_empty() || id.encode_utf16().count() > MAX_ID) {
        return None;
    }
    let number = |wanted| match parameter(wanted) {
        Some(text) => text.trim().parse().ok().and_then(positive_integer).map(Some),
        None => Some(None),
    };
    Some(LearningPage { agent_id, skills_page: number("skillsPage")?, insights_page: number("insightsPage")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_read_from_its_three_parameters_alone() {
        assert_eq!(page(""), Some(LearningPage::default()));
        let asked = LearningPage { agent_id: Some("a b".to_owned()), skills_page: Some(2), insights_page: Some(3) };
        assert_eq!(page("agentId=a+b&skillsPage=2&insightsPage=%203.0&agentId=c"), Some(asked));
        let long = format!("agentId={}", "a".repeat(MAX_ID + 1));
        for query in ["x=1", "containerId=c", "agentId=", "agentId=+", &long, "skillsPage=", "skillsPage=0"] {
            assert_eq!(page(query), None, "{query}");
        }
        for query in ["skillsPage=1.5", "insightsPage=-1", "insightsPage=x", "insightsPage=inf", "skillsPage=NaN"] {
            assert_eq!(page(query), None, "{query}");
        }
    }
}
