//! Path to [`Route`], and the methods a route allows. Pure (rest-sse.md chapters 2 and 3).

use http::Method;
use percent_encoding::percent_decode_str;

/// A route of the runtime, with the ids its path carried, percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the variants are the contract's route names")]
pub enum Route {
    Info,
    InspectorMetadata,
    InspectorLearning,
    Transcribe,
    DebugEvents,
    AgentRun { agent_id: String },
    AgentSuggest { agent_id: String },
    AgentConnect { agent_id: String },
    AgentStop { agent_id: String, thread_id: String },
    ThreadsSubscribe,
    ThreadMessages { thread_id: String },
    ThreadEvents { thread_id: String },
    ThreadState { thread_id: String },
    ThreadArchive { thread_id: String },
    ThreadsClear,
    ThreadUpdate { thread_id: String },
    ThreadsList,
    MemoriesRecall,
    MemoriesSubscribe,
    MemoryMutate { memory_id: String },
    MemoriesList,
    Annotate,
}

/// One rule: the segments it asks for (`:` stands for an id), and the route it makes of the ids.
struct Rule {
    name: &'static str,
    segments: &'static [&'static str],
    allowed: &'static [Method],
    access: Access,
    make: fn(&mut dyn Iterator<Item = String>) -> Route,
}

/// Who may ask, where users are told apart. There is no default: whoever adds a route decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Strangers too, if the application says so: it touches no thread, and costs next to nothing.
    Anybody,
    /// A caller who is known, whatever the application says: it touches threads or what is known of users, or costs
    /// money.
    Caller,
}

use Access::{Anybody, Caller};

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const PATCH_DELETE: &[Method] = &[Method::PATCH, Method::DELETE];

/// In the order of the contract: the first that matches wins.
const RULES: &[Rule] = &[
    rule("info", &["info"], GET, Anybody, |_| Route::Info),
    rule("inspector/metadata", &["inspector-metadata"], GET, Anybody, |_| Route::InspectorMetadata),
    rule("inspector/learning", &["inspector-learning"], GET, Caller, |_| Route::InspectorLearning),
    rule("transcribe", &["transcribe"], POST, Caller, |_| Route::Transcribe),
    rule("cpk-debug-events", &["cpk-debug-events"], GET, Caller, |_| Route::DebugEvents),
    rule("agent/run", &["agent", ":", "run"], POST, Caller, |ids| Route::AgentRun { agent_id: next(ids) }),
    rule("agent/suggest", &["agent", ":", "suggest"], POST, Caller, |ids| Route::AgentSuggest { agent_id: next(ids) }),
    rule("agent/connect", &["agent", ":", "connect"], POST, Caller, |ids| Route::AgentConnect { agent_id: next(ids) }),
    rule("agent/stop", &["agent", ":", "stop", ":"], POST, Caller, |ids| Route::AgentStop {
        agent_id: next(ids),
        thread_id: next(ids),
    }),
    rule("threads/subscribe", &["threads", "subscribe"], POST, Caller, |_| Route::ThreadsSubscribe),
    rule("threads/messages", &["threads", ":", "messages"], GET, Caller, |ids| Route::ThreadMessages {
        thread_id: next(ids),
    }),
    rule("threads/events", &["threads", ":", "events"], GET, Caller, |ids| Route::ThreadEvents {
        thread_id: next(ids),
    }),
    rule("threads/state", &["threads", ":", "state"], GET, Caller, |ids| Route::ThreadState { thread_id: next(ids) }),
    rule("threads/archive", &["threads", ":", "archive"], POST, Caller, |ids| Route::ThreadArchive {
        thread_id: next(ids),
    }),
    rule("threads/clear", &["threads", "clear"], POST, Caller, |_| Route::ThreadsClear),
    rule("threads/update", &["threads", ":"], PATCH_DELETE, Caller, |ids| Route::ThreadUpdate { thread_id: next(ids) }),
    rule("threads/list", &["threads"], GET, Caller, |_| Route::ThreadsList),
    rule("memories/recall", &["memories", "recall"], POST, Caller, |_| Route::MemoriesRecall),
    rule("memories/subscribe", &["memories", "subscribe"], POST, Caller, |_| Route::MemoriesSubscribe),
    rule("memories/mutate", &["memories", ":"], PATCH_DELETE, Caller, |ids| Route::MemoryMutate {
        memory_id: next(ids),
    }),
    rule("memories/list", &["memories"], GET_POST, Caller, |_| Route::MemoriesList),
    rule("annotate", &["annotate"], POST, Caller, |_| Route::Annotate),
];

