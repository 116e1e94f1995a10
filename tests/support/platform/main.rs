//! The scripted platform as a process, for tests in other languages: prints `{"port":…}` as one line, then serves
//! until it is killed. Options are read from `PLATFORM`, a JSON object: `tokens` (`reusable`, `single-use`) and
//! `batches`.

mod control;
#[path = "mod.rs"]
#[allow(dead_code, unused_imports, reason = "the Rust tests use more of it")]
mod platform;

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::OnceCell;

use self::platform::{Options, Platform, Policy};

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    tokens: Policy,
    batches: bool,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted { tokens: Policy::default(), batches: true }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: Wanted = match std::env::var("PLATFORM") {
        Ok(json) => serde_json::from_str(&json)?,
        Err(_) => Wanted::default(),
    };
    let led = Arc::new(OnceCell::new());
    let options = Options { tokens: wanted.tokens, batches: wanted.batches, director: None };
    let platform = Platform::listen(options, control::routes(led.clone())).await;
    println!("{}", serde_json::json!({ "port": platform.address().port() }));
    led.set(platform).map_err(|_| "the platform is set once")?;
    std::future::pending::<()>().await;
    Ok(())
}
