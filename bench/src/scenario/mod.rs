//! What is measured. One file per scenario; each tells its lines of the table.

mod check;
mod history;
mod info;
mod lab;
mod latency;
mod long;
mod memory;
mod proxy;
mod replay;
mod saturation;
mod short;
mod start;
mod streams;
mod throughput;

pub use lab::Lab;

use crate::failure::Result;
use crate::report::Chapter;

/// The scenarios, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// 1: closed loop, 16 clients, runs of 100 deltas
    Throughput,
    /// 2: the same with runs of 10 deltas
    Short,
    /// 3: 40 earlier messages in the input
    History,
    /// 4: one message of 20,000 deltas
    Long,
    /// 5: one client, one run at a time
    Latency,
    /// 6: 1,000 streams of 20 tokens/s
    Streams,
    /// 7: resident memory, idle and per open stream
    Memory,
    /// 8: start to first answer, size of the program
    Start,
    /// 9: connect to a thread of 1,000 runs
    Replay,
    /// 10: rate of GET /info
    Info,
    /// 11: the agent that proxies another server
    Proxy,
}

impl Scenario {
    /// Measures it.
    ///
    /// # Errors
    /// When a server fails or answers wrongly.
    pub async fn measure(self, lab: &Lab) -> Result<Vec<Chapter>> {
        match self {
            Scenario::Throughput => Ok(vec![throughput::measure(lab).await?]),
            Scenario::Short => Ok(vec![short::measure(lab).await?]),
            Scenario::History => Ok(vec![history::measure(lab).await?]),
            Scenario::Long => Ok(vec![long::measure(lab).await?]),
            Scenario::Latency => Ok(vec![latency::measure(lab).await?]),
            Scenario::Streams => Ok(vec![streams::measure(lab).await?]),
            Scenario::Memory => Ok(vec![memory::measure(lab).await?]),
            Scenario::Start => Ok(vec![start::measure(lab).await?]),
            Scenario::Replay => Ok(vec![replay::measure(lab).await?]),
            Scenario::Info => Ok(vec![info::measure(lab).await?]),
            Scenario::Proxy => proxy::measure(lab).await,
        }
    }
}

/// Compares the bytes of all servers for the same requests. Tells the differences.
///
/// # Errors
/// When a server fails.
pub async fn check(lab: &Lab) -> Result<Vec<String>> {
    check::compare(lab).await
}
