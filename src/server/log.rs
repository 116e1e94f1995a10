//! The log, on stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use super::config::Log;

/// Sets up the log for the whole program. Call it once.
pub(super) fn start(log: &Log) {
    // The level was checked when it was read.
    let filter = EnvFilter::builder().parse_lossy(&log.level);
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let to_stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours);
    if log.json {
        to_stderr.json().flatten_event(true).init();
    } else {
        to_stderr.init();
    }
}
