//! Whether the platform lets a run in (intelligence.md 4.2).

use std::future::Future;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::StartError;
use super::delivery::{Intake, Refusal};
use crate::meter::PlatformTrouble;
use crate::phoenix::{News, Socket};
use crate::runner::RunMeter;

/// How long a run waits for a gateway that drains or cannot be reached. Upstream waits for ever, as long as somebody
/// waits for the answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many failures in a row are told. Upstream aborts an agent here that does not run yet, which changes nothing.
const MANY_FAILURES: u32 = 5;
/// The close code of a gateway that restarts.
const SERVICE_RESTART: u16 = 1012;

/// Waits for the first join. `lost` ends when the run's lock is lost, with the reason.
pub(super) async fn join(
    socket: &mut Socket,
    lost: impl Future<Output = String>,
    closing: &CancellationToken,
    meter: &RunMeter,
) -> Result<Intake, StartError> {
    let patience = sleep_until(Instant::now() + PATIENCE);
    tokio::pin!(patience, lost);
    let mut failures = 0;
    loop {
        let news = tokio::select! {
            biased;
            news = socket.next() => news,
            () = closing.cancelled() => return Err(StartError::ShuttingDown),
            why = &mut lost => {
                return Err(StartError::Refused(format!("The thread's lock was lost: {why}")));
            }
            () = &mut patience => return Err(timed_out()),
        };
        match news {
            News::Joined(response) => return Ok(Intake::of(&response)),
            News::Refused(response) if Refusal::of(&response).may_pass() => {
                meter.trouble(PlatformTrouble::Channel);
                info!("the gateway does not take the run yet; it is asked again");
            }
            News::Refused(response) => {
                return Err(StartError::Refused(format!("Failed to join channel: {}", compact(&response))));
            }
            News::JoinTimedOut => return Err(timed_out()),
            // A restart that was announced is no failure.
            News::SocketLost(Some(SERVICE_RESTART)) => failures = 0,
            News::SocketLost(_) => {
                meter.trouble(PlatformTrouble::Socket);
                failures += 1;
                if failures == MANY_FAILURES {
                    warn!("the runner's socket failed {failures} times before its run could start; it is dialled on");
                }
            }
            News::ChannelLost | News::Said { .. } | News::Replied(..) | News::PushTimedOut(_) => {}
        }
    }
}

fn timed_out() -> StartError {
    StartError::Refused("Timed out joining channel".to_owned())
}

/// JSON as JavaScript writes it.
fn compact(json: &RawValue) -> String {
    serde_json::from_str(json.get()).map_or_else(|_| json.get().to_owned(), |value: Value| value.to_string())
}
