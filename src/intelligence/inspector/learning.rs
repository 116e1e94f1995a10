//! A snapshot of what was learned, version 1: whole and well-formed, or not shown. Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Value, json};
use url::Url;

use super::{integer, is_loopback};

const SKILLS_ON_A_PAGE: u64 = 3;
const INSIGHTS_ON_A_PAGE: u64 = 4;

const RUN_STATES: [&str; 7] = ["queued", "freezing", "batching", "reducing", "finalizing", "succeeded", "failed"];

/// What of an answer is shown.
pub(super) fn sanitised(answer: &Value) -> Option<Value> {
    if integer(answer.get("schemaVersion")?) != Some(1) {
        return None;
    }
    let pending_threads = integer(answer.get("pendingThreadCount")?)?;
    let pending_candidates = integer(answer.get("pendingCandidateCount")?)?;
    let origin = origin(answer.get("webAppOrigin")?.as_str()?)?;
    let links = answer.get("links")?;
    let (runs, candidates) = (maybe_link(links.get("runs")?, &origin)?, maybe_link(links.get("candidates")?, &origin)?);
    // What waits has a page where it waits.
    if (pending_threads > 0 && runs.is_null()) || (pending_candidates > 0 && candidates.is_null()) {
        return None;
    }
    Some(json!({
        "schemaVersion": 1,
        "projectKey": text(answer, "projectKey", 128)?,
        "snapshotVersion": text(answer, "snapshotVersion", 128)?,
        "webAppOrigin": origin.origin().ascii_serialization(),
        "configuration": configuration(answer.get("configuration")?)?,
        "pendingThreadCount": pending_threads,
        "run": run(answer.get("run")?)?,
        "pendingCandidateCount": pending_candidates,
        "skillsPage": page(answer.get("skillsPage")?, SKILLS_ON_A_PAGE, skill)?,
        "insightsPage": page(answer.get("insightsPage")?, INSIGHTS_ON_A_PAGE, insight)?,
        "links": {"learning": link(links.get("learning")?, &origin)?, "candidates": candidates, "runs": runs},
    }))
}

fn configuration(part: &Value) -> Option<Value> {
    match part.get("state")?.as_str()? {
        state @ ("not_configured" | "selection_required") => Some(json!({"state": state})),
        state @ "invalid" => {
            let reason =
                part.get("reason")?.as_str().filter(|reason| ["container", "instrumentation"].contains(reason))?;
            Some(json!({"state": state, "reason": reason}))
        }
        state @ "configured" => {
            let container = part.get("container")?;
            let (id, name) = (text(container, "id", 128)?, text(container, "name", 128)?);
            Some(json!({"state": state, "container": {"id": id, "name": name}}))
        }
        _ => None,
    }
}

fn run(part: &Value) -> Option<Value> {
    let latest = part.get("latest")?;
    let latest = if latest.is_null() {
        Value::Null
    } else {
        let status = latest.get("status")?.as_str().filter(|status| RUN_STATES.contains(status))?;
        let completed = latest.get("completedAt").filter(|at| at.is_null() || is_date(at))?;
        json!({"status": status, "completedAt": completed})
    };
    Some(
        json!({"hasActiveRun": flag(part, "hasActiveRun")?, "hasEverSucceeded": flag(part, "hasEverSucceeded")?, "latest": latest}),
    )
}

fn page(part: &Value, size: u64, read: fn(&Value) -> Option<Value>) -> Option<Value> {
    let number = |name| integer(part.get(name)?);
    let (page, total, pages) = (number("page")?, number("total")?, number("totalPages")?);
    let items: Vec<Value> = part.get("items")?.as_array()?.iter().map(read).collect::<Option<_>>()?;
    let expected = if total == 0 {
        (page == 1).then_some(0)
    } else {
        (1..=total.div_ceil(size)).contains(&page).then(|| size.min(total - (page - 1) * size))
    };
    let is_whole = number("pageSize")? == size && pages == total.div_ceil(size) && expected == Some(items.len() as u64);
    is_whole.then(|| json!({"page": page, "pageSize": size, "total": total, "totalPages": pages, "items": items}))
}

