//! The log, on stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use super::config::Log;

/// Sets up the log for the whole program. Call it once.
pub(super) fn start(log: &Log) {
    // The level was checked when it was read.
    let filter = EnvFilter::builder().parse_lossy(of_program(&log.level));
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let to_stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours);
    if log.json {
        to_stderr.json().flatten_event(true).init();
    } else {
        to_stderr.init();
    }
}

/// The level without the MCP client, unless it is asked for by name: it has much to say of every session, and what matters
/// of that is logged where runs are.
fn of_program(level: &str) -> String {
    if level.contains("rmcp") { level.to_owned() } else { format!("{level},rmcp=off") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mcp_client_is_not_heard_unless_it_is_asked_for() {
        assert_eq!(of_program("info"), "info,rmcp=off");
        assert_eq!(of_program("info,rmcp=debug"), "info,rmcp=debug");
    }
}