const fn rule(
    name: &'static str,
    segments: &'static [&'static str],
    allowed: &'static [Method],
    access: Access,
    make: fn(&mut dyn Iterator<Item = String>) -> Route,
) -> Rule {
    Rule { name, segments, allowed, access, make }
}

fn next(ids: &mut dyn Iterator<Item = String>) -> String {
    ids.next().unwrap_or_default()
}

impl Route {
    /// Matches a path below the base path.
    ///
    /// Empty segments are dropped. A rule that fits the whole path wins; otherwise rules are tried on the
    /// last segments, so extra leading segments pass. Upstream knows only the second way, which lets a thread
    /// named `info` shadow a route (chapter 14, row 25).
    #[must_use]
    pub fn of_path(path: &str) -> Option<Route> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let whole = RULES.iter().filter(|rule| rule.segments.len() == segments.len());
        let ending = RULES.iter().filter(|rule| rule.segments.len() < segments.len());
        whole.chain(ending).find_map(|rule| rule.try_match(&segments))
    }

    /// The contract's name, as hooks see it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.rule().name
    }

    /// The methods the route answers.
    #[must_use]
    pub fn allowed(&self) -> &'static [Method] {
        self.rule().allowed
    }

    /// Whether it answers only callers who are known, where users are told apart; other routes do unless
    /// [`Builder::public_info`](crate::Builder::public_info) is on.
    #[must_use]
    pub fn needs_caller(&self) -> bool {
        self.rule().access == Access::Caller
    }

    /// The agent named in the path.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        match self {
            Route::AgentRun { agent_id }
            | Route::AgentSuggest { agent_id }
            | Route::AgentConnect { agent_id }
            | Route::AgentStop { agent_id, .. } => Some(agent_id),
            _ => None,
        }
    }

    /// The thread named in the path.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        match self {
            Route::AgentStop { thread_id, .. }
            | Route::ThreadMessages { thread_id }
            | Route::ThreadEvents { thread_id }
            | Route::ThreadState { thread_id }
            | Route::ThreadArchive { thread_id }
            | Route::ThreadUpdate { thread_id } => Some(thread_id),
            _ => None,
        }
    }

    /// The memory named in the path.
    #[must_use]
    pub fn memory_id(&self) -> Option<&str> {
        match self {
            Route::MemoryMutate { memory_id } => Some(memory_id),
            _ => None,
        }
    }

    /// One of the memory routes, which are hidden unless exposed.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.name().starts_with("memories/")
    }

    /// Every route's name, path template and methods, in the contract's order.
    pub fn table() -> impl Iterator<Item = (&'static str, String, &'static [Method])> {
        RULES.iter().map(|rule| {
            let mut names = if rule.name.starts_with("memories") {
                ["{memoryId}", ""].iter()
            } else if rule.name.starts_with("threads") {
                ["{threadId}", ""].iter()
            } else {
                ["{agentId}", "{threadId}"].iter()
            };
            let mut template = String::new();
            for segment in rule.segments {
                template.push('/');
                template.push_str(if *segment == ":" { names.next().unwrap_or(&"") } else { segment });
            }
            (rule.name, template, rule.allowed)
        })
    }

    fn rule(&self) -> &'static Rule {
        let index = match self {
            Route::Info => 0,
            Route::InspectorMetadata => 1,
            Route::InspectorLearning => 2,
            Route::Transcribe => 3,
            Route::DebugEvents => 4,
            Route::AgentRun { .. } => 5,
            Route::AgentSuggest { .. } => 6,
            Route::AgentConnect { .. } => 7,
            Route::AgentStop { .. } => 8,
            Route::ThreadsSubscribe => 9,
            Route::ThreadMessages { .. } => 10,
            Route::ThreadEvents { .. } => 11,
            Route::ThreadState { .. } => 12,
            Route::ThreadArchive { .. } => 13,
            Route::ThreadsClear => 14,
            Route::ThreadUpdate { .. } => 15,
            Route::ThreadsList => 16,
            Route::MemoriesRecall => 17,
            Route::MemoriesSubscribe => 18,
            Route::MemoryMutate { .. } => 19,
            Route::MemoriesList => 20,
            Route::Annotate => 21,
        };
        &RULES[index]
    }
}