fn skill(item: &Value) -> Option<Value> {
    let source = item.get("sourceInsight")?;
    let source = if source.is_null() { Value::Null } else { insight(source)? };
    Some(json!({
        "id": text(item, "id", 128)?,
        "name": text(item, "name", 128)?,
        "description": text(item, "description", 4000)?,
        "revision": integer(item.get("revision")?).filter(|revision| *revision >= 1)?,
        "skillMd": item.get("skillMd")?.as_str().filter(|markdown| is_within(markdown, 131_072))?,
        "sourceInsight": source,
    }))
}

fn insight(item: &Value) -> Option<Value> {
    let evidence = item.get("evidence")?.as_array().filter(|all| all.len() <= 100)?;
    let evidence: Vec<Value> = evidence.iter().map(proof).collect::<Option<_>>()?;
    Some(json!({
        "id": text(item, "id", 128)?,
        "statement": text(item, "statement", 4000)?,
        "impact": text(item, "impact", 4000)?,
        "totalThreadCount": integer(item.get("totalThreadCount")?)?,
        "evidenceTruncated": flag(item, "evidenceTruncated")?,
        "evidence": evidence,
    }))
}

/// One thread an insight was drawn from.
fn proof(item: &Value) -> Option<Value> {
    match item.get("status")?.as_str()? {
        "unavailable" => (item.as_object()?.len() == 1).then(|| json!({"status": "unavailable"})),
        "available" => {
            let name = item.get("threadName")?;
            let is_name = name.is_null() || name.as_str().is_some_and(|name| is_within(name, 4000));
            let ids = item.get("messageIds")?.as_array().filter(|ids| ids.len() <= 200)?;
            let are_ids = ids.iter().all(|id| id.as_str().is_some_and(|id| is_text(id, 128)));
            let updated = item.get("updatedAt").filter(|at| is_date(at))?;
            let id = text(item, "threadId", 128)?;
            (is_name && are_ids).then(|| {
                json!({"status": "available", "threadId": id, "threadName": name, "messageIds": ids, "updatedAt": updated})
            })
        }
        _ => None,
    }
}

/// Where the platform's pages are: an origin alone, over TLS or on the own machine.
fn origin(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|_| is_within(text, 2000))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && carries_nobody(&url);
    let is_trusted = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    (is_bare && is_trusted).then_some(url)
}

/// A page of the platform and of nobody else.
fn link(value: &Value, origin: &Url) -> Option<String> {
    let text = value.as_str().filter(|text| is_within(text, 4000))?;
    let url = Url::parse(text).ok().filter(|url| url.origin() == origin.origin() && carries_nobody(url))?;
    Some(url.into())
}

fn maybe_link(value: &Value, origin: &Url) -> Option<Value> {
    if value.is_null() { Some(Value::Null) } else { link(value, origin).map(Value::String) }
}

fn carries_nobody(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

fn flag(part: &Value, name: &str) -> Option<bool> {
    part.get(name)?.as_bool()
}

fn text<'a>(part: &'a Value, name: &str, most: usize) -> Option<&'a str> {
    part.get(name)?.as_str().filter(|text| is_text(text, most))
}

fn is_text(text: &str, most: usize) -> bool {
    !text.trim().is_empty() && is_within(text, most)
}

/// Lengths are counted as JavaScript counts them.
fn is_within(text: &str, most: usize) -> bool {
    text.len() <= most || text.encode_utf16().count() <= most
}

fn is_date(value: &Value) -> bool {
    value.as_str().is_some_and(|at| at.parse::<Timestamp>().is_ok() || at.parse::<DateTime>().is_ok())
}

#[cfg(test)]
pub(super) mod tests;
