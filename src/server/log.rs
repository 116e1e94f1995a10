//! The log, on stderr, and the spans that are sent elsewhere.

use std::io::{IsTerminal, stderr};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use super::config::{Log, Otlp};
#[cfg(feature = "otlp")]
use super::otlp::Spans;

/// What is still to be sent before the program ends.
#[must_use]
pub(super) struct Unsent(#[cfg(feature = "otlp")] Option<Spans>);

impl Unsent {
    /// Sends it, in bounded time. Not from within an async runtime.
    #[cfg_attr(not(feature = "otlp"), expect(clippy::unused_self, reason = "there is nothing to send"))]
    pub(super) fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(spans) = self.0 {
            spans.finish();
        }
    }
}

/// Sets up the log for the whole program, and sends spans if there is somebody to take them. Call it once, and not from
/// within an async runtime.
///
/// # Errors
/// When spans cannot be sent at all.
#[cfg_attr(not(feature = "otlp"), expect(unused_variables, reason = "there is nothing to send"))]
pub(super) fn start(log: &Log, otlp: &Otlp) -> Result<Unsent, String> {
    #[cfg(feature = "otlp")]
    {
        let spans = Spans::to(otlp)?;
        let layer = spans.as_ref().map(Spans::layer);
        registry().with(filter(log)).with(filter_fn(is_discreet)).with(layer).with(to_stderr(log)).init();
        Ok(Unsent(spans))
    }
    #[cfg(not(feature = "otlp"))]
    {
        registry().with(filter(log)).with(filter_fn(is_discreet)).with(to_stderr(log)).init();
        Ok(Unsent())
    }
}

/// The log alone, for a command.
pub(super) fn start_plain(log: &Log) {
    registry().with(filter(log)).with(filter_fn(is_discreet)).with(to_stderr(log)).init();
}

fn filter(log: &Log) -> EnvFilter {
    // The level was checked when it was read.
    EnvFilter::builder().parse_lossy(&log.level)
}

/// Whether something may be logged, whatever the level. WebSockets are logged with all they carry: what users and agents
/// say, and tokens.
fn is_discreet(line: &Metadata<'_>) -> bool {
    *line.level() <= Level::INFO || !line.target().starts_with("tungstenite")
}

fn to_stderr<S>(log: &Log) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> registry::LookupSpan<'a>,
{
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let to_stderr = fmt::layer().with_writer(stderr).with_ansi(colours);
    if log.json { to_stderr.json().flatten_event(true).boxed() } else { to_stderr.boxed() }
}
