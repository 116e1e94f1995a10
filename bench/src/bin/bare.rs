//! The floor of the comparison: a bare axum server that writes the events from memory.
//!
//! Environment: `PORT` (4000), `BARE_WRITE=whole` to write a run that needs no pauses as one
//! piece instead of one piece per event.

use copilotkit_bench::bare::{self, Write};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(4000);
    let whole = std::env::var("BARE_WRITE").is_ok_and(|write| write == "whole");
    bare::serve(port, if whole { Write::Whole } else { Write::PerEvent }).await
}
