//! Who may use an agent.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::users::Caller;

/// Who may use an agent: users by their ids, or by what their claims hold. One fit is enough; an empty list fits nobody.
///
/// ```
/// use copilotkit_runtime::Allow;
///
/// let staff = Allow::nobody().user("ada").claim("roles", "staff");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    users: BTreeSet<String>,
    claims: Vec<(String, String)>,
}

impl Allow {
    /// Nobody yet.
    #[must_use]
    pub fn nobody() -> Allow {
        Allow::default()
    }

    /// And this user.
    #[must_use]
    pub fn user(mut self, id: impl Into<String>) -> Allow {
        self.users.insert(id.into());
        self
    }

    /// And whoever has this claim with this text, or with a list that holds it
    /// ([`Claims::holds`](crate::Claims::holds)).
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, wanted: impl Into<String>) -> Allow {
        self.claims.push((name.into(), wanted.into()));
        self
    }

    fn fits(&self, caller: &Caller) -> bool {
        self.users.contains(caller.user_id())
            || self.claims.iter().any(|(name, wanted)| caller.claims().holds(name, wanted))
    }
}

/// The agents that are not for everybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserved(HashMap<Arc<str>, Allow>);

impl Reserved {
    pub(super) fn insert(&mut self, agent: Arc<str>, allow: Allow) {
        self.0.insert(agent, allow);
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// Whether a caller may use an agent. Who is not known may use those that are for everybody.
    pub(super) fn admits(&self, caller: Option<&Caller>, agent: &str) -> bool {
        self.0.get(agent).is_none_or(|allow| caller.is_some_and(|caller| allow.fits(caller)))
    }
}
