//! Threads as lists show them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::thread::{Owner, ThreadKey};

/// A thread in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadEntry {
    /// Names it.
    pub key: ThreadKey,
    /// The agent of its last run.
    pub agent_id: Arc<str>,
    /// What it is called.
    pub name: Option<Arc<str>>,
    /// Whether lists leave it out unless asked.
    pub archived: bool,
    /// Beginning of its first run, in milliseconds since 1970.
    pub created_at: i64,
    /// Its last activity, the beginning or end of a run, in milliseconds since 1970.
    pub updated_at: i64,
}

/// Which threads to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadQuery {
    /// Whose; `None` is everybody's, which is for operators.
    pub owner: Option<Owner>,
    /// Those whose last run was this agent's.
    pub agent_id: Option<Arc<str>>,
    /// Archived ones too.
    pub include_archived: bool,
    /// Those whose name or messages hold words that begin with each word of this text.
    pub matching: Option<String>,
    /// How many at most.
    pub limit: usize,
    /// Those behind this place.
    pub after: Option<ThreadCursor>,
}

impl ThreadQuery {
    /// Every thread of an owner that is not archived.
    #[must_use]
    pub fn of(owner: Owner) -> ThreadQuery {
        ThreadQuery { owner: Some(owner), ..ThreadQuery::everybody() }
    }

    /// Every thread that is not archived, for operators.
    #[must_use]
    pub fn everybody() -> ThreadQuery {
        ThreadQuery {
            owner: None,
            agent_id: None,
            include_archived: false,
            matching: None,
            limit: usize::MAX,
            after: None,
        }
    }
}

/// A page of threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadList {
    /// Newest activity first.
    pub threads: Vec<ThreadEntry>,
    /// Where the next page begins, if there is more.
    pub next: Option<ThreadCursor>,
}

/// A place in a list of threads. Clients see it as an opaque text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadCursor {
    /// The last activity of the thread at this place.
    pub updated_at: i64,
    /// Orders threads of one millisecond, the larger first.
    pub tie: u64,
}

impl fmt::Display for ThreadCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.updated_at, self.tie)
    }
}

/// A text that is no cursor of a thread list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of a thread list; pass the `nextCursor` of an earlier page, or none to begin")]
pub struct InvalidCursor;

impl FromStr for ThreadCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<ThreadCursor, InvalidCursor> {
        let (at, tie) = text.split_once('-').ok_or(InvalidCursor)?;
        let updated_at = i64::from_str_radix(at, 16).map_err(|_| InvalidCursor)?;
        let tie = u64::from_str_radix(tie, 16).map_err(|_| InvalidCursor)?;
        Ok(ThreadCursor { updated_at, tie })
    }
}

/// A change to what lists show of a thread. It is no activity: the thread keeps its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadPatch {
    /// Its new name; `Some(None)` takes the name away.
    pub name: Option<Option<Arc<str>>>,
    /// Only if it is still called this: what a person chose is not overwritten by what was guessed.
    pub if_named: Option<Option<Arc<str>>>,
    /// Whether it is archived.
    pub archived: Option<bool>,
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_other_texts_are_refused() {
        let cursor = ThreadCursor { updated_at: 1_700_000_000_123, tie: u64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "-", "x-1", "1-", "1", "1-g", "é"] {
            assert_eq!(text.parse::<ThreadCursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
