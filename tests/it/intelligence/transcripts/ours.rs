//! The library under test, mounted as a transcript says. What the replay uses of its interface is in this file.

use std::future::ready;
use std::time::Duration;

use copilotkit_runtime::http::CopilotService;
use copilotkit_runtime::intelligence::{Intelligence, MemoryAccess, MemoryGrant};
use copilotkit_runtime::{CopilotRuntime, IdentifyError, User};
use http::request::Parts;

use super::agent::Played;
use super::file::{RuntimeOptions, Settings};
use crate::platform::{API_KEY, Platform};

pub(crate) fn service(
    options: &RuntimeOptions,
    platform: &Platform,
    default: Played,
    other: Played,
) -> Result<CopilotService, String> {
    // The recordings have no other modes than these two.
    let is_single_route = match options.mode.as_deref() {
        None | Some("multi-route") => false,
        Some("single-route") => true,
        Some(mode) => return Err(format!("unknown mode `{mode}`")),
    };
    let runtime = CopilotRuntime::on_intelligence(intelligence(options, platform)?, |head: &Parts| ready(user(head)))
        .agent("default", default)
        .agent("other", other)
        .build();
    let service = runtime.map_err(|error| error.to_string())?.into_service();
    Ok(if is_single_route { service.single_route() } else { service })
}

fn intelligence(options: &RuntimeOptions, platform: &Platform) -> Result<Intelligence, String> {
    let Settings { generate_thread_names, lock_ttl_seconds, lock_heartbeat_interval_seconds, lock_key_prefix } =
        &options.runtime;
    let mut builder = Intelligence::builder().api_key(API_KEY).api_url(platform.api_url()).ws_url(platform.ws_url());
    if let Some(id) = options.learning_container_id.clone() {
        builder = builder.learning_container_by(move |_| ready(Ok(Some(id.clone()))));
    }
    if options.memory {
        let all = MemoryGrant::new(MemoryAccess::ReadWrite, MemoryAccess::ReadWrite);
        builder = builder.memory(move |_| ready(Ok(all)));
    }
    if let Some(generate) = generate_thread_names {
        builder = builder.generate_thread_names(*generate);
    }
    if let Some(seconds) = lock_ttl_seconds {
        builder = builder.lock_ttl(Duration::from_secs(*seconds));
    }
    if let Some(seconds) = lock_heartbeat_interval_seconds {
        builder = builder.lock_heartbeat(Duration::from_secs(*seconds));
    }
    if let Some(prefix) = lock_key_prefix {
        builder = builder.lock_key_prefix(prefix);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The user the recording runtime found for a request, also the impossible ones.
fn user(head: &Parts) -> Result<User, IdentifyError> {
    match head.headers.get("x-test-user").and_then(|value| value.to_str().ok()).unwrap_or("user-1") {
        "!throw" => Err(IdentifyError::failed("nobody knows")),
        "!bad" => Ok(User::new("no id at all")),
        "!noname" => Ok(User::new("user-1").named(" ")),
        id => Ok(User::new(id).named(id)),
    }
}
