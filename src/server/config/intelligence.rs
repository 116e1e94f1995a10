//! CopilotKit's Intelligence platform as the keeper of threads: `[intelligence]`.

use std::time::Duration;

use super::super::file::Raw;
use super::{Place, Problem, Reader, Secret, Section, Setting};
use crate::intelligence::{MemoryAccess, MemoryGrant};

/// The platform, and this project's access to it. What is not set is the library's to choose.
#[derive(Debug, PartialEq)]
pub(in crate::server) struct Intelligence {
    pub(in crate::server) api_key: Secret,
    pub(in crate::server) api_url: Option<String>,
    pub(in crate::server) ws_url: Option<String>,
    pub(in crate::server) organization_id: Option<String>,
    pub(in crate::server) learning_container: Option<String>,
    pub(in crate::server) generate_thread_names: bool,
    pub(in crate::server) enterprise_learning: bool,
    pub(in crate::server) lock_ttl: Duration,
    pub(in crate::server) lock_heartbeat: Duration,
    pub(in crate::server) lock_key_prefix: Option<String>,
    pub(in crate::server) max_reconnect: Duration,
    pub(in crate::server) max_rejoin: Duration,
    /// What every user may do with memories, if there are routes for them.
    pub(in crate::server) memory: Option<MemoryGrant>,
}

/// What turns it on outside the file. The id of an organization alone does not: it is a relic.
const SWITCHES: [&str; 3] = ["intelligence.api_key", "intelligence.api_url", "intelligence.ws_url"];

/// The platform, if it is meant to be used, and whether it is.
pub(super) fn read(reader: &Reader, users_are_wanted: bool) -> (bool, Option<Intelligence>) {
    let mut section = reader.section("intelligence");
    let switch = switch(reader, &section);
    let is_wanted = switch.is_some();
    let place = switch.unwrap_or(Place::Nowhere);
    let api_key = section.get_placed::<Secret>("api_key");
    if is_wanted && api_key.is_none() {
        section.report(place.clone(), "api_key", "missing; it is the key of your project on the platform");
    }
    if is_wanted && !users_are_wanted {
        let reason = "the platform keeps threads for users, so the program has to know who sends a request: name the \
                      header in which a proxy says who the user is (`users.header`, --user-header), or let users show \
                      tokens (`[users.jwt]`) or keys (`[users.api_keys.NAME]`)";
        reader.report(Problem::new(place, "users.header", reason));
    }
    let intelligence = Intelligence {
        api_key: api_key.map_or_else(|| Secret(String::new()), |(key, _): (Secret, Place)| key),
        api_url: section.get("api_url"),
        ws_url: section.get("ws_url"),
        organization_id: section.get("organization_id"),
        learning_container: section.get("learning_container"),
        generate_thread_names: section.get("generate_thread_names").unwrap_or(true),
        enterprise_learning: section.get("enterprise_learning").unwrap_or(false),
        lock_ttl: section.get("lock_ttl").unwrap_or(Duration::from_secs(20)),
        lock_heartbeat: section.get("lock_heartbeat").unwrap_or(Duration::from_secs(15)),
        lock_key_prefix: section.get("lock_key_prefix"),
        max_reconnect: section.get("max_reconnect").unwrap_or(Duration::from_secs(10)),
        max_rejoin: section.get("max_rejoin").unwrap_or(Duration::from_secs(30)),
        memory: memory(section.section("memory")),
    };
    section.finish();
    (is_wanted, is_wanted.then_some(intelligence))
}

/// Where it is turned on, if it is.
fn switch(reader: &Reader, section: &Section<'_>) -> Option<Place> {
    let outside = SWITCHES.iter().find_map(|key| reader.outside(key)).map(|(_, place)| place.clone());
    outside.or_else(|| section.is_present().then(|| section.place()))
}

/// Refuses to look after a database nobody named while threads are kept by the platform.
pub(super) fn expect_database(reader: &Reader) {
    let switch = switch(reader, &reader.section("intelligence"));
    if let Some(place) = switch.filter(|_| reader.outside("runner.database").is_none()) {
        let reason = "threads are kept by the Intelligence platform, and this command looks after a database: name one \
                      with --database";
        reader.report(Problem::new(place, "intelligence", reason));
    }
}

fn memory(mut section: Section<'_>) -> Option<MemoryGrant> {
    let is_wanted = section.is_present();
    let grant = MemoryGrant::new(
        section.get("user").unwrap_or(MemoryAccess::None),
        section.get("project").unwrap_or(MemoryAccess::None),
    );
    section.finish();
    is_wanted.then_some(grant)
}

/// Refuses settings of this program's own threads beside the platform that keeps them.
pub(super) fn refuse_beside(reader: &Reader, name: &str, section: &Section<'_>, keys: &[&'static str]) {
    const REASON: &str = "threads and runs are kept by the Intelligence platform; drop this, or what is set of \
                          `intelligence`";
    if section.is_present() {
        reader.report(Problem::new(section.place(), name, REASON));
    }
    for (key, (_, place)) in keys.iter().filter_map(|key| Some((key, reader.outside(key)?))) {
        reader.report(Problem::new(place.clone(), *key, REASON));
    }
}

impl Setting for MemoryAccess {
    fn read(raw: Raw) -> Result<MemoryAccess, String> {
        let word = match &raw {
            Raw::Text(word) => word.as_str(),
            _ => "",
        };
        match word {
            "none" => Ok(MemoryAccess::None),
            "read" => Ok(MemoryAccess::Read),
            "read-write" => Ok(MemoryAccess::ReadWrite),
            _ => Err("expected \"none\", \"read\" or \"read-write\"".to_owned()),
        }
    }
}
