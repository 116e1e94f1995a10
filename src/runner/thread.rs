//! Which thread, and whose.

use std::fmt;
use std::sync::Arc;

/// Whose threads they are: a user, or nobody in particular where users are not told apart.
///
/// Everything a runner or store does with threads names their owner. A thread of somebody else is not refused,
/// it is not there: two users may each have a thread of the same id and never notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

impl Owner {
    /// The one owner of all threads where users are not told apart.
    #[must_use]
    pub fn anonymous() -> Owner {
        Owner::default()
    }

    /// A user, by the id the application knows them by. An empty id is the anonymous owner.
    #[must_use]
    pub fn of(user_id: impl Into<Arc<str>>) -> Owner {
        Owner(user_id.into())
    }

    /// The user's id; empty for the anonymous owner.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a thread: its owner, and the id the owner's client gave it. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadKey {
    /// Whose it is.
    pub owner: Owner,
    /// Its id, one among the owner's threads.
    pub id: Arc<str>,
}

impl ThreadKey {
    /// A thread of an owner.
    #[must_use]
    pub fn new(owner: Owner, id: impl Into<Arc<str>>) -> ThreadKey {
        ThreadKey { owner, id: id.into() }
    }

    /// A thread where users are not told apart.
    #[must_use]
    pub fn anonymous(id: impl Into<Arc<str>>) -> ThreadKey {
        ThreadKey::new(Owner::anonymous(), id)
    }
}

/// A thread where users are not told apart.
impl From<&str> for ThreadKey {
    fn from(id: &str) -> ThreadKey {
        ThreadKey::anonymous(id)
    }
}
