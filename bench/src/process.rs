//! What a process costs, as the kernel tells it under `/proc`.

use crate::failure::{Failure, Result};
use std::fs;
use std::time::Duration;

/// A process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(u32);

impl Pid {
    /// Of another process.
    pub fn new(id: u32) -> Pid {
        Pid(id)
    }

    /// Of this process.
    pub fn own() -> Pid {
        Pid(std::process::id())
    }
}

/// What all threads of a process have used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU.
    pub cpu: Duration,
    /// Time in which they could have run, but something else had the CPU.
    pub waiting: Duration,
}

impl Usage {
    /// What was used after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Usage {
        Usage { cpu: self.cpu.saturating_sub(earlier.cpu), waiting: self.waiting.saturating_sub(earlier.waiting) }
    }
}

/// Usage so far: nanoseconds where the kernel keeps them, else its ticks, without the waiting.
///
/// # Errors
/// When the process is gone.
pub fn usage(pid: Pid) -> Result<Usage> {
    match nanoseconds(pid) {
        Some(usage) => Ok(usage),
        None => Ok(Usage { cpu: ticks(pid)?, waiting: Duration::ZERO }),
    }
}

/// CPU time of this process and of its children that have ended, so far.
///
/// # Errors
/// When `/proc` can't be read.
pub fn own_and_ended_children() -> Result<Duration> {
    let [user, system, of_children, system_of_children] = fields(Pid::own(), [11, 12, 13, 14])?;
    Ok(from_ticks(user + system + of_children + system_of_children))
}

/// CPU time that anything on this machine has used so far, and the part of it that a hypervisor
/// took.
///
/// # Errors
/// When `/proc` can't be read.
pub fn whole_machine() -> Result<Usage> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal
    match fields[..] {
        [user, nice, system, _, _, irq, softirq, steal, ..] => {
            Ok(Usage { cpu: from_ticks(user + nice + system + irq + softirq), waiting: from_ticks(steal) })
        }
        _ => Err(Failure::said("unreadable /proc/stat")),
    }
}

/// Resident memory, KiB.
///
/// # Errors
/// When the process is gone.
pub fn resident(pid: Pid) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.0))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
    number.ok_or_else(|| Failure::said("no VmRSS in /proc"))
}

/// Sum of the first two fields of every thread's `schedstat`. Threads that have ended are not in
/// it; the servers compared here keep theirs.
fn nanoseconds(pid: Pid) -> Option<Usage> {
    let mut sum = Usage::default();
    for task in fs::read_dir(format!("/proc/{}/task", pid.0)).ok()? {
        let stat = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        let mut fields = stat.split_whitespace().map(|field| field.parse().ok());
        sum.cpu += Duration::from_nanos(fields.next()??);
        sum.waiting += Duration::from_nanos(fields.next()??);
    }
    Some(sum)
}

/// `utime` and `stime` of `stat`.
fn ticks(pid: Pid) -> Result<Duration> {
    let [user, system] = fields(pid, [11, 12])?;
    Ok(from_ticks(user + system))
}

/// Hundredths of a second on every current Linux.
fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(10 * ticks)
}

/// Fields of `stat`, counted after the name.
fn fields<const N: usize>(pid: Pid, which: [usize; N]) -> Result<[u64; N]> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.0))?;
    // The name in parentheses may hold spaces.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let all: Vec<&str> = after_name.split_whitespace().collect();
    let mut read = [0; N];
    for (value, at) in read.iter_mut().zip(which) {
        let field = all.get(at).and_then(|field| field.parse().ok());
        *value = field.ok_or_else(|| Failure::said("unreadable /proc stat"))?;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn own_process_has_costs() {
        // A process just started may have used less than one tick, the smallest time some kernels tell.
        let patience = Instant::now() + Duration::from_secs(60);
        while usage(Pid::own()).expect("own times").cpu.is_zero() {
            assert!(Instant::now() < patience, "a minute of work is no time");
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
        assert!(ticks(Pid::own()).is_ok());
        assert!(own_and_ended_children().is_ok());
        assert!(whole_machine().is_ok());
        assert!(resident(Pid::own()).expect("own memory") > 100);
    }
}
