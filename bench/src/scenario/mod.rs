//! What is measured. One file per scenario; each tells its lines of the table.

mod check;
mod growth;
mod history;
mod info;
mod lab;
mod latency;
mod list;
mod long;
mod long_thread;
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
use crate::report::{Chapter, Table};

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
    /// 12: as 1, with threads that are kept
    DurableThroughput,
    /// 13: as 5, with threads that are kept
    DurableLatency,
    /// 14: as 9, with threads that are kept
    DurableReplay,
    /// 15: as 6, with threads that are kept
    DurableStreams,
    /// 16: start of a run on a thread of 10,000 runs
    DurableStart,
    /// 17: pages of the list of 100,000 threads
    DurableList,
    /// 18: memory over 50,000 threads
    DurableMemory,
    /// 19: size of the file per run
    DurableSize,
}

/// Scenarios of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// 1 to 11: threads in memory, beside Node and the bare server
    InMemory,
    /// 12 to 19: threads in a SQLite file, beside memory and Node on SQLite
    Durable,
}

impl Group {
    /// Its scenarios, in order.
    pub fn scenarios(self) -> impl Iterator<Item = Scenario> {
        let all = <Scenario as clap::ValueEnum>::value_variants();
        all.iter().copied().filter(move |scenario| scenario.group() == self)
    }

    /// How they are shown.
    pub fn table(self) -> Table {
        match self {
            Group::InMemory => Table::IN_MEMORY,
            Group::Durable => Table::DURABLE,
        }
    }
}

impl Scenario {
    /// Where it belongs.
    pub fn group(self) -> Group {
        if self as usize >= Scenario::DurableThroughput as usize { Group::Durable } else { Group::InMemory }
    }

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
            Scenario::DurableThroughput => Ok(vec![throughput::durable(lab).await?]),
            Scenario::DurableLatency => Ok(vec![latency::durable(lab).await?]),
            Scenario::DurableReplay => Ok(vec![replay::durable(lab).await?]),
            Scenario::DurableStreams => Ok(vec![streams::durable(lab).await?]),
            Scenario::DurableStart => Ok(vec![long_thread::measure(lab).await?]),
            Scenario::DurableList => Ok(vec![list::measure(lab).await?]),
            Scenario::DurableMemory => Ok(vec![growth::memory(lab).await?]),
            Scenario::DurableSize => Ok(vec![growth::size(lab).await?]),
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
