//! What the process takes of the machine, where the system tells.

use std::fs;

/// What the process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessUse {
    /// The memory that is in RAM.
    pub(crate) resident_bytes: Option<u64>,
    /// Sockets and files, which is to say mostly connections.
    pub(crate) open_files: Option<u64>,
}

impl ProcessUse {
    /// As it is now; nothing where there is no `/proc`.
    pub(crate) fn now() -> ProcessUse {
        let status = fs::read_to_string("/proc/self/status").ok();
        ProcessUse {
            resident_bytes: status.as_deref().and_then(resident),
            // One of them is this look into the folder.
            open_files: fs::read_dir("/proc/self/fd").ok().map(|open| (open.count() as u64).saturating_sub(1)),
        }
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_is_read_from_the_status() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t3\n"), Some(1234 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
        assert_eq!(resident("VmRSS:\tmuch kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_what_the_process_takes() {
        let now = ProcessUse::now();
        assert!(now.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{now:?}");
        assert!(now.open_files.is_some_and(|files| files > 2), "{now:?}");
    }
}
