//! The library under test, mounted as a transcript says.

use copilotkit_runtime::CopilotRuntime;
use copilotkit_runtime::http::CopilotService;

use super::agent::Played;
use super::file::RuntimeOptions;
use crate::platform::Platform;

pub(crate) fn service(
    options: &RuntimeOptions,
    _platform: &Platform,
    default: Played,
    other: Played,
) -> Result<CopilotService, String> {
    let runtime = CopilotRuntime::builder().agent("default", default).agent("other", other).build();
    let service = runtime.map_err(|error| error.to_string())?.into_service();
    Ok(if options.mode.as_deref() == Some("single-route") { service.single_route() } else { service })
}
