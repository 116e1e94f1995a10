//! What the numbers were measured on, and how quiet it was there.

use copilotkit_bench::database::Database;
use copilotkit_bench::failure::Result;
use copilotkit_bench::process::{self, Usage};
use copilotkit_bench::stats::Sorted;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The machine at the beginning of the measurements.
pub(crate) struct Machine {
    since: Instant,
    all: Usage,
    own: Duration,
}

impl Machine {
    /// Begins to watch.
    pub(crate) fn watch() -> Result<Machine> {
        Ok(Machine { since: Instant::now(), all: process::whole_machine()?, own: process::own_and_ended_children()? })
    }

    /// One paragraph for the head of the table, when all servers have ended.
    pub(crate) fn description(&self, rounds: usize, window: Duration) -> Result<String> {
        let all = process::whole_machine()?.since(self.all);
        let own = process::own_and_ended_children()?.saturating_sub(self.own);
        let share = |time: Duration| 100.0 * time.as_secs_f64() / self.since.elapsed().as_secs_f64();
        Ok(format!(
            "{}, Linux {}, Node {}. Medians of {rounds} rounds of {} s, the servers taking turns; ratios are \
             medians of the ratios of each round. Meanwhile other programs used {:.0} % of a core, and a \
             hypervisor took {:.0} %.",
            processors(),
            said_by("uname", "-r"),
            said_by("node", "--version"),
            window.as_secs(),
            share(all.cpu.saturating_sub(own)),
            share(all.waiting),
        ))
    }
}

/// One more sentence: what it takes to keep a page on the disk that servers have their files on.
pub(crate) fn disk(databases: &Path) -> Result<String> {
    const PAGES: usize = 200;
    let place = Database::below(databases)?;
    let mut file = File::create(place.file())?;
    let mut times = Vec::with_capacity(PAGES);
    for _ in 0..PAGES {
        file.write_all(&[1; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let times = Sorted::new(times);
    let [p50, p99] = [0.5, 0.99].map(|share| times.quantile(share));
    Ok(format!(" A page appended to a file is kept (`fdatasync`) after {p50:.2} ms p50, {p99:.2} ms p99."))
}

fn processors() -> String {
    let all = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = all.lines().filter(|line| line.starts_with("processor")).count();
    let model = all.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    format!("{count} × {}", model.unwrap_or("unknown CPU"))
}

fn said_by(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    output.map_or_else(|_| "none".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
