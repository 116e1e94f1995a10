//! The one list of what this runtime says otherwise than recorded in Intelligence mode, and why.
//!
//! A reason that explains no difference any more fails the replay, so the list cannot go stale.

use super::unlike::Unlike;

/// Why a difference is meant to be.
pub(crate) struct Reason {
    scenario: &'static str,
    pub(crate) because: &'static str,
    covers: fn(&Unlike) -> bool,
}

impl Reason {
    pub(crate) fn covers(&self, difference: &Unlike) -> bool {
        (self.covers)(difference)
    }
}

/// The reasons for a scenario.
pub(crate) fn reasons(scenario: &str) -> Vec<&'static Reason> {
    INTENDED.iter().filter(|reason| reason.scenario == scenario).collect()
}

const INTENDED: &[Reason] = &[Reason {
    scenario: "runtime-without-websocket-global",
    because: "this runtime always has WebSockets and needs no long polling",
    covers: |_| true,
}];
