//! What a result carries of the machine that it was measured on, and what this process may open.

use std::fs;
use std::io;

/// Facts about this host that a measurement depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostInfo {
    /// Release of the kernel.
    pub kernel: String,
    /// Model of the processor.
    pub cpu: String,
    /// Cores of the machine, whoever may run on them.
    pub cores: usize,
    /// Cores that are kept free of other work, as the kernel lists them.
    pub isolated: String,
}

impl HostInfo {
    /// Looks at this host. What it would not say is empty.
    #[must_use]
    pub fn probe() -> Self {
        let processors = read("/proc/cpuinfo");
        let models = || processors.lines().filter_map(|line| line.strip_prefix("model name"));
        let named = models().next().and_then(|line| line.split_once(':'));
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: named.map_or("", |(_, name)| name.trim()).to_owned(),
            cores: models().count(),
            isolated: read("/sys/devices/system/cpu/isolated"),
        }
    }
}

/// Raises the limit of open files of this process as far as it may, so that `wanted` can be open;
/// returns the limit that holds now.
///
/// # Errors
/// When the kernel refuses; the limit is unchanged.
pub fn allow_open_files(wanted: u64) -> io::Result<u64> {
    let mut limit = open_files()?;
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    limit.rlim_cur = wanted.min(limit.rlim_max);
    // SAFETY: `limit` is a valid rlimit that outlives the call; the kernel only reads it.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if result == 0 { Ok(limit.rlim_cur) } else { Err(io::Error::last_os_error()) }
}

fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit that outlives the call; the kernel writes nothing else.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_knows_this_host() {
        let info = HostInfo::probe();
        assert!(info.cores > 0 && !info.kernel.is_empty());
    }

    #[test]
    fn the_limit_of_open_files_rises_only_as_far_as_it_may() {
        let before = open_files().unwrap();
        let after = allow_open_files(u64::MAX).unwrap();
        assert_eq!(after, before.rlim_max);
        assert_eq!(allow_open_files(1).unwrap(), after, "never lowered");
    }
}