impl Rule {
    fn try_match(&self, segments: &[&str]) -> Option<Route> {
        let last = segments.get(segments.len().checked_sub(self.segments.len())?..)?;
        let mut ids = Vec::new();
        for (wanted, found) in self.segments.iter().zip(last) {
            if *wanted == ":" {
                ids.push(percent_decode_str(found).decode_utf8().ok()?.into_owned());
            } else if wanted != found {
                return None;
            }
        }
        // `%` that is no escape makes the id undecodable for a URL parser; so it does here.
        if last.iter().zip(self.segments).any(|(found, wanted)| *wanted == ":" && has_broken_escape(found)) {
            return None;
        }
        ids.iter().all(|id| !id.is_empty()).then(|| (self.make)(&mut ids.into_iter()))
    }
}

fn has_broken_escape(segment: &str) -> bool {
    let is_hex = |at: usize| segment.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    segment.match_indices('%').any(|(at, _)| !is_hex(at + 1) || !is_hex(at + 2))
}

/// The part of `path` below `base`: the path must start with it and go on with `/` or end there.
/// An empty base, or `/`, is above everything.
pub(super) fn below_base<'p>(base: &str, path: &'p str) -> Option<&'p str> {
    let base = base.strip_suffix('/').unwrap_or(base);
    path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Resolves `.` and `..` segments as a URL parser does, percent-encoded ones included.
pub(super) fn without_dots(path: &str) -> std::borrow::Cow<'_, str> {
    let is_dot = |s: &str| s == "." || s.eq_ignore_ascii_case("%2e");
    let is_dots = |s: &str| matches!(s.to_ascii_lowercase().as_str(), ".." | ".%2e" | "%2e." | "%2e%2e");
    if !path.split('/').any(|segment| is_dot(segment) || is_dots(segment)) {
        return path.into();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if is_dots(segment) {
            kept.pop();
        } else if !is_dot(segment) {
            kept.push(segment);
            continue;
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str) -> Option<&'static str> {
        Route::of_path(path).map(|route| route.name())
    }

    #[test]
    fn every_rule_matches_its_own_template_and_names_itself() {
        for (name, template, _) in Route::table() {
            assert_eq!(named(&template), Some(name), "{template}");
            assert_eq!(named(&format!("/v7{template}")), Some(name), "extra leading segments pass");
        }
    }

    #[test]
    fn ids_are_decoded_and_broken_ids_are_no_route() {
        let run = |path| Route::of_path(path).and_then(|route| route.agent_id().map(str::to_owned));
        assert_eq!(run("/agent/a%20b%2Fc/run").as_deref(), Some("a b/c"));
        assert_eq!(run("/agent/a+b/run").as_deref(), Some("a+b"));
        assert_eq!(run("/agent/%E0%A4/run"), None);
        assert_eq!(run("/agent/%zz/run"), None);
        assert_eq!(run("/agent//run"), None);
        assert_eq!(named("/%69nfo"), None);
        assert_eq!(named("/Info"), None);
    }

    #[test]
    fn ids_equal_to_route_words_do_not_shadow_routes() {
        assert_eq!(named("/threads/info"), Some("threads/update"));
        assert_eq!(named("/agent/agent/stop/run"), Some("agent/stop"));
        assert_eq!(named("/threads/clear"), Some("threads/clear"));
    }

    #[test]
    fn base_paths_end_at_a_segment() {
        assert_eq!(below_base("/api/copilotkit", "/api/copilotkit/info"), Some("/info"));
        assert_eq!(below_base("/api/copilotkit/", "/api/copilotkit"), Some(""));
        assert_eq!(below_base("/api/copilotkit", "/api/copilotkitx/info"), None);
        assert_eq!(below_base("/", "/x/info"), Some("/x/info"));
    }

    #[test]
    fn dot_segments_are_resolved_as_a_url_parser_does() {
        assert_eq!(without_dots("/a/../b/./c"), "/b/c");
        assert_eq!(without_dots("/a/%2E%2e/b"), "/b");
        assert_eq!(without_dots("/../../x"), "/x");
        assert_eq!(without_dots("/a/.."), "/");
        assert_eq!(without_dots("/a/b"), "/a/b");
    }
}
